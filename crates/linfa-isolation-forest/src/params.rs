//! Hyper-parameters: the unchecked builder and its checked twin.

use linfa::ParamGuard;

use crate::error::{IsolationForestError, Result};

/// Largest sub-sample a tree may get: node numbers are `u32` and a tree has fewer than twice as many nodes as rows.
const MAX_SAMPLES_LIMIT: usize = 1 << 30;

/// How a tree cuts its rows in two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Extension {
    /// One column, one threshold (Liu, Ting, Zhou 2008). Indifferent to the columns' units.
    #[default]
    Axis,
    /// A random hyperplane over `level + 1` columns (Hariri et al. 2018); level 0 is the same family as
    /// [`Extension::Axis`]. Columns should be on comparable scales, because their values are summed.
    Level(usize),
    /// A random hyperplane over all columns: level `columns - 1`.
    Full,
}

/// Checked hyper-parameters; made by [`IsolationForestParams`] through [`ParamGuard::check`].
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct IsolationForestValidParams {
    n_trees: usize,
    max_samples: usize,
    max_depth: Option<usize>,
    extension: Extension,
    contamination: Option<f64>,
    seed: u64,
    n_threads: usize,
}

impl IsolationForestValidParams {
    /// Number of trees.
    pub fn n_trees(&self) -> usize {
        self.n_trees
    }
    /// Rows drawn for each tree, without replacement.
    pub fn max_samples(&self) -> usize {
        self.max_samples
    }
    /// Limit of a tree's depth, if it was set.
    pub fn max_depth(&self) -> Option<usize> {
        self.max_depth
    }
    /// Kind of split.
    pub fn extension(&self) -> Extension {
        self.extension
    }
    /// Expected share of anomalies, if it was set.
    pub fn contamination(&self) -> Option<f64> {
        self.contamination
    }
    /// Seed of all randomness.
    pub fn seed(&self) -> u64 {
        self.seed
    }
    /// Threads used for large work; 0 means as many as the machine offers.
    pub fn n_threads(&self) -> usize {
        self.n_threads
    }
    /// Depth limit for trees that really get `psi` rows: what was set, else `ceil(log2(psi))`.
    pub(crate) fn depth_limit(&self, psi: usize) -> usize {
        self.max_depth.unwrap_or_else(|| (psi.max(2).next_power_of_two().trailing_zeros()) as usize)
    }
    #[cfg(feature = "serde")]
    pub(crate) fn recheck(self) -> Result<Self> {
        IsolationForestParams(self).check()
    }
}

/// Hyper-parameters before they are checked. `fit` checks them by itself.
///
/// | parameter | default |
/// |---|---|
/// | [`n_trees`](Self::n_trees) | 100 |
/// | [`max_samples`](Self::max_samples) | 256 |
/// | [`max_depth`](Self::max_depth) | `ceil(log2(rows a tree gets))` |
/// | [`extension`](Self::extension) | [`Extension::Axis`] |
/// | [`contamination`](Self::contamination) | none: the threshold is 0.5 |
/// | [`seed`](Self::seed) | 42 |
/// | [`n_threads`](Self::n_threads) | 0: as many as the machine offers |
#[derive(Debug, Clone, PartialEq)]
pub struct IsolationForestParams(IsolationForestValidParams);

impl Default for IsolationForestParams {
    fn default() -> Self {
        Self(IsolationForestValidParams {
            n_trees: 100,
            max_samples: 256,
            max_depth: None,
            extension: Extension::Axis,
            contamination: None,
            seed: 42,
            n_threads: 0,
        })
    }
}

impl IsolationForestParams {
    /// Sets the number of trees; at least 1.
    pub fn n_trees(mut self, n_trees: usize) -> Self {
        self.0.n_trees = n_trees;
        self
    }
    /// Sets how many rows are drawn for each tree; at least 2. Fewer are drawn when the data has fewer.
    pub fn max_samples(mut self, max_samples: usize) -> Self {
        self.0.max_samples = max_samples;
        self
    }
    /// Limits the depth of a tree; at least 1.
    pub fn max_depth(mut self, max_depth: usize) -> Self {
        self.0.max_depth = Some(max_depth);
        self
    }
    /// Chooses the kind of split.
    pub fn extension(mut self, extension: Extension) -> Self {
        self.0.extension = extension;
        self
    }
    /// Sets the expected share of anomalies in the training data, in `(0, 0.5]`. The threshold becomes that quantile of
    /// the training scores, which costs one scoring of the training data.
    pub fn contamination(mut self, contamination: f64) -> Self {
        self.0.contamination = Some(contamination);
        self
    }
    /// Sets the seed. Same seed, same data, same parameters: same forest, whatever the number of threads.
    pub fn seed(mut self, seed: u64) -> Self {
        self.0.seed = seed;
        self
    }
    /// Sets how many threads fit and score large work; 0 for as many as the machine offers, 1 for none beside the
    /// caller's. Work too small to gain from it never leaves the caller's thread.
    pub fn n_threads(mut self, n_threads: usize) -> Self {
        self.0.n_threads = n_threads;
        self
    }
}

impl ParamGuard for IsolationForestParams {
    type Checked = IsolationForestValidParams;
    type Error = IsolationForestError;

    fn check_ref(&self) -> Result<&Self::Checked> {
        let p = &self.0;
        if p.n_trees == 0 {
            return Err(IsolationForestError::NoTrees);
        }
        if !(2..=MAX_SAMPLES_LIMIT).contains(&p.max_samples) {
            return Err(IsolationForestError::MaxSamples(p.max_samples));
        }
        if p.max_depth == Some(0) {
            return Err(IsolationForestError::ZeroDepth);
        }
        // Written so that NaN is refused too.
        if let Some(c) = p.contamination
            && !(c > 0.0 && c <= 0.5)
        {
            return Err(IsolationForestError::Contamination(c));
        }
        Ok(p)
    }

    fn check(self) -> Result<Self::Checked> {
        self.check_ref()?;
        Ok(self.0)
    }
}
