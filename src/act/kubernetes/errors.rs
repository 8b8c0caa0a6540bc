//! What a call that came to nothing means for an action.
//!
//! Called by everything here that calls the API server.

use crate::act::ActError;
use crate::platform::kubernetes::{CallError, Why};

/// What a failed call means for who looks at, or acts on, `subject`.
pub(super) fn act_error(error: CallError, subject: &str) -> ActError {
    let CallError { what, who, changes, why } = error;
    let (what, who) = (String::from(what), String::from(who));
    let unclear = |why: String| match changes {
        true => ActError::OutcomeUnknown(subject.to_owned(), why),
        false => ActError::Unavailable(who.clone(), why),
    };
    match why {
        Why::Refused { code: 401, .. } => ActError::Denied(format!(
            "{who} does not accept our credentials (401): renew the token, or the kubeconfig that it is in"
        )),
        Why::Refused { code: 403, message, .. } => ActError::Denied(denied(&what, &who, &message)),
        Why::Refused { code: 404, knows_the_path: false, .. } if !changes => ActError::Unsupported(format!(
            "{subject}: {who} knows nothing to {what}: is what defines it installed there?"
        )),
        Why::Refused { code: 404, .. } => ActError::NotFound(subject.to_owned()),
        Why::Refused { code: 409, message, .. } => ActError::Conflict {
            subject: subject.to_owned(),
            expected: "as it was read".to_owned(),
            found: format!("another ({message})"),
        },
        Why::Refused { code: 429, wait, .. } => ActError::Throttled { subject: who, wait },
        Why::Refused { code: code @ 500.., message, .. } => unclear(format!("{who} answers {code}: {message}")),
        Why::Refused { code: 410, message, .. } => ActError::Unavailable(who, message),
        Why::Refused { code, message, .. } => {
            ActError::Unsupported(format!("{subject}: {who} refuses to {what} ({code}): {message}"))
        }
        Why::Unreachable(why) => ActError::Unavailable(who, why),
        Why::Lost(why) => unclear(format!("the answer of {who} was lost: {why}")),
        Why::TimedOut => ActError::TimedOut(who),
        Why::Strange(why) => unclear(format!("what {who} answers cannot be read: {why}")),
    }
}

/// A refusal of access control names the user; one of admission (a quota, a policy) has its own words.
fn denied(what: &str, who: &str, message: &str) -> String {
    let user = message.split_once("User \"").and_then(|(_, rest)| rest.split_once('"')).map(|(user, _)| user);
    match user {
        Some(user) => {
            format!("{who} does not let user {user} {what}: allow it, as deploy/kubernetes/rbac.yaml does")
        }
        None => format!("{who} does not let us {what}: {message}"),
    }
}

/// *before* does not hold.
pub(super) fn conflict(subject: &str, expected: impl ToString, found: impl ToString) -> ActError {
    ActError::Conflict { subject: subject.to_owned(), expected: expected.to_string(), found: found.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn refused(code: u16, changes: bool, message: &str) -> ActError {
        let why = Why::Refused {
            code,
            message: message.to_owned(),
            causes: Vec::new(),
            knows_the_path: true,
            wait: Some(Duration::from_secs(7)),
        };
        let what = "patch deployments/scale in namespace prod".into();
        act_error(CallError { what, who: "the cluster".into(), changes, why }, "k8s:prod/deployment/web")
    }

    #[test]
    fn a_denial_names_what_access_control_has_to_allow_and_to_whom() {
        let message = "deployments.apps \"web\" is forbidden: User \"suture\" cannot patch resource";
        let error = refused(403, true, message).to_string();
        assert!(error.contains("user suture patch deployments/scale in namespace prod"), "{error}");
        let quota = refused(403, true, "exceeded quota: pods").to_string();
        assert!(quota.contains("exceeded quota: pods"), "{quota}");
    }

    #[test]
    fn a_server_that_fails_after_a_change_leaves_the_outcome_open_and_after_a_look_does_not() {
        assert!(matches!(refused(500, true, "etcd"), ActError::OutcomeUnknown(..)));
        assert!(matches!(refused(503, false, "etcd"), ActError::Unavailable(..)));
    }

    #[test]
    fn the_rest_is_told_apart() {
        assert!(matches!(refused(404, true, ""), ActError::NotFound(_)));
        assert!(matches!(refused(409, true, ""), ActError::Conflict { .. }));
        assert!(matches!(refused(422, true, "bad"), ActError::Unsupported(_)));
        let wait = Some(Duration::from_secs(7));
        assert!(matches!(refused(429, true, ""), ActError::Throttled { wait: w, .. } if w == wait));
    }
}
