use std::fmt::Write as _;

use super::*;
use crate::model::Severity;

/// A folder with two suites; `z/s1` has its spike at row 70, `a/s2` and `a/s3` at 80.
fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let mut manifest = Vec::new();
    for (suite, series, spike) in [("z", "s1", 70), ("a", "s2", 80), ("a", "s3", 80)] {
        for kind in ["in", "labels"] {
            std::fs::create_dir_all(dir.path().join(kind).join(suite)).unwrap();
        }
        let (mut input, mut labels) = ("timestamp,cpu\n".to_owned(), "row,label,culprits\n".to_owned());
        for row in 0..100 {
            let anomalous = row == spike;
            let _ = writeln!(input, "{},{}", row * 300, if anomalous { 9 } else { row % 3 });
            if row >= 50 {
                let (label, culprit) = if anomalous { (1, "cpu") } else { (0, "") };
                let _ = writeln!(labels, "{row},{label},{culprit}");
            }
        }
        std::fs::write(dir.path().join(format!("in/{suite}/{series}.csv")), input).unwrap();
        std::fs::write(dir.path().join(format!("labels/{suite}/{series}.csv")), labels).unwrap();
        manifest.push(serde_json::json!({
            "suite": suite, "series": series, "input": format!("{suite}/{series}.csv"),
            "train_rows": 50, "interval_s": 300, "more": "is not looked at",
        }));
    }
    std::fs::write(dir.path().join("in/manifest.json"), serde_json::to_string(&manifest).unwrap()).unwrap();
    dir
}

/// Scores a row by its first value, and flags from 8 on.
fn simple(table: &Table, train_rows: usize) -> Result<Vec<Line>, String> {
    let line = |row: usize| Line {
        row,
        at: table.at(row),
        score: table.row(row)[0],
        risk: 0.0,
        is_anomaly: table.row(row)[0] > 8.0,
        severity: Severity::None,
        culprits: vec![("cpu".to_owned(), 1.0)],
    };
    Ok((train_rows..table.rows()).map(line).collect())
}

fn run(dir: &Path, only: &[&str], detect: &Detect<'_>) -> Result<Vec<SuiteResult>, EvaluateError> {
    let only: Vec<String> = only.iter().map(|name| (*name).to_owned()).collect();
    let manifest = Manifest::read(&dir.join("in/manifest.json"), &only)?;
    let (labels, scores) = (dir.join("labels"), dir.join("out"));
    let run =
        SuiteRun { manifest: &manifest, labels: &labels, scores: Some(&scores), detect, done: &|_| {}, threads: 2 };
    run.run()
}

#[test]
fn suites_come_by_name_and_series_as_in_the_manifest() {
    let dir = folder();
    let suites = run(dir.path(), &[], &simple).unwrap();
    let names = |suite: &SuiteResult| suite.series.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    assert_eq!(suites.iter().map(|s| s.name.as_str()).collect::<Vec<_>>(), ["a", "z"]);
    assert_eq!(names(&suites[0]), ["s2", "s3"]);
    assert_eq!(names(&suites[1]), ["s1"]);
    let summary = &suites[0].summary;
    assert_eq!((summary.series, summary.events, summary.roc_auc), (2, 2, Some(1.0)));
    assert_eq!((summary.rates.precision, summary.rates.recall), (Some(1.0), Some(1.0)));
    assert_eq!(summary.culprit.map(|c| (c.hit1, c.events)), Some((2, 2)));
    assert_eq!(suites[0].curves.len(), 2);
    assert_eq!(suites[0].curves[0].roc, vec![1.0; GRID]);
    let kept = scores::read(&dir.path().join("out/z/s1.csv")).unwrap();
    assert_eq!((kept.len(), kept[20].alarm), (50, true));
}

#[test]
fn only_some_suites() {
    let dir = folder();
    let suites = run(dir.path(), &["z"], &simple).unwrap();
    assert_eq!(suites.len(), 1);
    let error = run(dir.path(), &["q"], &simple).unwrap_err().to_string();
    assert!(error.ends_with("manifest.json: has no suite \"q\"; --only can name a, z"), "{error}");
}

#[test]
fn the_first_error_in_the_manifests_order_ends_it() {
    let dir = folder();
    let cases: [(&Detect<'_>, &str); 3] = [
        (&|_, _| Err("it is too flat".to_owned()), "s1.csv: it is too flat"),
        (
            &|table, train_rows| {
                let mut lines = simple(table, train_rows)?;
                lines[3].score = f64::INFINITY;
                Ok(lines)
            },
            "s1.csv: the detector gave row 53 the score inf, which is no number",
        ),
        (
            &|table, train_rows| simple(table, train_rows + 5),
            "s1.csv: the labels are about 50 rows from 50 to 99, but the scores about 45 rows from 55 to 99; they must end \
             at the same row, and no labelled row may lack a score",
        ),
    ];
    for (detect, expected) in cases {
        let error = run(dir.path(), &[], detect).unwrap_err().to_string();
        assert!(error.ends_with(expected), "{error}");
    }
    std::fs::remove_file(dir.path().join("in/a/s3.csv")).unwrap();
    let error = run(dir.path(), &[], &simple).unwrap_err().to_string();
    assert!(error.contains("s3.csv: cannot be read"), "{error}");
}

#[test]
fn a_manifest_that_is_none() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("manifest.json");
    let entry = r#"[{"suite":"a","series":"s","input":"s.csv","train_rows":5,"interval_s":0}]"#;
    let cases = [
        ("[]", "names no series"),
        ("{}", "is not a manifest: invalid type: map, expected a sequence at line 1 column 0"),
        (r#"[{"suite":"a"}]"#, "is not a manifest: missing field `series`"),
        (entry, "a/s: interval_s must be above 0"),
    ];
    for (text, expected) in cases {
        std::fs::write(&file, text).unwrap();
        let error = Manifest::read(&file, &[]).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let missing = Manifest::read(&dir.path().join("none.json"), &[]).unwrap_err().to_string();
    assert!(missing.contains("none.json: cannot be read"), "{missing}");
}
