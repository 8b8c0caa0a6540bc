//! What stays after a run: notes for the playbook's next run, and lines for whoever reads this one.

use std::fmt::Display;

use crate::{HostError, host};

/// A note that an earlier run of this playbook left for this service, or that this run has written.
///
/// A dry run and its real run start from the same notes, so a playbook may decide by them.
#[must_use]
pub fn note(key: &str) -> Option<String> {
    host::note(key)
}

/// Writes a note: kept when the real run ends well, forgotten otherwise and after a dry run. A key has 1 to 64 bytes
/// without control characters.
///
/// # Errors
/// [`HostError::OverBudget`] when it is more than a playbook may keep for one service (16 KiB, keys and values together),
/// [`HostError::Conflict`] for a key that cannot be one.
pub fn remember(key: &str, value: impl Display) -> Result<(), HostError> {
    host::set_note(key, &value.to_string())
}

/// Forgets a note; no matter whether there was one.
pub fn forget(key: &str) {
    host::remove_note(key);
}

/// How much a line of the record matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    Debug,
    Info,
    Warn,
}

/// Writes one line into the record of the run that only a search for a fault needs.
pub fn debug(message: impl AsRef<str>) {
    host::log(Level::Debug, message.as_ref());
}

/// Writes one line into the record of the run.
pub fn info(message: impl AsRef<str>) {
    host::log(Level::Info, message.as_ref());
}

/// Writes one line that something was not as expected.
pub fn warn(message: impl AsRef<str>) {
    host::log(Level::Warn, message.as_ref());
}
