//! Carries an experiment out: looks whether all is well, puts the faults in, holds them, takes them out, looks again.
//!
//! Everything is in the ledger before it is done, and an experiment is over only when nothing of it is in. Whatever happens in
//! here, the way out is the same: what may be in is taken out until it is, and only then is there an end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::stand;
use super::steady::Lookout;
use crate::app::Shared;
use crate::chaos::{InjectError, Injector, RENEW_EVERY};
use crate::incident::{FaultState, Input, OnExperiment, Trial};
use crate::model::{AimedFault, ExperimentId, ExperimentOutcome, Mode, Stage, Verdict};
use crate::supervise::drained;

/// Between two looks at the newest sample.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How long a target may take to take a fault.
const IN_WITHIN: Duration = Duration::from_secs(20);
/// How long a target may take to say what it offers before whoever may be meant is asked.
const LOOK_WITHIN: Duration = Duration::from_millis(500);
/// How long it may take to be rid of one before that is said.
const OUT_WITHIN: Duration = Duration::from_secs(2);
/// Between two tries to take out what could not be.
const OUT_AGAIN: Duration = Duration::from_secs(1);
/// How long all chats may be away before an experiment ends: nobody could stop it.
const ALONE_FOR: Duration = Duration::from_secs(10);

/// Keeps experiments going as long as the daemon lives, and takes out what an earlier life left in.
pub(in crate::app) async fn keep(shared: Arc<Shared>, mut drain: watch::Receiver<bool>) -> Result<(), String> {
    let mut changes = shared.engine.subscribe();
    let mut tasks: JoinSet<ExperimentId> = JoinSet::new();
    let mut known: BTreeSet<ExperimentId> = BTreeSet::new();
    // What is under way now was begun by an earlier life, whose leases are running out.
    for id in under_way(&shared) {
        known.insert(id);
        let shared = Arc::clone(&shared);
        tasks.spawn(async move {
            Conductor::new(shared, id).recover().await;
            id
        });
    }
    loop {
        for id in under_way(&shared) {
            if known.insert(id) {
                let shared = Arc::clone(&shared);
                tasks.spawn(async move {
                    Conductor::new(shared, id).conduct().await;
                    id
                });
            }
        }
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { break },
            Some(ended) = tasks.join_next() => if let Err(error) = ended {
                // Its faults are found by the next life of this task.
                return Err(format!("an experiment panicked: {error}"));
            },
            () = drained(&mut drain) => break,
        }
    }
    // Whoever drains has asked them to end.
    end_all(&shared, Duration::ZERO).await;
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = ended {
            tracing::error!(%error, "an experiment panicked while the daemon was going down");
        }
    }
    Ok(())
}

/// Breaks all of them off, and waits until they are over: what is left then is taken out by whoever comes next.
pub(in crate::app) async fn end_all(shared: &Shared, within: Duration) {
    for id in under_way(shared) {
        let stop = OnExperiment::Stop { id, why: "Suture is going down".to_owned(), by: None };
        if let Err(error) = shared.engine.submit(Input::Experiment(stop)).await {
            tracing::error!(%id, %error, "that an experiment ends could not be recorded");
        }
    }
    let mut changes = shared.engine.subscribe();
    let over = changes.wait_for(|state| state.experiments.running().next().is_none());
    if timeout(within, over).await.is_err() {
        tracing::warn!("an experiment is not over: its leases run out by themselves");
    }
}

fn under_way(shared: &Shared) -> Vec<ExperimentId> {
    shared.engine.state().experiments.running().map(|trial| trial.id).collect()
}

struct Conductor {
    shared: Arc<Shared>,
    id: ExperimentId,
    /// Who put each fault in: whoever did so takes it out, and need not be found again.
    hands: Mutex<BTreeMap<u32, Arc<dyn Injector>>>,
}

impl Conductor {
    fn new(shared: Arc<Shared>, id: ExperimentId) -> Self {
        Self { shared, id, hands: Mutex::default() }
    }

    fn hands(&self) -> MutexGuard<'_, BTreeMap<u32, Arc<dyn Injector>>> {
        self.hands.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn trial(&self) -> Option<Trial> {
        self.shared.engine.state().experiments.get(self.id).cloned()
    }

    /// Records what happened. What the machine does not take is no reason to leave a fault in.
    async fn record(&self, input: OnExperiment) -> bool {
        match self.shared.engine.submit(Input::Experiment(input)).await {
            Ok(_) => true,
            Err(error) => {
                tracing::warn!(experiment = %self.id, %error, "something about an experiment was not recorded");
                false
            }
        }
    }

    async fn stop(&self, why: String) {
        self.record(OnExperiment::Stop { id: self.id, why, by: None }).await;
    }

    async fn finish(&self, outcome: ExperimentOutcome, why: String) {
        self.record(OnExperiment::Finish { id: self.id, outcome, why }).await;
    }

    /// After a restart: out with everything, and that is the end of it.
    async fn recover(&self) {
        self.stop("Suture was away in the middle of it".to_owned()).await;
        self.take_out_all().await;
        let why = self.trial().and_then(|trial| trial.abort).unwrap_or_default();
        self.finish(ExperimentOutcome::Aborted, why).await;
    }

    async fn conduct(self) {
        // The config may have changed since somebody asked.
        if let Err(why) = stand::must_not_be_forbidden(&self.shared) {
            self.stop(why.clone()).await;
            return self.finish(ExperimentOutcome::Aborted, why).await;
        }
        let Some(trial) = self.trial() else { return };
        let experiment = &trial.plan.experiment;
        let mut lookout = Lookout::new(trial.service().clone(), experiment.steady_state.clone());
        let before = self.wait_until_steady(&mut lookout, experiment.steady_state.within).await;
        let (why, seen) = (lookout.why().to_owned(), lookout.seen());
        let words = if before { String::new() } else { why.clone() };
        self.record(OnExperiment::Seen { id: self.id, stage: Stage::Before, steady: before, why: words, seen }).await;
        if !before {
            let aborted = self.trial().and_then(|trial| trial.abort);
            let why =
                aborted.unwrap_or_else(|| format!("it was not steady to begin with, so nothing was put in: {why}"));
            self.finish(ExperimentOutcome::Aborted, why).await;
            return;
        }
        lookout.begin();
        self.method(&trial, &mut lookout).await;
        self.take_out_all().await;
        let (steady, why, seen) = (lookout.was_always(), lookout.why().to_owned(), lookout.seen());
        let why = if steady { String::new() } else { said(&why, "it was not steady all the time") };
        self.record(OnExperiment::Seen { id: self.id, stage: Stage::During, steady, why, seen }).await;
        self.aftermath(&mut lookout).await;
    }

    /// Is it steady again, and did everything come as expected?
    async fn aftermath(&self, lookout: &mut Lookout) {
        self.wait_until_detected().await;
        let Some(trial) = self.trial() else { return };
        if let Some(why) = trial.abort.clone() {
            self.finish(ExperimentOutcome::Aborted, why).await;
            return;
        }
        let (expect, steady_state) = (&trial.plan.experiment.expect, &trial.plan.experiment.steady_state);
        // The healing may take as long as it is expected to, and then it has to be steady.
        let since_first = trial.first_fault_at.map(|at| self.shared.engine.now().since(at)).unwrap_or_default();
        let within = expect.healed_within.saturating_sub(since_first).max(steady_state.within);
        lookout.begin();
        let steady = self.wait_until_steady(lookout, within).await;
        let (why, seen) = (lookout.why().to_owned(), lookout.seen());
        let words = if steady { String::new() } else { why.clone() };
        self.record(OnExperiment::Seen { id: self.id, stage: Stage::After, steady, why: words, seen }).await;
        let Some(trial) = self.trial() else { return };
        if let Some(why) = trial.abort {
            self.finish(ExperimentOutcome::Aborted, why).await;
            return;
        }
        let mut wrong = self.not_as_expected(&trial);
        let state = self.shared.engine.state();
        let nobody_noticed = !state.incidents.values().any(|incident| incident.experiment == Some(self.id));
        if !steady {
            wrong.push(format!("it did not become steady again: {why}"));
        }
        match wrong.is_empty() {
            true if nobody_noticed => {
                let why = "it was steady all the time, and there was nothing to find".to_owned();
                self.finish(ExperimentOutcome::Passed, why).await;
            }
            true => self.finish(ExperimentOutcome::Passed, "everything came as expected".to_owned()).await,
            false => self.finish(ExperimentOutcome::Failed, wrong.join("; ")).await,
        }
    }

    /// What was over at once takes its time to be seen: as long as it is expected to.
    async fn wait_until_detected(&self) {
        loop {
            let state = self.shared.engine.state();
            let Some(trial) = state.experiments.get(self.id) else { return };
            let waits = trial
                .first_fault_at
                .is_some_and(|at| self.shared.engine.now().since(at) < trial.plan.experiment.expect.detected_within);
            let seen = state.incidents.values().any(|incident| incident.experiment == Some(self.id));
            if seen || !waits || trial.abort.is_some() {
                return;
            }
            sleep(LOOK_EVERY).await;
        }
    }

    fn not_as_expected(&self, trial: &Trial) -> Vec<String> {
        let (state, expect) = (self.shared.engine.state(), &trial.plan.experiment.expect);
        let Some(first) = trial.first_fault_at else { return Vec::new() };
        let mut wrong = Vec::new();
        let ours: Vec<_> = state.incidents.values().filter(|incident| incident.experiment == Some(trial.id)).collect();
        let in_time =
            |incident: &&&crate::incident::Incident| incident.opened_at.since(first) <= expect.detected_within;
        let felt = trial.seen.iter().any(|(stage, steady, ..)| *stage == Stage::During && !steady);
        if ours.is_empty() && !felt {
            // The service took it in its stride, and there was nothing to detect.
            return wrong;
        }
        if !ours.iter().any(|incident| in_time(&incident)) {
            let words = crate::model::in_words(expect.detected_within);
            wrong.push(format!("it was not detected within {words}"));
            return wrong;
        }
        let observes = super::super::cards::mode_of(&state, &self.shared.config(), trial.service()) == Mode::Observe;
        let runs = || ours.iter().flat_map(|incident| &incident.runs).filter_map(|id| state.runs.get(id));
        if !expect.playbooks.is_empty() && !observes {
            let answered = runs().any(|run| {
                let improved = run.verdict.as_ref().is_some_and(|(verdict, _)| *verdict == Verdict::Improved);
                improved && expect.playbooks.contains(&run.plan.playbook)
            });
            let alone = runs().next().is_none() && ours.iter().all(|incident| !incident.is_open());
            if !answered && alone {
                wrong.push("nothing was done about it: it became well when the fault was over".to_owned());
            } else if !answered {
                wrong.push(format!("none of the expected playbooks healed it: {}", expect.playbooks.join(", ")));
            }
        }
        let late =
            ours.iter().any(|incident| incident.closed_at.is_none_or(|at| at.since(first) > expect.healed_within));
        if late {
            wrong.push(format!("it was not well within {}", crate::model::in_words(expect.healed_within)));
        }
        wrong
    }

    /// Waits, for at most so long, until the service is as the hypothesis says. An experiment that is broken off waits no more.
    async fn wait_until_steady(&self, lookout: &mut Lookout, within: Duration) -> bool {
        let deadline = Instant::now() + within;
        loop {
            let state = self.shared.engine.state();
            if state.experiments.get(self.id).is_none_or(|trial| trial.abort.is_some()) {
                return false;
            }
            lookout.look(&self.shared.board, &state, &[]);
            if lookout.is_steady() {
                return true;
            }
            if Instant::now() >= deadline {
                return false;
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// The faults by their timetable, until all are out or the experiment is broken off; and their leases beside, which must
    /// not wait for a target that takes its time.
    async fn method(&self, trial: &Trial, lookout: &mut Lookout) {
        let began = Instant::now();
        let leases = async {
            loop {
                sleep(RENEW_EVERY).await;
                self.renew(trial, began).await;
            }
        };
        tokio::select! {
            () = self.steps(trial, lookout, began) => {}
            () = leases => {}
        }
    }

    async fn steps(&self, trial: &Trial, lookout: &mut Lookout, began: Instant) {
        let mut changes = self.shared.engine.subscribe();
        let mut alone_since = None;
        loop {
            changes.mark_unchanged();
            let Some(now) = self.trial() else { return };
            if now.abort.is_some() || now.faults.iter().all(|fault| matches!(fault, FaultState::Out(_))) {
                return;
            }
            let elapsed = began.elapsed();
            for (index, (fault, state)) in trial.plan.faults.iter().zip(&now.faults).enumerate() {
                let index = u32::try_from(index).unwrap_or(u32::MAX);
                match state {
                    FaultState::Waiting if elapsed >= fault.from => {
                        let went_in = self.put_in(index, fault, &mut changes).await;
                        if !went_in {
                            return;
                        }
                    }
                    state if state.may_be_in() && elapsed >= fault.until => {
                        self.take_out(index, fault, "its time was over").await;
                    }
                    _ => {}
                }
            }
            let state = self.shared.engine.state();
            if let Some(why) = lookout.look(&self.shared.board, &state, &trial.plan.experiment.abort.metrics) {
                self.stop(why).await;
                return;
            }
            if let Some(steady) = lookout.turned() {
                let (why, seen) = (if steady { "" } else { lookout.why() }.to_owned(), lookout.seen());
                self.record(OnExperiment::Seen { id: self.id, stage: Stage::During, steady, why, seen }).await;
            }
            if let Some(why) = self.is_alone(&mut alone_since) {
                self.stop(why).await;
                return;
            }
            tokio::select! {
                _ = changes.changed() => {}
                () = sleep_until(Instant::now() + LOOK_EVERY) => {}
            }
        }
    }

    /// Puts one in; `false` when the experiment is over with that.
    async fn put_in(
        &self,
        index: u32,
        fault: &AimedFault,
        changes: &mut watch::Receiver<Arc<crate::incident::State>>,
    ) -> bool {
        if !self.record(OnExperiment::Intend { id: self.id, index }).await {
            return false;
        }
        let id = self.label(index);
        let putting = timeout(IN_WITHIN, async {
            let injector = self.shared.stand.injector(&fault.target, fault.fault.kind()).await;
            let injector = injector.map_err(InjectError::Refused)?;
            self.hands().insert(index, Arc::clone(&injector));
            injector.put_in(&id, fault).await
        });
        // Stop means stop, also while a target takes its time.
        let stopped =
            changes.wait_for(|state| state.experiments.get(self.id).is_none_or(|trial| trial.abort.is_some()));
        let put = tokio::select! {
            put = putting => put,
            _ = stopped => return false,
        };
        match put {
            Ok(Ok(words)) => {
                self.record(OnExperiment::PutIn { id: self.id, index, words }).await;
                // What it left on the platform, if anything; what could not be taken away is tried again by the end.
                if fault.fault.kind().is_a_blow() {
                    self.take_out(index, fault, "it was over at once").await;
                }
                true
            }
            Ok(Err(error)) => {
                self.stop(format!("{} could not be put in: {error}", fault.fault.kind())).await;
                false
            }
            Err(_) => {
                let words = crate::model::in_words(IN_WITHIN);
                self.stop(format!("{} could not be put in within {words}", fault.fault.kind())).await;
                false
            }
        }
    }

    /// Renews the leases. What is not in any more was ended by somebody: by the healing, as a rule.
    async fn renew(&self, trial: &Trial, began: Instant) {
        let Some(now) = self.trial() else { return };
        let held = trial.plan.faults.iter().zip(&now.faults).enumerate();
        let held = held.filter(|(_, (_, state))| matches!(state, FaultState::In(_)));
        join_all(held.map(|(index, (fault, _))| async move {
            let index = u32::try_from(index).unwrap_or(u32::MAX);
            let left = fault.until.saturating_sub(began.elapsed());
            // The lease that it has is long enough for what is left of its time.
            if left < RENEW_EVERY {
                return;
            }
            let Some(injector) = self.hands().get(&index).cloned() else { return };
            match timeout(RENEW_EVERY * 2, injector.renew(&self.label(index), fault, left)).await {
                Ok(Ok(())) => {}
                Ok(Err(InjectError::Gone(why))) => {
                    // By the healing, as a rule; or with all of the target, and then there is nothing left to learn. First
                    // that, for the experiment may be over with its last fault.
                    if let Ok(Err(error)) = timeout(OUT_WITHIN, injector.offers(&fault.target)).await {
                        self.stop(format!("{} is gone: {error}", fault.target)).await;
                    }
                    self.record(OnExperiment::TakenOut { id: self.id, index, how: why }).await;
                }
                // The lease runs out by itself when this goes on; it is in until it is known to be out.
                Ok(Err(error)) => tracing::warn!(experiment = %self.id, %error, "a lease could not be renewed"),
                Err(_) => tracing::warn!(experiment = %self.id, "a lease could not be renewed in time"),
            }
        }))
        .await;
    }

    /// All chats that were there are away.
    fn is_alone(&self, alone_since: &mut Option<Instant>) -> Option<String> {
        let away = self.shared.outbox.away();
        let all = self.shared.chats;
        if all == 0 || away.iter().filter(|(platform, _)| *platform != "console").count() < all {
            *alone_since = None;
            return None;
        }
        let since = *alone_since.get_or_insert_with(Instant::now);
        (since.elapsed() >= ALONE_FOR).then(|| "no chat can be reached, so nobody could stop it".to_owned())
    }

    /// Takes out everything that may be in; comes back when it is out, however long that takes.
    async fn take_out_all(&self) {
        loop {
            let Some(trial) = self.trial() else { return };
            let left: Vec<_> = trial
                .plan
                .faults
                .iter()
                .zip(&trial.faults)
                .enumerate()
                .filter(|(_, (_, state))| state.may_be_in())
                .map(|(index, (fault, _))| (u32::try_from(index).unwrap_or(u32::MAX), fault))
                .collect();
            if left.is_empty() {
                return;
            }
            let why = trial.abort.clone().unwrap_or_else(|| "the experiment was over".to_owned());
            let out = join_all(left.iter().map(|(index, fault)| self.take_out(*index, fault, &why))).await;
            if out.iter().any(|out| !out) {
                sleep(OUT_AGAIN).await;
            }
        }
    }

    /// Takes one out; `false` when it may still be in.
    async fn take_out(&self, index: u32, fault: &AimedFault, why: &str) -> bool {
        let id = self.label(index);
        let hand = self.hands().get(&index).cloned();
        let takers = match hand {
            Some(hand) => vec![hand],
            None => timeout(LOOK_WITHIN, self.shared.stand.takers(fault))
                .await
                .unwrap_or_else(|_| self.shared.stand.all_for(&fault.target)),
        };
        let mut trouble = (takers.is_empty())
            .then(|| format!("nothing here can take faults out of targets of kind `{}`", fault.target.kind()));
        let mut said = Vec::new();
        for taker in takers {
            match timeout(OUT_WITHIN, taker.take_out(&id, fault)).await {
                Ok(Ok(words)) => said.push(words),
                Ok(Err(error)) => trouble = Some(error.to_string()),
                Err(_) => trouble = Some(format!("{} did not answer in time", fault.target)),
            }
        }
        match trouble {
            None => {
                let how = format!("{why}; {}", said.join("; "));
                self.record(OnExperiment::TakenOut { id: self.id, index, how }).await
            }
            Some(why) => {
                self.record(OnExperiment::Stuck { id: self.id, index, why }).await;
                false
            }
        }
    }

    /// `EXP-3.1`: what the first fault is called where it is put in.
    fn label(&self, index: u32) -> String {
        format!("{}.{}", self.id, u64::from(index) + 1)
    }
}

fn said(why: &str, otherwise: &str) -> String {
    if why.is_empty() { otherwise.to_owned() } else { why.to_owned() }
}
