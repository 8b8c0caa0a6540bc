//! What experiments are made with: the experiments on file, and whoever can make a target sick.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use crate::app::Shared;
use crate::chaos::{Injector, Library, Wish};
use crate::config::ServiceConfig;
use crate::model::{
    AimedFault, Digest, ExperimentPlan, Fault, FaultKind, LONGEST_EXPERIMENT, MethodStep, ServiceId, TargetId,
};
use crate::model::{Clock as _, SystemClock, in_words};

/// The experiments on file, and who can carry them out.
#[derive(Default)]
pub(in crate::app) struct Stand {
    library: Library,
    /// By kind of target; several of one kind offer different faults.
    injectors: RwLock<BTreeMap<String, Vec<Arc<dyn Injector>>>>,
    /// Decides who is hit; the moment does when it is absent.
    seed: RwLock<Option<u64>>,
}

impl Stand {
    pub(in crate::app) fn new(library: Library) -> Self {
        Self { library, injectors: RwLock::default(), seed: RwLock::default() }
    }

    /// From now on this one is asked as well.
    pub(in crate::app) fn add(&self, injector: Arc<dyn Injector>) {
        let mut all = self.injectors.write().unwrap_or_else(PoisonError::into_inner);
        all.entry(injector.kind().to_owned()).or_default().push(injector);
    }

    /// From now on the same targets draw the same lots.
    pub(in crate::app) fn draw_lots_by(&self, seed: u64) {
        *self.seed.write().unwrap_or_else(PoisonError::into_inner) = Some(seed);
    }

    pub(in crate::app) fn library(&self) -> &Library {
        &self.library
    }

    /// Whoever puts faults into targets of this kind.
    pub(super) fn all_for(&self, target: &TargetId) -> Vec<Arc<dyn Injector>> {
        self.injectors.read().unwrap_or_else(PoisonError::into_inner).get(target.kind()).cloned().unwrap_or_default()
    }

    /// Who puts this fault into this target.
    pub(super) async fn injector(&self, target: &TargetId, kind: FaultKind) -> Result<Arc<dyn Injector>, String> {
        let all = self.all_for(target);
        let mut why = format!("nothing here can put faults into targets of kind `{}`", target.kind());
        for injector in &all {
            match injector.offers(target).await {
                Ok(kinds) if kinds.contains(&kind) => return Ok(Arc::clone(injector)),
                Ok(_) => why = format!("{target} does not offer the fault `{kind}`"),
                Err(error) => why = error.to_string(),
            }
        }
        // One whose target is away for a moment can still take out what it put in.
        Err(why)
    }

    /// Whoever may have put this fault in: to take it out, also while the target cannot say what it offers.
    pub(super) async fn takers(&self, fault: &AimedFault) -> Vec<Arc<dyn Injector>> {
        match self.injector(&fault.target, fault.fault.kind()).await {
            Ok(one) => vec![one],
            Err(_) => self.all_for(&fault.target),
        }
    }

    /// The faults that can be put into any of these targets.
    pub(super) async fn offers(&self, targets: &[TargetId]) -> Vec<FaultKind> {
        let mut all = Vec::new();
        for target in targets {
            for injector in self.all_for(target) {
                all.extend(injector.offers(target).await.unwrap_or_default());
            }
        }
        all.sort_unstable();
        all.dedup();
        all
    }
}

/// The service that is meant: the one that was named, or the experiment's own, or the only one there is.
pub(super) fn service_of(
    shared: &Shared,
    asked: Option<ServiceId>,
    own: Option<&ServiceId>,
) -> Result<Arc<ServiceConfig>, String> {
    let config = shared.config();
    let name = match asked.or_else(|| own.cloned()) {
        Some(name) => name,
        None => {
            let mut with_targets = config.services.iter().filter(|service| !service.targets.is_empty());
            match (with_targets.next(), with_targets.next()) {
                (Some(only), None) => only.name.clone(),
                (None, _) => return Err("no service here has a target that a fault could be put into".to_owned()),
                _ => return Err("say on which service: `chaos run EXPERIMENT SERVICE`".to_owned()),
            }
        }
    };
    let known = config.service(&name).ok_or_else(|| crate::incident::Refusal::NoService(name.clone()).to_string())?;
    Ok(Arc::new(known.clone()))
}

/// What an experiment would do, exactly. Changes nothing.
pub(super) async fn plan(
    shared: &Shared,
    name: &str,
    service: Option<ServiceId>,
    span: Option<std::time::Duration>,
) -> Result<ExperimentPlan, String> {
    must_not_be_forbidden(shared)?;
    let mut experiment = shared.stand.library().find(name)?.experiment.clone();
    let service = service_of(shared, service, experiment.service.as_ref())?;
    if let Some(span) = span {
        experiment.method.iter_mut().for_each(|step| step.lasts = span);
        if experiment.lasts() > LONGEST_EXPERIMENT {
            return Err(format!(
                "with for:{} the experiment takes {}; none takes longer than {}",
                in_words(span),
                in_words(experiment.lasts()),
                in_words(LONGEST_EXPERIMENT)
            ));
        }
    }
    if service.targets.is_empty() {
        return Err(format!("{} has no target: it is only watched, and nothing is put into it", service.name));
    }
    let given = *shared.stand.seed.read().unwrap_or_else(PoisonError::into_inner);
    let seed = given.unwrap_or_else(|| seed(&experiment.digest, &service.name));
    let mut faults: Vec<AimedFault> = Vec::new();
    for (step, (from, until)) in experiment.method.iter().zip(experiment.timetable()) {
        let (target, injector) = place(shared, &service, step).await?;
        let wish = Wish {
            target: &target,
            fault: &step.fault,
            instances: &step.instances,
            radius: experiment.blast_radius,
            seed,
        };
        let aim = injector.aim(&wish).await.map_err(|e| e.to_string())?;
        faults.push(AimedFault {
            fault: step.fault.clone(),
            target,
            instances: aim.instances,
            from,
            until,
            how: aim.how,
            undo: aim.undo,
            held: aim.held,
        });
    }
    within_the_radius(&faults, experiment.blast_radius.instances)?;
    Ok(ExperimentPlan { experiment, service: service.name.clone(), faults })
}

/// Where this step goes: the first target of the service that offers its fault.
async fn place(
    shared: &Shared,
    service: &ServiceConfig,
    step: &MethodStep,
) -> Result<(TargetId, Arc<dyn Injector>), String> {
    let kind = step.fault.kind();
    let mut why = String::new();
    for target in &service.targets {
        match shared.stand.injector(target, kind).await {
            Ok(injector) => return Ok((target.clone(), injector)),
            Err(error) => why = error,
        }
    }
    let offered: Vec<_> = shared.stand.offers(&service.targets).await.iter().map(ToString::to_string).collect();
    let offered = if offered.is_empty() { "nothing".to_owned() } else { offered.join(", ") };
    Err(format!("{}: {why}; what can be put in there: {offered}", service.name))
}

/// Faults that are in together count together.
fn within_the_radius(faults: &[AimedFault], most: u32) -> Result<(), String> {
    for one in faults {
        let mut hit: Vec<(&TargetId, &String)> = faults
            .iter()
            .filter(|other| other.from < one.until && one.from < other.until)
            .flat_map(|other| other.instances.iter().map(|instance| (&other.target, instance)))
            .collect();
        hit.sort();
        hit.dedup();
        if hit.len() > most as usize {
            return Err(format!(
                "its faults together hit {} instances, and the blast radius allows {most}: name fewer, or raise \
                 `instances` in [blast_radius]",
                hit.len()
            ));
        }
        let twice = |other: &AimedFault| {
            other.target == one.target
                && other.fault.kind() == one.fault.kind()
                && other.from < one.until
                && one.from < other.until
                && (other.instances.iter().any(|i| one.instances.contains(i)) || other.instances == one.instances)
        };
        if faults.iter().filter(|other| twice(other)).count() > 1 {
            return Err(format!("the fault `{}` would be in twice at the same place and time", one.fault.kind()));
        }
    }
    Ok(())
}

/// An environment can forbid all of it.
pub(super) fn must_not_be_forbidden(shared: &Shared) -> Result<(), String> {
    let config = shared.config();
    match config.suture.chaos {
        crate::config::ChaosAllow::Approve => Ok(()),
        crate::config::ChaosAllow::Never => {
            Err(format!("no experiment is done here: {} has `chaos = \"never\"` in [suture]", config.path.display()))
        }
    }
}

/// Decides the lot. Another moment hits others; who is hit is on the card that people approve.
fn seed(experiment: &Digest, service: &ServiceId) -> u64 {
    let text = format!("{experiment} {service} {}", SystemClock.now().0);
    Digest::of(text.as_bytes()).0.iter().take(8).fold(0, |seed, byte| seed << 8 | u64::from(*byte))
}

/// Which faults an experiment needs.
pub(super) fn needs(method: &[MethodStep]) -> impl Iterator<Item = FaultKind> {
    method.iter().map(|step: &MethodStep| Fault::kind(&step.fault))
}
