//! Values as the host writes them into plans.

use std::collections::BTreeMap;

/// Generations from here on are times in seconds since the epoch: platforms that do not count restarts say since when an
/// instance has run.
const A_TIME: u64 = 1_000_000_000;

/// Does this generation say since when, not how often?
pub(super) fn is_a_time(generation: u64) -> bool {
    generation >= A_TIME
}

pub(super) fn generation_in_words(generation: u64) -> String {
    if !is_a_time(generation) {
        return format!("generation {generation}");
    }
    let (days, second) = (generation / 86_400, generation % 86_400);
    let (year, month, day) = date(days);
    let (hour, minute, second) = (second / 3600, second % 3600 / 60, second % 60);
    format!("since {year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.000Z")
}

/// Year, month and day of so many days after the first of January 1970.
fn date(mut days: u64) -> (u64, u64, u64) {
    let is_leap = |year: u64| year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
    // 400 years are always as many days, so the search for the year is short.
    let mut year = 1970 + days / 146_097 * 400;
    days %= 146_097;
    let in_year = |year| if is_leap(year) { 366 } else { 365 };
    while days >= in_year(year) {
        days -= in_year(year);
        year += 1;
    }
    let february = if is_leap(year) { 29 } else { 28 };
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    (year, month, days + 1)
}

pub(super) fn traffic_in_words(isolated: bool) -> &'static str {
    if isolated { "isolated" } else { "in traffic" }
}

pub(super) fn weights_in_words(weights: &BTreeMap<String, u32>) -> String {
    weights.iter().map(|(name, weight)| format!("{name}={weight}")).collect::<Vec<_>>().join(" ")
}

pub(super) fn setting_in_words(value: &str) -> &str {
    if value.is_empty() { "unset" } else { value }
}

pub(super) fn time_in_words(ms: u64) -> String {
    let s = ms / 1000;
    match s {
        0 => format!("{ms} ms"),
        1..=59 => format!("{:.1} s", ms as f64 / 1000.0),
        60..=3599 => format!("{} min {:02} s", s / 60, s % 60),
        _ => format!("{} h {:02} min", s / 3600, s % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generation_is_a_number_or_a_time() {
        for (generation, words) in [
            (7, "generation 7"),
            (1_000_000_000, "since 2001-09-09T01:46:40.000Z"),
            (1_709_164_800, "since 2024-02-29T00:00:00.000Z"),
            (1_767_225_599, "since 2025-12-31T23:59:59.000Z"),
            (4_107_542_400, "since 2100-03-01T00:00:00.000Z"),
            (13_574_563_200, "since 2400-02-29T00:00:00.000Z"),
        ] {
            assert_eq!(generation_in_words(generation), words);
        }
    }
}
