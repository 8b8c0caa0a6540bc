//! All integration cases in one binary.

mod attribution;
mod data;
mod forest;
mod parity;
mod properties;
mod refusals;
mod saved;

use linfa::DatasetBase;
use linfa::traits::Fit;
use linfa_isolation_forest::{IsolationForest, IsolationForestParams};
use ndarray::{Array1, Array2};
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

/// `rows` rows around 0 with about unit deviation.
fn cloud(rows: usize, columns: usize, seed: u64) -> Array2<f64> {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    Array2::from_shape_fn((rows, columns), |_| (0..12).map(|_| rng.gen_range(0.0..1.0)).sum::<f64>() - 6.0)
}

fn fit(params: IsolationForestParams, records: &Array2<f64>) -> IsolationForest {
    params.fit(&DatasetBase::from(records.view())).unwrap()
}

fn scores(params: IsolationForestParams, records: &Array2<f64>) -> Array1<f64> {
    fit(params, records).score_samples(records).unwrap()
}

/// Ranks from 0, equal values sharing their mean rank.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    let mut start = 0;
    while start < order.len() {
        let same = order[start..].iter().take_while(|&&i| values[i] == values[order[start]]).count();
        for &i in &order[start..start + same] {
            ranks[i] = start as f64 + (same - 1) as f64 / 2.0;
        }
        start += same;
    }
    ranks
}

fn rank_correlation(a: &[f64], b: &[f64]) -> f64 {
    let (a, b) = (Array1::from_vec(ranks(a)), Array1::from_vec(ranks(b)));
    let (a, b) = (&a - a.mean().unwrap(), &b - b.mean().unwrap());
    a.dot(&b) / (a.dot(&a) * b.dot(&b)).sqrt()
}

fn auc(scores: &[f64], labels: &[bool]) -> f64 {
    let positive = labels.iter().filter(|&&l| l).count() as f64;
    let negative = labels.len() as f64 - positive;
    let sum: f64 = ranks(scores).iter().zip(labels).filter(|(_, l)| **l).map(|(r, _)| r).sum();
    (sum - positive * (positive - 1.0) / 2.0) / (positive * negative)
}
