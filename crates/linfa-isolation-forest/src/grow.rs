//! Growing trees: the check of the training data, each tree's sub-sample, the cuts.

use std::ops::Range;

use linfa::DatasetBase;
use ndarray::{ArrayBase, CowArray, Data, Ix2};
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use crate::error::{IsolationForestError, Result};
use crate::params::{Extension, IsolationForestValidParams};
use crate::threads::in_parallel;
use crate::tree::{Coordinate, Split, Tree, project};

/// Below this many drawn rows a fit stays on the caller's thread: it takes about as long as starting threads does.
const ROWS_WORTH_THREADS: usize = 1 << 17;

/// Checked training data and what all trees share.
pub(crate) struct Grower<'a> {
    params: &'a IsolationForestValidParams,
    records: CowArray<'a, f64, Ix2>,
    columns: usize,
    rows: usize,
    /// Row and weight of the rows with a positive weight; `None` when every row weighs the same.
    weights: Option<Vec<(u32, f64)>>,
    /// Columns that are not constant over all the data.
    varying: Vec<u32>,
    /// Columns in a hyperplane; 0 for axis-parallel splits.
    stride: usize,
    /// Rows in each tree's sample.
    psi: usize,
}

impl<'a> Grower<'a> {
    pub(crate) fn new<D: Data<Elem = f64>, T>(
        params: &'a IsolationForestValidParams,
        dataset: &'a DatasetBase<ArrayBase<D, Ix2>, T>,
    ) -> Result<Self> {
        let (rows, columns) = dataset.records.dim();
        if columns == 0 || columns >= i32::MAX as usize {
            return Err(IsolationForestError::ColumnCount(columns));
        }
        if rows < 2 || u32::try_from(rows).is_err() {
            return Err(IsolationForestError::TooFewRows(rows));
        }
        let stride = match params.extension() {
            Extension::Axis => 0,
            Extension::Full => columns,
            Extension::Level(level) if level < columns => level + 1,
            Extension::Level(level) => return Err(IsolationForestError::ExtensionLevel { level, columns }),
        };
        let weights = positive_weights(dataset.weights.iter().copied(), rows)?;
        let records = dataset.records.as_standard_layout();
        let varying = varying_columns(records.as_slice().unwrap_or(&[]), columns)?;
        let available = weights.as_ref().map_or(rows, Vec::len);
        let psi = params.max_samples().min(available);
        Ok(Grower { params, records, columns, rows, weights, varying, stride, psi })
    }

    /// Grows the trees with these numbers; a tree depends on its number, the seed and the data alone.
    pub(crate) fn grow(&self, numbers: Range<u64>) -> Vec<Tree> {
        let count = numbers.end.saturating_sub(numbers.start) as usize;
        let large = count.saturating_mul(self.psi) >= ROWS_WORTH_THREADS;
        in_parallel(if large { self.params.n_threads() } else { 1 }, count, |part| {
            let mut nursery = Nursery::default();
            part.map(|i| self.grow_one(numbers.start + i as u64, &mut nursery)).collect()
        })
    }

    fn grow_one(&self, number: u64, nursery: &mut Nursery) -> Tree {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(scramble(self.params.seed() ^ scramble(number)));
        self.draw_sample(&mut rng, nursery);
        let Nursery { sample, rows, cut, spans } = nursery;
        let limit = self.params.depth_limit(self.psi);
        let mut tree = Tree::root(self.psi as u32, self.stride);
        rows.clear();
        rows.extend(0..self.psi as u32);
        spans.clear();
        spans.push(Span { start: 0, end: self.psi, depth: 0 });
        let mut at = 0;
        // Children are appended to `spans` as to the tree: node numbers are positions here.
        while let Some(&Span { start, end, depth }) = spans.get(at) {
            if depth < limit
                && end - start > 1
                && let Some(rows) = rows.get_mut(start..end)
                && let Some((split, first)) = match self.stride {
                    0 => cut.axis(&mut rng, self, sample, rows),
                    _ => cut.plane(&mut rng, self, sample, rows, &mut tree),
                }
            {
                tree.split(at, split, [first as u32, (end - start - first) as u32], depth + 1);
                spans.push(Span { start, end: start + first, depth: depth + 1 });
                spans.push(Span { start: start + first, end, depth: depth + 1 });
            }
            at += 1;
        }
        tree
    }

    /// Copies this tree's rows to the nursery, row-major.
    fn draw_sample(&self, rng: &mut Xoshiro256PlusPlus, nursery: &mut Nursery) {
        let records = self.records.as_slice().unwrap_or(&[]);
        let sample = &mut nursery.sample;
        sample.clear();
        let mut take = |row: usize| {
            let start = row * self.columns;
            sample.extend_from_slice(records.get(start..start + self.columns).unwrap_or(&[]));
        };
        match &self.weights {
            None if self.psi == self.rows => (0..self.rows).for_each(take),
            None => rand::seq::index::sample(rng, self.rows, self.psi).into_iter().for_each(take),
            Some(weights) => {
                // Efraimidis, Spirakis 2006: the rows with the largest u^(1/w) are a weighted sample without
                // replacement.
                let mut keyed: Vec<(f64, u32)> =
                    weights.iter().map(|&(row, weight)| ((1.0 - unit(rng)).ln() / weight, row)).collect();
                if self.psi < keyed.len() {
                    keyed.select_nth_unstable_by(self.psi, |a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
                }
                keyed.iter().take(self.psi).for_each(|&(_, row)| take(row as usize));
            }
        }
    }
}

/// Rows `start..end` of the nursery's row order, and the depth of the node that holds them.
#[derive(Debug, Clone, Copy)]
struct Span {
    start: usize,
    end: usize,
    depth: usize,
}

/// Buffers reused from tree to tree.
#[derive(Default)]
struct Nursery {
    sample: Vec<f64>,
    rows: Vec<u32>,
    spans: Vec<Span>,
    cut: Cutter,
}

/// Buffers of one cut.
#[derive(Default)]
struct Cutter {
    pool: Vec<u32>,
    values: Vec<f64>,
    above_rows: Vec<u32>,
    plane: Vec<Coordinate>,
}

impl Cutter {
    /// Draws columns until one varies over `rows` and gathers it; `None` when no column does.
    fn draw_column(
        &mut self,
        rng: &mut impl Rng,
        columns: usize,
        sample: &[f64],
        rows: &[u32],
    ) -> Option<(u32, f64, f64)> {
        while !self.pool.is_empty() {
            let column = self.pool.swap_remove(rng.gen_range(0..self.pool.len()));
            let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
            self.values.clear();
            self.values.extend(rows.iter().map(|&row| {
                let value = sample.get(row as usize * columns + column as usize).copied().unwrap_or(f64::NAN);
                // Both comparisons are false for NaN: the range is that of the values that are there.
                low = if value < low { value } else { low };
                high = if value > high { value } else { high };
                value
            }));
            if low < high {
                return Some((column, low, high));
            }
        }
        None
    }

    /// A uniform threshold in the range of a random column. Orders `rows` by side and returns how many are below.
    fn axis(
        &mut self,
        rng: &mut impl Rng,
        grower: &Grower,
        sample: &[f64],
        rows: &mut [u32],
    ) -> Option<(Split, usize)> {
        self.pool.clone_from(&grower.varying);
        let (column, low, high) = self.draw_column(rng, grower.columns, sample, rows)?;
        let threshold = between(rng, low, high);
        let lower = self.values.iter().filter(|&&v| v <= threshold).count();
        let upper = self.values.iter().filter(|&&v| v > threshold).count();
        if lower + upper < rows.len() {
            let crowd = if upper > lower { f64::INFINITY } else { f64::NEG_INFINITY };
            self.values.iter_mut().filter(|v| v.is_nan()).for_each(|v| *v = crowd);
        }
        Some((Split::Axis { column, threshold }, self.part(rows, threshold)))
    }

    /// A hyperplane through a uniform point of the rows' bounding box with a normally distributed normal. One side may
    /// stay empty, as in the paper: it is where rows outside the training data end early.
    fn plane(
        &mut self,
        rng: &mut impl Rng,
        grower: &Grower,
        sample: &[f64],
        rows: &mut [u32],
        tree: &mut Tree,
    ) -> Option<(Split, usize)> {
        self.pool.clone_from(&grower.varying);
        self.plane.clear();
        while self.plane.len() < grower.stride
            && let Some((column, low, high)) = self.draw_column(rng, grower.columns, sample, rows)
        {
            self.plane.push(Coordinate { column, normal: normal(rng), point: between(rng, low, high) });
        }
        if self.plane.is_empty() {
            return None;
        }
        self.values.clear();
        for &row in rows.iter() {
            let start = row as usize * grower.columns;
            let row = sample.get(start..start + grower.columns).unwrap_or(&[]);
            self.values.push(project(&self.plane, row));
        }
        let lower = self.values.iter().filter(|&&v| v < 0.0).count();
        let upper = self.values.iter().filter(|&&v| v > 0.0).count();
        // A row on the plane goes to the first child: turn the plane so that this is the crowded one.
        if lower < upper {
            self.values.iter_mut().for_each(|v| *v = -*v);
            self.plane.iter_mut().for_each(|c| c.normal = -c.normal);
        }
        // Columns that do not vary here take no part, but every plane has `stride` entries.
        self.plane.resize(grower.stride, Coordinate { column: 0, normal: 0.0, point: 0.0 });
        self.plane.iter().for_each(|&c| tree.push_coordinate(c));
        Some((Split::Plane, self.part(rows, 0.0)))
    }

    /// Moves the rows whose value is above the threshold behind the others, keeping their order; returns how many
    /// others.
    fn part(&mut self, rows: &mut [u32], threshold: f64) -> usize {
        self.above_rows.clear();
        self.above_rows.resize(rows.len(), 0);
        let (mut kept, mut moved) = (0, 0);
        for i in 0..rows.len() {
            if let (Some(&row), Some(&value)) = (rows.get(i), self.values.get(i)) {
                // Both are written and one is counted: cheaper than a branch that is as good as random.
                let above = usize::from(value > threshold);
                if let Some(slot) = self.above_rows.get_mut(moved) {
                    *slot = row;
                }
                if let Some(slot) = rows.get_mut(kept) {
                    *slot = row;
                }
                moved += above;
                kept += 1 - above;
            }
        }
        for (slot, &row) in rows.iter_mut().skip(kept).zip(&self.above_rows) {
            *slot = row;
        }
        kept
    }
}

fn positive_weights(weights: impl ExactSizeIterator<Item = f32>, rows: usize) -> Result<Option<Vec<(u32, f64)>>> {
    if weights.len() == 0 {
        return Ok(None);
    }
    if weights.len() != rows {
        return Err(IsolationForestError::WeightCount { weights: weights.len(), rows });
    }
    let mut positive = Vec::new();
    for (row, weight) in weights.enumerate() {
        if !weight.is_finite() || weight < 0.0 {
            return Err(IsolationForestError::Weight { row, weight });
        }
        if weight > 0.0 {
            positive.push((row as u32, f64::from(weight)));
        }
    }
    if positive.len() < 2 {
        return Err(IsolationForestError::TooFewRows(positive.len()));
    }
    Ok(Some(positive))
}

/// The columns with at least two different values; refuses infinities.
fn varying_columns(records: &[f64], columns: usize) -> Result<Vec<u32>> {
    if let Some(i) = records.iter().position(|v| v.is_infinite()) {
        let value = records.get(i).copied().unwrap_or(f64::INFINITY);
        return Err(IsolationForestError::Infinite { row: i / columns, column: i % columns, value });
    }
    let mut ranges = vec![(f64::INFINITY, f64::NEG_INFINITY); columns];
    for row in records.chunks_exact(columns) {
        for (range, &value) in ranges.iter_mut().zip(row) {
            range.0 = if value < range.0 { value } else { range.0 };
            range.1 = if value > range.1 { value } else { range.1 };
        }
    }
    Ok((0..).zip(ranges).filter(|(_, (low, high))| low < high).map(|(column, _)| column).collect())
}

/// Uniform in `[0, 1)`.
fn unit(rng: &mut impl Rng) -> f64 {
    (rng.next_u64() >> 11) as f64 * (1.0 / (1_u64 << 53) as f64)
}

/// Uniform in `[low, high)`, also where `high - low` overflows.
fn between(rng: &mut impl Rng, low: f64, high: f64) -> f64 {
    let u = unit(rng);
    let value = low * (1.0 - u) + high * u;
    if value >= low && value < high { value } else { low }
}

/// Standard normal (Box, Muller 1958).
fn normal(rng: &mut impl Rng) -> f64 {
    (-2.0 * (1.0 - unit(rng)).ln()).sqrt() * (std::f64::consts::TAU * unit(rng)).cos()
}

/// The finaliser of MurmurHash3: neighbouring tree numbers get unrelated generators.
fn scramble(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    z = (z ^ (z >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    z ^ (z >> 33)
}
