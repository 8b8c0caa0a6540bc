//! What is known of people besides the config's rules: the groups they are in, and their one-time codes.
//!
//! Groups come with everything that a platform hands in, and are asked for again while somebody's approval waits. A code
//! is good once: RFC 6238 with 30 seconds, six digits, one step of tolerance either way.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use totp_rs::{Algorithm, TOTP};

use super::AppError;
use crate::chat::Messenger;
use crate::config::Live;
use crate::engine::{Engine, Standing};
use crate::incident::Frozen;
use crate::model::{ServiceId, Timestamp};
use crate::supervise::drained;

/// Seconds of a step.
const STEP: u64 = 30;
/// Wrong codes that one person may give within [`FORGIVEN_AFTER`]: a million guesses must not be tried in an evening.
const MOST_WRONG: usize = 5;
/// When a wrong code is forgotten.
const FORGIVEN_AFTER: Duration = Duration::from_secs(600);
/// How often the groups of people whose approval waits are asked for again.
const ASK_EVERY: Duration = Duration::from_secs(60);
/// People whose groups are remembered. full: the one heard of longest ago is forgotten, and is asked for again.
const MOST_MEMBERS: usize = 10_000;

/// What is known of people.
pub(super) struct People {
    live: Arc<Live>,
    keys: BTreeMap<String, TOTP>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    members: BTreeMap<String, (Timestamp, Vec<String>)>,
    /// The last step whose code somebody used.
    used: BTreeMap<String, u64>,
    wrong: BTreeMap<String, Vec<Timestamp>>,
}

impl People {
    /// Fetches the secrets of the config.
    pub(super) fn new(live: Arc<Live>) -> Result<Self, AppError> {
        let config = live.get();
        let mut keys = BTreeMap::new();
        for person in &config.people {
            let failed = |why: String| AppError::System { what: format!("the authenticator of {}", person.id), why };
            let secret = person.totp.resolve(config.base()).map_err(failed)?;
            keys.insert(person.id.clone(), authenticator(secret.expose()).map_err(failed)?);
        }
        Ok(Self { live, keys, known: Mutex::default() })
    }

    /// Takes what a platform says about somebody's groups and roles.
    pub(super) fn heard(&self, person: &str, groups: Vec<String>, now: Timestamp) {
        let mut known = self.known();
        if known.members.len() >= MOST_MEMBERS && !known.members.contains_key(person) {
            let oldest = known.members.iter().min_by_key(|(_, (at, _))| *at).map(|(id, _)| id.clone());
            known.members.retain(|id, _| Some(id) != oldest.as_ref());
        }
        known.members.insert(person.to_owned(), (now, groups));
    }

    /// Is this the code that somebody's authenticator shows? Each is taken once.
    ///
    /// # Errors
    /// In words for the person, which say nothing about the code.
    pub(super) fn check_code(&self, person: &str, code: &str, now: Timestamp) -> Result<(), String> {
        let Some(key) = self.keys.get(person) else {
            return Err(format!(
                "no authenticator is known for {person}: an operator adds one to the config\n\n[[person]]\nid = \
                 \"{person}\"\ntotp = \"env:NAME\""
            ));
        };
        let mut known = self.known();
        let wrong = known.wrong.entry(person.to_owned()).or_default();
        wrong.retain(|at| now.since(*at) < FORGIVEN_AFTER);
        if wrong.len() >= MOST_WRONG {
            return Err("too many wrong codes: wait ten minutes".to_owned());
        }
        let seconds = u64::try_from(now.0).unwrap_or_default() / 1000;
        let step = seconds / STEP;
        let given = code.as_bytes();
        let mut matching =
            (step.saturating_sub(1)..=step + 1).filter(|step| same(key.generate(step * STEP).as_bytes(), given));
        let Some(found) = matching.next_back() else {
            wrong.push(now);
            return Err("this is not the code that your authenticator shows now".to_owned());
        };
        if known.used.get(person).is_some_and(|last| found <= *last) {
            return Err("this code was used already: wait for the next one".to_owned());
        }
        known.used.insert(person.to_owned(), found);
        Ok(())
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Standing for People {
    fn groups(&self, person: &str) -> Vec<String> {
        self.known().members.get(person).map(|(_, groups)| groups.clone()).unwrap_or_default()
    }

    fn frozen(&self, service: &ServiceId, now: Timestamp) -> Option<Frozen> {
        self.live.get().frozen(service, now).map(|(why, until)| Frozen { why, until })
    }
}

/// Takes the same time however much of it is right.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}

fn authenticator(secret: &str) -> Result<TOTP, String> {
    let plain: String = secret.chars().filter(|c| !c.is_whitespace() && *c != '-').collect();
    let wrong = |_| "its secret is not Base32 of 16 bytes or more, as authenticators take it".to_owned();
    let bytes = totp_rs::Secret::Encoded(plain.to_ascii_uppercase()).to_bytes().map_err(|e| wrong(e.to_string()))?;
    TOTP::new(Algorithm::SHA1, 6, 1, STEP, bytes).map_err(|e| wrong(e.to_string()))
}

/// Asks again for the groups of those whose approval waits: somebody may have left meanwhile.
pub(super) async fn ask_again(
    people: Arc<People>,
    engine: Arc<Engine>,
    messengers: Vec<Arc<dyn Messenger>>,
    mut drain: tokio::sync::watch::Receiver<bool>,
) -> Result<(), String> {
    loop {
        tokio::select! {
            () = tokio::time::sleep(ASK_EVERY) => {}
            () = drained(&mut drain) => return Ok(()),
        }
        let state = engine.state();
        let waiting = state.incidents.values().filter_map(|i| i.question.as_ref()).flat_map(|q| &q.approvals);
        for person in waiting {
            let platform = person.id.split(':').next().unwrap_or_default();
            let Some(messenger) = messengers.iter().find(|m| m.platform() == platform) else { continue };
            let asked = tokio::time::timeout(Duration::from_secs(10), messenger.groups_of(&person.id)).await;
            if let Ok(Some(groups)) = asked {
                people.heard(&person.id, groups, engine.now());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";

    fn people() -> People {
        let text = "[[service]]\nname = \"shop\"\nmode = \"observe\"\n[[service.source]]\nkind = \"host\"\n";
        let config = Arc::new(crate::config::Config::parse(text, std::path::Path::new("suture.toml")).unwrap());
        let keys = BTreeMap::from([("slack:U1".to_owned(), authenticator(SECRET).unwrap())]);
        People { live: Arc::new(Live::new(config)), keys, known: Mutex::default() }
    }

    #[test]
    fn the_codes_are_those_of_the_standard() {
        // RFC 6238, appendix B, cut to six digits.
        for (seconds, code) in [(59, "287082"), (1_111_111_109, "081804"), (2_000_000_000, "279037")] {
            assert_eq!(people().check_code("slack:U1", code, Timestamp(seconds * 1000)), Ok(()));
        }
    }

    #[test]
    fn a_code_is_good_once_and_guessing_ends() {
        let people = people();
        let now = Timestamp(1_111_111_109_000);
        assert_eq!(people.check_code("slack:U1", "081804", now), Ok(()));
        assert!(people.check_code("slack:U1", "081804", now).unwrap_err().contains("used already"));
        let wrong = |people: &People, now| people.check_code("slack:U1", "000000", now).unwrap_err();
        for _ in 0..MOST_WRONG {
            assert!(wrong(&people, now).contains("not the code"));
        }
        assert!(wrong(&people, now).contains("too many"));
        assert!(wrong(&people, now.plus(FORGIVEN_AFTER)).contains("not the code"));
        assert!(people.check_code("slack:U2", "081804", now).unwrap_err().contains("[[person]]"));
    }

    #[test]
    fn what_is_no_secret_is_named_and_not_shown() {
        for text in ["", "1", "not base32!", "GEZDGNBV"] {
            let error = authenticator(text).err().unwrap();
            assert!(error.contains("Base32") && (text.len() < 2 || !error.contains(text)), "{error}");
        }
    }
}
