//! Replays of incidents that are put together from what the stock components really do.

mod again;
mod checks;
mod would;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::would::{Allowed, Basis};
use super::*;
use crate::model::{
    Action, Args, Event, Fact, Instance, Judge, Plan, PlannedAction, Proposal, Severity, TargetId, TargetState,
    Timestamp, Transcript,
};
use crate::wasm::{Catalog, Host, HostError, IncidentView, Limits, Playbook, World};

/// Compiled code is kept between tests: compiling with an unoptimised compiler takes seconds.
fn host() -> Host {
    Host::new(Limits::default(), Some(&Path::new(env!("OUT_DIR")).join("wasm-cache"))).unwrap()
}

async fn catalog() -> Catalog {
    let (catalog, errors) = Catalog::load(&host(), None, None).await;
    assert!(errors.is_empty(), "{errors:?}");
    catalog
}

async fn stock_playbook(name: &str) -> Playbook {
    catalog().await.playbook(name).unwrap().clone()
}

fn repeater(dir: &Path) -> Repeater {
    Repeater::new(host(), Shelf::of_data_dir(dir))
}

fn args(pairs: &[(&str, &str)]) -> Args {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn shop() -> TargetId {
    "local:shop".parse().unwrap()
}

/// A shop of this many healthy instances, at most six.
fn shop_of(instances: u32) -> TargetState {
    let instance = |n| Instance { name: format!("shop-{n}"), up: true, isolated: false, weight: 100, generation: 0 };
    TargetState {
        replicas: instances,
        min_replicas: 1,
        max_replicas: 6,
        instances: (1..=instances).map(instance).collect(),
        cache_ttl_ms: Some(2_000),
        ..TargetState::default()
    }
}

/// An incident of the shop, with numbers that are easily written in two ways.
fn view(state: TargetState) -> IncidentView {
    IncidentView {
        id: IncidentId(7),
        service: ServiceId::from("shop"),
        severity: Severity::High,
        risk: 85.0,
        since: Timestamp(1_000),
        drivers: vec![crate::model::Driver {
            metric: "latency_p95".to_owned(),
            share: 0.1 + 0.2,
            value: 0.9,
            normal: 1e-7,
            low: 0.0,
            high: 1e21,
            unit: "s".to_owned(),
            trend: crate::model::Trend::Step,
            recent: vec![0.1, 0.9],
            instance: None,
        }],
        targets: vec![(shop(), state)],
        metrics: vec![("latency_p95".to_owned(), 0.9)],
        instance_metrics: Vec::new(),
        tried: Vec::new(),
        notes: BTreeMap::new(),
    }
}

fn basis(state: TargetState, given: Args) -> Basis {
    let view = view(state);
    Basis { states: view.targets.iter().cloned().collect(), view, args: given, at: Timestamp(1_002) }
}

/// A real run, as far as the playbook sees it: everything is done, with a receipt.
struct Doing(TargetState);

#[async_trait]
impl World for Doing {
    async fn observe(&mut self, _: &TargetId) -> Result<TargetState, HostError> {
        Ok(self.0.clone())
    }

    async fn act(&mut self, action: Action) -> Result<String, HostError> {
        action.simulate(&mut self.0);
        Ok(format!("did: {action}"))
    }
}

fn event(at: i64, run: Option<u64>, fact: Fact) -> Event {
    Event {
        at: Timestamp(at),
        service: Some("shop".into()),
        incident: Some(IncidentId(7)),
        run: run.map(RunId),
        by: None,
        fact,
    }
}

fn opened() -> Event {
    let fact = Fact::IncidentOpened {
        since: Timestamp(1_000),
        risk: 85.0,
        severity: Severity::High,
        drivers: Vec::new(),
        judge: Judge::Model { version: 1 },
        score: None,
    };
    event(1_000, None, fact)
}

/// The steps that a dry run asked for, as the planner makes a plan of them.
fn plan_of(playbook: &Playbook, given: Args, state: &TargetState, ran: &Transcript) -> Plan {
    let mut state = state.clone();
    let mut actions = Vec::new();
    for action in ran.calls.iter().filter_map(super::world::action_of) {
        let before = action.facet(&state).unwrap();
        action.simulate(&mut state);
        actions.push(PlannedAction::new(action, before));
    }
    Plan {
        incident: IncidentId(7),
        number: 1,
        service: "shop".into(),
        playbook: playbook.name().to_owned(),
        component: playbook.digest(),
        args: given,
        actions,
        may: vec!["may do that".to_owned()],
        notes: Vec::new(),
    }
}

/// A whole incident: the rule is asked, `playbook` is planned with, approved, run, and the shop is well.
async fn healed_by(name: &str, given: Args, state: TargetState) -> Vec<Event> {
    let catalog = catalog().await;
    let (rule, playbook) = (catalog.rule("stock").unwrap(), catalog.playbook(name).unwrap());
    let told = view(state.clone());
    let json = serde_json::to_value(&told).unwrap();
    let asked = rule.propose(told.clone()).await;
    let proposals = asked.result.clone().unwrap();
    let asked = vec![asked.transcript("stock", rule.digest())];
    let everything = Allowed::everything();
    let (_, dry) = super::would::playbook(playbook, &basis(state.clone(), given.clone()), &everything).await;
    let plan = plan_of(playbook, given.clone(), &state, &dry);
    let digest = plan.digest();
    let ran = playbook.remediate(told, &given, Box::new(Doing(state)), Limits::default().wall).await;
    let ran = ran.transcript(name, playbook.digest());
    let mut events = vec![
        opened(),
        event(1_001, None, Fact::Proposed { proposals, view: json.clone(), asked }),
        event(
            1_002,
            None,
            Fact::Planned { plan: plan.clone(), digest, expires_at: Timestamp(9_000), view: json, ran: Some(dry) },
        ),
        event(1_003, Some(3), Fact::RunStarted { digest }),
    ];
    for (index, step) in (0..).zip(plan.actions) {
        let receipt = format!("did: {}", step.action);
        events.push(event(1_004, Some(3), Fact::ActionIntended { index, step }));
        events.push(event(1_005, Some(3), Fact::ActionDone { index, receipt }));
    }
    events.push(event(1_006, Some(3), Fact::PlaybookEnded { ran }));
    events.push(event(1_007, Some(3), Fact::RunDone));
    events.push(event(1_008, Some(3), Fact::Resolved { how: "healed".to_owned() }));
    events
}

/// As the ledger gives it back: through text.
fn case(events: &[Event]) -> Case {
    let read: Vec<Event> =
        events.iter().map(|e| serde_json::from_str(&serde_json::to_string(e).unwrap()).unwrap()).collect();
    Case::of(IncidentId(7), (1..).zip(&read)).unwrap()
}

async fn replayed(events: &[Event]) -> Replay {
    let dir = tempfile::tempdir().unwrap();
    replay(&case(events), &mut repeater(dir.path())).await
}

/// The transcript in each event, to be tampered with.
fn transcripts(events: &mut [Event]) -> Vec<&mut Transcript> {
    fn of(fact: &mut Fact) -> Vec<&mut Transcript> {
        match fact {
            Fact::Proposed { asked, .. } => asked.iter_mut().collect(),
            Fact::Planned { ran: Some(ran), .. } | Fact::PlaybookEnded { ran } | Fact::PlaybookChecked { ran, .. } => {
                vec![ran]
            }
            _ => Vec::new(),
        }
    }
    events.iter_mut().flat_map(|event| of(&mut event.fact)).collect()
}

/// The same component with other bytes: a custom section more.
fn with_other_bytes(component: Digest) -> Vec<u8> {
    let mut bytes = crate::wasm::stock(component).unwrap().to_vec();
    bytes.extend([0, 5, 4, b'n', b'o', b't', b'e']);
    bytes
}

fn proposal(playbook: &str) -> Proposal {
    Proposal { playbook: playbook.to_owned(), args: Args::new(), why: "it helps".to_owned(), rule: "stock".to_owned() }
}

fn problems(replay: &Replay) -> Vec<String> {
    replay.checks.iter().filter_map(|c| c.problem.as_ref().map(|why| format!("{}: {why}", c.what))).collect()
}

fn told(value: &impl serde::Serialize) -> Value {
    json!(value)
}
