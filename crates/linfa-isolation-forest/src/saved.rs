//! The form in which a forest is saved, and the checks of one that is loaded.
//!
//! Only what cannot be computed is saved: where and how nodes split and how many training rows they got. Children
//! follow from the breadth-first order, so that no file can describe a walk that does not end, and there is no
//! infinity, which JSON could not hold. Text formats must read floats back exactly (serde_json: feature
//! `float_roundtrip`).

use serde::{Deserialize, Serialize};

use crate::error::{IsolationForestError, Result};
use crate::forest::IsolationForest;
use crate::params::IsolationForestValidParams;
use crate::tree::{Coordinate, Split, Tree};

/// Raised when the form changes in a way that older code would misread.
const FORMAT: u32 = 1;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Saved {
    format: u32,
    params: IsolationForestValidParams,
    n_features: usize,
    threshold: f64,
    grown: u64,
    trees: Vec<SavedTree>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SavedTree {
    /// Training rows of each node, breadth first, siblings side by side.
    sizes: Vec<u32>,
    /// For each node 0 if it is a leaf; else its column + 1; always 1 in a tree of hyperplanes.
    splits: Vec<u32>,
    /// Threshold of each axis-parallel split, in node order.
    thresholds: Vec<f64>,
    /// Columns in each hyperplane; 0 for axis-parallel splits.
    stride: usize,
    /// `stride` coordinates for each hyperplane, in node order.
    planes: Vec<Coordinate>,
}

impl From<IsolationForest> for Saved {
    fn from(forest: IsolationForest) -> Self {
        Saved {
            format: FORMAT,
            params: forest.params,
            n_features: forest.n_features,
            threshold: forest.threshold,
            grown: forest.grown,
            trees: forest.trees.iter().map(SavedTree::from).collect(),
        }
    }
}

impl From<&Tree> for SavedTree {
    fn from(tree: &Tree) -> Self {
        let mut thresholds = Vec::new();
        let splits = tree
            .splits()
            .map(|split| match split {
                None => 0,
                Some(Split::Plane) => 1,
                Some(Split::Axis { column, threshold }) => {
                    thresholds.push(threshold);
                    column + 1
                }
            })
            .collect();
        SavedTree {
            sizes: tree.sizes().to_vec(),
            splits,
            thresholds,
            stride: tree.stride(),
            planes: tree.planes().to_vec(),
        }
    }
}

impl TryFrom<Saved> for IsolationForest {
    type Error = IsolationForestError;

    fn try_from(saved: Saved) -> Result<Self> {
        if saved.format != FORMAT {
            return Err(refused(format!("it has format {}, this version reads format {FORMAT}", saved.format)));
        }
        if saved.n_features == 0 || saved.n_features >= i32::MAX as usize {
            return Err(refused(format!("{} columns", saved.n_features)));
        }
        if saved.trees.is_empty() || saved.trees.len() != saved.params.n_trees() {
            let (found, told) = (saved.trees.len(), saved.params.n_trees());
            return Err(refused(format!("{found} trees where the parameters say {told}")));
        }
        if !saved.threshold.is_finite() {
            return Err(refused("the threshold is not finite".to_owned()));
        }
        let trees = saved.trees.into_iter().enumerate().map(|(number, tree)| {
            tree.build(saved.n_features).map_err(|text| refused(format!("tree {number}: {text}")))
        });
        Ok(IsolationForest {
            trees: trees.collect::<Result<_>>()?,
            params: saved.params.recheck()?,
            n_features: saved.n_features,
            threshold: saved.threshold,
            grown: saved.grown,
        })
    }
}

fn refused(text: String) -> IsolationForestError {
    IsolationForestError::Saved(text)
}

impl SavedTree {
    fn build(self, columns: usize) -> std::result::Result<Tree, String> {
        let root = self.sizes.first().copied().filter(|&rows| (2..=1 << 30).contains(&rows));
        let root = root.ok_or("no root, or one with an impossible number of rows")?;
        let inner = self.splits.iter().filter(|&&code| code != 0).count();
        if self.splits.len() != self.sizes.len() || self.sizes.len() != 1 + 2 * inner {
            return Err(format!("{} sizes and {} splits, {inner} of them inner", self.sizes.len(), self.splits.len()));
        }
        let (thresholds, coordinates) = if self.stride == 0 { (inner, 0) } else { (0, inner) };
        if self.stride > columns
            || self.thresholds.len() != thresholds
            || Some(self.planes.len()) != coordinates.checked_mul(self.stride)
        {
            return Err(format!("{} thresholds and {} coordinates", self.thresholds.len(), self.planes.len()));
        }
        let mut thresholds = self.thresholds.into_iter();
        let mut planes = self.planes.chunks(self.stride.max(1));
        let mut sizes = self.sizes.iter().copied().skip(1);
        let mut depths = vec![0; 1];
        let mut tree = Tree::root(root, self.stride);
        for (at, (&rows, &code)) in self.sizes.iter().zip(&self.splits).enumerate() {
            let Some(&depth) = depths.get(at) else { return Err(format!("node {at} has no parent")) };
            if code == 0 {
                continue;
            }
            let children = [sizes.next().unwrap_or(0), sizes.next().unwrap_or(0)];
            if children.iter().map(|&n| u64::from(n)).sum::<u64>() != u64::from(rows) {
                return Err(format!("the children of node {at} do not share its {rows} rows"));
            }
            let split = if self.stride == 0 {
                let column = code - 1;
                let threshold = thresholds.next().filter(|t| t.is_finite() && (column as usize) < columns);
                let threshold = threshold.ok_or_else(|| format!("node {at} splits at no column or no number"))?;
                Split::Axis { column, threshold }
            } else {
                for coordinate in planes.next().unwrap_or(&[]) {
                    let Coordinate { column, normal, point } = *coordinate;
                    if column as usize >= columns || !normal.is_finite() || !point.is_finite() {
                        return Err(format!("node {at} has a hyperplane outside the data"));
                    }
                    tree.push_coordinate(*coordinate);
                }
                Split::Plane
            };
            tree.split(at, split, children, depth + 1);
            depths.extend([depth + 1; 2]);
        }
        Ok(tree)
    }
}
