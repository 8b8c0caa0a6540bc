//! Points in time as people type them in an audit.

use crate::model::Timestamp;

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// A text that is no point in time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a time: write 30m, 24h or 7d (ago), 14:05 (UTC), 2026-11-20, or 2026-11-20T14:05:00Z")]
pub struct WhenError(String);

/// Reads `30m`, `24h`, `7d`, `1h 30m` (that long ago), `14:05` or `14:05:30` (the last time it was so late, in UTC,
/// which all times are shown in), `2026-11-20` (its first moment), and RFC 3339.
///
/// # Errors
/// When it is none of these; the message shows them.
pub fn parse_when(text: &str, now: Timestamp) -> Result<Timestamp, WhenError> {
    let text = text.trim();
    let wrong = || WhenError(super::clean(&text.chars().take(60).collect::<String>()));
    if let Ok(ago) = humantime::parse_duration(text) {
        return Ok(now.minus(ago));
    }
    if let Some(ms) = time_of_day(text) {
        let today = Timestamp(now.0.div_euclid(DAY_MS) * DAY_MS + ms);
        return Ok(if today > now { Timestamp(today.0 - DAY_MS) } else { today });
    }
    let at = match text.parse::<jiff::civil::Date>() {
        // A text with a time of day parses as a date too, and would lose it.
        Ok(date) if text.len() == 10 => date.to_zoned(jiff::tz::TimeZone::UTC).map_err(|_| wrong())?.timestamp(),
        _ => text.parse::<jiff::Timestamp>().map_err(|_| wrong())?,
    };
    Ok(Timestamp(at.as_millisecond()))
}

/// `14:05` or `14:05:30` in milliseconds since midnight.
fn time_of_day(text: &str) -> Option<i64> {
    let mut parts = text.split(':');
    let mut next = |most: i64| {
        let part = parts.next()?;
        let plain = (1..=2).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
        part.parse().ok().filter(|n| plain && *n <= most)
    };
    let (hours, minutes) = (next(23)?, next(59)?);
    let seconds = if text.matches(':').count() == 2 { next(59)? } else { 0 };
    if parts.next().is_some() { None } else { Some(((hours * 60 + minutes) * 60 + seconds) * 1000) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-20T12:00:00Z
    const NOW: Timestamp = Timestamp(1_795_176_000_000);

    fn at(text: &str) -> String {
        parse_when(text, NOW).unwrap().to_string()
    }

    #[test]
    fn times_as_people_type_them() {
        assert_eq!(NOW.to_string(), "2026-11-20T12:00:00.000Z");
        assert_eq!(at("30m"), "2026-11-20T11:30:00.000Z");
        assert_eq!(at(" 24h "), "2026-11-19T12:00:00.000Z");
        assert_eq!(at("7d"), "2026-11-13T12:00:00.000Z");
        assert_eq!(at("1h 30m"), "2026-11-20T10:30:00.000Z");
        assert_eq!(at("09:15"), "2026-11-20T09:15:00.000Z");
        assert_eq!(at("12:00:01"), "2026-11-19T12:00:01.000Z", "later than now is yesterday's");
        assert_eq!(at("2026-11-01"), "2026-11-01T00:00:00.000Z");
        assert_eq!(at("2026-11-01T10:00:00+02:00"), "2026-11-01T08:00:00.000Z");
    }

    #[test]
    fn what_is_no_time_is_shown_what_would_be() {
        for text in ["", "soon", "25:00", "12:60", "1:2:3:4", "12:", "-5m", "2026-13-01", "7", "ü:ü", "\u{1b}[2J"] {
            let e = parse_when(text, NOW).unwrap_err().to_string();
            assert!(e.contains("30m") && !e.contains('\u{1b}'), "{e}");
        }
    }
}
