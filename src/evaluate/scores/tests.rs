use super::*;
use crate::model::Severity;

fn line(row: usize, score: f64, culprits: &[(&str, f64)]) -> Line {
    Line {
        row,
        at: None,
        score,
        risk: 51.236,
        is_anomaly: score > 1.0,
        severity: if score > 1.0 { Severity::High } else { Severity::None },
        culprits: culprits.iter().map(|(name, share)| ((*name).to_owned(), *share)).collect(),
    }
}

#[test]
fn a_name_with_a_comma_or_a_quote_survives_the_way_out_and_in() {
    let table = Table::parse("timestamp,\"cpu, user\",\"a \"\"b\"\"\"\n10,1,2\n20.5,1,2\n").unwrap();
    let lines = [line(0, 0.1 + 0.2, &[]), line(1, 1e300, &[("cpu, user", 0.75), ("a \"b\"", 0.25)])];
    let mut out = Vec::new();
    write(&mut out, &table, &lines).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert_eq!(
        text,
        "row,timestamp,score,risk,is_anomaly,severity,culprit,shares\n\
         0,10,0.30000000000000004,51.24,0,none,,\n\
         1,20.5,1e300,51.24,1,high,\"cpu, user;a \"\"b\"\"\",0.750;0.250\n"
    );
    let back = parse(&text).unwrap();
    assert_eq!(back.iter().map(|s| s.score).collect::<Vec<_>>(), [0.1 + 0.2, 1e300]);
    assert_eq!(back[1].culprits, ["cpu, user", "a \"b\""]);
    assert_eq!((back[1].at, back[1].alarm), (Some(Timestamp(20_500)), true));
    assert_eq!(interval(&back), Some(10.5));
}

#[test]
fn a_score_that_is_no_number_is_not_written() {
    let table = Table::parse("a\n1\n").unwrap();
    let mut out = Vec::new();
    let error = write(&mut out, &table, &[line(0, f64::NAN, &[])]).unwrap_err();
    assert_eq!(error.to_string(), "the detector gave row 0 the score NaN, which is no number");
    assert!(out.is_empty());
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    let cases = [
        ("row,score\n", "line 1: has no column \"is_anomaly\"; scores have at least the columns row,score,is_anomaly"),
        (
            "row,score,is_anomaly\n0,1,0\nx,1,0\n",
            "line 3, column \"row\": \"x\" is not the number of a row, counted from 0",
        ),
        ("row,score,is_anomaly\n0,inf,0\n", "line 2, column \"score\": \"inf\" is not a finite number"),
        ("row,score,is_anomaly\n0,1,yes\n", "line 2, column \"is_anomaly\": \"yes\" is not 0 or 1"),
        (
            "row,timestamp,score,is_anomaly\n0,noon,1,0\n",
            "line 2, column \"timestamp\": \"noon\" is not a point in time, in seconds since 1970 or RFC 3339",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(parse(text).unwrap_err().to_string(), expected);
    }
}

#[test]
fn labels_and_scores_must_be_about_the_same_rows() {
    let scores = || parse("row,score,is_anomaly\n3,1,0\n4,2,0\n5,3,1\n").unwrap();
    let labels = |text: &str| Labels::parse(text).unwrap();
    let joined = Series::join(labels("row,label\n4,0\n5,1\n"), scores(), 60.0).unwrap();
    assert_eq!((joined.scores, joined.alarms), (vec![2.0, 3.0], vec![false, true]));
    let cases = [
        (
            "row,label\n2,0\n3,0\n4,0\n5,1\n",
            "the labels are about 4 rows from 2 to 5, but the scores about 3 rows from 3 to 5;",
        ),
        (
            "row,label\n4,0\n5,0\n6,0\n",
            "the labels are about 3 rows from 4 to 6, but the scores about 2 rows from 4 to 5;",
        ),
        ("row,label\n9,0\n", "the labels are about 1 row from 9 to 9, but the scores about no row of theirs;"),
    ];
    for (text, expected) in cases {
        let error = Series::join(labels(text), scores(), 60.0).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
    }
}

#[test]
fn the_interval_is_the_median_step() {
    let timed = |times: &[&str]| {
        let rows: String = times.iter().enumerate().map(|(i, t)| format!("{i},{t},0,0\n")).collect();
        interval(&parse(&format!("row,timestamp,score,is_anomaly\n{rows}")).unwrap())
    };
    assert_eq!(timed(&["0", "60", "120", "1000", "1060"]), Some(60.0));
    assert_eq!(timed(&["0", "60", "180"]), Some(90.0));
    assert_eq!(timed(&["", "", ""]), None);
    assert_eq!(timed(&["5", "5", "5"]), None);
    assert_eq!(timed(&["5"]), None);
}
