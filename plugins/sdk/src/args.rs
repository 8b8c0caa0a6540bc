//! Arguments: the host has checked them against the description already, so reading them is short.

use std::collections::BTreeMap;
use std::str::FromStr;

use crate::{Failure, wrong_argument};

/// The arguments of one run, by name, with the defaults of the description filled in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Args(BTreeMap<String, String>);

impl Args {
    /// The argument, for a parameter that has a default: `let by: u32 = args.get("by")?`.
    ///
    /// # Errors
    /// [`Failure::InvalidArgument`] when there is no such argument, or its text is no `T`.
    pub fn get<T: FromStr>(&self, name: &str) -> Result<T, Failure> {
        self.given(name)?.ok_or_else(|| wrong_argument(format!("{name} is not given and has no default")))
    }

    /// The argument, for a parameter that may be left out: `let to: Option<u32> = args.given("to")?`.
    ///
    /// # Errors
    /// [`Failure::InvalidArgument`] when its text is no `T`.
    pub fn given<T: FromStr>(&self, name: &str) -> Result<Option<T>, Failure> {
        let read = |text: &str| text.parse().map_err(|_| wrong_argument(format!("{name} = {text} cannot be used")));
        self.text(name).map(read).transpose()
    }

    /// The text of an argument, if it was given or has a default.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Was the flag set?
    #[must_use]
    pub fn flag(&self, name: &str) -> bool {
        self.text(name) == Some("true")
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Args {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        Self(pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_argument_is_read_as_what_is_wanted_of_it() {
        let args: Args = [("by", "2"), ("share", "0.5"), ("all", "true"), ("name", "shop-2")].into_iter().collect();
        assert_eq!(args.get::<u32>("by"), Ok(2));
        assert_eq!(args.get::<f64>("share"), Ok(0.5));
        assert_eq!(args.given::<u32>("to"), Ok(None));
        assert_eq!(args.text("name"), Some("shop-2"));
        assert!(args.flag("all") && !args.flag("by") && !args.flag("none"));
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        let args: Args = [("by", "-2")].into_iter().collect();
        assert_eq!(
            args.get::<u32>("to").unwrap_err().to_string(),
            "wrong argument: to is not given and has no default"
        );
        assert_eq!(args.get::<u32>("by").unwrap_err().to_string(), "wrong argument: by = -2 cannot be used");
    }
}
