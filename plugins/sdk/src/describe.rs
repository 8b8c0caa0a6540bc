//! Saying what a playbook is and what it can be told.

/// What a playbook says of itself. Its version is that of the crate that exports it.
#[derive(Clone, Debug, PartialEq)]
pub struct Description {
    /// Lower case with hyphens: what rules, grants and people call it.
    pub name: String,
    /// One sentence for those who approve.
    pub summary: String,
    /// What it can be told.
    pub params: Vec<Param>,
}

/// A description without parameters.
#[must_use]
pub fn description(name: &str, summary: &str) -> Description {
    Description { name: name.to_owned(), summary: summary.to_owned(), params: Vec::new() }
}

impl Description {
    /// With one more parameter.
    #[must_use]
    pub fn with(mut self, param: Param) -> Self {
        self.params.push(param);
        self
    }
}

/// How the text of a parameter is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParamKind {
    /// A whole number.
    Integer,
    /// A number.
    Number,
    /// Any text of at most 253 bytes.
    Text,
    /// `true` or `false`.
    Flag,
    /// Whole milliseconds.
    DurationMs,
}

/// One parameter. The host checks arguments against it before the playbook sees them.
#[derive(Clone, Debug, PartialEq)]
pub struct Param {
    /// Lower case with hyphens.
    pub name: String,
    /// How its text is read.
    pub kind: ParamKind,
    /// Used where the argument is not given; `None` where the playbook decides by what it finds.
    pub default: Option<String>,
    /// Least value, for numbers and durations.
    pub min: Option<f64>,
    /// Greatest value, for numbers and durations.
    pub max: Option<f64>,
    /// One sentence.
    pub summary: String,
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

    /// A number.
    #[must_use]
    pub fn number(name: &str, summary: &str) -> Self {
        Self::new(name, ParamKind::Number, summary)
    }

    /// A text of at most 253 bytes.
    #[must_use]
    pub fn text(name: &str, summary: &str) -> Self {
        Self::new(name, ParamKind::Text, summary)
    }

    /// `true` or `false`; `false` unless given.
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

    /// Least and greatest value, both allowed.
    #[must_use]
    pub fn between(self, min: impl Into<f64>, max: impl Into<f64>) -> Self {
        self.at_least(min).at_most(max)
    }

    /// Least value.
    #[must_use]
    pub fn at_least(mut self, min: impl Into<f64>) -> Self {
        self.min = Some(min.into());
        self
    }

    /// Greatest value.
    #[must_use]
    pub fn at_most(mut self, max: impl Into<f64>) -> Self {
        self.max = Some(max.into());
        self
    }
}
