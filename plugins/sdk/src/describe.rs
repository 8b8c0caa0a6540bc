//! Saying what a playbook is and what it can be told.

pub use crate::bindings::playbook::exports::suture::plugin::remedy::Param;
use crate::{Description, ParamKind};

/// A description without parameters.
#[must_use]
pub fn description(name: &str, version: &str, summary: &str) -> Description {
    Description { name: name.to_owned(), version: version.to_owned(), summary: summary.to_owned(), params: Vec::new() }
}

impl Description {
    /// With one more parameter.
    #[must_use]
    pub fn with(mut self, param: Param) -> Self {
        self.params.push(param);
        self
    }
}

impl Param {
    fn new(name: &str, kind: ParamKind, summary: &str) -> Self {
        Self { name: name.to_owned(), kind, default: None, min: None, max: None, summary: summary.to_owned() }
    }

    /// A whole number.
    #[must_use]
    pub fn whole(name: &str, summary: &str) -> Self {
        Self::new(name, ParamKind::Integer, summary)
    }

    /// A text.
    #[must_use]
    pub fn text(name: &str, summary: &str) -> Self {
        Self::new(name, ParamKind::Text, summary)
    }

    /// `true` or `false`.
    #[must_use]
    pub fn flag(name: &str, summary: &str) -> Self {
        Self::new(name, ParamKind::Flag, summary).or("false")
    }

    /// A time in whole milliseconds.
    #[must_use]
    pub fn milliseconds(name: &str, summary: &str) -> Self {
        Self::new(name, ParamKind::DurationMs, summary)
    }

    /// Used where the argument is not given.
    #[must_use]
    pub fn or(mut self, default: impl ToString) -> Self {
        self.default = Some(default.to_string());
        self
    }

    /// Least and greatest value.
    #[must_use]
    pub fn between(mut self, min: u32, max: u32) -> Self {
        (self.min, self.max) = (Some(min.into()), Some(max.into()));
        self
    }
}
