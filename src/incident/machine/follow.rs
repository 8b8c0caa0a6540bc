//! What follows by itself from where things stand: nobody said anything, but time passed or something ended.

use std::collections::BTreeSet;

use super::Rules;
use crate::decide::{self, Deed, Hold};
use crate::incident::state::{Incident, Phase, Question, Run, State};
use crate::model::{Event, Fact, Judge, Mode, Person, Policy, Verdict};

impl Rules<'_> {
    /// What follows by itself from where things stand: at most one consequence at a time.
    pub(super) fn follow(&self, state: &State) -> Vec<Event> {
        self.follow_runs(state)
            .or_else(|| self.follow_experiments(state))
            .or_else(|| state.incidents.values().filter(|i| i.is_open()).find_map(|i| self.follow_incident(state, i)))
            .into_iter()
            .collect()
    }

    fn follow_runs(&self, state: &State) -> Option<Event> {
        state.runs.values().filter(|run| run.undo.is_none() && run.has_effects()).find_map(|run| {
            if let Some((error, _)) = &run.failure {
                return Some(self.of_run(run, None, Fact::UndoStarted { reason: format!("the run failed: {error}") }));
            }
            let undo_wanted = self.policies.policy(&run.plan.service).is_none_or(|p| p.verify.undo_when_not_better);
            match &run.verdict {
                Some((Verdict::Worse, evidence)) if undo_wanted && is_undecided(state, run) => {
                    let reason = format!(
                        "the service did not get better (risk {:.0} before, {:.0} after)",
                        evidence.risk_before, evidence.risk_after
                    );
                    Some(self.of_run(run, None, Fact::UndoStarted { reason }))
                }
                _ => None,
            }
        })
    }

    fn follow_incident(&self, state: &State, incident: &Incident) -> Option<Event> {
        match incident.phase {
            Phase::Verifying(run) => {
                let improved = matches!(state.runs.get(&run)?.verdict, Some((Verdict::Improved, _)));
                let how = if incident.judge == Judge::Person { "carried out" } else { "healed" };
                improved.then(|| Event {
                    run: Some(run),
                    ..self.about(incident, None, Fact::Resolved { how: how.to_owned() })
                })
            }
            Phase::Planning => {
                let why = if let Some(stuck) = &incident.stuck {
                    stuck.clone()
                } else if incident.next_proposal < incident.proposals.len() {
                    return None;
                } else {
                    reason_to_escalate(incident)
                };
                // Nothing is wrong with the service: that nothing is done is the end of it, and no alarm.
                if incident.judge == Judge::Person && incident.stuck.is_none() && incident.runs.is_empty() {
                    let how = format!(
                        "not carried out: {}",
                        incident.decided.as_ref().or(incident.note.as_ref()).unwrap_or(&why)
                    );
                    return Some(self.about(incident, None, Fact::Resolved { how }));
                }
                Some(self.about(incident, None, Fact::Escalated { why }))
            }
            Phase::AwaitingApproval => self.follow_question(state, incident, incident.question.as_ref()?),
            _ => None,
        }
    }

    /// Have enough people said yes who may? Asked again at the start of the run: the config, or who is in which group, may
    /// have changed since.
    fn is_approved(&self, incident: &Incident, question: &Question, policy: &Policy, mode: Mode) -> bool {
        let by_policy = mode == Mode::Auto
            && question.plan.least_quorum() <= 1
            && question.approvals.iter().any(|p| *p == Person::policy());
        let deed = Deed { verb: "approve", actions: &question.plan.actions };
        let counts =
            |p: &&Person| self.may(&incident.service, p, deed).is_ok() && !self.is_own_request(incident, question, p);
        let valid: BTreeSet<_> = question.approvals.iter().filter(counts).map(|p| p.id.as_str()).collect();
        by_policy || valid.len() >= policy.approval.quorum_for(&question.plan) as usize
    }

    fn follow_question(&self, state: &State, incident: &Incident, question: &Question) -> Option<Event> {
        let is_late = question.expires_at <= self.now;
        let expired = || Some(self.about(incident, None, Fact::Expired { digest: question.digest }));
        let Some(policy) = self.policies.policy(&incident.service) else { return expired().filter(|_| is_late) };
        let mode = self.mode(state, &incident.service);
        let held = mode == Mode::Observe
            || state.halted.is_some()
            || self.policies.frozen(&incident.service, self.now).is_some();
        let approved = self.is_approved(incident, question, policy, mode);
        // What is approved and only waits for its turn does not lapse: people have answered.
        if is_late && (held || !approved) {
            return expired();
        }
        if held {
            return None;
        }
        // What a person asked for is for a person to approve, also where Suture acts by itself.
        let by_itself = mode == Mode::Auto && question.plan.least_quorum() <= 1;
        if by_itself && question.approvals.is_empty() && question.requested_by.is_empty() {
            let approved = Fact::Approved { digest: question.digest, with_code: false };
            return Some(self.about(incident, Some(&Person::policy()), approved));
        }
        let waits_long = policy.approval.escalate_after.is_some_and(|after| question.asked_at.plus(after) <= self.now);
        let is_muted = state.mutes.get(&incident.service).is_some_and(|until| *until > self.now);
        if waits_long && !approved && !is_muted && !question.called && !policy.approval.escalate_to.is_empty() {
            let called = Fact::Called { digest: question.digest, to: policy.approval.escalate_to.clone() };
            return Some(self.about(incident, None, called));
        }
        if !approved {
            return None;
        }
        if question.plan.actions.iter().any(|a| state.busy(a.action.target()).is_some()) {
            return None;
        }
        match decide::check_rate(&policy.guard, &state.acted, &question.plan, self.now) {
            Ok(()) => {}
            Err(Hold::Until { .. }) => return None,
            Err(Hold::Refused(why)) => {
                let playbook = question.plan.playbook.clone();
                return Some(self.about(incident, None, Fact::PlanRefused { playbook, why, dry_run: None }));
            }
        }
        let run = state.next_run();
        Some(Event { run: Some(run), ..self.about(incident, None, Fact::RunStarted { digest: question.digest }) })
    }
}

/// Does the incident of this run wait for somebody to say what becomes of the run?
fn is_undecided(state: &State, run: &Run) -> bool {
    state.incidents.get(&run.incident).is_some_and(|i| i.phase == Phase::AwaitingPerson(run.id))
}

fn reason_to_escalate(incident: &Incident) -> String {
    match (incident.proposals.is_empty(), incident.note.as_deref(), incident.decided.as_deref()) {
        (true, ..) => "no rule knows what to do".to_owned(),
        (false, Some(note), _) => format!("nothing is left to try ({note})"),
        // A no, or nobody's answer: what was proposed besides is for a person to ask for.
        (false, None, Some(decided)) => format!("{decided}; `plan {}` asks again", incident.id),
        (false, None, None) => "nothing is left to try".to_owned(),
    }
}
