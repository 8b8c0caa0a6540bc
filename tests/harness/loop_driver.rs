//! Drives the engine through an incident, one deterministic turn after another, over as many lives as it takes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use suture::engine::{Actuators, Board, Engine, Healer, Runner, Stages};
use suture::incident::{Input, Phase, State, due};
use suture::model::{
    ApprovalPolicy, Clock, Event, FakeClock, Guard, Judge, Mode, Person, Policy, Reading, Severity, Timestamp,
    VerifyPolicy,
};

use super::cluster::{Inner, shop};
use super::{AnyPermit, Cut, FakeCluster, FakeHealer, MemJournal};

/// What the people and the service do.
#[derive(Clone)]
pub struct Script {
    pub proposals: Vec<&'static str>,
    pub mode: Mode,
    pub approve: bool,
    /// The service is well when it has this many replicas.
    pub needs_replicas: u32,
    pub guard: Guard,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            proposals: vec!["scale-and-cache"],
            mode: Mode::Approve,
            approve: true,
            needs_replicas: 4,
            guard: Guard::default(),
        }
    }
}

pub fn policy(script: &Script) -> Policy {
    Policy {
        mode: script.mode,
        guard: script.guard.clone(),
        approval: ApprovalPolicy {
            who: vec!["test:*".into()],
            quorum: 1,
            expiry: Duration::from_secs(60),
            ..ApprovalPolicy::default()
        },
        verify: VerifyPolicy {
            settle: Duration::from_secs(1),
            clear_samples: 3,
            deadline: Duration::from_secs(10),
            undo_when_not_better: true,
        },
    }
}

/// What survives a power cut: the platform, the journal, the time.
pub struct World {
    pub script: Script,
    pub cluster: Arc<Mutex<Inner>>,
    pub events: Arc<Mutex<Vec<Event>>>,
    pub clock: Arc<FakeClock>,
    pub torn: bool,
    /// Who works out what to do, instead of the fake that goes by the script.
    pub healer: Option<Arc<dyn Healer>>,
}

/// One life of the daemon.
pub struct Life {
    pub engine: Arc<Engine>,
    pub runner: Runner,
    streak: Option<Timestamp>,
    anomalous: u32,
    normal: u32,
}

impl World {
    pub fn new(script: Script) -> Self {
        let mut inner = Inner::default();
        inner.targets.insert("fake:shop".parse().unwrap(), shop(2));
        Self {
            script,
            cluster: Arc::new(Mutex::new(inner)),
            events: Arc::default(),
            clock: Arc::new(FakeClock::at(Timestamp(1_700_000_000_000))),
            torn: false,
            healer: None,
        }
    }

    pub fn life(&self, cut: &Arc<Cut>) -> Life {
        let journal = MemJournal { events: Arc::clone(&self.events), cut: Arc::clone(cut), torn: self.torn };
        let state = State::fold(self.events.lock().unwrap().iter());
        let policies = BTreeMap::from([("shop".into(), policy(&self.script))]);
        let engine = Engine::new(state, Arc::new(journal), policies, Arc::clone(&self.clock) as _, Vec::new());
        let mut actuators = Actuators::default();
        actuators.add(Arc::new(FakeCluster { inner: Arc::clone(&self.cluster), cut: Arc::clone(cut) }));
        let by_script = || Arc::new(FakeHealer { proposals: self.script.proposals.clone() }) as Arc<dyn Healer>;
        let stages = Stages {
            healer: self.healer.clone().unwrap_or_else(by_script),
            actuators,
            permits: Arc::new(AnyPermit),
            services: Arc::new(super::healer::services().into()),
            board: Arc::new(Board::default()),
        };
        Life { runner: Runner::new(Arc::clone(&engine), stages), engine, streak: None, anomalous: 0, normal: 0 }
    }

    pub fn replicas(&self) -> u32 {
        self.cluster.lock().unwrap().targets.values().next().unwrap().replicas
    }

    /// The detector's word on the service as the platform is now.
    pub fn reading(&self) -> Reading {
        let well = self.replicas() >= self.script.needs_replicas;
        Reading {
            service: "shop".into(),
            at: self.clock.now(),
            score: if well { 0.4 } else { 0.8 },
            threshold: 0.6,
            risk: if well { 10.0 } else { 80.0 },
            severity: if well { Severity::None } else { Severity::High },
            drivers: Vec::new(),
            judge: Judge::Model { version: 1 },
            ahead: Vec::new(),
        }
    }

    /// Turns until nothing is open any more or nothing moves; at most `turns` of a second each.
    pub async fn live(&self, life: &mut Life, turns: usize) {
        for _ in 0..turns {
            self.turn(life).await;
            let state = life.engine.state();
            let started = !state.incidents.is_empty();
            let over = state.incidents.values().all(|i| matches!(i.phase, Phase::Resolved | Phase::Escalated));
            if started && over && due(&state).is_empty() {
                return;
            }
        }
    }

    pub async fn turn(&self, life: &mut Life) {
        self.clock.advance(Duration::from_secs(1));
        // A cut inside never returns; a refusal is an answer like any other.
        let _ = life.engine.tick().await;
        let reading = self.reading();
        life.count(&reading);
        let raised = life.streak.filter(|_| life.anomalous >= 3);
        let _ = life.engine.observe(reading, raised, life.normal >= 3).await;
        for work in due(&life.engine.state()) {
            let _ = life.runner.perform(work).await;
        }
        let state = life.engine.state();
        let asks = state.incidents.values().any(|i| i.question.as_ref().is_some_and(|q| q.approvals.is_empty()));
        if asks && self.script.approve {
            let by = Person::new("test:anna", "anna");
            let _ = life.engine.submit(Input::Approve { incident: None, digest: None, with_code: false, by }).await;
        }
    }

    /// Lives through the script with the power cut at this point; goes on in a second life. True when it was cut.
    pub async fn live_with_cut(&self, point: usize) -> bool {
        let cut = Cut::at(point);
        let mut life = self.life(&cut);
        let was_cut = tokio::select! {
            biased;
            () = cut.died() => true,
            () = self.live(&mut life, 200) => false,
        };
        drop(life);
        if was_cut {
            let mut life = self.life(&Cut::never());
            self.live(&mut life, 200).await;
        }
        was_cut
    }
}

impl Life {
    fn count(&mut self, reading: &Reading) {
        if reading.is_anomaly() {
            self.streak.get_or_insert(reading.at);
            (self.anomalous, self.normal) = (self.anomalous + 1, 0);
        } else {
            self.streak = None;
            (self.anomalous, self.normal) = (0, self.normal + 1);
        }
    }
}
