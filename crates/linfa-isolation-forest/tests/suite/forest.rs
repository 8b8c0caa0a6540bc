//! What a forest does: ranks, repeats itself, predicts, refreshes.

use linfa::DatasetBase;
use linfa::prelude::ToConfusionMatrix;
use linfa::traits::{Fit, Predict};
use linfa_isolation_forest::{Extension, IsolationForest};
use ndarray::{Array1, Array2, Axis, array, concatenate, s};

use crate::{cloud, fit, rank_correlation, scores};

#[test]
fn an_obvious_outlier_ranks_first_with_every_kind_of_split() {
    let mut records = cloud(600, 5, 1);
    records.row_mut(333).fill(9.0);
    for extension in [Extension::Axis, Extension::Level(0), Extension::Level(2), Extension::Full] {
        let scores = scores(IsolationForest::params().extension(extension), &records);
        let first = (0..600).max_by(|&a, &b| scores[a].total_cmp(&scores[b]));
        assert_eq!(first, Some(333), "{extension:?}");
        assert!(scores[333] > 0.7, "{extension:?}: {}", scores[333]);
    }
}

#[test]
fn a_hyperplane_sees_what_lies_between_the_axes() {
    // Two clouds on a diagonal. The other diagonal's corners are as wide on each axis (Hariri et al., figure 2).
    let mut records = cloud(1000, 2, 2);
    records.slice_mut(s![..500, ..]).map_inplace(|v| *v += 10.0);
    let ghost = [0.0, 10.0];
    let contrast = |extension| {
        let forest = fit(IsolationForest::params().extension(extension), &records);
        forest.score_one(&ghost).unwrap() - forest.score_one(&[3.5, 0.0]).unwrap()
    };
    let (axis, plane) = (contrast(Extension::Axis), contrast(Extension::Full));
    assert!(plane > axis, "the empty corner: axis {axis}, hyperplane {plane}");
}

#[test]
fn the_order_of_rows_does_not_matter() {
    let records = cloud(400, 4, 3);
    let turned = records.slice(s![..;-1, ..]).to_owned();
    let params = IsolationForest::params().n_trees(300);
    let (a, b) = (scores(params.clone(), &records), scores(params, &turned));
    let b: Vec<f64> = b.iter().rev().copied().collect();
    assert!(rank_correlation(&a.to_vec(), &b) > 0.97);
}

#[test]
fn the_order_of_columns_does_not_matter() {
    let records = cloud(400, 4, 3);
    let turned = records.slice(s![.., ..;-1]).to_owned();
    let params = IsolationForest::params().n_trees(300);
    let (a, b) = (scores(params.clone(), &records), scores(params, &turned));
    assert!(rank_correlation(&a.to_vec(), &b.to_vec()) > 0.97);
}

#[test]
fn one_seed_gives_one_forest_on_any_number_of_threads() {
    let records = cloud(12_000, 3, 4);
    let params = IsolationForest::params().n_trees(600).seed(9);
    let alone = fit(params.clone().n_threads(1), &records);
    let scores = alone.score_samples(&records).unwrap();
    for threads in [2, 3, 7] {
        let forest = fit(params.clone().n_threads(threads), &records);
        assert_eq!(scores, forest.score_samples(&records).unwrap(), "{threads} threads");
    }
    assert_ne!(scores, fit(params.seed(10), &records).score_samples(&records).unwrap());
}

#[test]
fn a_batch_scores_each_row_as_it_is_scored_alone() {
    let mut records = cloud(301, 7, 5);
    records[[290, 3]] = f64::NAN;
    for extension in [Extension::Axis, Extension::Full] {
        let forest = fit(IsolationForest::params().extension(extension), &records);
        let rows = records.slice(s![..;3, ..]);
        for layout in [rows.to_owned(), rows.t().as_standard_layout().to_owned().reversed_axes()] {
            let batch = forest.score_samples(&layout).unwrap();
            for (row, score) in rows.outer_iter().zip(&batch) {
                assert_eq!(forest.score_one(&row.to_vec()).unwrap(), *score, "{extension:?}");
            }
        }
    }
}

#[test]
fn more_columns_than_fit_the_stack_score_alike() {
    let records = cloud(64, 150, 6);
    let forest = fit(IsolationForest::params(), &records);
    let batch = forest.score_samples(&records).unwrap();
    assert_eq!(forest.score_one(&records.row(5).to_vec()).unwrap(), batch[5]);
}

#[test]
fn contamination_is_the_share_of_training_rows_predicted() {
    let records = cloud(1000, 4, 7);
    let forest = fit(IsolationForest::params().contamination(0.05), &records);
    let anomalies: Array1<bool> = forest.predict(&records);
    assert_eq!(anomalies.iter().filter(|&&a| a).count(), 50);
    let decision = forest.decision(&records).unwrap();
    assert!(decision.iter().zip(&anomalies).all(|(d, a)| (*d > 0.0) == *a));
    assert_eq!(fit(IsolationForest::params(), &records).threshold(), 0.5);
}

#[test]
fn predictions_join_linfas_confusion_matrix() {
    let mut records = cloud(500, 3, 8);
    records.slice_mut(s![..10, ..]).fill(8.0);
    let truth: Array1<bool> = (0..500).map(|i| i < 10).collect();
    let train = DatasetBase::new(records, truth);
    let forest = IsolationForest::params().contamination(0.02).fit(&train).unwrap();
    let predicted = forest.predict(&train);
    let matrix = predicted.confusion_matrix(&train).unwrap();
    assert!(matrix.accuracy() > 0.99, "{matrix:?}");
    // The linfa idioms all work: records by value, dataset by value, dataset by reference.
    let joined: DatasetBase<Array2<f64>, Array1<bool>> = forest.predict(train.records.clone());
    assert_eq!(joined.targets, predicted);
}

#[test]
#[should_panic(expected = "the row has 2 column(s), the forest was trained on 3")]
fn a_prediction_on_other_columns_panics_with_the_reason() {
    let forest = fit(IsolationForest::params(), &cloud(50, 3, 9));
    let _: Array1<bool> = forest.predict(&cloud(5, 2, 9));
}

#[test]
fn refresh_follows_a_drift_and_still_remembers() {
    let old = cloud(1000, 3, 10);
    let new = cloud(1000, 3, 11) + 6.0;
    let mut forest = fit(IsolationForest::params().contamination(0.02), &old);
    let unusual = |forest: &IsolationForest| forest.score_samples(&new).unwrap().mean().unwrap();
    let start = unusual(&forest);
    assert!(start > 0.6, "the new place is unusual at first: {start}");
    let mut last = start;
    for round in 1..=10 {
        forest.refresh(&DatasetBase::from(new.view()), 10).unwrap();
        assert_eq!(forest.n_trees(), 100);
        let now = unusual(&forest);
        assert!(now < last, "round {round}: {last} -> {now}");
        last = now;
    }
    assert!(last < 0.5, "after all trees are new: {last}");
    assert!(forest.score_samples(&old).unwrap().mean().unwrap() > 0.6, "now the old place is unusual");
    // All trees replaced, the threshold is that of the new data as well.
    let anomalies: Array1<bool> = forest.predict(&new);
    assert_eq!(anomalies.iter().filter(|&&a| a).count(), 20);
}

#[test]
fn refresh_with_fewer_rows_than_a_sample_keeps_scores_comparable() {
    let records = cloud(1000, 3, 12);
    let mut forest = fit(IsolationForest::params(), &records);
    forest.refresh(&DatasetBase::from(records.slice(s![..60, ..])), 50).unwrap();
    let mean = forest.score_samples(&records).unwrap().mean().unwrap();
    assert!((0.4..0.5).contains(&mean), "{mean}");
}

#[test]
fn refreshed_trees_are_new_ones() {
    let dataset = DatasetBase::from(cloud(300, 3, 13));
    let first = IsolationForest::params().fit(&dataset).unwrap();
    let mut second = first.clone();
    second.refresh(&dataset, 100).unwrap();
    assert_ne!(first.score_samples(&dataset.records).unwrap(), second.score_samples(&dataset.records).unwrap());
    let mut third = first.clone();
    third.refresh(&dataset, 100).unwrap();
    assert_eq!(second, third, "and repeatable");
}

#[test]
fn a_row_of_weight_0_is_never_learned_and_a_heavy_one_is() {
    // Two places; the weights decide which of them is the usual one.
    let records = concatenate![Axis(0), cloud(300, 2, 14), cloud(300, 2, 15) + 20.0];
    let weigh = |left: f32, right: f32| {
        let weights = (0..600).map(|i| if i < 300 { left } else { right }).collect();
        let dataset = DatasetBase::from(records.view()).with_weights(weights);
        IsolationForest::params().max_samples(64).fit(&dataset).unwrap()
    };
    let right_is_odder =
        |forest: IsolationForest| forest.score_one(&[20.0, 20.0]).unwrap() - forest.score_one(&[0.0, 0.0]).unwrap();
    let rare = right_is_odder(weigh(1.0, 0.05));
    let even = right_is_odder(weigh(1.0, 1.0));
    let often = right_is_odder(weigh(0.05, 1.0));
    assert!(rare > 0.2 && even.abs() < 0.05 && often < -0.2, "{rare} {even} {often}");
    // Weight 0: no tree knows a value near 20, so it is the same as any other beyond the left place.
    let never = weigh(1.0, 0.0);
    assert_eq!(never.score_one(&[20.0, 20.0]).unwrap(), never.score_one(&[1e9, 1e9]).unwrap());
}

#[test]
fn depth_can_be_limited() {
    let records = cloud(300, 3, 16);
    let shallow = fit(IsolationForest::params().max_depth(1), &records);
    let deep = fit(IsolationForest::params().max_depth(60), &records);
    let spread = |forest: &IsolationForest| forest.score_samples(&records).unwrap().std(0.0);
    assert!(spread(&shallow) < spread(&deep));
    assert!(deep.score_samples(&array![[9.0, 9.0, 9.0]]).unwrap()[0] > 0.7);
}
