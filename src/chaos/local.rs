//! Faults in `local:` targets: asked of their supervisors, which hold them by lease.
//!
//! The supervisor ends what nobody renews, and everything when it ends; so a target without one has no fault. Must never hit
//! more than the blast radius allows: a fault of the whole machine counts as one of all instances.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;

use super::{Aim, InjectError, Injector, LEASE, Wish};
use crate::act::local::{self, FaultCallError, Means, PutFault, Refusal};
use crate::model::{AimedFault, BlastRadius, Digest, FaultKind, Instance, TargetId};

/// Puts faults into `local:` targets.
#[derive(Clone, Debug)]
pub struct LocalInjector {
    sockets: BTreeMap<TargetId, PathBuf>,
}

impl LocalInjector {
    /// An injector for the supervisors that listen on these sockets.
    #[must_use]
    pub fn new(sockets: BTreeMap<TargetId, PathBuf>) -> Self {
        Self { sockets }
    }

    fn socket(&self, target: &TargetId) -> Result<&Path, InjectError> {
        let known = self.sockets.get(target).map(PathBuf::as_path);
        known.ok_or_else(|| InjectError::Refused(format!("there is no target {target} in the config")))
    }
}

#[async_trait]
impl Injector for LocalInjector {
    fn kind(&self) -> &'static str {
        "local"
    }

    async fn offers(&self, target: &TargetId) -> Result<Vec<FaultKind>, InjectError> {
        let report = local::faults_of(self.socket(target)?).await.map_err(|e| in_words(target, e))?;
        Ok(report.offers.into_iter().map(|(kind, _)| kind).collect())
    }

    async fn aim(&self, wish: &Wish<'_>) -> Result<Aim, InjectError> {
        let Wish { target, fault, .. } = wish;
        let refused = |why: String| InjectError::Refused(why);
        let kind = fault.kind();
        fault.check().map_err(|(key, why)| refused(format!("{kind}: {key}: {why}")))?;
        let socket = self.socket(target)?;
        let report = local::faults_of(socket).await.map_err(|e| in_words(target, e))?;
        let means = report.offers.iter().find(|(offered, _)| *offered == kind).map(|(_, means)| *means);
        let means = means.ok_or_else(|| {
            let remedy = match kind {
                FaultKind::PodKill => ": it has no pods; `crash` kills a process",
                FaultKind::Load => ": nothing here makes its load",
                _ => ": only its own program can do that, through a door that `faults` of the target names",
            };
            refused(format!("{target} cannot have the fault {kind}{remedy}"))
        })?;
        let state = local::report(target, socket)
            .await
            .map_err(|e| InjectError::Unavailable(target.to_string(), e.to_string()))?;
        let instances = match means {
            Means::Stress => {
                whole_machine(wish, &state.state.instances)?;
                Vec::new()
            }
            _ => choose(wish, &state.state.instances)?,
        };
        let names = instances.join(", ");
        let (how, undo) = match means {
            Means::Balancer => (
                format!("by the balancer in front of {names}"),
                "the balancer lets everything through again".to_owned(),
            ),
            Means::Signal if kind.is_a_blow() => {
                (format!("by SIGKILL to {names}"), "nothing: what died stays dead until it is healed".to_owned())
            }
            Means::Signal => (format!("by SIGSTOP to {names}"), "SIGCONT, if it was not restarted since".to_owned()),
            Means::Door => (format!("by {names} itself"), format!("{names} takes it out itself")),
            Means::Stress => (
                "by a process beside the workers, for the whole machine".to_owned(),
                "that process is killed, and with it goes all that it took".to_owned(),
            ),
        };
        Ok(Aim { instances, how, undo, held: serde_json::json!({ "means": means }) })
    }

    async fn put_in(&self, id: &str, fault: &AimedFault) -> Result<String, InjectError> {
        let socket = self.socket(&fault.target)?;
        let lease_ms = u64::try_from(LEASE.as_millis()).unwrap_or(u64::MAX);
        let wanted = PutFault { fault: fault.fault.clone(), instances: fault.instances.clone(), lease_ms };
        local::put_fault(socket, id, &wanted).await.map_err(|e| in_words(&fault.target, e))
    }

    async fn renew(&self, id: &str, fault: &AimedFault, left: Duration) -> Result<(), InjectError> {
        let socket = self.socket(&fault.target)?;
        // What is over at once has no lease.
        if fault.fault.kind().is_a_blow() {
            return Ok(());
        }
        local::renew_fault(socket, id, LEASE.min(left)).await.map_err(|error| match error {
            FaultCallError::Refused(Refusal::NotFound { what }) => InjectError::Gone(what),
            FaultCallError::NobodyThere(why) => InjectError::Gone(why),
            other => in_words(&fault.target, other),
        })
    }

    async fn take_out(&self, id: &str, fault: &AimedFault) -> Result<String, InjectError> {
        let target = &fault.target;
        let Some(socket) = self.sockets.get(target) else {
            let lease = LEASE.as_secs();
            return Ok(format!("{target} is not in the config any more: what was in went with its lease of {lease} s"));
        };
        match local::take_fault_out(socket, id).await {
            Ok(receipt) => Ok(receipt),
            Err(FaultCallError::NobodyThere(_)) => Ok(format!("the supervisor of {target} is gone, and {id} with it")),
            Err(error) => Err(InjectError::Unavailable(target.to_string(), error.to_string())),
        }
    }
}

/// A fault that all instances of a target feel needs a radius that has room for all of them.
fn whole_machine(wish: &Wish<'_>, instances: &[Instance]) -> Result<(), InjectError> {
    let (kind, target) = (wish.fault.kind(), wish.target);
    if !wish.instances.is_empty() {
        return Err(InjectError::Refused(format!(
            "{kind} on {target} is for the whole machine: name no instances, or give its program a door for faults"
        )));
    }
    let serving = instances.iter().filter(|i| serves(i)).count();
    if serving == 0 || wish.radius.of(serving) < serving {
        return Err(InjectError::Refused(format!(
            "{kind} on {target} is for the whole machine, so all {serving} that serve feel it, and the blast radius allows \
             {}: write `blast_radius = {{ instances = {serving}, share = 1.0 }}`, or give its program a door for faults \
             (`faults` of the target)",
            wish.radius.of(serving)
        )));
    }
    Ok(())
}

/// The instances that are hit: those that were wished for, or by lot; never more than the radius allows.
pub(super) fn choose(wish: &Wish<'_>, instances: &[Instance]) -> Result<Vec<String>, InjectError> {
    let target = wish.target;
    let refused = |why: String| Err(InjectError::Refused(why));
    let serving: Vec<&str> = instances.iter().filter(|i| serves(i)).map(|i| i.name.as_str()).collect();
    let BlastRadius { instances: most, share } = wish.radius;
    let room = wish.radius.of(serving.len());
    if room == 0 {
        return refused(format!(
            "{} of {target} serve, and the blast radius (instances = {most}, share = {share}) allows none of them to be \
             hit: let more serve, or widen it",
            serving.len()
        ));
    }
    let wished: BTreeSet<&str> = wish.instances.iter().map(String::as_str).collect();
    if wished.is_empty() {
        let mut lots: Vec<(String, &str)> = serving
            .iter()
            .map(|name| (Digest::of(format!("{} {name}", wish.seed).as_bytes()).to_string(), *name))
            .collect();
        lots.sort_unstable();
        let mut chosen: Vec<String> = lots.into_iter().take(room).map(|(_, name)| name.to_owned()).collect();
        chosen.sort_unstable();
        return Ok(chosen);
    }
    for name in &wished {
        let shown: String = name.chars().filter(|c| !c.is_control()).take(60).collect();
        if !instances.iter().any(|i| i.name == *name) {
            return refused(format!("{target} has no instance `{shown}`: {} serve", serving.join(", ")));
        }
        if !serving.contains(name) {
            return refused(format!(
                "{shown} of {target} does not serve, so nothing would be learned: {} do",
                serving.join(", ")
            ));
        }
    }
    if wished.len() > room {
        return refused(format!(
            "{} instances of {target} are more than the blast radius allows: {room} of the {} that serve",
            wished.len(),
            serving.len()
        ));
    }
    Ok(wished.into_iter().map(str::to_owned).collect())
}

fn serves(instance: &Instance) -> bool {
    instance.up && !instance.isolated && instance.weight > 0
}

fn in_words(target: &TargetId, error: FaultCallError) -> InjectError {
    match error {
        FaultCallError::Refused(Refusal::Unsupported { why }) => InjectError::Refused(format!("{target}: {why}")),
        FaultCallError::Refused(Refusal::NotFound { what }) => {
            InjectError::Refused(format!("{target} has no instance {what}"))
        }
        FaultCallError::NobodyThere(why) => {
            InjectError::Unavailable(target.to_string(), format!("{why}: start `suture run`, or restart it"))
        }
        other => InjectError::Unavailable(target.to_string(), other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Fault;

    fn instances(up: &[bool]) -> Vec<Instance> {
        let one = |(n, up): (usize, &bool)| Instance {
            name: format!("shop-{}", n + 1),
            up: *up,
            isolated: false,
            weight: 100,
            generation: 0,
        };
        up.iter().enumerate().map(one).collect()
    }

    fn aim(wished: &[&str], radius: (u32, f64), seed: u64, up: &[bool]) -> Result<Vec<String>, String> {
        let target = "local:shop".parse().unwrap();
        let wished: Vec<String> = wished.iter().map(|name| (*name).to_owned()).collect();
        let radius = BlastRadius { instances: radius.0, share: radius.1 };
        let wish = Wish { target: &target, fault: &Fault::Hang, instances: &wished, radius, seed };
        choose(&wish, &instances(up)).map_err(|e| e.to_string())
    }

    #[test]
    fn the_lot_falls_the_same_for_a_seed_and_on_those_that_serve() {
        let up = [true, true, false, true];
        let once = aim(&[], (1, 0.5), 7, &up).unwrap();
        assert_eq!(aim(&[], (1, 0.5), 7, &up).unwrap(), once);
        let many: BTreeSet<_> = (0..64).map(|seed| aim(&[], (1, 0.5), seed, &up).unwrap().remove(0)).collect();
        assert_eq!(many.into_iter().collect::<Vec<_>>(), ["shop-1", "shop-2", "shop-4"]);
        assert_eq!(aim(&[], (9, 1.0), 7, &up).unwrap(), ["shop-1", "shop-2", "shop-4"]);
        assert_eq!(aim(&[], (2, 0.7), 7, &up).unwrap().len(), 2);
    }

    #[test]
    fn the_radius_holds_for_wishes_too() {
        let up = [true, true, false];
        assert_eq!(aim(&["shop-2"], (1, 0.5), 0, &up).unwrap(), ["shop-2"]);
        let says = |wished: &[&str], radius, up: &[bool], words: &str| {
            let why = aim(wished, radius, 0, up).unwrap_err();
            assert!(why.contains(words), "{why}");
        };
        says(&["shop-1", "shop-2"], (1, 1.0), &up, "more than the blast radius allows: 1 of the 2");
        says(&["shop-3"], (1, 0.5), &up, "shop-3 of local:shop does not serve");
        says(&["shop-9"], (1, 0.5), &up, "no instance `shop-9`");
        says(&[], (1, 0.5), &[true], "allows none of them");
        says(&[], (1, 0.5), &[], "0 of local:shop serve");
    }

    #[test]
    fn what_the_whole_machine_feels_needs_room_for_all() {
        let target = "local:shop".parse().unwrap();
        let wish = |instances, share| Wish {
            target: &target,
            fault: &Fault::Cpu { cores: 1.0 },
            instances: &[],
            radius: BlastRadius { instances, share },
            seed: 0,
        };
        let why = whole_machine(&wish(1, 0.5), &instances(&[true, true])).unwrap_err().to_string();
        assert!(why.contains("blast_radius = { instances = 2, share = 1.0 }"), "{why}");
        assert_eq!(whole_machine(&wish(2, 1.0), &instances(&[true, true])), Ok(()));
    }

    #[tokio::test]
    async fn a_target_that_is_gone_has_no_fault() {
        let dir = tempfile::TempDir::new().unwrap();
        let target: TargetId = "local:shop".parse().unwrap();
        let injector = LocalInjector::new([(target.clone(), dir.path().join("shop.sock"))].into());
        let fault = AimedFault {
            fault: Fault::Hang,
            target,
            instances: vec!["shop-1".to_owned()],
            from: Duration::ZERO,
            until: Duration::from_secs(1),
            how: String::new(),
            undo: String::new(),
            held: serde_json::Value::Null,
        };
        assert!(injector.take_out("EXP-1.1", &fault).await.unwrap().contains("is gone"));
        assert!(matches!(injector.renew("EXP-1.1", &fault, LEASE).await, Err(InjectError::Gone(_))));
        assert!(matches!(injector.put_in("EXP-1.1", &fault).await, Err(InjectError::Unavailable(..))));
        let other = AimedFault { target: "local:other".parse().unwrap(), ..fault };
        assert!(injector.take_out("EXP-1.1", &other).await.unwrap().contains("not in the config any more"));
    }
}
