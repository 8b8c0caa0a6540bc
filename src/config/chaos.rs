//! What suture.toml says about experiments: whether they are allowed at all, where the operator's are, and when which are due.
//!
//! Asks for nothing and starts nothing: an experiment that is due is asked about like one that a person asked for. Called by
//! the config and by whoever looks at the schedules.

use std::path::PathBuf;

use serde::Deserialize;

use super::window::Window;
use crate::model::{ServiceId, Timestamp};

/// `chaos` of `[suture]`: may anything be put into the services of this environment on purpose?
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChaosAllow {
    /// When people said yes to the plan.
    #[default]
    Approve,
    /// Not at all, whoever says yes.
    Never,
}

/// The table `[chaos]`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ChaosSettings {
    /// The folder of the operator's experiments, relative to the config; none when left out.
    pub dir: Option<PathBuf>,
    /// What is asked about by itself, in the order of the file.
    #[serde(rename = "schedule")]
    pub schedules: Vec<ScheduleSettings>,
}

/// A table `[[chaos.schedule]]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScheduleSettings {
    /// The name of an experiment.
    pub experiment: String,
    /// On which service.
    pub service: ServiceId,
    /// When; once each time that it opens.
    pub window: Window,
}

impl ScheduleSettings {
    /// Is it to be asked about now? `asked` is when it was asked about last: once a window is enough, whatever came of it,
    /// and also when Suture was restarted in between.
    #[must_use]
    pub fn is_due(&self, now: Timestamp, asked: Option<Timestamp>) -> bool {
        let same_window = |asked: Timestamp| {
            // The clock may have been set back: what was asked later than now was asked just now.
            let opened_since = self.window.next_opening(asked).is_some_and(|(opens, _)| opens <= now);
            self.window.is_open(asked) && !opened_since
        };
        self.window.is_open(now) && !asked.is_some_and(same_window)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp(text.parse::<jiff::Timestamp>().unwrap().as_millisecond())
    }

    fn settings(text: &str) -> Result<ChaosSettings, String> {
        toml::from_str(text).map_err(|e| e.message().to_owned())
    }

    #[test]
    fn the_table_is_read_strictly() {
        assert_eq!(settings("").unwrap(), ChaosSettings::default());
        let window = "window = \"Tue 10:00-12:00 Europe/Berlin\"";
        let text = format!("dir = \"chaos\"\n[[schedule]]\nexperiment = \"latency\"\nservice = \"shop\"\n{window}\n");
        let read = settings(&text).unwrap();
        assert_eq!(read.dir, Some(PathBuf::from("chaos")));
        assert_eq!(read.schedules[0].window.to_string(), "Tue 10:00-12:00 Europe/Berlin");
        assert!(settings("folder = \"x\"").unwrap_err().starts_with("unknown field `folder`"));
        assert!(settings("[[schedule]]\nexperiment = \"x\"\n").unwrap_err().starts_with("missing field `service`"));
        let why = settings("[[schedule]]\nexperiment = \"x\"\nservice = \"y\"\nwindow = \"soon\"").unwrap_err();
        assert!(why.contains("is not DAYS HH:MM-HH:MM ZONE"), "{why}");
    }

    #[test]
    fn the_word_for_an_environment() {
        #[derive(Deserialize)]
        struct Table {
            chaos: ChaosAllow,
        }
        let read = |word: &str| toml::from_str::<Table>(&format!("chaos = \"{word}\"")).map(|t| t.chaos);
        assert_eq!(read("never").unwrap(), ChaosAllow::Never);
        assert_eq!(read("approve").unwrap(), ChaosAllow::default());
        assert!(read("auto").is_err());
    }

    #[test]
    fn once_a_window_and_again_in_the_next() {
        let schedule = ScheduleSettings {
            experiment: "latency".to_owned(),
            service: "shop".into(),
            window: "Tue 10:00-12:00 UTC".parse().unwrap(),
        };
        let due = |now: &str, asked: Option<&str>| schedule.is_due(at(now), asked.map(at));
        assert!(!due("2026-11-24T09:59:59Z", None));
        assert!(due("2026-11-24T10:00:00Z", None));
        assert!(!due("2026-11-24T11:59:59Z", Some("2026-11-24T10:00:00Z")), "once a window");
        assert!(!due("2026-11-24T12:00:00Z", None));
        assert!(due("2026-12-01T10:30:00Z", Some("2026-11-24T10:00:00Z")), "a week later");
        assert!(due("2026-11-24T10:30:00Z", Some("2026-11-24T09:00:00Z")), "outside of any window");
        assert!(!due("2026-11-24T10:30:00Z", Some("2026-11-24T10:31:00Z")), "the clock was set back");
    }

    #[test]
    fn a_window_without_an_end_opens_every_day() {
        let schedule = ScheduleSettings {
            experiment: "latency".to_owned(),
            service: "shop".into(),
            window: "daily 00:00-24:00 UTC".parse().unwrap(),
        };
        assert!(!schedule.is_due(at("2026-11-24T23:59:59Z"), Some(at("2026-11-24T00:00:00Z"))));
        assert!(schedule.is_due(at("2026-11-25T00:00:00Z"), Some(at("2026-11-24T00:00:00Z"))));
    }
}
