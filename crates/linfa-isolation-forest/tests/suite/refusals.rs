//! What is refused, in which words.

use linfa::traits::Fit;
use linfa::{DatasetBase, ParamGuard};
use linfa_isolation_forest::{Extension, IsolationForest, IsolationForestError, IsolationForestParams};
use ndarray::{Array2, array};

use crate::{cloud, fit};

fn refused(params: IsolationForestParams, records: Array2<f64>) -> String {
    params.fit(&DatasetBase::from(records)).unwrap_err().to_string()
}

#[test]
fn parameters() {
    let cases = [
        (IsolationForest::params().n_trees(0), "n_trees is 0: a forest needs at least one tree (100 is usual)"),
        (
            IsolationForest::params().max_samples(1),
            "max_samples is 1: give each tree between 2 and 2^30 rows (256 is usual)",
        ),
        (
            IsolationForest::params().max_depth(0),
            "max_depth is 0: a tree without a split scores every row alike; leave it unset for ceil(log2(max_samples))",
        ),
        (
            IsolationForest::params().contamination(0.0),
            "contamination is 0: it is the expected share of anomalies and must lie in (0, 0.5]",
        ),
        (
            IsolationForest::params().contamination(0.6),
            "contamination is 0.6: it is the expected share of anomalies and must lie in (0, 0.5]",
        ),
        (
            IsolationForest::params().contamination(f64::NAN),
            "contamination is NaN: it is the expected share of anomalies and must lie in (0, 0.5]",
        ),
    ];
    for (params, words) in cases {
        assert_eq!(params.check_ref().unwrap_err().to_string(), words);
        assert_eq!(refused(params, cloud(10, 2, 1)), words, "fit checks by itself");
    }
    assert!(IsolationForest::params().contamination(0.5).check().is_ok());
}

#[test]
fn too_little_data() {
    let params = IsolationForest::params;
    assert_eq!(refused(params(), Array2::zeros((0, 3))), "the data has 0 row(s): isolation needs at least two");
    assert_eq!(refused(params(), Array2::zeros((1, 3))), "the data has 1 row(s): isolation needs at least two");
    assert_eq!(refused(params(), Array2::zeros((5, 0))), "the data has 0 columns: between 1 and 2^31 - 2 are possible");
}

#[test]
fn an_infinity_by_row_and_column() {
    let mut records = cloud(10, 3, 2);
    records[[4, 1]] = f64::NEG_INFINITY;
    let words = "row 4, column 1 is -inf: training data must be finite; use NaN for a missing value";
    assert_eq!(refused(IsolationForest::params(), records), words);
}

#[test]
fn an_extension_level_beyond_the_columns() {
    let words =
        "extension level is 3 but the data has 3 column(s): the level can be at most the number of columns less one";
    assert_eq!(refused(IsolationForest::params().extension(Extension::Level(3)), cloud(10, 3, 3)), words);
}

#[test]
fn weights() {
    let refused = |weights: Vec<f32>| {
        let dataset = DatasetBase::from(cloud(3, 2, 4)).with_weights(weights.into());
        IsolationForest::params().fit(&dataset).unwrap_err().to_string()
    };
    assert_eq!(refused(vec![1.0; 2]), "2 weight(s) for 3 row(s): give one for each row or none at all");
    assert_eq!(refused(vec![1.0, -1.0, 1.0]), "the weight of row 1 is -1: weights are finite and not negative");
    assert_eq!(refused(vec![1.0, 1.0, f32::NAN]), "the weight of row 2 is NaN: weights are finite and not negative");
    assert_eq!(refused(vec![0.0, 1.0, 0.0]), "the data has 1 row(s): isolation needs at least two");
}

#[test]
fn another_width_when_scoring() {
    let mut forest = fit(IsolationForest::params(), &cloud(20, 3, 5));
    let words = "the row has 2 column(s), the forest was trained on 3";
    assert_eq!(forest.score_one(&[1.0, 2.0]).unwrap_err().to_string(), words);
    assert_eq!(forest.score_samples(&array![[1.0, 2.0]]).unwrap_err().to_string(), words);
    assert_eq!(forest.attribution(&[1.0, 2.0]).unwrap_err().to_string(), words);
    assert_eq!(forest.refresh(&DatasetBase::from(array![[1.0, 2.0]]), 1).unwrap_err().to_string(), words);
}

#[test]
fn a_refresh_that_cannot_be_leaves_the_forest_as_it_was() {
    let mut forest = fit(IsolationForest::params().n_trees(10), &cloud(20, 3, 6));
    let before = forest.clone();
    let good = DatasetBase::from(cloud(20, 3, 7));
    let error = forest.refresh(&good, 11).unwrap_err();
    assert!(matches!(error, IsolationForestError::RefreshCount { asked: 11, trees: 10 }));
    assert_eq!(error.to_string(), "cannot replace the 11 oldest trees of 10");
    assert!(forest.refresh(&DatasetBase::from(Array2::from_elem((5, 3), f64::INFINITY)), 5).is_err());
    assert_eq!(forest, before);
}
