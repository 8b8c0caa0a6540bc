//! Throws away the entries whose keys begin with a prefix, a thousand at a time, so that the server goes on serving.
//!
//! Must never touch a key that does not begin with the prefix, whatever the server's pattern matching says, nor the key
//! that holds the lifetime of answers. Called by the actuator.

use std::time::Duration;

use ::redis::cmd;
use tokio::time::Instant;

use super::fault::{in_cluster, of_change, of_look, replica};
use super::info::grouped;
use super::link::Linker;
use super::server::read_info;
use crate::act::said::said;
use crate::act::{ActError, Progress};
use crate::model::{Action, Facet, in_words};

/// Keys looked at in one step: some milliseconds of the server's one thread.
const STEP: usize = 1000;
/// A hundred million keys at a thousand a millisecond and a half; who needs longer starts again, and it goes on.
const MOST_TIME: Duration = Duration::from_secs(600);
/// The first line of progress comes after this; each later one takes half as long again, for lines are few.
const SAY_AFTER: Duration = Duration::from_secs(2);
/// Longest prefix in bytes: it stands on a card.
const LONGEST: usize = 256;

pub(super) async fn flush(
    linker: &Linker,
    action: &Action,
    prefix: &str,
    before: &Facet,
    progress: &Progress,
) -> Result<String, ActError> {
    let settings = linker.settings();
    let (target, subject) = (&settings.name, action.subject());
    if prefix.is_empty() || prefix.len() > LONGEST {
        return Err(ActError::Unsupported(format!(
            "{target} throws away what begins with a prefix of 1 to {LONGEST} bytes: name one, such as `page:`"
        )));
    }
    if *before != Facet::Flushed(false) {
        let found = Facet::Flushed(false).to_string();
        return Err(ActError::Conflict { subject, expected: before.to_string(), found });
    }
    let mut link = linker.link().await?;
    let info = read_info(linker, &mut link).await?;
    if info.is_replica() {
        return Err(replica(target));
    }
    if info.is_in_cluster() {
        return Err(in_cluster(target));
    }
    let pattern = pattern_of(prefix);
    let began = Instant::now();
    let (mut say_at, mut pause) = (began + SAY_AFTER, SAY_AFTER);
    let (mut cursor, mut gone, mut kept) = (0_u64, 0_u64, false);
    loop {
        let scan = cmd("SCAN").arg(cursor).arg("MATCH").arg(&pattern).arg("COUNT").arg(STEP).to_owned();
        let (next, mut keys): (u64, Vec<Vec<u8>>) =
            link.ask(&scan).await.map_err(|e| in_the_middle(&subject, gone, of_look(target, &e)))?;
        keys.retain(|key| {
            let is_lifetime = settings.ttl_key.as_ref().is_some_and(|ttl| ttl.as_bytes() == key);
            kept |= is_lifetime;
            key.starts_with(prefix.as_bytes()) && !is_lifetime
        });
        for some in keys.chunks(STEP) {
            let unlink = cmd("UNLINK").arg(some).to_owned();
            let n: u64 =
                link.ask(&unlink).await.map_err(|e| in_the_middle(&subject, gone, of_change(target, &subject, &e)))?;
            gone = gone.saturating_add(n);
        }
        if next == 0 {
            break;
        }
        cursor = next;
        if Instant::now() >= say_at {
            progress.say(format!("{} thrown away so far", entries(gone)));
            pause = pause.mul_f64(1.5);
            say_at = Instant::now() + pause;
        }
        if began.elapsed() >= MOST_TIME {
            let why =
                format!("{} gone after {}, and not all looked at: run it again", entries(gone), in_words(MOST_TIME));
            return Err(ActError::OutcomeUnknown(subject, why));
        }
    }
    let but = match (&settings.ttl_key, kept) {
        (Some(key), true) => format!(" (kept {}, the lifetime of answers)", said(key)),
        _ => String::new(),
    };
    Ok(format!("threw away {}{but}", entries(gone)))
}

/// Once something is gone, no failure is a "nothing happened".
fn in_the_middle(subject: &str, gone: u64, error: ActError) -> ActError {
    if gone == 0 {
        return error;
    }
    ActError::OutcomeUnknown(subject.to_owned(), format!("{} thrown away, and then: {error}", entries(gone)))
}

fn entries(n: u64) -> String {
    if n == 1 { "1 entry".to_owned() } else { format!("{} entries", grouped(n)) }
}

/// The pattern that matches exactly the keys that begin with `prefix`.
fn pattern_of(prefix: &str) -> String {
    let mut pattern = String::with_capacity(prefix.len() + 1);
    for c in prefix.chars() {
        if matches!(c, '*' | '?' | '[' | ']' | '\\' | '^') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push('*');
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_special_in_a_pattern_is_not_in_a_prefix() {
        assert_eq!(pattern_of("page:"), "page:*");
        assert_eq!(pattern_of("*"), "\\**");
        assert_eq!(pattern_of("a?[b]\\^"), "a\\?\\[b\\]\\\\\\^*");
    }

    #[test]
    fn a_failure_in_the_middle_is_not_nothing() {
        let failed = || ActError::Unavailable("redis:cache".to_owned(), "gone".to_owned());
        assert_eq!(in_the_middle("x", 0, failed()), failed());
        let error = in_the_middle("x", 1204, failed());
        assert!(matches!(&error, ActError::OutcomeUnknown(_, why) if why.starts_with("1,204 entries")), "{error}");
    }
}
