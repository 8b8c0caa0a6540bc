//! Durations as people write them: `500ms`, `30s`, `5min`. For `#[serde(with = "duration_text")]`.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serializer};

/// Writes `30s`.
///
/// # Errors
/// The serializer's own.
pub fn serialize<S: Serializer>(d: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&humantime::format_duration(*d))
}

/// Reads `30s`.
///
/// # Errors
/// When the text is not a duration.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    humantime::parse_duration(&text)
        .map_err(|e| serde::de::Error::custom(format!("`{text}` is not a duration like 500ms, 30s or 5min: {e}")))
}
