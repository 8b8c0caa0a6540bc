//! Everything that can be refused, and the words it is refused with.

use thiserror::Error;

/// Why parameters, data or a saved forest were refused.
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum IsolationForestError {
    /// `n_trees` was zero.
    #[error("n_trees is 0: a forest needs at least one tree (100 is usual)")]
    NoTrees,
    /// `max_samples` was below two, or too large for the node layout.
    #[error("max_samples is {0}: give each tree between 2 and 2^30 rows (256 is usual)")]
    MaxSamples(usize),
    /// `max_depth` was zero.
    #[error(
        "max_depth is 0: a tree without a split scores every row alike; leave it unset for ceil(log2(max_samples))"
    )]
    ZeroDepth,
    /// `contamination` was outside `(0, 0.5]`.
    #[error("contamination is {0}: it is the expected share of anomalies and must lie in (0, 0.5]")]
    Contamination(f64),
    /// An extension level of `d` or more was asked for on `d` columns.
    #[error(
        "extension level is {level} but the data has {columns} column(s): \
         the level can be at most the number of columns less one"
    )]
    ExtensionLevel {
        /// The level asked for.
        level: usize,
        /// The columns of the data.
        columns: usize,
    },
    /// Fewer than two rows to learn from.
    #[error("the data has {0} row(s): isolation needs at least two")]
    TooFewRows(usize),
    /// No columns, or more than the node layout can name.
    #[error("the data has {0} columns: between 1 and 2^31 - 2 are possible")]
    ColumnCount(usize),
    /// An infinity in the training data. Rows and columns are counted from 0.
    #[error("row {row}, column {column} is {value}: training data must be finite; use NaN for a missing value")]
    Infinite {
        /// Row of the first infinity.
        row: usize,
        /// Its column.
        column: usize,
        /// `inf` or `-inf`.
        value: f64,
    },
    /// There is not one weight for each row.
    #[error("{weights} weight(s) for {rows} row(s): give one for each row or none at all")]
    WeightCount {
        /// Weights given.
        weights: usize,
        /// Rows given.
        rows: usize,
    },
    /// A weight that is negative, infinite or NaN.
    #[error("the weight of row {row} is {weight}: weights are finite and not negative")]
    Weight {
        /// Row of the first bad weight, counted from 0.
        row: usize,
        /// The weight.
        weight: f32,
    },
    /// A row to be scored has another width than the training data.
    #[error("the row has {got} column(s), the forest was trained on {expected}")]
    Columns {
        /// Columns of the training data.
        expected: usize,
        /// Columns of the row.
        got: usize,
    },
    /// More trees were to be replaced than the forest has.
    #[error("cannot replace the {asked} oldest trees of {trees}")]
    RefreshCount {
        /// Trees to be replaced.
        asked: usize,
        /// Trees there are.
        trees: usize,
    },
    /// A saved forest contradicts itself; the text says where.
    #[error("not a usable saved isolation forest: {0}")]
    Saved(String),
    /// An error of linfa itself.
    #[error(transparent)]
    Linfa(#[from] linfa::Error),
}

/// `Result` with this crate's error.
pub type Result<T> = std::result::Result<T, IsolationForestError>;
