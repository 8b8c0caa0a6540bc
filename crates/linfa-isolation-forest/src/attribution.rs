//! Which columns made a row short of path.
//!
//! A node that is reached at depth `e` by `n` training rows promises a path of `e + c(n)`. A split that sends the row
//! to a child with few rows breaks that promise by `g = (e + c(n)) - (e + 1 + c(n_child))`; one that sends it along
//! with the crowd lengthens the path (`g < 0`). Along one path the promises telescope, so that the gains sum to
//! `c(psi) - h(x)`. Credited to the column of each split, averaged over the trees and divided by `c(psi)` they are an
//! exact, additive account of the score: `score = 2^(sum - 1)`.
//!
//! This is the path credit of tree interpreters (Saabas 2014, *Interpreting random forests*), also the per-path form
//! of the additive account that TreeSHAP averages over column orders (Lundberg et al. 2020), with the expected path
//! length for a node's value. Like DIFFI (Carletti, Terzi, Susto 2023) it pays a split for leaving the row with few
//! others. A hyperplane's gain is divided among its columns by `|normal_i * (x_i - point_i)|`.

use ndarray::Array1;

use crate::error::Result;
use crate::forest::IsolationForest;

impl IsolationForest {
    /// Each column's signed part in the score of one row. The parts sum to `s` with `score_one(row) = 2^(s - 1)`:
    /// positive where the column made the path shorter than expected, negative where the row is like the others.
    ///
    /// # Errors
    /// The row has not [`n_features`](Self::n_features) values.
    pub fn contributions(&self, row: &[f64]) -> Result<Array1<f64>> {
        self.check_columns(row.len())?;
        let mut parts = vec![0.0; self.n_features];
        for tree in &self.trees {
            tree.credit_path(row, |column, gain| {
                if let Some(part) = parts.get_mut(column) {
                    *part += gain;
                }
            });
        }
        Ok(Array1::from_vec(parts) / self.trees.len() as f64)
    }

    /// Each column's share in what makes the row anomalous: its [contribution](Self::contributions) where that is
    /// positive and 0 elsewhere, scaled so that the shares sum to 1. Where no column contributes, all shares are
    /// equal.
    ///
    /// # Errors
    /// The row has not [`n_features`](Self::n_features) values.
    pub fn attribution(&self, row: &[f64]) -> Result<Array1<f64>> {
        let shares = self.contributions(row)?.mapv_into(|part| part.max(0.0));
        let total = shares.sum();
        Ok(if total > 0.0 { shares / total } else { Array1::from_elem(self.n_features, 1.0 / self.n_features as f64) })
    }
}
