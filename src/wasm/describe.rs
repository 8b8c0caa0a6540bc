//! What a component says of itself, checked: names that can be names, bounds that are bounds, texts that can be shown.

use serde::{Deserialize, Serialize};

use super::bindings::playbook::exports::suture::plugin::remedy;
use super::bindings::rule::exports::suture::plugin::advice;
use super::limits::{ITEMS, NAME, SENTENCE, shown};
use crate::model::Args;

/// What a playbook or a rule says of itself. A rule has no parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Description {
    /// Lower case letters, digits and hyphens.
    pub name: String,
    /// Its own version.
    pub version: String,
    /// One sentence.
    pub summary: String,
    /// What it can be told.
    pub params: Vec<Param>,
}

/// One parameter of a playbook.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Param {
    /// Lower case letters, digits and hyphens.
    pub name: String,
    /// How its text is read.
    pub kind: ParamKind,
    /// Used where the argument is not given.
    pub default: Option<String>,
    /// Least value of a number.
    pub min: Option<f64>,
    /// Greatest value of a number.
    pub max: Option<f64>,
    /// One sentence.
    pub summary: String,
}

/// How the text of a parameter is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ParamKind {
    /// A whole number.
    Integer,
    /// A number.
    Number,
    /// Any text of at most 253 bytes without control characters.
    Text,
    /// `true` or `false`.
    Flag,
    /// Whole milliseconds.
    DurationMs,
}

/// An argument that the playbook's description does not allow.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArgError {
    /// No such parameter.
    #[error("playbook {playbook} has no parameter `{name}`; it has: {known}")]
    Unknown {
        /// The playbook.
        playbook: String,
        /// What was given.
        name: String,
        /// What there is.
        known: String,
    },
    /// The text is not what the parameter takes.
    #[error("playbook {playbook}: {name} = `{value}` is not {wanted}")]
    Wrong {
        /// The playbook.
        playbook: String,
        /// The parameter.
        name: String,
        /// What was given.
        value: String,
        /// What it takes.
        wanted: String,
    },
}

impl Description {
    /// The arguments that a run gets: `given` over the operator's `settings` over the defaults, each checked.
    ///
    /// # Errors
    /// The first argument that the description does not allow.
    pub fn arguments(&self, settings: &Args, given: &Args) -> Result<Args, ArgError> {
        let mut args: Args = self.params.iter().filter_map(|p| Some((p.name.clone(), p.default.clone()?))).collect();
        for (name, value) in settings.iter().chain(given) {
            let param = self.params.iter().find(|p| p.name == *name).ok_or_else(|| ArgError::Unknown {
                playbook: self.name.clone(),
                name: shown(name, 80),
                known: self.known_params(),
            })?;
            if !param.takes(value) {
                return Err(ArgError::Wrong {
                    playbook: self.name.clone(),
                    name: name.clone(),
                    value: shown(value, 80),
                    wanted: param.in_words(),
                });
            }
            args.insert(name.clone(), value.clone());
        }
        Ok(args)
    }

    fn known_params(&self) -> String {
        match self.params.as_slice() {
            [] => "none".to_owned(),
            params => params.iter().map(|p| p.name.as_str()).collect::<Vec<_>>().join(", "),
        }
    }

    /// Takes over what a playbook said.
    pub(super) fn of_playbook(said: remedy::Description) -> Result<Self, String> {
        if said.params.len() > ITEMS {
            return Err(format!("it has {} parameters; at most {ITEMS} are allowed", said.params.len()));
        }
        let params: Result<Vec<_>, _> = said.params.into_iter().map(Param::checked).collect();
        Self::checked(&said.name, &said.version, &said.summary, params?)
    }

    /// Takes over what a rule said.
    pub(super) fn of_rule(said: &advice::Description) -> Result<Self, String> {
        Self::checked(&said.name, &said.version, &said.summary, Vec::new())
    }

    fn checked(name: &str, version: &str, summary: &str, params: Vec<Param>) -> Result<Self, String> {
        if !is_a_name(name) {
            return Err(format!("its name `{}` is not 1 to 64 of a-z, 0-9 and -", shown(name, 80)));
        }
        Ok(Self { name: name.to_owned(), version: shown(version, 40), summary: shown(summary, SENTENCE), params })
    }
}

impl Param {
    fn checked(said: remedy::Param) -> Result<Self, String> {
        if !is_a_name(&said.name) {
            return Err(format!("the parameter name `{}` is not 1 to 64 of a-z, 0-9 and -", shown(&said.name, 80)));
        }
        let param = Self {
            kind: match said.kind {
                remedy::ParamKind::Integer => ParamKind::Integer,
                remedy::ParamKind::Number => ParamKind::Number,
                remedy::ParamKind::Text => ParamKind::Text,
                remedy::ParamKind::Flag => ParamKind::Flag,
                remedy::ParamKind::DurationMs => ParamKind::DurationMs,
            },
            name: said.name,
            default: said.default,
            min: said.min,
            max: said.max,
            summary: shown(&said.summary, SENTENCE),
        };
        match &param.default {
            Some(default) if !param.takes(default) => Err(format!(
                "the default `{}` of its parameter {} is not {}",
                shown(default, 80),
                param.name,
                param.in_words()
            )),
            _ => Ok(param),
        }
    }

    fn takes(&self, text: &str) -> bool {
        let in_bounds = |n: f64| n.is_finite() && self.min.is_none_or(|m| n >= m) && self.max.is_none_or(|m| n <= m);
        match self.kind {
            ParamKind::Integer => text.parse::<i64>().is_ok_and(|n| in_bounds(n as f64)),
            ParamKind::DurationMs => text.parse::<u64>().is_ok_and(|n| in_bounds(n as f64)),
            ParamKind::Number => text.parse().is_ok_and(in_bounds),
            ParamKind::Flag => text == "true" || text == "false",
            ParamKind::Text => text.len() <= NAME && !text.chars().any(char::is_control),
        }
    }

    fn in_words(&self) -> String {
        let what = match self.kind {
            ParamKind::Integer => "a whole number",
            ParamKind::Number => "a number",
            ParamKind::Text => "a text of at most 253 bytes",
            ParamKind::Flag => "true or false",
            ParamKind::DurationMs => "a time in whole milliseconds",
        };
        match (self.min, self.max) {
            (Some(min), Some(max)) => format!("{what} from {min} to {max}"),
            (Some(min), None) => format!("{what} of at least {min}"),
            (None, Some(max)) => format!("{what} of at most {max}"),
            (None, None) => what.to_owned(),
        }
    }
}

/// Can this be the name of a component? Names go into cards, commands and configs.
#[must_use]
pub fn is_a_name(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}
