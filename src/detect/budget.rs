//! How often the detector may be wrong, in words: `at most one a day`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer};

/// More than this in any unit is a typing mistake, or a wish for no detector.
const MOST: u32 = 1000;
/// The words of the numbers that people write out.
const NUMBERS: [&str; 10] = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"];

/// How many false alarms the operator can live with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    count: u32,
    each: Unit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Hour,
    Day,
    Week,
    Month,
}

impl Unit {
    const ALL: [(&'static str, Self); 4] =
        [("hour", Self::Hour), ("day", Self::Day), ("week", Self::Week), ("month", Self::Month)];

    fn days(self) -> f64 {
        match self {
            Self::Hour => 1.0 / 24.0,
            Self::Day => 1.0,
            Self::Week => 7.0,
            Self::Month => 30.0,
        }
    }
}

impl Budget {
    /// False alarms a day; more than 0.
    #[must_use]
    pub fn per_day(self) -> f64 {
        f64::from(self.count) / self.each.days()
    }
}

/// At most one a day.
impl Default for Budget {
    fn default() -> Self {
        Self { count: 1, each: Unit::Day }
    }
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = Unit::ALL.iter().find(|(_, unit)| *unit == self.each).map_or("day", |(word, _)| *word);
        let a = if self.each == Unit::Hour { "an" } else { "a" };
        match NUMBERS.get((self.count as usize).wrapping_sub(1)) {
            Some(number) => write!(f, "at most {number} {a} {unit}"),
            None => write!(f, "at most {} {a} {unit}", self.count),
        }
    }
}

/// Words that are no budget.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BudgetError {
    /// None at all.
    #[error("`{0}` cannot be kept: a detector that may never be wrong never speaks; `at most one a month` is strict")]
    Never(String),
    /// Too many.
    #[error("`{0}` is more than {MOST}: write a number that people would put up with, such as `at most one a day`")]
    TooMany(String),
    /// Not understood.
    #[error("`{0}` is not how often something may happen, like `at most one a day` or `3 a week`")]
    Unclear(String),
}

impl FromStr for Budget {
    type Err = BudgetError;

    /// Reads `at most one a day`, `3 a week`, `twice a month`, `1/day`.
    fn from_str(text: &str) -> Result<Self, BudgetError> {
        let said = || text.trim().chars().take(60).collect::<String>();
        let lower = text.to_lowercase().replace('/', " / ");
        let words: Vec<&str> = lower.split_whitespace().collect();
        let words = words.strip_prefix(["at", "most"].as_slice()).unwrap_or(&words);
        let (number, unit) = match words {
            ["none" | "never" | "no" | "zero" | "nothing", ..] => return Err(BudgetError::Never(said())),
            [number, "a" | "an" | "per" | "each" | "every" | "/", unit] => (*number, *unit),
            _ => return Err(BudgetError::Unclear(said())),
        };
        let each = Unit::ALL.iter().find(|(word, _)| *word == unit).map(|(_, unit)| *unit);
        let each = each.ok_or_else(|| BudgetError::Unclear(said()))?;
        match count(number).ok_or_else(|| BudgetError::Unclear(said()))? {
            0 => Err(BudgetError::Never(said())),
            count if count > MOST => Err(BudgetError::TooMany(said())),
            count => Ok(Self { count, each }),
        }
    }
}

fn count(word: &str) -> Option<u32> {
    match word {
        "once" => Some(1),
        "twice" => Some(2),
        // As many as there may be: whatever the number of digits, it is too many.
        digits if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => {
            Some(digits.parse().unwrap_or(u32::MAX))
        }
        word => (1..).zip(NUMBERS).find(|(_, number)| *number == word).map(|(count, _)| count),
    }
}

impl<'de> Deserialize<'de> for Budget {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Budget {
        text.parse().unwrap_or_else(|e| panic!("{text}: {e}"))
    }

    fn refused(text: &str) -> String {
        text.parse::<Budget>().unwrap_err().to_string()
    }

    #[test]
    fn what_people_write() {
        for (text, words, per_day) in [
            ("at most one a day", "at most one a day", 1.0),
            ("At Most 3 a week", "at most three a week", 3.0 / 7.0),
            ("at most two a month", "at most two a month", 2.0 / 30.0),
            ("one a day", "at most one a day", 1.0),
            ("1/day", "at most one a day", 1.0),
            (" 12 /  week ", "at most 12 a week", 12.0 / 7.0),
            ("twice a week", "at most two a week", 2.0 / 7.0),
            ("ten per hour", "at most ten an hour", 240.0),
            ("at most once every month", "at most one a month", 1.0 / 30.0),
        ] {
            let budget = read(text);
            assert_eq!((budget.to_string().as_str(), budget.per_day()), (words, per_day), "{text}");
            assert_eq!(read(words), budget, "its own words read back");
        }
        assert_eq!(Budget::default(), read("at most one a day"));
    }

    #[test]
    fn never_is_refused_with_the_reason() {
        for text in ["none", "never", "0 a day", "at most zero a week", "at most 0/month", "no false alarms"] {
            assert!(refused(text).contains("a detector that may never be wrong never speaks"), "{text}");
        }
    }

    #[test]
    fn what_is_not_understood_is_shown_how_it_is_written() {
        for text in [
            "",
            "often",
            "one",
            "a day",
            "one a",
            "one day",
            "-1 a day",
            "1.5 a day",
            "at least one a day",
            "one a day or two",
            "eleven a day",
            "one a fortnight",
            "one a days",
            "/",
        ] {
            assert!(refused(text).contains("like `at most one a day` or `3 a week`"), "{text}: {}", refused(text));
        }
        assert!(refused("1001 a day").contains("more than 1000"));
        assert!(refused("99999999999999999999 a day").contains("more than 1000"));
        assert!(refused(&"x".repeat(100_000)).len() < 300);
    }
}
