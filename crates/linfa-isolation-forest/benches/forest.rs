//! Speed of the forest at the size of one host's metrics: 18 columns, 100 trees of 256 rows.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use linfa::DatasetBase;
use linfa::traits::Fit;
use linfa_isolation_forest::{Extension, IsolationForest};
use ndarray::Array2;

fn data(rows: usize, columns: usize) -> Array2<f64> {
    let mut state = 1_u64;
    Array2::from_shape_fn((rows, columns), |_| {
        let sum: f64 = (0..4)
            .map(|_| {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                (state >> 11) as f64 / (1_u64 << 53) as f64
            })
            .sum();
        sum - 2.0
    })
}

fn forest(c: &mut Criterion) {
    let train = DatasetBase::from(data(10_000, 18));
    let params = IsolationForest::params().n_threads(1);
    let extended = IsolationForest::params().n_threads(1).extension(Extension::Full);
    let model = params.fit(&train).unwrap();
    let planes = extended.fit(&train).unwrap();
    let row = train.records.row(17).to_vec();

    c.bench_function("fit 10000x18", |b| b.iter(|| params.fit(black_box(&train)).unwrap()));
    c.bench_function("fit 10000x18 extended", |b| b.iter(|| extended.fit(black_box(&train)).unwrap()));
    c.bench_function("score_one 18", |b| b.iter(|| model.score_one(black_box(&row)).unwrap()));
    c.bench_function("score_one 18 extended", |b| b.iter(|| planes.score_one(black_box(&row)).unwrap()));
    c.bench_function("attribution 18", |b| b.iter(|| model.attribution(black_box(&row)).unwrap()));
    c.bench_function("refresh 10 of 100 trees", |b| {
        b.iter_batched_ref(|| model.clone(), |m| m.refresh(&train, 10).unwrap(), BatchSize::SmallInput)
    });

    let mut batch = c.benchmark_group("score_samples");
    for (name, columns) in [("10000x18, one thread", 18), ("10000x60, one thread", 60)] {
        let rows = DatasetBase::from(data(10_000, columns));
        let model = params.fit(&rows).unwrap();
        batch.throughput(Throughput::Elements(10_000));
        batch.bench_function(name, |b| b.iter(|| model.score_samples(black_box(&rows.records)).unwrap()));
    }
    let many = data(100_000, 18);
    let threaded = IsolationForest::params().fit(&train).unwrap();
    batch.throughput(Throughput::Elements(100_000));
    batch.bench_function("100000x18, all threads", |b| b.iter(|| threaded.score_samples(black_box(&many)).unwrap()));
    batch.finish();
}

criterion_group!(benches, forest);
criterion_main!(benches);
