//! What a failed call means to whoever wanted the action.

use crate::act::ActError;
use crate::model::TargetId;
use crate::platform::aws::Fault;

/// A look that failed: whatever happened, it changed nothing.
pub(super) fn of_read(target: &TargetId, fault: Fault) -> ActError {
    match fault {
        Fault::Denied(text) => ActError::Denied(text),
        Fault::Throttled(wait) => ActError::Throttled { subject: format!("AWS, asked for {target},"), wait },
        Fault::NotFound(_) => ActError::NotFound(target.to_string()),
        Fault::Refused(text) => ActError::Unsupported(format!("{target} cannot be looked at: {text}")),
        Fault::TimedOut => ActError::TimedOut(format!("AWS, asked for {target},")),
        fault @ (Fault::Busy { .. } | Fault::NotSent(_) | Fault::Unknown(_)) => {
            ActError::Unavailable(target.to_string(), fault.to_string())
        }
    }
}

/// A write that failed: what went out unanswered may have been done.
pub(super) fn of_write(subject: &str, fault: Fault) -> ActError {
    match fault {
        Fault::Denied(text) => ActError::Denied(text),
        Fault::Throttled(wait) => ActError::Throttled { subject: format!("AWS, asked to change {subject},"), wait },
        // Another change is being worked on: ours is to come again after it.
        Fault::Busy { code, .. } => ActError::Throttled { subject: format!("{subject} ({code})"), wait: None },
        Fault::NotFound(words) => ActError::NotFound(format!("{subject} ({words})")),
        Fault::Refused(text) => ActError::Unsupported(format!("AWS does not change {subject}: {text}")),
        Fault::NotSent(why) => ActError::Unavailable("AWS".to_owned(), why),
        Fault::TimedOut => ActError::TimedOut(format!("AWS, asked to change {subject},")),
        Fault::Unknown(why) => ActError::OutcomeUnknown(subject.to_owned(), why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_leaves_no_doubt_and_a_write_may() {
        let target: TargetId = "asg:web".parse().unwrap();
        for (fault, doubtful) in [
            (Fault::Unknown("AWS answered 500".to_owned()), true),
            (Fault::TimedOut, true),
            (Fault::NotSent("no connection".to_owned()), false),
            (Fault::Throttled(None), false),
            (Fault::Refused("ValidationError: no".to_owned()), false),
            (Fault::Busy { code: "ResourceContention".to_owned(), words: String::new() }, false),
            (Fault::Denied("lacks it".to_owned()), false),
        ] {
            assert_eq!(of_write("asg:web instances", fault.clone()).may_have_happened(), doubtful, "{fault:?}");
            let read = of_read(&target, fault.clone());
            assert!(!matches!(read, ActError::OutcomeUnknown(..)), "{read:?}");
        }
    }
}
