//! What can happen to the machine, and how it says no.

use std::time::Duration;

use super::experiments::OnExperiment;
use crate::decide::Missing;
use crate::model::{
    Args, Digest, HostCall, IncidentId, Mode, Person, Plan, PlannedAction, Proposal, Reading, RunId, ServiceId,
    Timestamp, Transcript, Verdict, VerdictEvidence,
};

/// Something that happened: a reading, an answer of a component, a person's word, a step of a run.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// Time passed.
    Tick,
    /// The detector judged a sample.
    Observed {
        /// Its word.
        reading: Reading,
        /// Enough anomalies in a row to open an incident, since then.
        raised: Option<Timestamp>,
        /// Enough normal samples in a row to end one.
        calm: bool,
    },
    /// The rules answered.
    ProposalsReady {
        /// For which incident.
        incident: IncidentId,
        /// What they were told.
        view: serde_json::Value,
        /// The proposals in order, or why there are none.
        result: Result<Vec<Proposal>, String>,
        /// Each rule that was asked, with what it did.
        asked: Vec<Transcript>,
    },
    /// A dry run ended.
    PlanReady {
        /// For which incident.
        incident: IncidentId,
        /// Which playbook.
        playbook: String,
        /// What it was told.
        view: serde_json::Value,
        /// The plan, or why there is none.
        result: Result<Plan, String>,
        /// What it was asked to do.
        args: Args,
        /// The dry run; `None` when there was none.
        ran: Option<Transcript>,
    },
    /// A person said yes. Without an id: to the one question that stands.
    Approve {
        /// To which incident's plan.
        incident: Option<IncidentId>,
        /// To exactly this plan, where the platform knows which one was shown.
        digest: Option<Digest>,
        /// They gave a one-time code, and it was right.
        with_code: bool,
        /// Who.
        by: Person,
    },
    /// A person said no.
    Reject {
        /// To which incident's plan.
        incident: Option<IncidentId>,
        /// To exactly this plan, where the platform knows which one was shown.
        digest: Option<Digest>,
        /// Why; may be empty.
        reason: String,
        /// Who.
        by: Person,
    },
    /// A person wants a run taken back; a run under way is stopped first.
    Rollback {
        /// Which run.
        run: RunId,
        /// Why; may be empty.
        reason: String,
        /// Who.
        by: Person,
    },
    /// A person accepts an undecided run as it is.
    Keep {
        /// Which run.
        run: RunId,
        /// Who.
        by: Person,
    },
    /// A person wants another plan.
    AskPlan {
        /// For which incident.
        incident: IncidentId,
        /// What to plan; `None` for what was proposed last.
        proposal: Option<Proposal>,
        /// Who.
        by: Person,
    },
    /// A person wants something done to a service, whether something is wrong with it or not.
    Ask {
        /// To which service.
        service: ServiceId,
        /// What to plan.
        proposal: Proposal,
        /// Who.
        by: Person,
    },
    /// A person wants quiet about a service, or no longer.
    Mute {
        /// Which service.
        service: ServiceId,
        /// Until then; `None` ends it.
        until: Option<Timestamp>,
        /// Who.
        by: Person,
    },
    /// A person ends an incident.
    Close {
        /// Which.
        incident: IncidentId,
        /// Why; may be empty.
        reason: String,
        /// Who.
        by: Person,
    },
    /// A person says that nothing was wrong; ends the incident where it is still open.
    FalseAlarm {
        /// Which incident.
        incident: IncidentId,
        /// Its highest score, in thresholds as they are without any feedback; `None` when the model had no part in it.
        score: Option<f64>,
        /// Why; may be empty.
        reason: String,
        /// Who.
        by: Person,
    },
    /// A person changed a service on purpose.
    Deployed {
        /// Which service.
        service: ServiceId,
        /// How long it may look unusual; cut to [`LONGEST_SETTLE`](crate::model::LONGEST_SETTLE).
        settle: Duration,
        /// What was deployed; may be empty.
        note: String,
        /// Who.
        by: Person,
    },
    /// A person changes a service's mode.
    SetMode {
        /// Of which service.
        service: ServiceId,
        /// To what.
        mode: Mode,
        /// Who.
        by: Person,
    },
    /// The kill switch.
    Halt {
        /// Why.
        reason: String,
        /// Who.
        by: Person,
    },
    /// The kill switch off.
    Resume {
        /// Who.
        by: Person,
    },
    /// The executor is about to send an action.
    Intend {
        /// Of which run.
        run: RunId,
        /// Its place in the plan.
        index: u32,
        /// The step as the executor will do it.
        step: PlannedAction,
        /// What the playbook was answered since the last intent.
        calls: Vec<HostCall>,
    },
    /// Something about an experiment.
    Experiment(OnExperiment),
    /// A service that was found in a cluster is not there any more: what is open of it is over.
    Gone {
        /// Which one.
        service: ServiceId,
    },
    /// An action, or an undo, was sent or looked up.
    Acted {
        /// Of which run.
        run: RunId,
        /// Its place in the plan.
        index: u32,
        /// What came of it.
        outcome: Outcome,
    },
    /// The playbook returned, or was stopped.
    RunEnded {
        /// Which run.
        run: RunId,
        /// How.
        result: Result<(), RunFailure>,
        /// What the playbook did; `None` when it was not run.
        ran: Option<Transcript>,
    },
    /// The detector judged a run.
    Judged {
        /// Which run.
        run: RunId,
        /// Its word.
        verdict: Verdict,
        /// What it rests on.
        evidence: VerdictEvidence,
        /// What the playbook's own check was told and did, where it has one.
        check: Option<(serde_json::Value, Transcript)>,
    },
    /// The undoer is about to send an inverse.
    IntendUndo {
        /// Of which run.
        run: RunId,
        /// The place of the action it takes back.
        index: u32,
    },
    /// The undoer went through all steps.
    UndoEnded {
        /// Which run.
        run: RunId,
        /// Steps for which there is no way back.
        impossible: Vec<u32>,
    },
}

/// What came of sending an action or an inverse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is under way: how far it is.
    Progress(String),
    /// It took effect.
    Done(String),
    /// It did not, and changed nothing.
    Failed(String),
    /// An inverse took effect, or was not needed.
    Undone(String),
    /// An inverse could not be done.
    UndoFailed(String),
}

/// The denial, with the lines that would allow it.
fn denied(who: &str, id: &str, service: &ServiceId, missing: &Missing) -> String {
    let verb = &missing.verb;
    let (what, lines) = match &missing.action {
        Some((kind, target)) => {
            (format!("{verb} {kind} on {target}"), format!("\nactions = [\"{kind}\"]\ntargets = [\"{target}\"]"))
        }
        None => (format!("{verb} for {service}"), String::new()),
    };
    format!(
        "{who} may not {what}: no rule allows it. Add \"{id}\" to `who` under [service.approve] of {service} in the \
         config, or write\n\n[[allow]]\nwho = [\"{id}\"]\ndo = [\"{verb}\"]\nservices = [\"{service}\"]{lines}"
    )
}

/// Why a run ended before its plan was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunFailure {
    /// In words.
    pub error: String,
    /// The world had moved since the plan was made.
    pub moved: bool,
}

/// The machine's no to a person or to an executor. Each says what to do next.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Unknown incident.
    #[error("there is no {0}; `incidents` lists them")]
    NoIncident(IncidentId),
    /// Unknown run.
    #[error("there is no {0}; `show INC-...` lists an incident's runs")]
    NoRun(RunId),
    /// Unknown service.
    #[error("there is no service `{0}`; `status` lists them")]
    NoService(ServiceId),
    /// Nothing waits for approval.
    #[error("nothing waits for approval")]
    NothingPending,
    /// More than one plan waits.
    #[error("several plans wait: say which, for example `{verb} {example}` (waiting: {all})")]
    Ambiguous {
        /// `approve` or `reject`.
        verb: &'static str,
        /// The first of them.
        example: IncidentId,
        /// All of them.
        all: String,
    },
    /// This incident has no plan that waits.
    #[error("{incident} has no plan that waits for approval: it is {phase}{decided}")]
    NotAsking {
        /// The incident.
        incident: IncidentId,
        /// Where it stands.
        phase: String,
        /// Who decided, with a leading ` (`; may be empty.
        decided: String,
    },
    /// The plan changed since it was shown.
    #[error("the plan of {0} has changed since that card was shown; look at the new one and decide on that")]
    StalePlan(IncidentId),
    /// Not among the approvers.
    #[error("{}", denied(.who, .id, .service, .missing))]
    NotAllowed {
        /// Their name.
        who: String,
        /// Their id.
        id: String,
        /// The service.
        service: ServiceId,
        /// What no rule allows.
        missing: Box<Missing>,
    },
    /// Whoever asks does not approve as well.
    #[error(
        "{0} asked for this plan, so somebody else has to approve it (`requester_may_approve = true` under \
         [service.approve] in the config would change that)"
    )]
    OwnRequest(String),
    /// A plan that takes a one-time code besides.
    #[error(
        "{kinds} needs a one-time code from your authenticator: `approve {incident} code:123456`, or the button, which \
         asks for it"
    )]
    NeedsCode {
        /// The incident.
        incident: IncidentId,
        /// The kinds of action that do.
        kinds: String,
    },
    /// A change window is closed, or a freeze is on.
    #[error("nothing is changed on {service} now: {why}; approve again {}", .until.as_ref().map_or("later".to_owned(), |at| format!("after {at}")))]
    Frozen {
        /// The service.
        service: ServiceId,
        /// Why.
        why: String,
        /// Until when, where that is known.
        until: Option<Timestamp>,
    },
    /// One person, one vote.
    #[error("{0} has already approved; {1} more needed")]
    AlreadyApproved(String, u32),
    /// The service is only watched.
    #[error("{0} is in mode observe: plans are shown and never carried out; `mode {0} approve` changes that")]
    Observing(ServiceId),
    /// The kill switch is on.
    #[error("everything is stopped ({0}); `resume` first")]
    Halted(String),
    /// The kill switch is on already, or off already.
    #[error("{0}")]
    NoChange(String),
    /// Nothing to take back.
    #[error("{run} has nothing to take back: {why}")]
    NothingToUndo {
        /// The run.
        run: RunId,
        /// Why.
        why: String,
    },
    /// Somebody else uses the target.
    #[error("{target} is in use by {run}; wait until it has ended")]
    Busy {
        /// The target.
        target: String,
        /// The run that uses it.
        run: RunId,
    },
    /// The run does not wait for a decision.
    #[error("{0} does not wait for a decision")]
    NotUndecided(RunId),
    /// The incident is over.
    #[error("{0} is over")]
    Over(IncidentId),
    /// Somebody said so already.
    #[error("{incident} is marked as a false alarm already, by {who} at {at}")]
    Marked {
        /// The incident.
        incident: IncidentId,
        /// Their name.
        who: String,
        /// When.
        at: Timestamp,
    },
    /// An executor asked for something that the approved plan, or the life cycle, does not allow.
    #[error("{0}")]
    OutOfTurn(String),
}
