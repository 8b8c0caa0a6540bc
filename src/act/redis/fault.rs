//! What a Redis's refusals mean to who asked for the action.
//!
//! An error that the server itself sent means that nothing happened; one of the connection, after something was sent,
//! that nobody knows. Called by the looks and actions.

use ::redis::{ErrorKind, RedisError};

use crate::act::ActError;
use crate::act::said::said;
use crate::model::TargetId;

/// A command that changes nothing failed.
pub(super) fn of_look(target: &TargetId, error: &RedisError) -> ActError {
    of_server(target, error).unwrap_or_else(|| match error.is_timeout() {
        true => ActError::TimedOut(target.to_string()),
        false => ActError::Unavailable(target.to_string(), said(&error.to_string())),
    })
}

/// A command that changes `subject` failed.
pub(super) fn of_change(target: &TargetId, subject: &str, error: &RedisError) -> ActError {
    of_server(target, error).unwrap_or_else(|| match error.is_timeout() {
        true => ActError::TimedOut(target.to_string()),
        false => ActError::OutcomeUnknown(subject.to_owned(), said(&error.to_string())),
    })
}

/// Signing in failed.
pub(super) fn of_greeting(target: &TargetId, error: &RedisError) -> ActError {
    match error.kind() {
        ErrorKind::AuthenticationFailed => not_signed_in(target),
        _ => of_look(target, error),
    }
}

fn not_signed_in(target: &TargetId) -> ActError {
    ActError::Denied(format!(
        "{target} does not take our user and password: write `username` and `password = \"env:NAME\"` in its table"
    ))
}

/// What the server itself said, if it said anything.
fn of_server(target: &TargetId, error: &RedisError) -> Option<ActError> {
    // Several commands at once: the first that failed tells why.
    let (code, detail) = match error.code() {
        Some(code) if error.detail().is_some() => (code.to_owned(), error.detail().unwrap_or_default().to_owned()),
        code => match error.clone().into_server_errors().as_deref().and_then(<[_]>::first) {
            Some((_, first)) => (first.code().to_owned(), first.details().unwrap_or_default().to_owned()),
            None => (code?.to_owned(), String::new()),
        },
    };
    let words = said(&detail);
    let wait =
        |why: &str| ActError::Unavailable(target.to_string(), format!("{why} ({})", said(&format!("{code} {detail}"))));
    Some(match code.as_str() {
        "NOAUTH" | "WRONGPASS" => not_signed_in(target),
        "NOPERM" => ActError::Denied(format!(
            "{target}: {words}: grant that to our user with ACL SETUSER; deploy/redis/acl.conf has the whole line"
        )),
        "LOADING" | "BUSY" | "TRYAGAIN" | "MASTERDOWN" | "CLUSTERDOWN" => wait("it is busy; try again later"),
        "NOREPLICAS" | "MISCONF" => wait("it takes no writes until its replicas or its snapshots work again"),
        "OOM" => wait("its memory is full: raise maxmemory, or choose a maxmemory-policy that evicts"),
        "READONLY" => replica(target),
        "MOVED" | "ASK" | "CROSSSLOT" => in_cluster(target),
        "ERR" if detail.starts_with("max number of clients") => wait("it takes no more connections"),
        "ERR" if detail.starts_with("unknown ") => ActError::Unsupported(format!(
            "{target} does not have that command ({words}): its owner took it away, or it is too old"
        )),
        _ => ActError::Unsupported(format!("{target} refuses that: {}", said(&format!("{code} {detail}")))),
    })
}

pub(super) fn replica(target: &TargetId) -> ActError {
    ActError::Unsupported(format!("{target} is a replica and takes no writes: name its primary as the target"))
}

pub(super) fn in_cluster(target: &TargetId) -> ActError {
    ActError::Unsupported(format!(
        "{target} is one node of a cluster, and its keys are spread over all: name what runs beside the service instead"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(code: &str, detail: &str) -> ActError {
        let error = ::redis::make_extension_error(code.to_owned(), Some(detail.to_owned()));
        of_change(&"redis:cache".parse().unwrap(), "redis:cache maxmemory", &error)
    }

    #[test]
    fn what_the_server_says_did_not_happen() {
        for (code, part) in [
            ("NOAUTH", "env:NAME"),
            ("WRONGPASS", "env:NAME"),
            ("NOPERM", "acl.conf"),
            ("LOADING", "busy"),
            ("OOM", "maxmemory"),
            ("READONLY", "primary"),
            ("MOVED", "cluster"),
            ("ERR", "refuses that"),
        ] {
            let error = told(code, "said this");
            assert!(!error.may_have_happened() && error.to_string().contains(part), "{code}: {error}");
        }
        assert!(matches!(told("NOPERM", "User x has no permissions to run the 'config|set' command"),
            ActError::Denied(why) if why.contains("config|set")));
        assert!(matches!(told("ERR", "unknown command 'CONFIG'"), ActError::Unsupported(_)));
        assert!(matches!(told("ERR", "max number of clients reached"), ActError::Unavailable(..)));
    }

    #[test]
    fn a_broken_connection_leaves_it_open() {
        let target = "redis:cache".parse().unwrap();
        let broken = RedisError::from(std::io::Error::from(std::io::ErrorKind::ConnectionReset));
        assert!(matches!(of_change(&target, "x", &broken), ActError::OutcomeUnknown(..)));
        assert!(matches!(of_look(&target, &broken), ActError::Unavailable(..)));
        let slow = RedisError::from(std::io::Error::from(std::io::ErrorKind::TimedOut));
        assert!(matches!(of_change(&target, "x", &slow), ActError::TimedOut(_)));
    }
}
