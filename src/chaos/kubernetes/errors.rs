//! What a call or a look that came to nothing means for a fault.
//!
//! Pure. Called by everything here that calls the API server.

use crate::act::ActError;
use crate::chaos::InjectError;
use crate::platform::kubernetes::{CallError, Why};

/// It is not done.
pub(super) fn refused(why: String) -> InjectError {
    InjectError::Refused(why)
}

/// A call failed. After a change that went out, nobody knows what became of it: that is never a refusal.
pub(super) fn call(error: CallError) -> InjectError {
    let who = String::from(error.who.clone());
    match &error.why {
        Why::Refused { code: 401, .. } => refused(format!("{error}: renew the token, or the kubeconfig that it is in")),
        Why::Refused { code: 403, message, .. } if message.contains("User \"") => refused(format!(
            "{who} does not let us {}: allow it, as deploy/kubernetes/rbac-chaos.yaml does",
            error.what
        )),
        // A webhook or a policy has its own words.
        Why::Refused { code: 400..=403 | 404 | 405 | 409 | 413 | 415 | 422, .. } => refused(error.to_string()),
        Why::Refused { .. } | Why::Unreachable(_) | Why::Lost(_) | Why::TimedOut | Why::Strange(_) => {
            InjectError::Unavailable(who, format!("{}: {}", error.what, why(&error.why)))
        }
    }
}

fn why(why: &Why) -> String {
    match why {
        Why::Refused { code, message, .. } => format!("it answers {code}: {message}"),
        Why::Unreachable(why) => why.clone(),
        Why::Lost(why) => format!("the answer was lost: {why}"),
        Why::TimedOut => "no answer in time".to_owned(),
        Why::Strange(why) => format!("what it answers cannot be read: {why}"),
    }
}

/// A look at the target failed.
pub(super) fn look(error: ActError) -> InjectError {
    match error {
        ActError::Unavailable(who, why) => InjectError::Unavailable(who, why),
        ActError::TimedOut(who) => InjectError::Unavailable(who, "no answer in time".to_owned()),
        ActError::Throttled { subject, .. } => {
            InjectError::Unavailable(subject.clone(), format!("{subject} asks us to slow down"))
        }
        other => refused(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(why: Why) -> InjectError {
        let what = "create networkchaos in namespace prod".into();
        call(CallError { what, who: "the cluster".into(), changes: true, why })
    }

    fn answer(code: u16, message: &str) -> InjectError {
        let (message, causes) = (message.to_owned(), Vec::new());
        failed(Why::Refused { code, message, causes, knows_the_path: true, wait: None })
    }

    #[test]
    fn a_denial_names_the_right_and_where_it_is_written() {
        let error = answer(403, "networkchaos.chaos-mesh.org is forbidden: User \"suture\" cannot create").to_string();
        assert!(error.contains("create networkchaos in namespace prod"), "{error}");
        assert!(error.contains("rbac-chaos.yaml"), "{error}");
        let webhook = answer(403, "admission webhook \"vauth.kb.io\" denied the request").to_string();
        assert!(webhook.contains("vauth.kb.io") && !webhook.contains("rbac-chaos"), "{webhook}");
    }

    #[test]
    fn what_may_have_happened_is_never_called_refused() {
        for error in [answer(500, "etcd"), answer(429, "later"), failed(Why::TimedOut), failed(Why::Lost("cut".into()))]
        {
            assert!(matches!(error, InjectError::Unavailable(..)), "{error:?}");
        }
    }
}
