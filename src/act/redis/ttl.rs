//! The key whose value is the lifetime of cached answers: the service reads it, people and Suture write it.
//!
//! A lifetime of 0 stands for "the key is not there", which leaves the service its own default: to set 0 is to delete the
//! key. A key that holds a literal 0 is therefore nothing that could be put back, and is not steered. Called by the
//! actuator and the look.

use ::redis::{cmd, pipe};

use super::fault::{of_change, of_look, replica};
use super::link::{Link, Linker};
use super::server::read_info;
use crate::act::said::said;
use crate::act::{ActError, TtlUnit};
use crate::model::{Action, Facet};

/// What the key holds.
pub(super) enum Found {
    /// A lifetime, as it stands there; `None` where the key is not there.
    Lifetime { ms: u64, raw: Option<Vec<u8>> },
    /// Something else; a sentence.
    Strange(String),
}

pub(super) async fn read(linker: &Linker, link: &mut Link, key: &str) -> Result<Found, ActError> {
    let settings = linker.settings();
    let raw: Option<Vec<u8>> = match link.ask(cmd("GET").arg(key)).await {
        Ok(raw) => raw,
        Err(e) if e.code() == Some("WRONGTYPE") => {
            return Ok(Found::Strange(format!(
                "{} is no string: the lifetime of answers cannot be steered",
                said(key)
            )));
        }
        Err(e) => return Err(of_look(&settings.name, &e)),
    };
    Ok(match of_raw(raw.as_deref(), settings.ttl_unit) {
        Some(ms) => Found::Lifetime { ms, raw },
        None => Found::Strange(format!(
            "{} holds no whole number above 0: the lifetime of answers cannot be steered until it does, or is deleted",
            said(key)
        )),
    })
}

/// Milliseconds; 0 where the key is not there, `None` where it holds something else.
fn of_raw(raw: Option<&[u8]>, unit: TtlUnit) -> Option<u64> {
    let Some(raw) = raw else { return Some(0) };
    let text = std::str::from_utf8(raw).ok()?;
    let number = text.parse::<u64>().ok().filter(|n| *n > 0)?;
    match unit {
        TtlUnit::Seconds => number.checked_mul(1000),
        TtlUnit::Milliseconds => Some(number),
    }
}

/// What to write for this lifetime; `None`: delete the key.
fn to_raw(ms: u64, unit: TtlUnit) -> Result<Option<u64>, String> {
    match unit {
        _ if ms == 0 => Ok(None),
        TtlUnit::Milliseconds => Ok(Some(ms)),
        TtlUnit::Seconds if ms.is_multiple_of(1000) => Ok(Some(ms / 1000)),
        TtlUnit::Seconds => {
            Err(format!("{ms} ms are no whole seconds, and it counts those: write {}", ms.div_ceil(1000) * 1000))
        }
    }
}

/// Writes the key, if it still says what it said.
pub(super) async fn set(linker: &Linker, action: &Action, ttl_ms: u64, before: &Facet) -> Result<String, ActError> {
    let settings = linker.settings();
    let (target, subject) = (&settings.name, action.subject());
    let key = settings.ttl_key.as_deref().ok_or_else(|| {
        ActError::Unsupported(format!(
            "{target} has no lifetime to steer: name the key that the service reads as `ttl_key`"
        ))
    })?;
    let value = to_raw(ttl_ms, settings.ttl_unit).map_err(|why| ActError::Unsupported(format!("{target}: {why}")))?;
    let mut link = linker.link().await?;
    if read_info(linker, &mut link).await?.is_replica() {
        return Err(replica(target));
    }
    let shown = said(key);
    // From here on, the last command does nothing if anybody writes the key in between.
    link.ask::<()>(cmd("WATCH").arg(key)).await.map_err(|e| of_look(target, &e))?;
    let (ms, raw) = match read(linker, &mut link, key).await? {
        Found::Lifetime { ms, raw } => (ms, raw),
        Found::Strange(why) => return Err(ActError::Unsupported(format!("{target}: {why}"))),
    };
    if ms == ttl_ms {
        return Ok(format!("answers live {} already ({shown})", lives(ms)));
    }
    let conflict = |found: u64| ActError::Conflict {
        subject: subject.clone(),
        expected: before.to_string(),
        found: Facet::CacheTtlMs(found).to_string(),
    };
    if *before != Facet::CacheTtlMs(ms) {
        return Err(conflict(ms));
    }
    let mut change = pipe();
    change.atomic();
    match value {
        // Whatever expiry the key itself has, it keeps.
        Some(value) if raw.is_some() => change.cmd("SET").arg(key).arg(value).arg("KEEPTTL").ignore(),
        Some(value) => change.cmd("SET").arg(key).arg(value).ignore(),
        None => change.cmd("DEL").arg(key).ignore(),
    };
    let done: Option<()> = link.together(&change).await.map_err(|e| of_change(target, &subject, &e))?;
    match (done, read(linker, &mut link, key).await) {
        (None, Ok(Found::Lifetime { ms, .. })) => Err(conflict(ms)),
        (None, _) => {
            Err(ActError::Conflict { subject, expected: before.to_string(), found: "something else".to_owned() })
        }
        (Some(()), Ok(Found::Lifetime { ms, .. })) if ms == ttl_ms => Ok(match value {
            Some(value) => format!("answers live {}: {shown} is {value}", lives(ms)),
            None => format!("answers live {}: {shown} is deleted", lives(ms)),
        }),
        (Some(()), _) => {
            Err(ActError::OutcomeUnknown(subject, format!("{shown} was written, and is something else now")))
        }
    }
}

fn lives(ms: u64) -> String {
    if ms == 0 { "as long as the service has it by default".to_owned() } else { Facet::CacheTtlMs(ms).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lifetime_is_a_whole_number_above_nothing() {
        use TtlUnit::{Milliseconds, Seconds};
        for (raw, unit, ms) in [
            (None, Seconds, Some(0)),
            (Some("30"), Seconds, Some(30_000)),
            (Some("30"), Milliseconds, Some(30)),
            (Some("0"), Seconds, None),
            (Some("-1"), Seconds, None),
            (Some("soon"), Seconds, None),
            (Some(""), Seconds, None),
            (Some("99999999999999999999"), Milliseconds, None),
            (Some("18446744073709551615"), Seconds, None),
        ] {
            assert_eq!(of_raw(raw.map(str::as_bytes), unit), ms, "{raw:?}");
        }
        assert_eq!((to_raw(0, Seconds), to_raw(2000, Seconds)), (Ok(None), Ok(Some(2))));
        assert_eq!(to_raw(1500, Milliseconds), Ok(Some(1500)));
        assert!(to_raw(1500, Seconds).unwrap_err().contains("write 2000"));
    }
}
