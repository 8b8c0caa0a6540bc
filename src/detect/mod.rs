//! Detect: learns what is normal for a service and judges each sample.
//!
//! ```text
//! Sample -> Detector::observe -> Reading -> Watch::push -> Raised | Worsened | Cleared
//!              ^   |
//!        install   training_due -> TrainingSet -> train (off the hot path) -> Trained
//! ```
//! One [`Detector`] and one [`Watch`] a service. [`Detector::observe`] never trains, never blocks and takes some
//! microseconds; [`train`] is pure and takes milliseconds to seconds, so that the caller runs it on a thread of its
//! own. How a sample is judged is told at the head of `judge.rs`; what a model is made of, at that of `model.rs`.
//!
//! Must never learn from what it called anomalous, nor from the time of an open incident
//! ([`Detector::set_quarantine`]); must never put an old value in place of a missing one. No clock, no I/O and no
//! randomness but the forest's own seed. Called by the composition root, and by the verification after a run: the
//! model does not change while the quarantine lasts, so that the same model judges the fault and its cure.

mod budget;
mod course;
mod detector;
mod drivers;
mod feedback;
mod forecast;
mod judge;
mod model;
mod offline;
mod outlooks;
mod scale;
mod scorer;
mod settings;
#[cfg(test)]
mod sim;
mod tail;
#[cfg(test)]
mod tests;
mod train;
mod trend;
mod watch;

pub use budget::{Budget, BudgetError};
pub use detector::{Counts, Detector};
pub use feedback::{Feedback, HALF_LIFE, MOST as MOST_TOLERANCE};
pub use model::{LoadError, Model, Quality};
pub use offline::{Line, detect};
pub use settings::DetectSettings;
pub use train::{TrainError, Trained, TrainingSet, train};
pub use watch::{Signal, Watch};
