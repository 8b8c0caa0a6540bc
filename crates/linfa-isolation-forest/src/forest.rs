//! The fitted model: scores, decisions, predictions, refresh.

use linfa::dataset::DatasetBase;
use linfa::traits::{Fit, PredictInplace};
use ndarray::{Array1, ArrayBase, Axis, Data, Ix2};

use crate::error::{IsolationForestError, Result};
use crate::grow::Grower;
use crate::params::{Extension, IsolationForestParams, IsolationForestValidParams};
use crate::threads::in_parallel;
use crate::tree::{LANES, Tree, key};

/// Where Liu, Ting, Zhou 2008 begin to suspect a row, used when no contamination is given.
const NEUTRAL: f64 = 0.5;

/// Below this many paths a batch stays on the caller's thread: about ten milliseconds of work.
const PATHS_WORTH_THREADS: usize = 1 << 20;

/// Values of a block of rows that is taken through all trees together: 16 KB stay in the first-level cache beside a
/// tree.
const BLOCK_VALUES: usize = 2048;

/// Up to this many columns a single row is scored from a copy on the stack.
const STACK_COLUMNS: usize = 128;

/// A fitted isolation forest.
///
/// Made by [`Fit::fit`] on [`IsolationForest::params`]. Trees are kept oldest first.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(into = "crate::saved::Saved", try_from = "crate::saved::Saved"))]
pub struct IsolationForest {
    pub(crate) params: IsolationForestValidParams,
    pub(crate) n_features: usize,
    pub(crate) threshold: f64,
    /// Trees ever grown, replaced ones included: the next tree's number.
    pub(crate) grown: u64,
    pub(crate) trees: Vec<Tree>,
}

impl<D: Data<Elem = f64>, T> Fit<ArrayBase<D, Ix2>, T, IsolationForestError> for IsolationForestValidParams {
    type Object = IsolationForest;

    /// Grows the forest. Targets are ignored. If the dataset has weights, a row's weight is its chance of being drawn
    /// into a tree's sample; a row of weight 0 is never drawn.
    fn fit(&self, dataset: &DatasetBase<ArrayBase<D, Ix2>, T>) -> Result<IsolationForest> {
        let grown = self.n_trees() as u64;
        let mut forest = IsolationForest {
            params: self.clone(),
            n_features: dataset.records.ncols(),
            threshold: NEUTRAL,
            grown,
            trees: Grower::new(self, dataset)?.grow(0..grown),
        };
        forest.set_threshold_from(&dataset.records)?;
        Ok(forest)
    }
}

impl IsolationForest {
    /// Default hyper-parameters, to be changed and then [`fit`](Fit::fit).
    pub fn params() -> IsolationForestParams {
        IsolationForestParams::default()
    }

    /// The hyper-parameters the forest was fitted with.
    pub fn parameters(&self) -> &IsolationForestValidParams {
        &self.params
    }

    /// Columns of the training data.
    pub fn n_features(&self) -> usize {
        self.n_features
    }

    /// Number of trees.
    pub fn n_trees(&self) -> usize {
        self.trees.len()
    }

    /// Rows scoring above this are predicted to be anomalies: the training scores' `1 - contamination` quantile, or
    /// 0.5.
    pub fn threshold(&self) -> f64 {
        self.threshold
    }

    /// Scores one row without allocating: `2^(-E(h)/c(psi))`, in `(0, 1]`, higher is more anomalous, near 0.5 for a
    /// row like the others. `h` is the length of the row's path in a tree and `c(psi)` the average length among `psi`
    /// rows.
    ///
    /// # Errors
    /// The row has not [`n_features`](Self::n_features) values. NaN and infinities are scored, see the crate's head.
    pub fn score_one(&self, row: &[f64]) -> Result<f64> {
        self.check_columns(row.len())?;
        // Keys on the stack, unless the row is wide, a value missing or the forest one of hyperplanes.
        let mut keys = [0; STACK_COLUMNS];
        if self.params.extension() == Extension::Axis
            && let Some(keys) = keys.get_mut(..row.len())
            && !row.iter().any(|v| v.is_nan())
        {
            keys.iter_mut().zip(row).for_each(|(slot, &value)| *slot = key(value));
            return Ok(self.score_from(self.trees.iter().map(|tree| tree.key_path_length(keys)).sum()));
        }
        Ok(self.score_from(self.trees.iter().map(|tree| tree.path_length(row)).sum()))
    }

    /// Scores each row as [`score_one`](Self::score_one) does, bit for bit, several times faster and for large batches
    /// on several threads.
    ///
    /// # Errors
    /// The records have not [`n_features`](Self::n_features) columns.
    pub fn score_samples<D: Data<Elem = f64>>(&self, records: &ArrayBase<D, Ix2>) -> Result<Array1<f64>> {
        self.check_columns(records.ncols())?;
        let records = records.view();
        let large = records.nrows().saturating_mul(self.trees.len()) >= PATHS_WORTH_THREADS;
        let threads = if large { self.params.n_threads() } else { 1 };
        let block = (BLOCK_VALUES / self.n_features / LANES * LANES).clamp(2 * LANES, 32 * LANES);
        let blocks = records.nrows().div_ceil(block);
        let scores = in_parallel(threads, blocks, |part| {
            let mut scores = Vec::with_capacity(part.len() * block);
            let (mut copy, mut keys) = (Vec::new(), Vec::new());
            for rows in records.axis_chunks_iter(Axis(0), block).skip(part.start).take(part.len()) {
                let values = rows.as_slice().unwrap_or_else(|| {
                    copy.clear();
                    copy.extend(rows.iter().copied());
                    &copy
                });
                keys.clear();
                if !values.iter().any(|v| v.is_nan()) {
                    keys.extend(values.iter().map(|&v| key(v)));
                }
                let start = scores.len();
                scores.resize(start + rows.nrows(), 0.0);
                let Some(sums) = scores.get_mut(start..) else { continue };
                for tree in &self.trees {
                    tree.add_path_lengths(values, &keys, self.n_features, sums);
                }
                sums.iter_mut().for_each(|sum| *sum = self.score_from(*sum));
            }
            scores
        });
        Ok(Array1::from_vec(scores))
    }

    /// Score less [`threshold`](Self::threshold) for each row: positive for predicted anomalies.
    ///
    /// # Errors
    /// As [`score_samples`](Self::score_samples).
    pub fn decision<D: Data<Elem = f64>>(&self, records: &ArrayBase<D, Ix2>) -> Result<Array1<f64>> {
        Ok(self.score_samples(records)? - self.threshold)
    }

    /// Replaces the `n_oldest` oldest trees by trees grown on `dataset`, and with a contamination derives the threshold
    /// anew from it. Refreshing a tenth of the trees at a time lets the forest follow a drift and still remember.
    ///
    /// # Errors
    /// As `fit`; also when the columns are not those of the training data or there are fewer than `n_oldest` trees. The
    /// forest is then unchanged.
    pub fn refresh<D: Data<Elem = f64>, T>(
        &mut self,
        dataset: &DatasetBase<ArrayBase<D, Ix2>, T>,
        n_oldest: usize,
    ) -> Result<()> {
        self.check_columns(dataset.records.ncols())?;
        if n_oldest > self.trees.len() {
            return Err(IsolationForestError::RefreshCount { asked: n_oldest, trees: self.trees.len() });
        }
        let next = self.grown + n_oldest as u64;
        let young = Grower::new(&self.params, dataset)?.grow(self.grown..next);
        self.trees.drain(..n_oldest);
        self.trees.extend(young);
        self.grown = next;
        self.set_threshold_from(&dataset.records)
    }

    pub(crate) fn check_columns(&self, got: usize) -> Result<()> {
        if got == self.n_features {
            return Ok(());
        }
        Err(IsolationForestError::Columns { expected: self.n_features, got })
    }

    /// From the sum of normalised path lengths over all trees.
    #[inline]
    fn score_from(&self, sum: f64) -> f64 {
        (-sum / self.trees.len() as f64).exp2()
    }

    fn set_threshold_from<D: Data<Elem = f64>>(&mut self, records: &ArrayBase<D, Ix2>) -> Result<()> {
        if let Some(contamination) = self.params.contamination() {
            let mut scores = self.score_samples(records)?.to_vec();
            scores.sort_unstable_by(f64::total_cmp);
            self.threshold = quantile(&scores, 1.0 - contamination);
        }
        Ok(())
    }
}

/// Linear interpolation between the two nearest of the sorted values, as numpy and so scikit-learn do.
fn quantile(sorted: &[f64], q: f64) -> f64 {
    let place = q * sorted.len().saturating_sub(1) as f64;
    let below = sorted.get(place.floor() as usize).copied().unwrap_or(NEUTRAL);
    let above = sorted.get(place.ceil() as usize).copied().unwrap_or(below);
    below + (above - below) * place.fract()
}

/// `true` for an anomaly: a score above the threshold.
impl<D: Data<Elem = f64>> PredictInplace<ArrayBase<D, Ix2>, Array1<bool>> for IsolationForest {
    /// # Panics
    /// Like all of linfa's predictions, when `y` has not one entry for each row or the columns are not those of the
    /// training data: the trait leaves no room for an error. [`IsolationForest::decision`] returns one instead.
    #[expect(clippy::panic, reason = "a contract of linfa's trait, which cannot return an error")]
    fn predict_inplace<'a>(&'a self, x: &'a ArrayBase<D, Ix2>, y: &mut Array1<bool>) {
        assert_eq!(x.nrows(), y.len(), "the number of rows must match the number of output targets");
        match self.decision(x) {
            Ok(decision) => y.zip_mut_with(&decision, |anomaly, d| *anomaly = *d > 0.0),
            Err(error) => panic!("{error}"),
        }
    }

    fn default_target(&self, x: &ArrayBase<D, Ix2>) -> Array1<bool> {
        Array1::from_elem(x.nrows(), false)
    }
}
