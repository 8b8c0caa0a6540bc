//! The tables about people and times: who may do what, who has which second factor, when nothing is to be changed.

use serde::{Deserialize, Deserializer};

use super::window::Window;
use crate::model::SecretRef;
use crate::model::{ActionKind, ServiceId, Timestamp};

/// An `[[allow]]` table: a rule of who may do what.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AllowSettings {
    /// Globs over ids of people, and groups and roles.
    pub who: Vec<String>,
    /// Verbs of commands; `*` for all.
    #[serde(rename = "do")]
    pub verbs: Vec<String>,
    /// Names of services; all when left out.
    #[serde(default)]
    pub services: Vec<String>,
    /// Kinds of action; all when left out.
    #[serde(default)]
    pub actions: Vec<ActionKind>,
    /// Globs over targets; all when left out.
    #[serde(default)]
    pub targets: Vec<String>,
}

/// A `[[person]]` table: what is known of somebody besides their id.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PersonSettings {
    /// Their id: `slack:U024BE7LH`.
    pub id: String,
    /// Where the secret of their authenticator is, in Base32.
    pub totp: SecretRef,
}

/// A `[[freeze]]` table: nothing is changed in that time.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Freeze {
    /// From then: `2026-12-23T12:00:00Z`.
    #[serde(deserialize_with = "instant")]
    pub from: Timestamp,
    /// Until then.
    #[serde(deserialize_with = "instant")]
    pub until: Timestamp,
    /// Names of services; all when left out.
    #[serde(default)]
    pub services: Vec<String>,
    /// What people are told.
    pub why: String,
}

impl Freeze {
    /// Is it on for this service?
    #[must_use]
    pub fn is_on(&self, service: &ServiceId, now: Timestamp) -> bool {
        let concerns = self.services.is_empty() || self.services.contains(&service.0);
        concerns && self.from <= now && now < self.until
    }
}

/// A point in time with its zone, as text or as a date of TOML.
fn instant<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
    let text = String::deserialize(deserializer)?;
    let at: jiff::Timestamp = text
        .parse()
        .map_err(|_| serde::de::Error::custom("this is not a point in time: write \"2026-12-23T12:00:00Z\""))?;
    Ok(Timestamp(at.as_millisecond()))
}

/// Why nothing is to be changed on a service now, if so: a freeze first, then a change window that is closed.
#[must_use]
pub fn frozen(
    freezes: &[Freeze],
    windows: &[Window],
    service: &ServiceId,
    now: Timestamp,
) -> Option<(String, Option<Timestamp>)> {
    let freeze = freezes.iter().filter(|freeze| freeze.is_on(service, now)).max_by_key(|freeze| freeze.until);
    if let Some(freeze) = freeze {
        return Some((format!("there is a freeze ({})", freeze.why), Some(freeze.until)));
    }
    if windows.is_empty() || windows.iter().any(|window| window.is_open(now)) {
        return None;
    }
    let next = windows.iter().filter_map(|window| window.next_opening(now)).min_by_key(|(at, _)| *at);
    Some(match next {
        Some((at, words)) => (format!("its change window is closed and opens {words}"), Some(at)),
        None => ("its change window is closed".to_owned(), None),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp(text.parse::<jiff::Timestamp>().unwrap().as_millisecond())
    }

    #[test]
    fn a_freeze_comes_before_a_window_and_both_say_until_when() {
        let shop = ServiceId("shop".to_owned());
        let freeze = Freeze {
            from: at("2026-12-23T12:00:00Z"),
            until: at("2027-01-02T08:00:00Z"),
            services: vec!["shop".to_owned()],
            why: "year's end".to_owned(),
        };
        let windows = ["Mon-Fri 08:00-18:00 UTC".parse::<Window>().unwrap()];
        let look = |now: &str| frozen(std::slice::from_ref(&freeze), &windows, &shop, at(now));
        assert_eq!(look("2026-11-20T12:00:00Z"), None);
        let (why, until) = look("2026-11-21T12:00:00Z").unwrap();
        assert!(why.contains("Mon 2026-11-23 08:00 UTC"), "{why}");
        assert_eq!(until, Some(at("2026-11-23T08:00:00Z")));
        let (why, until) = look("2026-12-24T12:00:00Z").unwrap();
        assert!(why.contains("year's end"), "{why}");
        assert_eq!(until, Some(freeze.until));
        let other = ServiceId("blog".to_owned());
        assert_eq!(frozen(&[freeze], &[], &other, at("2026-12-24T12:00:00Z")), None);
    }
}
