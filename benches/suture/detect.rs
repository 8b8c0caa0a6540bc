//! One sample: the forest's score alone, and all that the detector does with it. Learning: the same two.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, Criterion};
use linfa::DatasetBase;
use linfa::traits::Fit;
use linfa_isolation_forest::IsolationForest;
use ndarray::Array2;
use suture::detect::{DetectSettings, Detector, TrainingSet, train};

use crate::sample::{Dice, METRICS, sample, service};

const ROWS: u32 = 10_000;

fn rows() -> DatasetBase<Array2<f64>, ndarray::Array1<()>> {
    let mut dice = Dice::new(1);
    DatasetBase::from(Array2::from_shape_fn((ROWS as usize, METRICS), |_| dice.wobble()))
}

/// A detector that has seen as many samples as a window holds, and what it would learn from.
fn fed() -> (Detector, TrainingSet, Dice) {
    let mut dice = Dice::new(2);
    let mut detector = Detector::new(service(), DetectSettings::default(), std::collections::BTreeMap::new());
    for nth in 0..ROWS {
        detector.observe(&sample(nth, &mut dice, 0.0));
    }
    let set = detector.training_due(sample(ROWS, &mut dice, 0.0).at).unwrap();
    (detector, set, dice)
}

pub fn judging(c: &mut Criterion) {
    let mut group = c.benchmark_group("judge one sample of 18");
    let forest = IsolationForest::params().n_threads(1).fit(&rows()).unwrap();
    let row = rows().records.row(17).to_vec();
    group.bench_function("score of the forest alone", |b| b.iter(|| forest.score_one(black_box(&row)).unwrap()));

    for (name, shift) in [("Detector::observe, a normal sample", 0.0), ("Detector::observe, an anomaly", 40.0)] {
        let (mut detector, set, mut dice) = fed();
        detector.install(train(set).unwrap());
        let mut nth = ROWS;
        // Each needs a later time than the one before, so they are made outside of what is measured.
        let mut next = || {
            nth += 1;
            sample(nth, &mut dice, shift)
        };
        group.bench_function(name, |b| {
            b.iter_batched_ref(&mut next, |sample| detector.observe(sample), BatchSize::SmallInput);
        });
    }
    group.finish();
}

pub fn learning(c: &mut Criterion) {
    let mut group = c.benchmark_group("learn from 10,000 samples of 18");
    group.sample_size(20).measurement_time(Duration::from_secs(4));
    let rows = rows();
    let params = IsolationForest::params().n_threads(1);
    group.bench_function("fit of the forest alone", |b| b.iter(|| params.fit(black_box(&rows)).unwrap()));
    let (_, set, _) = fed();
    group.bench_function("detect::train", |b| {
        b.iter_batched(|| set.clone(), |set| train(set).unwrap(), BatchSize::LargeInput);
    });
    group.finish();
}
