//! Every fact Suture records. Incidents, runs, cooldowns and approvals are folds over these.

use serde::{Deserialize, Serialize};

use super::{
    AimedFault, Args, Digest, Driver, ExperimentId, ExperimentOutcome, ExperimentPlan, Forecast, HostCall, IncidentId,
    Judge, MetricSeen, Mode, Person, Plan, PlannedAction, Proposal, Role, RunId, ServiceId, Severity, SourceFault,
    Stage, TargetId, Timestamp, Transcript,
};

/// One fact with its envelope. The envelope is what audits filter by.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// When it was recorded.
    pub at: Timestamp,
    /// The service it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceId>,
    /// The incident it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incident: Option<IncidentId>,
    /// The run it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
    /// Who caused it; absent for what Suture saw or did by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Person>,
    /// The fact.
    #[serde(flatten)]
    pub fact: Fact,
}

/// A line of the ledger: an event in its place in the chain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Counted from 1 without gaps.
    pub seq: u64,
    /// The hash of the record before; all zeros for the first.
    pub prev: Digest,
    /// What happened.
    pub event: Event,
    /// SHA-256 over the record's bytes before this field.
    pub hash: Digest,
}

/// What happened. Names are past tense; a fact is never changed, only followed by another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[expect(clippy::large_enum_variant, reason = "events are made one at a time and kept in files, not in long lists")]
pub enum Fact {
    /// The daemon came up.
    Started {
        /// Its version.
        version: String,
        /// SHA-256 of the config it runs by.
        config: Digest,
        /// Events found in the ledger.
        replayed: u64,
    },
    /// The daemon went down in order.
    Stopped {
        /// Why.
        reason: String,
    },
    /// A half-written last record, left by a crash, was cut off.
    TailRepaired {
        /// Bytes removed.
        bytes: u64,
    },
    /// A component was loaded.
    ComponentLoaded {
        /// Its name.
        name: String,
        /// What for.
        role: Role,
        /// SHA-256 of its bytes.
        digest: Digest,
        /// The kinds of action that it imports.
        imports: Vec<String>,
    },
    /// A file holds another component than the one that was accepted under this name. It waits for an admin; until then
    /// the accepted one stays in use.
    ComponentHeld {
        /// Its name.
        name: String,
        /// What for.
        role: Role,
        /// SHA-256 of the new bytes.
        digest: Digest,
        /// SHA-256 of the accepted ones.
        accepted: Digest,
        /// The kinds of action that it imports and the accepted one does not.
        gains: Vec<String>,
        /// The kinds of action that the accepted one imports and it does not.
        loses: Vec<String>,
    },
    /// A component that was held is in use from here on.
    ComponentAccepted {
        /// Its name.
        name: String,
        /// What for.
        role: Role,
        /// SHA-256 of its bytes.
        digest: Digest,
    },
    /// A component failed by its own fault.
    ComponentStruck {
        /// Its name.
        name: String,
        /// What for.
        role: Role,
        /// SHA-256 of its bytes.
        digest: Digest,
        /// What it did.
        why: String,
        /// How many times by now.
        strikes: u32,
    },
    /// A component failed by its own fault too often: it is not run any more until an admin enables it.
    ComponentDisabled {
        /// Its name.
        name: String,
        /// What for.
        role: Role,
        /// SHA-256 of its bytes.
        digest: Digest,
        /// Its last fault.
        why: String,
    },
    /// A disabled component may run again, with a clean record.
    ComponentEnabled {
        /// Its name.
        name: String,
        /// What for.
        role: Role,
        /// SHA-256 of its bytes.
        digest: Digest,
    },
    /// A model was trained.
    ModelTrained {
        /// Counted up for each service.
        version: u64,
        /// Samples it learned from.
        samples: u64,
        /// Its features.
        features: Vec<String>,
        /// Above this score a sample is anomalous.
        threshold: f64,
    },
    /// A source stopped answering.
    SourceFailed(SourceFault),
    /// A source answers again.
    SourceRecovered {
        /// Which.
        source: String,
    },
    /// A metric is on its way to its limit: once, when the warning begins. Not an incident.
    Forecast(Forecast),
    /// A fault was put into the service on purpose.
    FaultInjected {
        /// Which fault.
        fault: String,
        /// What it does.
        detail: String,
        /// The experiment that it belongs to; absent for a fault of the demo's own.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        experiment: Option<ExperimentId>,
        /// Its place in the experiment, from 0.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        index: Option<u32>,
    },
    /// A fault that was put in on purpose was taken out again, or ended by itself.
    FaultLifted {
        /// Which fault.
        fault: String,
        /// The experiment that it belonged to.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        experiment: Option<ExperimentId>,
        /// Its place in the experiment, from 0.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        index: Option<u32>,
        /// How, in words; may be empty.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        how: String,
    },
    /// Somebody asked for an experiment, or its time had come.
    ExperimentAsked {
        /// Its number.
        experiment: ExperimentId,
        /// What it would do, exactly.
        plan: Box<ExperimentPlan>,
        /// The digest of that: what approvals are bound to.
        digest: Digest,
        /// The question stands until then.
        expires_at: Timestamp,
        /// A schedule asked.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        scheduled: bool,
    },
    /// Somebody said yes to an experiment.
    ExperimentApproved {
        /// To which.
        experiment: ExperimentId,
        /// The digest of what it does.
        digest: Digest,
        /// They gave a one-time code, and it was right.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        with_code: bool,
    },
    /// An experiment is not done after all.
    ExperimentDeclined {
        /// Which.
        experiment: ExperimentId,
        /// Why.
        why: String,
    },
    /// An experiment began: it is approved as policy asks.
    ExperimentStarted {
        /// Which.
        experiment: ExperimentId,
        /// The digest of what it does.
        digest: Digest,
    },
    /// The steady state was looked at.
    SteadyStateSeen {
        /// Of which experiment.
        experiment: ExperimentId,
        /// When in it.
        stage: Stage,
        /// Was it steady?
        steady: bool,
        /// Why not; may be empty.
        why: String,
        /// The metrics that it has bounds for.
        seen: Vec<MetricSeen>,
    },
    /// A fault is about to go in. Durable before it does, and so is its way out.
    FaultIntended {
        /// Of which experiment.
        experiment: ExperimentId,
        /// Its place in it, from 0.
        index: u32,
        /// What, where, and how it comes out.
        fault: AimedFault,
    },
    /// A fault could not be taken out: it is tried again, and a person has to look.
    FaultStuck {
        /// Of which experiment.
        experiment: ExperimentId,
        /// Its place in it, from 0.
        index: u32,
        /// Why.
        why: String,
    },
    /// An experiment is broken off: everything is taken out.
    ExperimentAborted {
        /// Which.
        experiment: ExperimentId,
        /// Why.
        why: String,
    },
    /// An experiment is over, and nothing of it is in any more.
    ExperimentEnded {
        /// Which.
        experiment: ExperimentId,
        /// How.
        outcome: ExperimentOutcome,
        /// Why, in words.
        why: String,
    },
    /// A person said something that Suture understood as a command.
    Commanded {
        /// The text, as typed.
        text: String,
        /// Where: `console`, `ctl`, a channel.
        via: String,
        /// The platform's id of this delivery: carried out once, whatever is delivered again.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        delivery: Option<String>,
    },
    /// Enough anomalies of one service in a row.
    IncidentOpened {
        /// Time of the first anomalous sample of the row.
        since: Timestamp,
        /// Risk 0 to 100.
        risk: f64,
        /// In words.
        severity: Severity,
        /// The metrics responsible.
        drivers: Vec<Driver>,
        /// Who judged.
        judge: Judge,
        /// How unusual the model found it, in thresholds of then. `None` when a limit or a lost source was the reason,
        /// and in ledgers of before 0.2.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        score: Option<f64>,
    },
    /// The incident became more severe.
    IncidentWorsened {
        /// Risk 0 to 100.
        risk: f64,
        /// In words.
        severity: Severity,
        /// The metrics responsible now.
        drivers: Vec<Driver>,
    },
    /// The rules answered. An empty list means that no rule knew what to do.
    Proposed {
        /// In the order they are to be tried.
        proposals: Vec<Proposal>,
        /// What they were told: with it a replay can ask them again.
        view: serde_json::Value,
        /// Each rule that was asked, with what it did.
        #[serde(default)]
        asked: Vec<Transcript>,
    },
    /// A person asked for a plan (`plan INC-7 [playbook]`).
    PlanAsked {
        /// What to plan.
        proposal: Proposal,
    },
    /// A dry run gave a plan.
    Planned {
        /// The plan.
        plan: Plan,
        /// Its digest: what approvals are bound to.
        digest: Digest,
        /// The question stands until then.
        expires_at: Timestamp,
        /// What the playbook was told. The real run is told the same.
        view: serde_json::Value,
        /// The dry run. `None` only in ledgers of before 0.2.
        #[serde(default)]
        ran: Option<Transcript>,
    },
    /// A dry run gave no plan, or a guardrail holds the plan back.
    PlanRefused {
        /// The playbook.
        playbook: String,
        /// Why, in words that say what to do.
        why: String,
        /// The dry run, where there was one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        dry_run: Option<Box<DryRun>>,
    },
    /// Somebody said yes to one plan.
    Approved {
        /// The digest of that plan.
        digest: Digest,
        /// They gave a one-time code, and it was right.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        with_code: bool,
    },
    /// Nobody answered for a while: others were called to the question.
    Called {
        /// The digest of the plan.
        digest: Digest,
        /// Who.
        to: Vec<String>,
    },
    /// Somebody said no to one plan.
    Rejected {
        /// The digest of that plan.
        digest: Digest,
        /// Their reason; may be empty.
        reason: String,
    },
    /// The question stood too long.
    Expired {
        /// The digest of the plan.
        digest: Digest,
    },
    /// The plan is no longer wanted (the service recovered, a newer plan came).
    Withdrawn {
        /// The digest of the plan.
        digest: Digest,
        /// Why.
        why: String,
    },
    /// A run began: the plan is approved as policy asks and the targets are free.
    RunStarted {
        /// The digest of the plan it carries out.
        digest: Digest,
    },
    /// What the playbook of a run was answered since the last such record: durable before the action that may rest on
    /// it, so that a run that is cut off takes the same way again.
    HostCalled {
        /// The calls, in order.
        calls: Vec<HostCall>,
    },
    /// The playbook of a run returned, or was stopped.
    PlaybookEnded {
        /// All that it asked and was answered, from its beginning, also across a restart of the daemon.
        ran: Transcript,
    },
    /// The playbook was asked for its own word on the cure.
    PlaybookChecked {
        /// What it was told.
        view: serde_json::Value,
        /// What it did; its outcome is `{"ok": {"Ok": null}}` or `{"ok": {"Err": "why not"}}`.
        ran: Transcript,
    },
    /// An action is about to be sent. Durable before it is sent, and so is its inverse.
    ActionIntended {
        /// Its place in the plan, from 0.
        index: u32,
        /// The step, with its inverse.
        step: PlannedAction,
    },
    /// The target confirmed the action, or was found in the state the action leads to.
    ActionDone {
        /// Its place in the plan, from 0.
        index: u32,
        /// What the target said.
        receipt: String,
    },
    /// A service was found in a cluster, and is watched from now on.
    ServiceFound {
        /// What it can be healed by.
        targets: Vec<TargetId>,
    },
    /// A service that was found is not there any more.
    ServiceGone,
    /// An action, or its undo, is under way and takes its time.
    ActionProgress {
        /// Its place in the plan, from 0.
        index: u32,
        /// How far it is, or what holds it up.
        line: String,
    },
    /// The target refused the action, or it did not take effect; nothing was changed.
    ActionFailed {
        /// Its place in the plan, from 0.
        index: u32,
        /// Why.
        error: String,
    },
    /// Every action of the plan is done.
    RunDone,
    /// The run ended before its plan was done.
    RunFailed {
        /// Why.
        error: String,
        /// The world had moved since the plan was made: a fresh plan is due, not an alarm.
        moved: bool,
    },
    /// The detector's word on a run.
    Judged {
        /// Improved, worse or inconclusive.
        verdict: Verdict,
        /// What it rests on.
        evidence: VerdictEvidence,
    },
    /// A run is to be taken back.
    UndoStarted {
        /// Why.
        reason: String,
    },
    /// An inverse is about to be sent.
    UndoIntended {
        /// The place of the action it takes back.
        index: u32,
    },
    /// An inverse is done, or was found to be done.
    UndoneAction {
        /// The place of the action it takes back.
        index: u32,
        /// What the target said.
        receipt: String,
    },
    /// An inverse could not be done: a person has to look.
    UndoFailed {
        /// The place of the action it takes back.
        index: u32,
        /// Why.
        error: String,
    },
    /// Everything of the run that could be taken back is.
    UndoDone {
        /// Steps for which there is no way back.
        impossible: Vec<u32>,
    },
    /// Nothing more is tried; a person has to look.
    Escalated {
        /// Why.
        why: String,
    },
    /// The service is well again.
    Resolved {
        /// `healed`, `recovered alone`, `closed by a person`.
        how: String,
    },
    /// A person says that nothing was wrong.
    FalseAlarm {
        /// Why; may be empty.
        reason: String,
        /// The incident's highest score, in thresholds as they are without any feedback. `None` when the model had no
        /// part in it: a limit was passed, or a source was lost.
        score: Option<f64>,
        /// The metrics that were held responsible.
        metrics: Vec<String>,
    },
    /// Somebody changed the service on purpose: it may look unusual for a time.
    Deployed {
        /// Until then.
        until: Timestamp,
        /// What was deployed; may be empty.
        note: String,
    },
    /// Cards of a service are kept out of the channels for a time. Nothing else changes.
    Muted {
        /// Until then.
        until: Timestamp,
    },
    /// They are shown again.
    Unmuted,
    /// The mode of a service was changed.
    ModeChanged {
        /// From now on.
        mode: Mode,
    },
    /// The kill switch: nothing acts from here on.
    Halted {
        /// Why.
        reason: String,
    },
    /// The kill switch is off again.
    Resumed,
}

impl Fact {
    /// The fact's name as it stands in the ledger: `incident-opened`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Started { .. } => "started",
            Self::Stopped { .. } => "stopped",
            Self::TailRepaired { .. } => "tail-repaired",
            Self::ComponentLoaded { .. } => "component-loaded",
            Self::ComponentHeld { .. } => "component-held",
            Self::ComponentAccepted { .. } => "component-accepted",
            Self::ComponentStruck { .. } => "component-struck",
            Self::ComponentDisabled { .. } => "component-disabled",
            Self::ComponentEnabled { .. } => "component-enabled",
            Self::ModelTrained { .. } => "model-trained",
            Self::SourceFailed(_) => "source-failed",
            Self::SourceRecovered { .. } => "source-recovered",
            Self::Forecast(_) => "forecast",
            Self::FaultInjected { .. } => "fault-injected",
            Self::FaultLifted { .. } => "fault-lifted",
            Self::ExperimentAsked { .. } => "experiment-asked",
            Self::ExperimentApproved { .. } => "experiment-approved",
            Self::ExperimentDeclined { .. } => "experiment-declined",
            Self::ExperimentStarted { .. } => "experiment-started",
            Self::SteadyStateSeen { .. } => "steady-state-seen",
            Self::FaultIntended { .. } => "fault-intended",
            Self::FaultStuck { .. } => "fault-stuck",
            Self::ExperimentAborted { .. } => "experiment-aborted",
            Self::ExperimentEnded { .. } => "experiment-ended",
            Self::Commanded { .. } => "commanded",
            Self::IncidentOpened { .. } => "incident-opened",
            Self::IncidentWorsened { .. } => "incident-worsened",
            Self::Proposed { .. } => "proposed",
            Self::PlanAsked { .. } => "plan-asked",
            Self::Planned { .. } => "planned",
            Self::PlanRefused { .. } => "plan-refused",
            Self::Approved { .. } => "approved",
            Self::Called { .. } => "called",
            Self::Rejected { .. } => "rejected",
            Self::Expired { .. } => "expired",
            Self::Withdrawn { .. } => "withdrawn",
            Self::RunStarted { .. } => "run-started",
            Self::HostCalled { .. } => "host-called",
            Self::PlaybookEnded { .. } => "playbook-ended",
            Self::PlaybookChecked { .. } => "playbook-checked",
            Self::ActionIntended { .. } => "action-intended",
            Self::ActionDone { .. } => "action-done",
            Self::ServiceFound { .. } => "service-found",
            Self::ServiceGone => "service-gone",
            Self::ActionProgress { .. } => "action-progress",
            Self::ActionFailed { .. } => "action-failed",
            Self::RunDone => "run-done",
            Self::RunFailed { .. } => "run-failed",
            Self::Judged { .. } => "judged",
            Self::UndoStarted { .. } => "undo-started",
            Self::UndoIntended { .. } => "undo-intended",
            Self::UndoneAction { .. } => "undone-action",
            Self::UndoFailed { .. } => "undo-failed",
            Self::UndoDone { .. } => "undo-done",
            Self::Escalated { .. } => "escalated",
            Self::Resolved { .. } => "resolved",
            Self::FalseAlarm { .. } => "false-alarm",
            Self::Deployed { .. } => "deployed",
            Self::Muted { .. } => "muted",
            Self::Unmuted => "unmuted",
            Self::ModeChanged { .. } => "mode-changed",
            Self::Halted { .. } => "halted",
            Self::Resumed => "resumed",
        }
    }
}

/// The detector's word on a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Normal again, and stayed so.
    Improved,
    /// As bad as before, or worse.
    Worse,
    /// Better but not well, or nothing to judge by.
    Inconclusive,
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Improved => "improved",
            Self::Worse => "worse",
            Self::Inconclusive => "inconclusive",
        })
    }
}

/// What a verdict rests on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VerdictEvidence {
    /// Risk when the run began.
    pub risk_before: f64,
    /// Mean risk over the judged samples.
    pub risk_after: f64,
    /// Samples judged.
    pub samples: u32,
    /// Samples among them that were normal.
    pub normal: u32,
    /// The playbook's own reason to doubt a cure that the detector saw.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doubt: Option<String>,
}

/// What a dry run was told and did: with it a replay can do it again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DryRun {
    /// The arguments.
    pub args: Args,
    /// What the playbook was told.
    pub view: serde_json::Value,
    /// What it did.
    pub ran: Transcript,
}
