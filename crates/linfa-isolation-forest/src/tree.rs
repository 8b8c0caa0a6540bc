//! One tree as flat arrays, and the walk through it.
//!
//! Nodes lie in breadth-first order and the two children of a node lie side by side, so a node is 16 bytes: a
//! threshold, a column and the number of its first child. A walk goes to the second child when the row's value is
//! above the threshold. A leaf is its own first child behind a threshold that nothing exceeds, so that a walk may take
//! a fixed number of steps and has no branch to mispredict. Values are compared as integers of the same order
//! ([`key`]), measured to be a third faster than floats; where a value is missing the order says nothing, and the walk
//! asks which child got more training rows.

use crate::path_length::average_path_length;

/// Rows walked side by side through one tree: enough independent chains to hide the latency of a step, few enough to
/// keep their state in registers (measured: 4 and 16 are slower).
pub(crate) const LANES: usize = 8;

/// An integer with the order of the numbers: `key(a) < key(b)` where `a < b`, equal for 0.0 and -0.0. Meaningless for
/// NaN.
#[inline(always)]
pub(crate) fn key(value: f64) -> i64 {
    // Adding 0.0 turns -0.0 into 0.0.
    flip((value + 0.0).to_bits() as i64)
}

/// Negative numbers are ordered the wrong way round in their bits.
#[inline(always)]
fn flip(bits: i64) -> i64 {
    bits ^ (((bits >> 63) as u64) >> 1) as i64
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Node {
    /// [`key`] of the threshold.
    key: i64,
    /// Column; in a tree of hyperplanes the number of the plane.
    column: u32,
    child: u32,
}

impl Node {
    fn leaf(at: u32) -> Self {
        Node { key: i64::MAX, column: 0, child: at }
    }

    #[inline(always)]
    fn next(self, key: i64) -> u32 {
        self.child + u32::from(key > self.key)
    }
}

/// One column's part in a hyperplane: `normal * (x - point)`.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Coordinate {
    pub(crate) column: u32,
    pub(crate) normal: f64,
    pub(crate) point: f64,
}

impl Coordinate {
    #[inline(always)]
    fn term(&self, row: &[f64]) -> f64 {
        self.normal * (row.get(self.column as usize).copied().unwrap_or(f64::NAN) - self.point)
    }

    /// 0 for a missing value, as though it lay on the plane.
    fn term_or_zero(&self, row: &[f64]) -> f64 {
        let term = self.term(row);
        if term.is_nan() { 0.0 } else { term }
    }
}

/// The row's signed distance from the plane, in units of the normal's length.
#[inline]
pub(crate) fn project(plane: &[Coordinate], row: &[f64]) -> f64 {
    // Four sums beside each other: one would wait for each addition.
    let (fours, rest) = plane.as_chunks::<4>();
    let mut sums = [0.0; 4];
    for [a, b, c, d] in fours {
        let [s, t, u, v] = sums;
        sums = [s + a.term(row), t + b.term(row), u + c.term(row), v + d.term(row)];
    }
    let sum = sums.iter().sum::<f64>() + rest.iter().map(|c| c.term(row)).sum::<f64>();
    if sum.is_nan() { plane.iter().map(|c| c.term_or_zero(row)).sum() } else { sum }
}

/// Which rows go to the second child.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Split {
    /// Those with a value above the threshold.
    Axis { column: u32, threshold: f64 },
    /// Those on the positive side of the plane pushed last.
    Plane,
}

/// A grown tree. All vectors but `planes` have one entry for each node.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tree {
    nodes: Vec<Node>,
    /// Expected length of a path that has reached the node, depth + c(rows), in units of c(rows at the root).
    lengths: Vec<f64>,
    /// Training rows that reached the node.
    sizes: Vec<u32>,
    /// `stride` coordinates for each hyperplane; empty in a tree of axis-parallel splits.
    planes: Vec<Coordinate>,
    stride: usize,
    depth: usize,
    norm: f64,
}

impl Tree {
    /// A tree that is one leaf with `rows` training rows; `stride` is 0 for axis-parallel splits.
    pub(crate) fn root(rows: u32, stride: usize) -> Self {
        let capacity = 2 * rows as usize;
        let mut tree = Tree {
            nodes: Vec::with_capacity(capacity.min(1 << 16)),
            lengths: Vec::with_capacity(capacity.min(1 << 16)),
            sizes: Vec::with_capacity(capacity.min(1 << 16)),
            planes: Vec::new(),
            stride,
            depth: 0,
            norm: 1.0 / average_path_length(rows as usize).max(1.0),
        };
        tree.push(rows, 0);
        tree
    }

    fn push(&mut self, rows: u32, depth: usize) {
        self.nodes.push(Node::leaf(self.nodes.len() as u32));
        self.lengths.push((depth as f64 + average_path_length(rows as usize)) * self.norm);
        self.sizes.push(rows);
    }

    /// Turns the leaf `at` into a split whose children, at `depth`, hold `sizes` training rows.
    pub(crate) fn split(&mut self, at: usize, split: Split, sizes: [u32; 2], depth: usize) {
        let child = self.nodes.len() as u32;
        let plane = self.planes.len().checked_div(self.stride).unwrap_or(0).saturating_sub(1) as u32;
        if let Some(node) = self.nodes.get_mut(at) {
            *node = match split {
                Split::Axis { column, threshold } => Node { key: key(threshold), column, child },
                Split::Plane => Node { key: 0, column: plane, child },
            };
        }
        for rows in sizes {
            self.push(rows, depth);
        }
        self.depth = self.depth.max(depth);
    }

    pub(crate) fn push_coordinate(&mut self, coordinate: Coordinate) {
        self.planes.push(coordinate);
    }

    fn plane(&self, node: Node) -> &[Coordinate] {
        let start = node.column as usize * self.stride;
        self.planes.get(start..start + self.stride).unwrap_or(&[])
    }

    /// The node after `at`; `at` itself when it is a leaf.
    #[inline(always)]
    fn step(&self, at: u32, row: &[f64]) -> u32 {
        let Some(&node) = self.nodes.get(at as usize) else { return at };
        if self.stride == 0 {
            let value = row.get(node.column as usize).copied().unwrap_or(f64::NAN);
            if value.is_nan() { self.crowded_child(at, node) } else { node.next(key(value)) }
        } else if node.child == at {
            at
        } else {
            node.child + u32::from(project(self.plane(node), row) > 0.0)
        }
    }

    /// Where a row without a value goes: with the larger part of the training rows, to the first child in case of a
    /// tie.
    #[cold]
    fn crowded_child(&self, at: u32, node: Node) -> u32 {
        let rows = |child: u32| self.sizes.get(child as usize).copied().unwrap_or(0);
        node.child + u32::from(node.child != at && rows(node.child + 1) > rows(node.child))
    }

    #[inline(always)]
    fn length(&self, at: u32) -> f64 {
        self.lengths.get(at as usize).copied().unwrap_or(1.0)
    }

    /// Length of the row's path in units of c(rows at the root).
    #[inline]
    pub(crate) fn path_length(&self, row: &[f64]) -> f64 {
        let mut at = 0;
        for _ in 0..self.depth {
            at = self.step(at, row);
        }
        self.length(at)
    }

    /// As [`Self::path_length`], from the [`key`]s of a row without missing values, in a tree of axis-parallel splits.
    #[inline]
    pub(crate) fn key_path_length(&self, keys: &[i64]) -> f64 {
        let mut at = 0;
        for _ in 0..self.depth {
            if let Some(node) = self.nodes.get(at as usize)
                && let Some(&key) = keys.get(node.column as usize)
            {
                at = node.next(key);
            }
        }
        self.length(at)
    }

    /// Adds the path length of each of the rows (row-major, `columns` wide) to `sums`. `keys` holds the [`key`] of
    /// each value, or is empty when a value is missing.
    pub(crate) fn add_path_lengths(&self, rows: &[f64], keys: &[i64], columns: usize, sums: &mut [f64]) {
        let mut done = 0;
        if self.stride == 0 {
            for (group, sums) in keys.chunks_exact(columns * LANES).zip(sums.chunks_exact_mut(LANES)) {
                let mut at = [0_u32; LANES];
                for _ in 0..self.depth {
                    for (lane, at) in at.iter_mut().enumerate() {
                        if let Some(node) = self.nodes.get(*at as usize)
                            && let Some(&key) = group.get(lane * columns + node.column as usize)
                        {
                            *at = node.next(key);
                        }
                    }
                }
                for (sum, at) in sums.iter_mut().zip(at) {
                    *sum += self.length(at);
                }
                done += LANES;
            }
        }
        for (row, sum) in rows.chunks_exact(columns).zip(sums).skip(done) {
            *sum += self.path_length(row);
        }
    }

    /// Calls `credit(column, gain)` for each split on the row's path: by how much the split shortened the path that
    /// was to be expected, in units of c(rows at the root). The gains of a path add up to 1 - its length.
    pub(crate) fn credit_path(&self, row: &[f64], mut credit: impl FnMut(usize, f64)) {
        let mut at = 0;
        while let Some(&node) = self.nodes.get(at as usize) {
            let next = self.step(at, row);
            if next == at {
                return;
            }
            let gain = self.length(at) - self.length(next);
            if self.stride == 0 {
                credit(node.column as usize, gain);
            } else {
                credit_plane(self.plane(node), row, gain, &mut credit);
            }
            at = next;
        }
    }

    #[cfg(feature = "serde")]
    pub(crate) fn sizes(&self) -> &[u32] {
        &self.sizes
    }
    #[cfg(feature = "serde")]
    pub(crate) fn planes(&self) -> &[Coordinate] {
        &self.planes
    }
    #[cfg(feature = "serde")]
    pub(crate) fn stride(&self) -> usize {
        self.stride
    }
    /// Each node's split in node order, `None` for a leaf.
    #[cfg(feature = "serde")]
    pub(crate) fn splits(&self) -> impl Iterator<Item = Option<Split>> + '_ {
        self.nodes.iter().enumerate().map(|(at, node)| match node {
            Node { child, .. } if *child as usize == at => None,
            _ if self.stride > 0 => Some(Split::Plane),
            node => Some(Split::Axis { column: node.column, threshold: f64::from_bits(flip(node.key) as u64) }),
        })
    }
}

/// Divides a hyperplane's gain among its columns by the size of their terms; evenly when all terms are 0.
fn credit_plane(plane: &[Coordinate], row: &[f64], gain: f64, credit: &mut impl FnMut(usize, f64)) {
    // Bounded so that infinite values neither overflow the total nor make a share NaN.
    let size = |c: &Coordinate| c.term_or_zero(row).abs().min(f64::MAX / (plane.len() + 1) as f64);
    let total: f64 = plane.iter().map(size).sum();
    let even = 1.0 / plane.iter().filter(|c| c.normal != 0.0).count().max(1) as f64;
    for c in plane.iter().filter(|c| c.normal != 0.0) {
        let share = if total > 0.0 { size(c) / total } else { even };
        credit(c.column as usize, gain * share);
    }
}
