//! The times that people speak of: "last night", "yesterday", "in the last two hours". Days are those of UTC.

use std::time::Duration;

use super::super::command::When;
use super::words::Sentence;
use crate::model::Timestamp;

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

/// The longest "in the last ...": what is older is asked for by its day.
const MAX_BACK: Duration = Duration::from_secs(366 * 86_400);

/// From when to when; either end may be open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Span {
    /// Not before.
    pub since: Option<When>,
    /// Not after.
    pub until: Option<When>,
}

impl Span {
    fn ago(back: Duration) -> Self {
        Self { since: Some(When::Ago(back)), until: None }
    }

    /// From one point of time to another; what is still to come is left open.
    fn between(since: i64, until: i64, now: Timestamp) -> Self {
        let until = (until < now.0).then_some(When::At(Timestamp(until)));
        Self { since: Some(When::At(Timestamp(since))), until }
    }

    /// How far back that reaches from now.
    pub fn back(self, now: Timestamp) -> Option<Duration> {
        self.since.map(|when| now.since(when.resolve(now))).filter(|back| !back.is_zero() && *back <= MAX_BACK)
    }
}

/// The time that a sentence speaks of.
pub(super) fn span(s: &Sentence, now: Timestamp) -> Option<Span> {
    // Beyond these years dates have another form, and the clock is wrong anyway.
    if !(DAY_MS * 14..=250_000_000_000_000).contains(&now.0) {
        return None;
    }
    let midnight = now.0 - now.0.rem_euclid(DAY_MS);
    // The epoch began on a Thursday.
    let monday = midnight - (midnight.div_euclid(DAY_MS) + 3).rem_euclid(7) * DAY_MS;
    if s.says("last night")
        || s.says("yesterday night")
        || s.says("at night")
        || s.says("the night")
        || s.has("overnight")
    {
        // Generous at both ends: whose night it was is not known.
        return Some(Span::between(midnight - 4 * HOUR_MS, midnight + 8 * HOUR_MS, now));
    }
    if s.has("yesterday") {
        return Some(Span::between(midnight - DAY_MS, midnight, now));
    }
    if s.says("this morning") {
        return Some(Span::between(midnight, midnight + 12 * HOUR_MS, now));
    }
    if s.has("today tonight") {
        return Some(Span::between(midnight, midnight + DAY_MS, now));
    }
    if s.says("this week") {
        return Some(Span::between(monday, monday + 7 * DAY_MS, now));
    }
    if s.says("last week") {
        return Some(Span::between(monday - 7 * DAY_MS, monday, now));
    }
    if let Some(back) = counted(s) {
        return Some(Span::ago(back));
    }
    s.has("recently lately recent").then(|| Span::ago(Duration::from_secs(86_400)))
}

/// "last 2 hours", "past hour", "two days ago", "24h".
fn counted(s: &Sentence) -> Option<Duration> {
    s.words.iter().enumerate().find_map(|(i, word)| {
        let before = |back: usize| i.checked_sub(back).and_then(|i| s.words.get(i)).map_or("", String::as_str);
        if word.bytes().next().is_some_and(|b| b.is_ascii_digit()) && word.bytes().any(|b| b.is_ascii_alphabetic()) {
            return humantime::parse_duration(word).ok().filter(|d| !d.is_zero() && *d <= MAX_BACK);
        }
        let unit = unit(word)?;
        // "for two hours", "a couple of hours ago", "the last hour".
        let said = if before(1) == "of" { before(2) } else { before(1) };
        let many = number(said).or_else(|| matches!(said, "last" | "past" | "previous").then_some(1))?;
        Some(unit.saturating_mul(many)).filter(|d| !d.is_zero() && *d <= MAX_BACK)
    })
}

fn unit(word: &str) -> Option<Duration> {
    Some(Duration::from_secs(match word {
        "minute" | "minutes" | "min" | "mins" => 60,
        "hour" | "hours" | "hrs" => 3600,
        "day" | "days" => 86_400,
        "week" | "weeks" => 7 * 86_400,
        _ => return None,
    }))
}

fn number(word: &str) -> Option<u32> {
    Some(match word {
        "a" | "an" | "one" => 1,
        "two" | "couple" => 2,
        "three" | "few" => 3,
        "four" => 4,
        "five" => 5,
        "six" => 6,
        "ten" => 10,
        "twelve" => 12,
        digits => digits.parse().ok().filter(|_| digits.len() <= 4)?,
    })
}
