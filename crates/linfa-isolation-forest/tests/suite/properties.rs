//! What holds for any data.

use linfa::DatasetBase;
use linfa::traits::Fit;
use linfa_isolation_forest::{Extension, IsolationForest};
use ndarray::Array2;
use proptest::prelude::*;

fn value() -> impl Strategy<Value = f64> {
    prop_oneof![
        6 => -10.0..10.0,
        2 => (-3_i8..3).prop_map(f64::from),
        1 => prop::num::f64::NORMAL,
        1 => Just(f64::NAN),
    ]
}

fn records() -> impl Strategy<Value = Array2<f64>> {
    (2_usize..40, 1_usize..6).prop_flat_map(|(rows, columns)| {
        prop::collection::vec(value(), rows * columns)
            .prop_map(move |values| Array2::from_shape_vec((rows, columns), values).unwrap())
    })
}

fn extension() -> impl Strategy<Value = Extension> {
    prop_oneof![Just(Extension::Axis), Just(Extension::Level(0)), Just(Extension::Full)]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn scores_shares_and_files_are_sound(
        records in records(),
        extension in extension(),
        seed in any::<u64>(),
        max_samples in 2_usize..64,
    ) {
        let dataset = DatasetBase::from(records);
        let params = IsolationForest::params().n_trees(5).max_samples(max_samples).extension(extension).seed(seed);
        let forest = params.fit(&dataset).unwrap();
        let scores = forest.score_samples(&dataset.records).unwrap();
        for (row, score) in dataset.records.outer_iter().zip(&scores) {
            let row = row.to_vec();
            prop_assert!(*score > 0.0 && *score <= 1.0, "score {score}");
            prop_assert_eq!(forest.score_one(&row).unwrap(), *score);
            let shares = forest.attribution(&row).unwrap();
            prop_assert!((shares.sum() - 1.0).abs() < 1e-9 && shares.iter().all(|s| *s >= 0.0));
            let sum = forest.contributions(&row).unwrap().sum();
            prop_assert!(((sum - 1.0).exp2() - score).abs() < 1e-9);
        }
        prop_assert_eq!(&forest, &params.fit(&dataset).unwrap());
        let text = serde_json::to_string(&forest).unwrap();
        prop_assert_eq!(&serde_json::from_str::<IsolationForest>(&text).unwrap(), &forest);
    }
}
