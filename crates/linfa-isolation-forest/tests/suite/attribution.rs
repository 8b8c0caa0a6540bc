//! Who is to blame for a row.

use linfa_isolation_forest::{Extension, IsolationForest};

use crate::{cloud, fit};

#[test]
fn the_guilty_column_comes_first_with_every_kind_of_split() {
    let records = cloud(500, 6, 1);
    for extension in [Extension::Axis, Extension::Level(1), Extension::Full] {
        let forest = fit(IsolationForest::params().extension(extension), &records);
        for guilty in 0..6 {
            let mut row = [0.1; 6];
            row[guilty] = 7.0;
            let shares = forest.attribution(&row).unwrap();
            let first = (0..6).max_by(|&a, &b| shares[a].total_cmp(&shares[b]));
            assert_eq!(first, Some(guilty), "{extension:?}: {shares}");
            assert!((shares.sum() - 1.0).abs() < 1e-9 && shares.iter().all(|s| *s >= 0.0));
        }
    }
}

#[test]
fn one_guilty_column_gets_most_and_two_share() {
    let forest = fit(IsolationForest::params(), &cloud(500, 5, 2));
    let one = forest.attribution(&[0.0, 0.0, 8.0, 0.0, 0.0]).unwrap();
    assert!(one[2] > 0.9, "{one}");
    let two = forest.attribution(&[8.0, 0.0, -8.0, 0.0, 0.0]).unwrap();
    assert!(two[0] > 0.3 && two[2] > 0.3 && two[0] + two[2] > 0.9, "{two}");
}

#[test]
fn contributions_account_for_the_score() {
    let records = cloud(400, 4, 3);
    for extension in [Extension::Axis, Extension::Full] {
        let forest = fit(IsolationForest::params().extension(extension), &records);
        for row in [[0.0; 4], [6.0, 0.0, 0.0, 0.0], [1.0, f64::NAN, -3.0, 2.0]] {
            let sum = forest.contributions(&row).unwrap().sum();
            let score = forest.score_one(&row).unwrap();
            assert!(((sum - 1.0).exp2() - score).abs() < 1e-12, "{extension:?} {row:?}: {sum} {score}");
        }
    }
}

#[test]
fn where_nothing_contributes_all_shares_are_equal() {
    let records = ndarray::Array2::from_elem((20, 4), 1.0);
    let shares = fit(IsolationForest::params(), &records).attribution(&[9.0; 4]).unwrap();
    assert_eq!(shares.to_vec(), [0.25; 4]);
}

#[test]
fn a_missing_value_is_not_to_blame() {
    let forest = fit(IsolationForest::params(), &cloud(500, 3, 4));
    let shares = forest.attribution(&[f64::NAN, 7.0, 0.0]).unwrap();
    assert!(shares[0] < 0.05, "{shares}");
}
