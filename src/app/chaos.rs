//! `chaos` from the channel: faults that somebody can inject are told to the daemon by whoever has them. The demo has its
//! shop's; experiments with a hypothesis of their own come through the same door.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use super::Shared;
use super::commands::page_of;
use crate::chat::command::LONGEST_FAULT;
use crate::chat::{Block, Card, pages};
use crate::decide::Deed;
use crate::incident::{Refusal, State};
use crate::ledger::{self, Query};
use crate::model::{Fact, Person, ServiceId};

/// Records of a report.
const REPORTED: usize = 20;

/// Somebody who can make one service sick on purpose, and well again.
#[async_trait]
pub trait Injector: Send + Sync {
    /// Which service.
    fn service(&self) -> ServiceId;

    /// The faults, by name, with what each does.
    fn faults(&self) -> Vec<(String, String)>;

    /// Injects one, and says in words where.
    ///
    /// # Errors
    /// In words, when it cannot be done.
    async fn inject(&self, fault: &str) -> Result<String, String>;

    /// Takes all of them out again.
    ///
    /// # Errors
    /// In words, when it cannot be done.
    async fn lift(&self) -> Result<(), String>;
}

/// Who can inject what, and the faults that end by themselves.
#[derive(Default)]
pub(super) struct Faults {
    injectors: BTreeMap<ServiceId, Arc<dyn Injector>>,
    /// Faults that are in, by service: which, and how many were injected by then.
    running: BTreeMap<ServiceId, (String, u64)>,
    injected: u64,
}

impl Faults {
    pub(super) fn add(&mut self, injector: Arc<dyn Injector>) {
        self.injectors.insert(injector.service(), injector);
    }

    /// The names of all faults.
    pub(super) fn names(&self) -> Vec<String> {
        let names = self.injectors.values().flat_map(|injector| injector.faults()).map(|(name, _)| name);
        names.collect::<std::collections::BTreeSet<_>>().into_iter().collect()
    }
}

fn with<T>(shared: &Shared, f: impl FnOnce(&mut Faults) -> T) -> T {
    f(&mut shared.faults.lock().unwrap_or_else(PoisonError::into_inner))
}

/// The faults there are, and those that are in.
pub(super) fn list(shared: &Shared, state: &State) -> Card {
    let mut rows = Vec::new();
    with(shared, |faults| {
        for (service, injector) in &faults.injectors {
            let running = faults.running.get(service).map(|(name, _)| name.clone());
            let seen = state.faults.get(service).map(|(_, name)| name.clone());
            for (name, does) in injector.faults() {
                let is_in = running.as_ref() == Some(&name) || seen.as_ref() == Some(&name);
                rows.push(vec![service.to_string(), name, does, if is_in { "yes".to_owned() } else { String::new() }]);
            }
        }
    });
    if rows.is_empty() {
        let words = "No service here has faults that can be injected; `suture demo` has a shop with some.";
        return pages::answer("chaos", vec![Block::Text(words.to_owned())]);
    }
    let head = ["service", "fault", "what it does", "is in"].map(str::to_owned).to_vec();
    pages::answer("chaos", vec![Block::Table { head, rows }])
}

/// Injects a fault; with a span it is taken out again after it.
pub(super) async fn run(
    shared: &Arc<Shared>,
    by: &Person,
    fault: &str,
    service: &ServiceId,
    span: Option<Duration>,
) -> Result<String, String> {
    shared.engine.may(service, by, Deed { verb: "chaos", actions: &[] }).map_err(|missing| {
        Refusal::NotAllowed {
            who: by.name.clone(),
            id: by.id.clone(),
            service: service.clone(),
            missing: Box::new(missing),
        }
        .to_string()
    })?;
    if let Some(reason) = &shared.engine.state().halted {
        return Err(Refusal::Halted(reason.clone()).to_string());
    }
    let injector = with(shared, |faults| faults.injectors.get(service).cloned())
        .ok_or_else(|| format!("no fault can be injected into {service}; `chaos list` has those that can"))?;
    let does = injector.faults().into_iter().find(|(name, _)| name == fault).map(|(_, does)| does);
    let does = does.ok_or_else(|| format!("{service} has no fault `{fault}`; `chaos list` has those there are"))?;
    // In the ledger before it is in the service: a fault that nobody knows of is the worst of all.
    let fact = Fact::FaultInjected { fault: fault.to_owned(), detail: does.clone() };
    shared.engine.note(Some(service), Some(by), fact).await.map_err(|e| e.to_string())?;
    let place = match injector.inject(fault).await {
        Ok(place) => place,
        Err(error) => {
            lift_one(shared, service, &injector, fault).await?;
            return Err(error);
        }
    };
    let number = with(shared, |faults| {
        faults.injected += 1;
        faults.running.insert(service.clone(), (fault.to_owned(), faults.injected));
        faults.injected
    });
    // One that nobody ends, ends by itself.
    let span = span.unwrap_or(LONGEST_FAULT);
    let ends = format!(" for {}", crate::model::in_words(span));
    {
        let (later, service) = (Arc::clone(shared), service.clone());
        let task = tokio::spawn(async move {
            tokio::time::sleep(span).await;
            let still = with(&later, |faults| faults.running.get(&service).is_some_and(|(_, n)| *n == number));
            if still && let Err(error) = stop(&later, Some(&service)).await {
                tracing::error!(%service, error, "a fault could not be taken out when its time was over");
            }
        });
        let mut timers = shared.timers.lock().unwrap_or_else(PoisonError::into_inner);
        timers.retain(|timer| !timer.is_finished());
        timers.push(task);
    }
    Ok(format!("{service}: {fault} is in{ends} ({does}; {place}). `chaos stop {service}` takes it out."))
}

/// Takes faults out again. Anybody may: it is the way back.
pub(super) async fn stop(shared: &Arc<Shared>, service: Option<&ServiceId>) -> Result<String, String> {
    let all: Vec<_> = with(shared, |faults| {
        faults
            .injectors
            .iter()
            .filter(|(name, _)| service.is_none_or(|s| s == *name))
            .map(|(s, i)| (s.clone(), Arc::clone(i)))
            .collect()
    });
    if all.is_empty() {
        return Err("there is nothing here that a fault could be in; `chaos list` has those there are".to_owned());
    }
    let mut words = Vec::new();
    for (service, injector) in all {
        let running = with(shared, |faults| faults.running.get(&service).map(|(name, _)| name.clone()));
        let seen = shared.engine.state().faults.get(&service).map(|(_, name)| name.clone());
        let fault = running.or(seen).unwrap_or_else(|| "all".to_owned());
        lift_one(shared, &service, &injector, &fault).await?;
        words.push(format!("{service}: {fault} taken out"));
    }
    Ok(words.join("; "))
}

async fn lift_one(
    shared: &Shared,
    service: &ServiceId,
    injector: &Arc<dyn Injector>,
    fault: &str,
) -> Result<(), String> {
    injector.lift().await?;
    with(shared, |faults| faults.running.remove(service));
    let fact = Fact::FaultLifted { fault: fault.to_owned() };
    shared.engine.note(Some(service), None, fact).await.map_err(|e| e.to_string())
}

/// What became of the faults: when each went in, and what the incidents after it came to.
pub(super) async fn report(shared: &Arc<Shared>, service: Option<&ServiceId>) -> Result<Card, String> {
    let query = Query {
        kind: Some("fault-injected".to_owned()),
        service: service.cloned(),
        limit: REPORTED,
        ..Query::default()
    };
    let page = page_of(shared, query).await?;
    let state = shared.engine.state();
    let mut blocks = Vec::new();
    for stored in &page.records {
        let event = &stored.record.event;
        blocks.push(Block::Text(ledger::tell(&stored.record)));
        let after = state
            .incidents
            .values()
            .find(|i| Some(&i.service) == event.service.as_ref() && i.fault_at == Some(event.at));
        let words = match after {
            None => "no incident that is remembered came of it".to_owned(),
            Some(i) => {
                let found = crate::model::in_words(i.opened_at.since(event.at));
                let end = i.closed_at.map_or_else(
                    || i.phase.words().to_owned(),
                    |at| {
                        format!(
                            "{} after {}",
                            i.how.clone().unwrap_or_default(),
                            crate::model::in_words(at.since(event.at))
                        )
                    },
                );
                format!("{}: found after {found}; {end}", i.id)
            }
        };
        blocks.push(Block::Text(format!("  {words}")));
    }
    if blocks.is_empty() {
        blocks.push(Block::Text("No fault was injected yet.".to_owned()));
    }
    Ok(pages::answer("chaos report", blocks))
}
