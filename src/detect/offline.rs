//! The detector on a table instead of a running service: `suture detect`.
//!
//! The same training and the same scorer as in the daemon, with the settings of a service. What is different: nobody opens
//! incidents here, so the courses always move on; metrics have no known direction; and the first alarm is told, k of n being
//! the daemon's. The line of a row depends on that row and on earlier ones only.

use super::DetectSettings;
use super::judge::{THRESHOLD, risk};
use super::train::{Row, TrainingSet, train};
use crate::evaluate::Table;
use crate::model::{MetricSpec, Severity, Timestamp};

/// Milliseconds between rows that have no time.
const MINUTE: i64 = 60_000;
/// Metrics that are named for one row.
const MOST: usize = 10;
/// Parts below this explain nothing.
const LEAST: f64 = 0.01;

/// The word on one row.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// The row of the table, counted from 0.
    pub row: usize,
    /// Its time, if it has one.
    pub at: Option<Timestamp>,
    /// How unusual, in thresholds: finite, 0 or more, not bounded above.
    pub score: f64,
    /// 0 to 100 for people; 50 is the threshold.
    pub risk: f64,
    /// Would it be told?
    pub is_anomaly: bool,
    /// `Severity::None` exactly when it is no anomaly.
    pub severity: Severity,
    /// The metrics responsible, most first, with their parts.
    pub culprits: Vec<(String, f64)>,
}

/// Learns from the first `train_rows` rows and judges the others.
///
/// # Errors
/// When nothing can be learned from those rows.
pub fn detect(table: &Table, train_rows: usize, settings: &DetectSettings) -> Result<Vec<Line>, String> {
    let time = |row: usize| table.at(row).unwrap_or(Timestamp(row as i64 * MINUTE));
    let set = TrainingSet {
        service: "offline".into(),
        version: 1,
        at: time(train_rows.saturating_sub(1)),
        settings: settings.clone(),
        metrics: table.names().iter().map(|name| (name.clone(), MetricSpec::default())).collect(),
        rows: (0..train_rows).map(|row| Row { at: time(row), values: table.row(row).to_vec() }).collect(),
    };
    let mut scorer = train(set).map_err(|e| e.to_string())?.0;
    let names: Vec<&String> = table.names().iter().collect();
    // The place of each metric of the model in the table.
    let places: Vec<usize> =
        scorer.model().metrics().filter_map(|name| names.iter().position(|known| *known == name)).collect();
    let mut lines = Vec::with_capacity(table.rows().saturating_sub(train_rows));
    for row in train_rows..table.rows() {
        let all = table.row(row);
        let values: Vec<f64> = places.iter().map(|place| all.get(*place).copied().unwrap_or(f64::NAN)).collect();
        let judgement = scorer.judge(time(row), &values, false);
        scorer.take(time(row), &values);
        let is_anomaly = judgement.is_anomaly();
        let risk = if is_anomaly { risk(judgement.score) } else { risk(judgement.score.min(THRESHOLD)) };
        let mut culprits: Vec<(String, f64)> = places
            .iter()
            .zip(scorer.parts())
            .filter(|(_, part)| *part >= LEAST)
            .filter_map(|(place, part)| Some(((*names.get(*place)?).clone(), part)))
            .collect();
        // Stable: equal parts stay in the order of the columns.
        culprits.sort_by(|a, b| b.1.total_cmp(&a.1));
        culprits.truncate(MOST);
        lines.push(Line {
            row,
            at: table.at(row),
            score: judgement.score,
            risk,
            is_anomaly,
            severity: if is_anomaly { Severity::of_risk(risk) } else { Severity::None },
            culprits,
        });
    }
    Ok(lines)
}
