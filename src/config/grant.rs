//! Grants: what a playbook may do, on which targets, how far. No grant means nothing.
//!
//! Pure: asked by the playbook host before every action, by the loader of playbooks, and by whoever tells an approver
//! what a component may do at most. It never looks at a target itself.

use std::collections::BTreeSet;

use globset::{Glob, GlobMatcher};
use serde::Deserialize;

use crate::model::{Action, ActionKind, TargetId, TargetState};

/// A `[[grant]]` table.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// The playbook, or a glob over names.
    pub playbook: String,
    /// Globs over targets: `local:*`.
    pub targets: Vec<String>,
    /// The kinds of action it may do.
    pub allow: Vec<ActionKind>,
    /// Scaling: most instances one action may add or take away. Left out: only the guard's limit holds.
    #[serde(default)]
    pub max_delta: Option<u32>,
    /// Scaling: never to fewer.
    #[serde(default)]
    pub min_replicas: Option<u32>,
    /// Scaling: never to more.
    #[serde(default)]
    pub max_replicas: Option<u32>,
    /// Most actions of this playbook on one target in any hour.
    #[serde(default)]
    pub actions_per_hour: Option<u32>,
    /// The line of the table in the config, from 1; 0 when it does not come from a file.
    #[serde(skip)]
    pub line: usize,
}

/// An action that no grant covers. `hint` is the lines of TOML that would allow it, with where they belong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{capability} on {target} is not granted: {hint}")]
pub struct GrantDenial {
    /// `scale`, `restart`, ...
    pub capability: String,
    /// The target.
    pub target: String,
    /// What an operator would write to allow it.
    pub hint: String,
}

/// All grants of a config, ready to be asked.
#[derive(Clone, Debug, Default)]
pub struct Grants {
    entries: Vec<Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    grant: Grant,
    playbook: GlobMatcher,
    targets: Vec<GlobMatcher>,
}

impl Entry {
    fn covers(&self, playbook: &str, target: &TargetId) -> bool {
        self.playbook.is_match(playbook) && self.covers_target(target)
    }

    fn covers_target(&self, target: &TargetId) -> bool {
        let target = target.to_string();
        self.targets.iter().any(|glob| glob.is_match(&target))
    }
}

impl Grants {
    /// Makes the grants ready.
    ///
    /// # Errors
    /// When a glob in one of them is broken; a loaded config has none that are.
    pub fn new(grants: Vec<Grant>) -> Result<Self, globset::Error> {
        let matcher = |text: &str| Glob::new(text).map(|glob| glob.compile_matcher());
        let entries: Result<_, _> = grants
            .into_iter()
            .map(|grant| {
                let playbook = matcher(&grant.playbook)?;
                let targets = grant.targets.iter().map(|glob| matcher(glob)).collect::<Result<_, _>>()?;
                Ok(Entry { grant, playbook, targets })
            })
            .collect();
        entries.map(|entries| Self { entries })
    }

    /// The grants in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = &Grant> {
        self.entries.iter().map(|entry| &entry.grant)
    }

    /// May the playbook do this to a target that is in this state?
    ///
    /// # Errors
    /// [`GrantDenial`] when no single grant covers the action; grants are not added together.
    pub fn check(&self, playbook: &str, action: &Action, state: &TargetState) -> Result<(), GrantDenial> {
        let target = action.target();
        let kind = action.kind();
        let covering: Vec<_> = self.entries.iter().filter(|e| e.covers(playbook, target)).map(|e| &e.grant).collect();
        let allowing: Vec<_> = covering.iter().copied().filter(|g| g.allow.contains(&kind)).collect();
        let mut too_far = Vec::new();
        for grant in &allowing {
            match limits_passed(grant, action, state) {
                passed if passed.is_empty() => return Ok(()),
                passed => too_far.push((grant, passed)),
            }
        }
        // The grant that needs the fewest changes makes the shortest hint.
        too_far.sort_by_key(|(_, passed)| passed.len());
        let hint = if let Some((grant, passed)) = too_far.first() {
            format!("in {} write\n{}", place(grant), passed.join("\n"))
        } else if let Some(grant) = covering.first() {
            let kinds = grant.allow.iter().chain([&kind]).map(|k| format!("\"{k}\"")).collect::<Vec<_>>();
            format!("in {} write\nallow = [{}]", place(grant), kinds.join(", "))
        } else {
            format!("add\n{}", lines_for(playbook, target, kind))
        };
        Err(GrantDenial { capability: kind.name().to_owned(), target: target.to_string(), hint })
    }

    /// What the playbook may do to these targets at most, a phrase each, closed by `nothing else`.
    #[must_use]
    pub fn in_words<'a>(&self, playbook: &str, targets: impl IntoIterator<Item = &'a TargetId>) -> Vec<String> {
        let mut words = Vec::new();
        for target in targets {
            for entry in self.entries.iter().filter(|e| e.covers(playbook, target)) {
                words.extend(
                    phrases(&entry.grant, target).into_iter().filter(|p| !words.contains(p)).collect::<Vec<_>>(),
                );
            }
        }
        words.push(if words.is_empty() { "may change nothing" } else { "nothing else" }.to_owned());
        words
    }

    /// The kinds of action that the playbook may do to at least one target its grants name: for the check at load.
    #[must_use]
    pub fn allowed_kinds(&self, playbook: &str) -> BTreeSet<ActionKind> {
        let entries = self.entries.iter().filter(|e| e.playbook.is_match(playbook));
        entries.flat_map(|e| e.grant.allow.iter().copied()).collect()
    }

    /// The kinds of action that the playbook may do to this target.
    #[must_use]
    pub fn kinds_on(&self, playbook: &str, target: &TargetId) -> BTreeSet<ActionKind> {
        let entries = self.entries.iter().filter(|e| e.covers(playbook, target));
        entries.flat_map(|e| e.grant.allow.iter().copied()).collect()
    }

    /// Most actions of this playbook on this target in any hour: the least that any grant for it says.
    #[must_use]
    pub fn actions_per_hour(&self, playbook: &str, target: &TargetId) -> Option<u32> {
        let entries = self.entries.iter().filter(|e| e.covers(playbook, target));
        entries.filter_map(|e| e.grant.actions_per_hour).min()
    }
}

/// The lines of a grant that would have to be other for this action; none when it is within them.
fn limits_passed(grant: &Grant, action: &Action, state: &TargetState) -> Vec<String> {
    let Action::Scale { to, .. } = action else { return Vec::new() };
    let delta = to.abs_diff(state.replicas);
    let mut lines = Vec::new();
    if grant.max_delta.is_some_and(|most| delta > most) {
        lines.push(format!("max_delta = {delta}"));
    }
    if grant.min_replicas.is_some_and(|least| *to < least) {
        lines.push(format!("min_replicas = {to}"));
    }
    if grant.max_replicas.is_some_and(|most| *to > most) {
        lines.push(format!("max_replicas = {to}"));
    }
    lines
}

fn place(grant: &Grant) -> String {
    match grant.line {
        0 => format!("the [[grant]] for `{}`", grant.playbook),
        line => format!("the [[grant]] for `{}` at line {line}", grant.playbook),
    }
}

/// The grant that would allow one kind of action, as TOML.
#[must_use]
pub fn lines_for(playbook: &str, target: &TargetId, kind: ActionKind) -> String {
    let playbook = toml::Value::String(playbook.to_owned());
    format!("[[grant]]\nplaybook = {playbook}\ntargets = [\"{target}\"]\nallow = [\"{kind}\"]")
}

fn phrases(grant: &Grant, target: &TargetId) -> Vec<String> {
    let hourly = grant.actions_per_hour.map_or_else(String::new, |n| format!(", {n} actions an hour"));
    let mut phrases = Vec::new();
    if grant.allow.contains(&ActionKind::Scale) {
        let by = grant.max_delta.map_or_else(String::new, |n| format!(" by at most {n}"));
        let range = match (grant.min_replicas, grant.max_replicas) {
            (Some(min), Some(max)) => format!(" ({min} to {max})"),
            (Some(min), None) => format!(" (at least {min})"),
            (None, Some(max)) => format!(" (at most {max})"),
            (None, None) => String::new(),
        };
        phrases.push(format!("may scale {target}{by}{range}{hourly}"));
    }
    let rest: Vec<_> = ActionKind::ALL
        .into_iter()
        .filter(|kind| grant.allow.contains(kind))
        .filter_map(|kind| match kind {
            ActionKind::Scale => None,
            ActionKind::Restart => Some("restart instances"),
            ActionKind::Traffic => Some("shift traffic"),
            ActionKind::Isolate => Some("isolate instances"),
            ActionKind::Cache => Some("change the cache lifetime"),
        })
        .collect();
    if let Some((last, others)) = rest.split_last() {
        let list = if others.is_empty() { (*last).to_owned() } else { format!("{} and {last}", others.join(", ")) };
        phrases.push(format!("may {list} of {target}{hourly}"));
    }
    phrases
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grants(toml: &str) -> Grants {
        #[derive(Deserialize)]
        struct File {
            grant: Vec<Grant>,
        }
        Grants::new(toml::from_str::<File>(toml).unwrap().grant).unwrap()
    }

    fn shop() -> TargetId {
        "local:shop".parse().unwrap()
    }

    fn state(replicas: u32) -> TargetState {
        TargetState { replicas, min_replicas: 1, max_replicas: 100, instances: Vec::new(), cache_ttl_ms: None }
    }

    fn scale(to: u32) -> Action {
        Action::Scale { target: shop(), to }
    }

    fn restart() -> Action {
        Action::Restart { target: shop(), instance: "shop-1".to_owned() }
    }

    const SCALE_OUT: &str = r#"
        [[grant]]
        playbook = "scale-*"
        targets = ["local:*"]
        allow = ["scale"]
        max_delta = 3
        min_replicas = 1
        max_replicas = 8
    "#;

    #[test]
    fn without_a_grant_nothing_is_allowed_and_the_hint_is_the_grant() {
        let denial = Grants::default().check("scale-out", &scale(4), &state(2)).unwrap_err();
        assert_eq!((denial.capability.as_str(), denial.target.as_str()), ("scale", "local:shop"));
        let toml = denial.hint.strip_prefix("add\n").unwrap();
        grants(toml).check("scale-out", &scale(4), &state(2)).unwrap();
    }

    #[test]
    fn a_grant_covers_what_its_globs_and_limits_say() {
        let grants = grants(SCALE_OUT);
        grants.check("scale-out", &scale(5), &state(2)).unwrap();
        grants.check("scale-in", &scale(1), &state(2)).unwrap();
        assert!(grants.check("restart-service", &scale(3), &state(2)).is_err(), "another playbook");
        assert!(grants.check("scale-out", &restart(), &state(2)).is_err(), "another kind");
        let elsewhere = Action::Scale { target: "k8s:shop".parse().unwrap(), to: 3 };
        assert!(grants.check("scale-out", &elsewhere, &state(2)).is_err(), "another target");
    }

    #[test]
    fn past_a_limit_the_hint_names_the_lines_to_change() {
        let denial = grants(SCALE_OUT).check("scale-out", &scale(12), &state(2)).unwrap_err();
        assert_eq!(denial.hint, "in the [[grant]] for `scale-*` write\nmax_delta = 10\nmax_replicas = 12");
        let denial = grants(SCALE_OUT).check("scale-out", &scale(0), &state(2)).unwrap_err();
        assert_eq!(denial.hint, "in the [[grant]] for `scale-*` write\nmin_replicas = 0");
        let denial = grants(SCALE_OUT).check("scale-out", &restart(), &state(2)).unwrap_err();
        assert_eq!(denial.hint, "in the [[grant]] for `scale-*` write\nallow = [\"scale\", \"restart\"]");
    }

    #[test]
    fn shrinking_counts_like_growing() {
        assert!(grants(SCALE_OUT).check("scale-out", &scale(2), &state(8)).is_err());
    }

    #[test]
    fn grants_are_not_added_together() {
        let grants = grants(
            r#"
            [[grant]]
            playbook = "p"
            targets = ["local:shop"]
            allow = ["scale"]
            max_delta = 1
            [[grant]]
            playbook = "p"
            targets = ["local:shop"]
            allow = ["restart"]
            max_delta = 9
            "#,
        );
        assert!(grants.check("p", &scale(4), &state(2)).is_err());
        assert_eq!(grants.allowed_kinds("p"), [ActionKind::Scale, ActionKind::Restart].into());
        assert!(grants.allowed_kinds("q").is_empty());
    }

    #[test]
    fn in_words_for_an_approver() {
        let words = grants(SCALE_OUT).in_words("scale-out", &[shop()]);
        assert_eq!(words, ["may scale local:shop by at most 3 (1 to 8)", "nothing else"]);
        let wide = grants(
            "[[grant]]\nplaybook = \"*\"\ntargets = [\"*\"]\nallow = [\"cache\", \"restart\", \"traffic\"]\n\
             actions_per_hour = 4\n",
        );
        let words = wide.in_words("any", &[shop()]);
        assert_eq!(
            words,
            [
                "may restart instances, shift traffic and change the cache lifetime of local:shop, 4 actions an hour",
                "nothing else"
            ]
        );
        assert_eq!(wide.actions_per_hour("any", &shop()), Some(4));
        assert_eq!(Grants::default().in_words("any", &[shop()]), ["may change nothing"]);
    }
}
