//! Awkward data: missing, constant, duplicated, huge, tiny.

use linfa_isolation_forest::{Extension, IsolationForest};
use ndarray::{Array2, array, s};

use crate::{cloud, fit, scores};

const KINDS: [Extension; 3] = [Extension::Axis, Extension::Level(1), Extension::Full];

#[test]
fn identical_rows_are_all_average() {
    for extension in KINDS {
        let scores = scores(IsolationForest::params().extension(extension), &Array2::from_elem((50, 3), 7.0));
        assert!(scores.iter().all(|&s| (s - 0.5).abs() < 1e-12), "{extension:?}: {scores}");
    }
}

#[test]
fn duplicates_share_a_score_and_a_lone_row_stands_out() {
    let mut records = Array2::from_elem((100, 2), 1.0);
    records.row_mut(40).fill(2.0);
    let scores = scores(IsolationForest::params(), &records);
    assert!(scores.iter().enumerate().all(|(i, s)| i == 40 || *s == scores[0]));
    assert!(scores[40] > 0.85 && scores[0] < 0.5, "{} {}", scores[40], scores[0]);
}

#[test]
fn a_constant_column_changes_nothing() {
    let mut records = cloud(300, 3, 1);
    records.column_mut(1).fill(5.0);
    let forest = fit(IsolationForest::params(), &records);
    let row = [0.1, 5.0, 0.2];
    assert_eq!(forest.score_one(&row).unwrap(), forest.score_one(&[0.1, -1e9, 0.2]).unwrap());
    assert_eq!(forest.contributions(&[4.0, 5.0, 0.2]).unwrap()[1], 0.0);
}

#[test]
fn a_missing_value_alone_is_no_anomaly_and_hides_no_other() {
    let mut records = cloud(500, 4, 2);
    for i in 0..100 {
        records[[i, i % 4]] = f64::NAN;
    }
    for extension in KINDS {
        let forest = fit(IsolationForest::params().extension(extension), &records);
        let score = |row: &[f64]| forest.score_one(row).unwrap();
        assert!(score(&[0.0, f64::NAN, 0.0, 0.0]) < 0.5, "{extension:?}");
        assert!(score(&[f64::NAN; 4]) < 0.5, "{extension:?}");
        let typical = score(&[0.0; 4]);
        assert!(score(&[7.0, f64::NAN, 7.0, 7.0]) > typical + 0.1, "{extension:?}");
    }
}

#[test]
fn a_missing_value_scores_no_higher_than_the_extremes() {
    let records = cloud(500, 2, 3);
    let forest = fit(IsolationForest::params(), &records);
    let missing = forest.score_one(&[f64::NAN, 0.0]).unwrap();
    assert!(missing < forest.score_one(&[-4.0, 0.0]).unwrap());
    assert!(missing < forest.score_one(&[4.0, 0.0]).unwrap());
}

#[test]
fn the_sign_of_nan_does_not_matter() {
    let forest = fit(IsolationForest::params(), &cloud(300, 2, 4));
    assert_eq!(forest.score_one(&[f64::NAN, 1.0]).unwrap(), forest.score_one(&[-f64::NAN, 1.0]).unwrap());
}

#[test]
fn a_column_without_any_value_is_ignored() {
    let mut records = cloud(200, 3, 5);
    records.column_mut(2).fill(f64::NAN);
    for extension in KINDS {
        let forest = fit(IsolationForest::params().extension(extension), &records);
        let score = |last: f64| forest.score_one(&[0.3, 0.1, last]).unwrap();
        assert_eq!(score(f64::NAN), score(1e6), "{extension:?}");
    }
}

#[test]
fn an_infinity_scores_as_far_outside() {
    for extension in KINDS {
        let forest = fit(IsolationForest::params().extension(extension), &cloud(300, 3, 6));
        for row in [[f64::INFINITY, 0.0, 0.0], [f64::NEG_INFINITY, 0.0, 0.0], [f64::INFINITY, f64::NEG_INFINITY, 0.0]] {
            let score = forest.score_one(&row).unwrap();
            assert!(score > 0.0 && score <= 1.0, "{extension:?}");
            let shares = forest.attribution(&row).unwrap();
            assert!((shares.sum() - 1.0).abs() < 1e-9, "{extension:?}: {shares}");
        }
        let far = forest.score_one(&[1e300, 0.0, 0.0]).unwrap();
        assert_eq!(forest.score_one(&[f64::INFINITY, 0.0, 0.0]).unwrap(), far, "{extension:?}");
    }
}

#[test]
fn the_ends_of_the_number_line_neither_overflow_nor_hang() {
    let mut records = cloud(100, 2, 7);
    records[[3, 0]] = f64::MAX;
    records[[4, 0]] = f64::MIN;
    records[[5, 1]] = f64::MIN_POSITIVE;
    for extension in KINDS {
        let scores = scores(IsolationForest::params().extension(extension), &records);
        assert!(scores.iter().all(|s| *s > 0.0 && *s <= 1.0), "{extension:?}");
    }
}

#[test]
fn both_zeros_are_one_number() {
    let mut records = cloud(200, 1, 8);
    records.slice_mut(s![..100, ..]).fill(-0.0);
    records.slice_mut(s![100..150, ..]).fill(0.0);
    let forest = fit(IsolationForest::params(), &records);
    assert_eq!(forest.score_one(&[0.0]).unwrap(), forest.score_one(&[-0.0]).unwrap());
}

#[test]
fn neighbouring_counters_are_told_apart() {
    let mut records = Array2::from_elem((200, 1), 1.7e9);
    records[[0, 0]] = 1.7e9 + 1.0;
    let scores = scores(IsolationForest::params(), &records);
    assert!(scores[0] > scores[1] + 0.3);
}

#[test]
fn two_rows_suffice() {
    let scores = scores(IsolationForest::params(), &array![[0.0, 1.0], [1.0, 1.0]]);
    assert_eq!(scores, array![0.5, 0.5]);
}

#[test]
fn targets_play_no_part() {
    use linfa::{Dataset, traits::Fit};
    let records = cloud(100, 2, 9);
    let labelled = Dataset::new(records.clone(), ndarray::Array1::from_elem(100, 3_usize));
    let forest = IsolationForest::params().fit(&labelled).unwrap();
    assert_eq!(forest, fit(IsolationForest::params(), &records));
}
