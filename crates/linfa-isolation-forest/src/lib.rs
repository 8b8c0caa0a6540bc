//! Isolation forest for [linfa](https://docs.rs/linfa): unsupervised anomaly detection that is fast to fit, fast to
//! score and able to say which columns are to blame.
//!
//! A random split tends to cut an unusual row off from the others early, so the length of its path through random
//! trees is short (Liu, Ting, Zhou 2008). Trees split at one column ([`Extension::Axis`]) or at a random hyperplane
//! ([`Extension::Level`], [`Extension::Full`]; Hariri et al. 2018).
//!
//! ```
//! use linfa::DatasetBase;
//! use linfa::traits::{Fit, Predict};
//! use linfa_isolation_forest::{IsolationForest, IsolationForestError};
//! use ndarray::{Array2, array};
//!
//! # fn main() -> Result<(), IsolationForestError> {
//! // 500 rows on a circle, and two to be judged: one on the circle, one far below.
//! let circle = Array2::from_shape_fn((500, 2), |(i, j)| {
//!     let angle = i as f64 * 0.1;
//!     if j == 0 { angle.cos() } else { angle.sin() }
//! });
//! let forest = IsolationForest::params().seed(7).contamination(0.01).fit(&DatasetBase::from(circle))?;
//!
//! let rows = array![[0.6, 0.8], [0.6, -5.0]];
//! let anomalies = forest.predict(&rows);
//! assert_eq!(anomalies, array![false, true]);
//!
//! // The second column is to blame, and the score is in (0, 1].
//! let shares = forest.attribution(&[0.6, -5.0])?;
//! assert!(shares[1] > shares[0] && (shares.sum() - 1.0).abs() < 1e-9);
//! assert!(forest.score_one(&[0.6, -5.0])? > forest.threshold());
//! # Ok(())
//! # }
//! ```
//!
//! # Rules
//! - **Numbers are `f64`.** A node is 16 bytes with a threshold that tells apart any two values of a counter or a time
//!   stamp; `f32` would merge them, and a generic forest would have two layouts for one use.
//! - **Prediction is `true` for an anomaly**, so that precision and recall of linfa's confusion matrix are those of
//!   anomalies. The score of scikit-learn's `score_samples` is ours with its sign changed.
//! - **A missing value (NaN) is allowed** in training and in scoring. At a split of one column it goes to the side
//!   that got more of the training rows that had a value (to the lower side if both got as many), so by itself it
//!   makes nothing anomalous. In a hyperplane it counts as lying on the plane; a row exactly on the plane goes with
//!   the majority.
//! - **An infinity is refused in training** by row and column. In scoring it is simply beyond every threshold; a
//!   hyperplane that sees both infinities in one row sends it with the majority.
//! - **A column that never varies is never split.** Whatever is known of it only later cannot raise a score. Likewise
//!   scores stop rising outside the training range. Watch for both by other means.
//! - **Same seed, same data, same parameters: same forest**, whatever the number of threads and whether scored one by
//!   one or in a batch. Forests may differ from one version of this crate to the next.
//!
//! # Features
//! - `serde`: save and load [`IsolationForest`] in any format; a loaded forest is checked. For JSON enable
//!   serde_json's `float_roundtrip`, or thresholds may change in the last bit.
#![forbid(unsafe_code)]
#![warn(missing_docs)]
#![warn(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod attribution;
mod error;
mod forest;
mod grow;
mod params;
mod path_length;
#[cfg(feature = "serde")]
mod saved;
mod threads;
mod tree;

pub use error::{IsolationForestError, Result};
pub use forest::IsolationForest;
pub use params::{Extension, IsolationForestParams, IsolationForestValidParams};

/// The README's example is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
