//! Measures as people and machines read them: aligned text for one series, Markdown for many, JSON for both. The keys
//! of the JSON do not change without a new major version. Decides nothing and measures nothing. Called by the command
//! line.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::measures::{BUDGETS, Summary};
use super::suite::SuiteResult;

/// One summary as a JSON object.
#[must_use]
pub fn json(summary: &Summary) -> Value {
    let mut all = Map::new();
    let areas = [
        ("roc_auc", summary.roc_auc),
        ("pr_auc", summary.pr_auc),
        ("best_f1", summary.best_f1),
        ("vus_pr", summary.vus_pr),
    ];
    for (key, value) in areas {
        all.insert(key.to_owned(), json!(value));
    }
    all.insert("series".to_owned(), json!(summary.series));
    all.insert("events".to_owned(), json!(summary.events));
    all.insert("normal_days".to_owned(), json!(summary.normal_days));
    for (budget, (recall, delay)) in BUDGETS.iter().zip(&summary.within) {
        all.insert(format!("event_recall@{budget:.1}/day"), json!(recall));
        all.insert(format!("median_latency_s@{budget:.1}/day"), json!(delay));
    }
    let (rates, shipped) = (&summary.rates, &summary.shipped);
    let flag = json!({
        "accuracy": rates.accuracy,
        "fpr": rates.fpr,
        "precision": rates.precision,
        "recall": rates.recall,
        "f1": rates.f1,
        "event_recall": rates.event_recall,
        "false_alarms_per_day": rates.false_alarms_per_day,
        "event_precision": rates.event_precision,
        "median_latency_s": rates.median_delay,
        "mean_latency_s": rates.mean_delay,
        "events_with_alarm_in_15min_before": shipped.led,
        "events_found": shipped.found,
        "false_alarms": shipped.false_alarms,
        "confusion": { "tp": shipped.tp, "fp": shipped.fp, "fn": shipped.fn_, "tn": shipped.tn },
    });
    all.insert("shipped".to_owned(), flag);
    if let Some(culprit) = summary.culprit {
        let hits = json!({
            "events": culprit.events,
            "hit_at_1": share(culprit.hit1, culprit.events),
            "hit_at_3": share(culprit.hit3, culprit.events),
        });
        all.insert("culprit".to_owned(), hits);
    }
    Value::Object(all)
}

fn share(part: usize, of: usize) -> f64 {
    super::measures::round(part as f64 / of as f64, 4)
}

/// One summary as aligned text.
#[must_use]
pub fn text(summary: &Summary) -> String {
    let (rates, shipped) = (&summary.rates, &summary.shipped);
    let mut rows: Vec<(String, String)> = vec![
        ("ROC-AUC".to_owned(), figure(summary.roc_auc)),
        ("PR-AUC".to_owned(), figure(summary.pr_auc)),
        ("VUS-PR".to_owned(), figure(summary.vus_pr)),
        ("best F1".to_owned(), figure(summary.best_f1)),
        ("events".to_owned(), format!("{} in {:.1} days without one", summary.events, summary.normal_days)),
    ];
    for (budget, (recall, delay)) in BUDGETS.iter().zip(&summary.within) {
        let found = format!("{}, median delay {}", figure(Some(*recall)), delay_words(*delay));
        let alarms = if *budget == 1.0 { "alarm" } else { "alarms" };
        rows.push((format!("event recall at {budget} false {alarms} a day"), found));
    }
    rows.extend([
        (String::new(), String::new()),
        ("the alarm flag".to_owned(), String::new()),
        ("  accuracy".to_owned(), figure(rates.accuracy)),
        ("  false positive rate".to_owned(), figure(rates.fpr)),
        ("  precision".to_owned(), figure(rates.precision)),
        ("  recall".to_owned(), figure(rates.recall)),
        ("  F1".to_owned(), figure(Some(rates.f1))),
        (
            "  event recall".to_owned(),
            format!("{} ({} of {})", figure(rates.event_recall), shipped.found, summary.events),
        ),
        (
            "  false alarms a day".to_owned(),
            format!("{} ({} in all)", figure(rates.false_alarms_per_day), shipped.false_alarms),
        ),
        ("  median delay".to_owned(), delay_words(rates.median_delay)),
    ]);
    if let Some(culprit) = summary.culprit {
        let hit = |hits| format!("{} ({hits} of {})", figure(Some(share(hits, culprit.events))), culprit.events);
        rows.push((String::new(), String::new()));
        rows.push(("culprit hit@1".to_owned(), hit(culprit.hit1)));
        rows.push(("culprit hit@3".to_owned(), hit(culprit.hit3)));
    }
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let mut out = String::new();
    for (name, value) in rows {
        let line = format!("{name:width$}  {value}");
        let _ = writeln!(out, "{}", line.trim_end());
    }
    let digits =
        [shipped.tp, shipped.fp, shipped.fn_, shipped.tn].iter().max().map_or(0, |most| most.to_string().len());
    let column = digits.max("not flagged".len());
    let _ = writeln!(out, "\nrows       {:>column$}  {:>column$}", "flagged", "not flagged");
    let _ = writeln!(out, "anomalous  {:>column$}  {:>column$}", shipped.tp, shipped.fn_);
    let _ = writeln!(out, "normal     {:>column$}  {:>column$}", shipped.fp, shipped.tn);
    out
}

/// Suites as two Markdown tables: what the scores can do, and what the alarm flag does.
#[must_use]
pub fn markdown(suites: &[SuiteResult]) -> String {
    let mut scores = Grid::new(["suite", "series", "events", "ROC-AUC", "PR-AUC", "VUS-PR", "best F1"]);
    scores.head.extend(BUDGETS.iter().map(|budget| format!("events found at {budget}/day")));
    let mut flag = Grid::new([
        "suite",
        "accuracy",
        "FPR",
        "precision",
        "recall",
        "F1",
        "events found",
        "false alarms a day",
        "median delay",
        "TP",
        "FP",
        "FN",
        "TN",
        "culprit hit@1",
        "culprit hit@3",
    ]);
    for suite in suites {
        let (summary, rates, shipped) = (&suite.summary, &suite.summary.rates, &suite.summary.shipped);
        let mut row = vec![suite.name.clone(), summary.series.to_string(), summary.events.to_string()];
        row.extend([summary.roc_auc, summary.pr_auc, summary.vus_pr, summary.best_f1].map(figure));
        if summary.within.is_empty() {
            row.extend(BUDGETS.map(|_| figure(None)));
        }
        row.extend(summary.within.iter().map(|(recall, delay)| match delay {
            Some(_) => format!("{} ({})", figure(Some(*recall)), delay_words(*delay)),
            None => figure(Some(*recall)),
        }));
        scores.rows.push(row);
        let mut row = vec![suite.name.clone()];
        row.extend([rates.accuracy, rates.fpr, rates.precision, rates.recall, Some(rates.f1)].map(figure));
        row.extend([figure(rates.event_recall), figure(rates.false_alarms_per_day), delay_words(rates.median_delay)]);
        row.extend([shipped.tp, shipped.fp, shipped.fn_, shipped.tn].map(|count| count.to_string()));
        let hits = summary.culprit.map(|c| (share(c.hit1, c.events), share(c.hit3, c.events)));
        row.extend([figure(hits.map(|(one, _)| one)), figure(hits.map(|(_, three)| three))]);
        flag.rows.push(row);
    }
    format!("What the scores can do (with the median delay):\n\n{}\nThe alarm flag:\n\n{}", scores.show(), flag.show())
}

/// A Markdown table whose columns are as wide as they must be.
struct Grid {
    head: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Grid {
    fn new<const N: usize>(head: [&str; N]) -> Self {
        Self { head: head.map(str::to_owned).to_vec(), rows: Vec::new() }
    }

    fn show(&self) -> String {
        let all = || std::iter::once(&self.head).chain(&self.rows);
        let widths: Vec<usize> = (0..self.head.len())
            .map(|at| all().filter_map(|row| row.get(at)).map(|cell| cell.chars().count()).max().unwrap_or(0).max(3))
            .collect();
        let mut out = String::new();
        for (at, row) in all().enumerate() {
            // The name to the left, figures to the right.
            let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| match column {
                0 => format!("{cell:width$}"),
                _ => format!("{cell:>width$}"),
            });
            let _ = writeln!(out, "| {} |", cells.collect::<Vec<_>>().join(" | "));
            if at == 0 {
                let rule = widths.iter().enumerate().map(|(column, width)| match column {
                    0 => "-".repeat(*width),
                    _ => format!("{}:", "-".repeat(width - 1)),
                });
                let _ = writeln!(out, "| {} |", rule.collect::<Vec<_>>().join(" | "));
            }
        }
        out
    }
}

fn figure(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.4}"))
}

fn delay_words(seconds: Option<f64>) -> String {
    match seconds {
        None => "-".to_owned(),
        Some(s) if s < 120.0 => format!("{s:.0} s"),
        Some(s) if s < 7200.0 => format!("{:.0} min", s / 60.0),
        Some(s) => format!("{:.1} h", s / 3600.0),
    }
}

#[cfg(test)]
mod tests;
