//! Arguments: the host has checked them against the description already, so reading them is short.

use std::collections::BTreeMap;

use crate::Failure;
use crate::bindings::playbook::suture::types::types::Argument;

/// The arguments of one run, by name, defaults filled in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Args(BTreeMap<String, String>);

impl Args {
    /// Arguments from pairs, for tests.
    #[must_use]
    pub fn of(pairs: &[(&str, &str)]) -> Self {
        Self(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    /// The text of an argument, if it was given or has a default.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// A whole number, if it was given or has a default.
    ///
    /// # Errors
    /// When the text is not one.
    pub fn whole<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>, Failure> {
        self.text(name)
            .map(|text| {
                text.parse().map_err(|_| Failure::InvalidArgument(format!("{name} = {text} is not a whole number")))
            })
            .transpose()
    }

    /// Was the flag set?
    #[must_use]
    pub fn flag(&self, name: &str) -> bool {
        self.text(name) == Some("true")
    }
}

impl From<Vec<Argument>> for Args {
    fn from(args: Vec<Argument>) -> Self {
        Self(args.into_iter().map(|a| (a.name, a.value)).collect())
    }
}
