//! Grants: what a playbook may do, on which targets, how far. No grant means nothing.
//!
//! Pure: asked by the playbook host before every action, by the loader of playbooks, and by whoever tells an approver
//! what a component may do at most. It never looks at a target itself.

use std::collections::BTreeSet;
use std::time::Duration;

use globset::{Glob, GlobMatcher};
use serde::Deserialize;

use super::settings::maybe_duration;
use super::window::Window;
use crate::model::{Action, ActionKind, Effect, TargetId, TargetState, Timestamp};

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
    /// Cache: the longest lifetime that may be set.
    #[serde(default, deserialize_with = "maybe_duration")]
    pub max_ttl: Option<Duration>,
    /// Traffic: the least weight that an instance may be given.
    #[serde(default)]
    pub min_weight: Option<u32>,
    /// Isolation: at most so many instances of a target out of the traffic at the same time.
    #[serde(default)]
    pub max_isolated: Option<u32>,
    /// Configuring: globs over the settings that may be changed. None: nothing may.
    #[serde(default)]
    pub settings: Vec<String>,
    /// Flushing: what may be thrown away, by what its keys begin with. None: nothing may.
    #[serde(default)]
    pub prefixes: Vec<String>,
    /// When it holds. Empty: always.
    #[serde(default)]
    pub windows: Vec<Window>,
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

    /// May the playbook do this now to a target that is in this state?
    ///
    /// # Errors
    /// [`GrantDenial`] when no single grant covers the action; grants are not added together.
    pub fn check(
        &self,
        playbook: &str,
        action: &Action,
        state: &TargetState,
        now: Timestamp,
    ) -> Result<(), GrantDenial> {
        let target = action.target();
        let kind = action.kind();
        let covering: Vec<_> = self.entries.iter().filter(|e| e.covers(playbook, target)).map(|e| &e.grant).collect();
        let allowing: Vec<_> = covering.iter().copied().filter(|g| g.allow.contains(&kind)).collect();
        let mut too_far = Vec::new();
        for grant in &allowing {
            let (passed, closed) = (limits_passed(grant, action, state), closed(grant, now));
            if passed.is_empty() && closed.is_none() {
                return Ok(());
            }
            too_far.push((grant, passed, closed));
        }
        // The grant that needs the fewest changes makes the shortest hint.
        too_far.sort_by_key(|(_, passed, closed)| (passed.len(), closed.is_some()));
        let hint = if let Some((grant, passed, closed)) = too_far.first() {
            let lines = (!passed.is_empty()).then(|| format!("in {} write\n{}", place(grant), passed.join("\n")));
            let when = closed.as_ref().map(|opens| format!("{} is closed now: {opens}", place(grant)));
            when.into_iter().chain(lines).collect::<Vec<_>>().join("; and ")
        } else if let Some(grant) = covering.first() {
            let kinds = grant.allow.iter().chain([&kind]).map(|k| format!("\"{k}\"")).collect::<Vec<_>>();
            format!("in {} write\nallow = [{}]", place(grant), kinds.join(", "))
        } else {
            format!("add\n{}", lines_for(playbook, target, kind))
        };
        Err(GrantDenial { capability: kind.name().to_owned(), target: target.to_string(), hint })
    }

    /// What the playbook may do to these targets at most, a phrase each, closed by `nothing else`: what is granted of the
    /// kinds that it imports, for it can do nothing else.
    #[must_use]
    pub fn in_words<'a>(
        &self,
        playbook: &str,
        targets: impl IntoIterator<Item = &'a TargetId>,
        imports: &BTreeSet<ActionKind>,
    ) -> Vec<String> {
        let mut words = Vec::new();
        for target in targets {
            for entry in self.entries.iter().filter(|e| e.covers(playbook, target)) {
                let mut grant = entry.grant.clone();
                grant.allow.retain(|kind| imports.contains(kind));
                words.extend(phrases(&grant, target).into_iter().filter(|p| !words.contains(p)).collect::<Vec<_>>());
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
    let mut lines = Vec::new();
    match action {
        Action::Scale { to, .. } => {
            let delta = to.abs_diff(state.replicas);
            if grant.max_delta.is_some_and(|most| delta > most) {
                lines.push(format!("max_delta = {delta}"));
            }
            if grant.min_replicas.is_some_and(|least| *to < least) {
                lines.push(format!("min_replicas = {to}"));
            }
            if grant.max_replicas.is_some_and(|most| *to > most) {
                lines.push(format!("max_replicas = {to}"));
            }
        }
        Action::Shift { weights, .. } => {
            let least = weights.values().min().copied().unwrap_or_default();
            if grant.min_weight.is_some_and(|min| least < min) {
                lines.push(format!("min_weight = {least}"));
            }
        }
        Action::Isolate { instance, isolated: true, .. } => {
            let others = state.instances.iter().filter(|i| i.isolated && i.name != *instance).count();
            let isolated = u32::try_from(others).unwrap_or(u32::MAX).saturating_add(1);
            if grant.max_isolated.is_some_and(|most| isolated > most) {
                lines.push(format!("max_isolated = {isolated}"));
            }
        }
        Action::Cache { ttl_ms, .. } => {
            if grant.max_ttl.is_some_and(|most| Duration::from_millis(*ttl_ms) > most) {
                lines.push(format!("max_ttl = \"{}\"", as_written(Duration::from_millis(*ttl_ms))));
            }
        }
        Action::Configure { setting, .. } => {
            let may = |glob: &String| Glob::new(glob).is_ok_and(|glob| glob.compile_matcher().is_match(setting));
            if !grant.settings.iter().any(may) {
                let all = grant.settings.iter().chain([setting]).map(|s| toml::Value::String(s.clone()).to_string());
                lines.push(format!("settings = [{}]", all.collect::<Vec<_>>().join(", ")));
            }
        }
        Action::Flush { prefix, .. } => {
            if !grant.prefixes.iter().any(|granted| !granted.is_empty() && prefix.starts_with(granted)) {
                let all = grant.prefixes.iter().chain([prefix]).map(|s| toml::Value::String(s.clone()).to_string());
                lines.push(format!("prefixes = [{}]", all.collect::<Vec<_>>().join(", ")));
            }
        }
        // Back into the traffic, and back to the bounds that were, is always within them.
        Action::Restart { .. }
        | Action::Rollout { .. }
        | Action::Bounds { .. }
        | Action::Isolate { isolated: false, .. } => {}
    }
    lines
}

/// When a grant that does not hold now will: `None` when it holds.
fn closed(grant: &Grant, now: Timestamp) -> Option<String> {
    if grant.windows.is_empty() || grant.windows.iter().any(|window| window.is_open(now)) {
        return None;
    }
    let next = grant.windows.iter().filter_map(|window| window.next_opening(now)).min();
    Some(next.map_or_else(|| "it never opens".to_owned(), |(_, words)| format!("it opens {words}")))
}

/// A duration as the config takes it: `1m30s`.
fn as_written(duration: Duration) -> String {
    humantime::format_duration(duration).to_string().replace(' ', "")
}

fn place(grant: &Grant) -> String {
    match grant.line {
        0 => format!("the [[grant]] for `{}`", grant.playbook),
        line => format!("the [[grant]] for `{}` at line {line}", grant.playbook),
    }
}

/// The grant that would allow these kinds of action on the targets that there are, as TOML.
#[must_use]
pub fn lines_for_all<'a>(
    playbook: &str,
    kinds: &BTreeSet<ActionKind>,
    targets: impl IntoIterator<Item = &'a TargetId>,
) -> String {
    let mut targets: Vec<_> = targets.into_iter().map(|target| format!("\"{target}\"")).collect();
    if targets.is_empty() {
        targets.push("\"KIND:NAME\"".to_owned());
    }
    let playbook = toml::Value::String(playbook.to_owned());
    let kinds_text: Vec<_> = kinds.iter().map(|kind| format!("\"{kind}\"")).collect();
    let (targets, allow) = (targets.join(", "), kinds_text.join(", "));
    format!("[[grant]]\nplaybook = {playbook}\ntargets = [{targets}]\nallow = [{allow}]{}", limits_for(kinds))
}

/// The keys without which a grant of these kinds gives nothing.
fn limits_for<'a>(kinds: impl IntoIterator<Item = &'a ActionKind>) -> String {
    let key = |kind: &ActionKind| match kind {
        ActionKind::Configure => "\nsettings = [\"NAME\"]",
        ActionKind::Flush => "\nprefixes = [\"PREFIX\"]",
        _ => "",
    };
    kinds.into_iter().map(key).collect()
}

/// The grant that would allow one kind of action, as TOML.
#[must_use]
pub fn lines_for(playbook: &str, target: &TargetId, kind: ActionKind) -> String {
    let playbook = toml::Value::String(playbook.to_owned());
    let limits = limits_for([&kind]);
    format!("[[grant]]\nplaybook = {playbook}\ntargets = [\"{target}\"]\nallow = [\"{kind}\"]{limits}")
}

/// What a grant lets a playbook do to a target: a phrase each, with how much it can hurt.
fn phrases(grant: &Grant, target: &TargetId) -> Vec<String> {
    let mut tail = grant.actions_per_hour.map_or_else(String::new, |n| format!(", {n} actions an hour"));
    for window in &grant.windows {
        tail.push_str(&format!(", {window}"));
    }
    let mut phrases = Vec::new();
    if grant.allow.contains(&ActionKind::Scale) {
        let by = grant.max_delta.map_or_else(String::new, |n| format!(" by at most {n}"));
        let range = match (grant.min_replicas, grant.max_replicas) {
            (Some(min), Some(max)) => format!("{min} to {max}; "),
            (Some(min), None) => format!("at least {min}; "),
            (None, Some(max)) => format!("at most {max}; "),
            (None, None) => String::new(),
        };
        phrases.push(format!("may scale {target}{by} ({range}{}){tail}", effect_words(ActionKind::Scale)));
    }
    for effect in ["destructive", "can be undone"] {
        let kinds = ActionKind::ALL.into_iter().filter(|kind| *kind != ActionKind::Scale && grant.allow.contains(kind));
        let words: Vec<_> =
            kinds.filter(|kind| effect_words(*kind) == effect).map(|kind| words_for(grant, kind)).collect();
        if let Some((last, others)) = words.split_last() {
            let list = if others.is_empty() { last.clone() } else { format!("{} and {last}", others.join(", ")) };
            phrases.push(format!("may {list} of {target} ({effect}){tail}"));
        }
    }
    phrases
}

/// What is done, with how far.
fn words_for(grant: &Grant, kind: ActionKind) -> String {
    match kind {
        ActionKind::Scale => "change the number of instances".to_owned(),
        ActionKind::Restart => "restart instances".to_owned(),
        ActionKind::Traffic => match grant.min_weight {
            Some(least) => format!("shift traffic (no weight below {least})"),
            None => "shift traffic".to_owned(),
        },
        ActionKind::Isolate => match grant.max_isolated {
            Some(1) => "isolate one instance at a time".to_owned(),
            Some(most) => format!("isolate at most {most} instances at a time"),
            None => "isolate instances".to_owned(),
        },
        ActionKind::Cache => match grant.max_ttl {
            Some(most) => format!("change the cache lifetime (to at most {})", as_written(most)),
            None => "change the cache lifetime".to_owned(),
        },
        ActionKind::Configure if grant.settings.is_empty() => "change no settings, for none is named,".to_owned(),
        ActionKind::Flush if grant.prefixes.is_empty() => "throw away no entries, for no prefix is named,".to_owned(),
        ActionKind::Configure => format!("change the settings {}", grant.settings.join(", ")),
        ActionKind::Flush => format!("throw away the entries {}*", grant.prefixes.join("*, ")),
    }
}

/// The effect class of a kind of action, as approvers read it.
fn effect_words(kind: ActionKind) -> &'static str {
    match kind.effect() {
        Effect::Observe => "changes nothing",
        Effect::Mutate => "can be undone",
        Effect::Destructive => "destructive",
    }
}

#[cfg(test)]
mod tests;
