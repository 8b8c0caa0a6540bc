//! What can go wrong between a client and the cluster.

use std::time::Duration;

use serde_json::Value;

use super::FakeCluster;
use super::store::{Part, State};

/// One kind of trouble, for the requests that a rule takes.
#[derive(Clone, Debug)]
pub enum Fault {
    /// The request is looked at only after this long.
    Slow(Duration),
    /// Never answered, and nothing is done.
    Hang,
    /// Done, and never answered.
    HangAfterEffect,
    /// The connection ends without an answer, and nothing is done.
    Drop,
    /// Done, and the connection ends without an answer.
    DropAfterEffect,
    /// Refused with this code.
    Status(u16),
    /// 429, with the seconds to wait.
    Throttle(u64),
    /// Done, and answered with this code.
    AfterEffect(u16),
    /// A watch that is told that its version is too old, as an event of a stream that began well.
    ExpireWatch,
    /// Just before the request is looked at, somebody else puts this merge patch on the object at the path.
    Meanwhile { path: String, patch: Value },
}

#[derive(Clone, Debug)]
struct Rule {
    fault: Fault,
    method: String,
    path: String,
    left: usize,
}

#[derive(Default)]
pub struct Weather {
    rules: Vec<Rule>,
    /// No connection is served, and those that were are cut.
    pub down: bool,
}

impl Weather {
    /// What happens to this request: each rule that takes it is used up by one.
    pub fn strike(&mut self, method: &str, verb: &str, path: &str) -> Vec<Fault> {
        let mut faults = Vec::new();
        for rule in &mut self.rules {
            let taken = rule.method == "*" || rule.method == method || rule.method == verb;
            if taken && rule.left > 0 && glob(&rule.path, path) {
                rule.left = rule.left.saturating_sub(1);
                faults.push(rule.fault.clone());
            }
        }
        self.rules.retain(|rule| rule.left > 0);
        faults
    }
}

/// A fault that waits to be told where.
#[must_use = "a fault does nothing until `times` or `always`"]
pub struct Trouble<'c> {
    cluster: &'c FakeCluster,
    rule: Rule,
}

impl FakeCluster {
    /// Makes trouble for every request, unless [`Trouble::on`] narrows it.
    pub fn fault(&self, fault: Fault) -> Trouble<'_> {
        let rule = Rule { fault, method: "*".to_owned(), path: "*".to_owned(), left: 0 };
        Trouble { cluster: self, rule }
    }

    /// Ends all trouble that was ordered by [`FakeCluster::fault`].
    pub fn calm(&self) {
        self.change(|state| state.weather.rules.clear());
    }

    /// Cuts all connections and takes no new ones, or works again.
    pub fn down(&self, down: bool) {
        self.change(|state| state.weather.down = down);
    }

    /// Ends every open watch with an expiry, and forgets the past: a watch from any version of today is expired, too.
    pub fn expire_watches(&self) {
        self.change(|state| {
            // One that no watch could have started from.
            state.version += 1;
            state.floor = state.version;
            state.log.clear();
            state.pages.clear();
            state.watches_expired += 1;
        });
    }

    /// Cuts every open watch in the middle, without a word.
    pub fn cut_watches(&self) {
        self.change(|state| state.watches_cut += 1);
    }
}

impl Trouble<'_> {
    /// Only for a method (`PATCH`) or a verb (`watch`), or `*`; and for a path, where `*` stands for anything.
    pub fn on(mut self, method: &str, path: &str) -> Self {
        self.rule.method = method.to_owned();
        self.rule.path = path.to_owned();
        self
    }

    /// For the next `times` requests that it takes.
    pub fn times(mut self, times: usize) {
        self.rule.left = times;
        self.cluster.change(|state| state.weather.rules.push(self.rule));
    }

    /// Until [`FakeCluster::calm`].
    pub fn always(self) {
        self.times(usize::MAX);
    }
}

/// Somebody else's change, made in the middle of a request.
pub fn meanwhile(state: &mut State, path: &str, patch: &Value) {
    let key = super::place::parse(state, path).ok().and_then(|place| place.key());
    let key = key.unwrap_or_else(|| panic!("no object can be at {path}"));
    let mut object = state.get(&key).cloned().unwrap_or_else(|| panic!("no object is at {path}"));
    super::patch::merge(&mut object, patch);
    state.replace(&key, object, Part::Main, false).unwrap_or_else(|refusal| panic!("{path}: {}", refusal.message));
}

/// `*` stands for any characters.
pub fn glob(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = text.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = rest.get(at + part.len()..).unwrap_or_default();
    }
    rest.ends_with(last)
}
