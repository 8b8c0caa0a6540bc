//! What people tell the detector: that it was wrong, and that something changes on purpose.

use std::time::Duration;

use super::{IncidentId, Timestamp};

/// The longest that one deploy may keep the model quiet. Who needs longer says so again: a time that somebody forgot
/// must not hide a night.
pub const LONGEST_SETTLE: Duration = Duration::from_secs(3600);

/// An incident of which a person said that nothing was wrong.
#[derive(Clone, Debug, PartialEq)]
pub struct FalseAlarm {
    /// When it was said.
    pub at: Timestamp,
    /// Of which incident.
    pub incident: IncidentId,
    /// The incident's highest score, in thresholds as they are without any feedback.
    pub score: f64,
    /// The metrics that were held responsible.
    pub metrics: Vec<String>,
}

/// A change to a service that somebody made on purpose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deploy {
    /// When it was said.
    pub at: Timestamp,
    /// Until then the service may look unusual.
    pub until: Timestamp,
    /// What was deployed; may be empty.
    pub note: String,
    /// Who said so.
    pub by: String,
}

impl Deploy {
    /// Does the service settle at this time? Not before it was said either: a clock that was set back by a year must
    /// not keep the model quiet for one.
    #[must_use]
    pub fn is_settling(&self, at: Timestamp) -> bool {
        (self.at..self.until).contains(&at)
    }
}
