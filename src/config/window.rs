//! Windows of time in which a grant holds: `Mon-Fri 08:00-18:00 Europe/Berlin`.
//!
//! Pure: the caller says what time it is. Zones come from the machine's database, which its updates keep right, and
//! from the one in this program where the machine has none (a bare container). Called by the grants.

use std::fmt;
use std::str::FromStr;

use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;
use jiff::{ToSpan as _, Zoned};
use serde::{Deserialize, Deserializer};

use crate::model::Timestamp;

/// What a window looks like, for messages.
pub(super) const LIKE: &str = "write like \"Mon-Fri 08:00-18:00 Europe/Berlin\" or \"Sat,Sun 22:00-06:00 UTC\"";

/// Minutes of a day.
const DAY: u16 = 24 * 60;

const DAYS: [(&str, Weekday); 7] = [
    ("Mon", Weekday::Monday),
    ("Tue", Weekday::Tuesday),
    ("Wed", Weekday::Wednesday),
    ("Thu", Weekday::Thursday),
    ("Fri", Weekday::Friday),
    ("Sat", Weekday::Saturday),
    ("Sun", Weekday::Sunday),
];

/// Some hours on some days of the week, in one time zone. One that ends before it begins goes on into the next day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    text: String,
    /// By place in [`DAYS`].
    days: [bool; 7],
    /// Minutes after midnight.
    from: u16,
    /// Minutes after midnight, up to 24:00; not more than `from` when it goes on into the next day.
    until: u16,
    zone: TimeZone,
}

/// A text that is no window.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WindowError {
    /// Not three words.
    #[error("is not DAYS HH:MM-HH:MM ZONE")]
    Shape,
    /// No such day.
    #[error("`{0}` is no day: Mon, Tue, Wed, Thu, Fri, Sat, Sun, or daily")]
    Day(String),
    /// No such time.
    #[error("`{0}` is no time of day: 00:00 to 24:00")]
    Time(String),
    /// It has no length.
    #[error("it ends when it begins; a whole day is 00:00-24:00")]
    Empty,
    /// No such time zone.
    #[error("there is no time zone `{0}`; they are called like Europe/Berlin or UTC")]
    Zone(String),
}

impl Window {
    /// Is it open now?
    #[must_use]
    pub fn is_open(&self, now: Timestamp) -> bool {
        let Some(now) = self.local(now) else { return false };
        // What began yesterday may still be open.
        (-1..=0).filter_map(|days| self.on(day(&now, days)?)).any(|(from, until)| from <= now && now < until)
    }

    /// When it opens next, as people there write it: `Mon 2026-11-23 08:00 Europe/Berlin`, with the point in time.
    #[must_use]
    pub fn next_opening(&self, now: Timestamp) -> Option<(Timestamp, String)> {
        let now = self.local(now)?;
        let opens =
            (0..=8).filter_map(|days| self.on(day(&now, days)?)).map(|(from, _)| from).find(|from| *from > now)?;
        let zone = self.text.rsplit(' ').next().unwrap_or_default();
        let words = format!("{} {zone}", opens.strftime("%a %Y-%m-%d %H:%M"));
        Some((Timestamp(opens.timestamp().as_millisecond()), words))
    }

    fn local(&self, at: Timestamp) -> Option<Zoned> {
        // A time that is no time is in no window.
        Some(jiff::Timestamp::from_millisecond(at.0).ok()?.to_zoned(self.zone.clone()))
    }

    /// From when to when it is open that begins on this day. Hours that a clock change leaves out begin after it.
    fn on(&self, date: Date) -> Option<(Zoned, Zoned)> {
        let at = DAYS.iter().position(|(_, weekday)| *weekday == date.weekday())?;
        self.days.get(at).filter(|open| **open)?;
        let clock = |minutes: u16| {
            let date = if minutes >= DAY { date.checked_add(i64::from(minutes / DAY).days()).ok()? } else { date };
            let (hour, minute) = (i8::try_from(minutes % DAY / 60).ok()?, i8::try_from(minutes % 60).ok()?);
            date.at(hour, minute, 0, 0).to_zoned(self.zone.clone()).ok()
        };
        let until = if self.until <= self.from { self.until + DAY } else { self.until };
        Some((clock(self.from)?, clock(until)?))
    }
}

fn day(now: &Zoned, days: i64) -> Option<Date> {
    now.date().checked_add(days.days()).ok()
}

impl FromStr for Window {
    type Err = WindowError;

    fn from_str(text: &str) -> Result<Self, WindowError> {
        let words: Vec<_> = text.split_whitespace().collect();
        let [days, hours, zone] = words.as_slice() else { return Err(WindowError::Shape) };
        let (from, until) = hours.split_once('-').ok_or(WindowError::Shape)?;
        let (from, until) = (minutes(from)?, minutes(until)?);
        if from == until || from == DAY {
            return Err(WindowError::Empty);
        }
        let zone = TimeZone::get(zone).map_err(|_| WindowError::Zone((*zone).to_owned()))?;
        Ok(Self { text: words.join(" "), days: which_days(days)?, from, until, zone })
    }
}

/// `Mon-Fri`, `Sat,Sun`, `Fri-Mon`, `daily`.
fn which_days(text: &str) -> Result<[bool; 7], WindowError> {
    if text.eq_ignore_ascii_case("daily") {
        return Ok([true; 7]);
    }
    let place = |name: &str| {
        let found = DAYS.iter().position(|(day, _)| day.eq_ignore_ascii_case(name));
        found.ok_or_else(|| WindowError::Day(name.to_owned()))
    };
    let mut days = [false; 7];
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (place(first)?, place(last)?);
        let length = (last + 7 - first) % 7;
        for (place, open) in days.iter_mut().enumerate() {
            *open |= (place + 7 - first) % 7 <= length;
        }
    }
    Ok(days)
}

fn minutes(text: &str) -> Result<u16, WindowError> {
    let wrong = || WindowError::Time(text.to_owned());
    let (hour, minute) = text.split_once(':').ok_or_else(wrong)?;
    let number = |digits: &str| {
        let plain = digits.len() <= 2 && digits.bytes().all(|b| b.is_ascii_digit());
        digits.parse::<u16>().ok().filter(|_| plain).ok_or_else(wrong)
    };
    let (hour, minute) = (number(hour)?, number(minute)?);
    let all = hour * 60 + minute;
    if minute < 60 && all <= DAY { Ok(all) } else { Err(wrong()) }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Window {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|error| serde::de::Error::custom(format!("`{text}`: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp(text.parse::<jiff::Timestamp>().unwrap().as_millisecond())
    }

    fn window(text: &str) -> Window {
        text.parse().unwrap()
    }

    #[test]
    fn office_hours_follow_the_zone_through_the_year() {
        let office = window("Mon-Fri 08:00-18:00 Europe/Berlin");
        for (time, open) in [
            ("2026-11-20T06:59:59Z", false), // Friday, 07:59:59 in winter
            ("2026-11-20T07:00:00Z", true),
            ("2026-11-20T16:59:59Z", true),
            ("2026-11-20T17:00:00Z", false),
            ("2026-11-21T10:00:00Z", false), // Saturday
            ("2026-07-20T06:00:00Z", true),  // Monday, 08:00 in summer
            ("2026-07-20T16:30:00Z", false),
        ] {
            assert_eq!(office.is_open(at(time)), open, "{time}");
        }
        let (opens, words) = office.next_opening(at("2026-11-20T17:00:00Z")).unwrap();
        assert_eq!((opens, words.as_str()), (at("2026-11-23T07:00:00Z"), "Mon 2026-11-23 08:00 Europe/Berlin"));
        let (_, words) = office.next_opening(at("2026-11-20T05:00:00Z")).unwrap();
        assert_eq!(words, "Fri 2026-11-20 08:00 Europe/Berlin");
        let (_, words) = office.next_opening(at("2026-11-20T09:00:00Z")).unwrap();
        assert_eq!(words, "Mon 2026-11-23 08:00 Europe/Berlin");
    }

    #[test]
    fn a_night_goes_on_into_the_next_day() {
        let night = window("Sat,Sun 22:00-06:00 UTC");
        for (time, open) in [
            ("2026-11-21T21:59:00Z", false), // Saturday
            ("2026-11-21T22:00:00Z", true),
            ("2026-11-22T05:59:00Z", true),
            ("2026-11-22T06:00:00Z", false),
            ("2026-11-23T03:00:00Z", true), // Monday, of Sunday's night
            ("2026-11-24T03:00:00Z", false),
        ] {
            assert_eq!(night.is_open(at(time)), open, "{time}");
        }
    }

    #[test]
    fn days_wrap_around_the_week_and_a_whole_day_is_one() {
        let long_weekend = window("Fri-Mon 00:00-24:00 UTC");
        assert!(long_weekend.is_open(at("2026-11-22T23:59:59Z")));
        assert!(long_weekend.is_open(at("2026-11-23T23:59:59Z")), "Monday");
        assert!(!long_weekend.is_open(at("2026-11-24T00:00:00Z")), "Tuesday");
        assert!(window("daily 00:00-24:00 UTC").is_open(at("2026-11-24T00:00:00Z")));
        assert_eq!(window(" mon  08:00-9:30   UTC ").to_string(), "mon 08:00-9:30 UTC");
    }

    #[test]
    fn hours_that_the_clock_leaves_out_or_has_twice() {
        let night = window("daily 02:00-03:00 Europe/Berlin");
        // 29 March 2026: 02:00 is 03:00, so the window begins then and is over at once or an hour later, never before.
        assert!(!night.is_open(at("2026-03-29T00:59:59Z")));
        // 25 October 2026: 02:30 comes twice.
        assert!(night.is_open(at("2026-10-25T00:30:00Z")));
        assert!(night.is_open(at("2026-10-25T01:30:00Z")));
        assert!(!night.is_open(at("2026-10-25T02:00:00Z")));
    }

    #[test]
    fn what_is_no_window_says_why() {
        for (text, why) in [
            ("", "is not DAYS HH:MM-HH:MM ZONE"),
            ("08:00-18:00", "is not DAYS HH:MM-HH:MM ZONE"),
            ("Mon 08:00 UTC", "is not DAYS HH:MM-HH:MM ZONE"),
            ("Moo 08:00-18:00 UTC", "`Moo` is no day: Mon, Tue, Wed, Thu, Fri, Sat, Sun, or daily"),
            ("Mon-Fro 08:00-18:00 UTC", "`Fro` is no day: Mon, Tue, Wed, Thu, Fri, Sat, Sun, or daily"),
            ("Mon 8-18 UTC", "`8` is no time of day: 00:00 to 24:00"),
            ("Mon 08:60-18:00 UTC", "`08:60` is no time of day: 00:00 to 24:00"),
            ("Mon 08:00-24:01 UTC", "`24:01` is no time of day: 00:00 to 24:00"),
            ("Mon 08:00-+9:00 UTC", "`+9:00` is no time of day: 00:00 to 24:00"),
            ("Mon 08:00-08:00 UTC", "it ends when it begins; a whole day is 00:00-24:00"),
            (
                "Mon 08:00-18:00 Europe/Atlantis",
                "there is no time zone `Europe/Atlantis`; they are called like Europe/Berlin or UTC",
            ),
        ] {
            assert_eq!(text.parse::<Window>().unwrap_err().to_string(), why, "{text}");
        }
    }
}
