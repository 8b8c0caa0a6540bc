//! Scores against labels, point by point: every threshold that tells rows apart, and from those ROC-AUC, PR-AUC, the
//! best F1 and the two curves. Knows nothing of time or of events. Called by `measures` and, for the curves, by
//! `suite`.

/// How many rows are flagged at a threshold, and how many of those rightly.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Point {
    flagged: f64,
    right: f64,
}

/// The rows at every distinct score, from the worst on.
#[derive(Clone, Debug)]
pub(super) struct Curve {
    points: Vec<Point>,
    positives: f64,
    negatives: f64,
}

impl Curve {
    /// None when all rows are anomalous or none is: then there is nothing to tell apart.
    pub(super) fn of(anomalous: &[bool], scores: &[f64]) -> Option<Self> {
        let mut ranked: Vec<(f64, bool)> = scores.iter().copied().zip(anomalous.iter().copied()).collect();
        ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
        let positives = ranked.iter().filter(|(_, anomalous)| *anomalous).count();
        if positives == 0 || positives == ranked.len() {
            return None;
        }
        let mut points: Vec<Point> = Vec::new();
        let (mut right, mut before) = (0_u64, None);
        for (at, (score, anomalous)) in ranked.iter().enumerate() {
            right += u64::from(*anomalous);
            let point = Point { flagged: (at + 1) as f64, right: right as f64 };
            // Rows of one score cannot be told apart: they are flagged together.
            match points.last_mut() {
                Some(last) if before == Some(*score) => *last = point,
                _ => points.push(point),
            }
            before = Some(*score);
        }
        Some(Self { points, positives: positives as f64, negatives: (ranked.len() - positives) as f64 })
    }

    /// The area under the ROC curve, by trapezoids.
    pub(super) fn roc_auc(&self) -> f64 {
        let (mut area, mut before) = (0.0, (0.0, 0.0));
        for (fpr, tpr) in self.roc_points() {
            area += (fpr - before.0) * (tpr + before.1) / 2.0;
            before = (fpr, tpr);
        }
        area
    }

    /// The area under the precision-recall curve, as average precision: steps, not trapezoids, which flatter.
    pub(super) fn pr_auc(&self) -> f64 {
        let (mut area, mut before) = (0.0, 0.0);
        for (recall, precision) in self.pr_points() {
            area += (recall - before) * precision;
            before = recall;
        }
        area
    }

    /// The best F1 that a threshold chosen afterwards could reach.
    pub(super) fn best_f1(&self) -> f64 {
        self.pr_points().map(|(r, p)| 2.0 * p * r / (p + r).max(1e-12)).fold(0.0, f64::max)
    }

    /// The true positive rate at each false positive rate, in a straight line between thresholds.
    pub(super) fn tpr_at(&self, grid: &[f64]) -> Vec<f64> {
        let mut points = self.roc_points().peekable();
        let mut before = (0.0, 0.0);
        grid.iter()
            .map(|at| {
                // Up to the last threshold that is not past the grid's point: a vertical step counts in full.
                while let Some(next) = points.next_if(|(fpr, _)| fpr <= at) {
                    before = next;
                }
                points
                    .peek()
                    .map_or(before.1, |next| before.1 + (next.1 - before.1) * (at - before.0) / (next.0 - before.0))
            })
            .collect()
    }

    /// The precision at each recall: that of the first threshold which reaches it, as average precision has it.
    pub(super) fn precision_at(&self, grid: &[f64]) -> Vec<f64> {
        let mut points = self.pr_points().peekable();
        let mut last = 0.0;
        grid.iter()
            .map(|at| {
                while let Some((_, precision)) = points.next_if(|(recall, _)| recall < at) {
                    last = precision;
                }
                points.peek().map_or(last, |(_, precision)| *precision)
            })
            .collect()
    }

    fn roc_points(&self) -> impl Iterator<Item = (f64, f64)> + '_ {
        self.points.iter().map(|p| ((p.flagged - p.right) / self.negatives, p.right / self.positives))
    }

    fn pr_points(&self) -> impl Iterator<Item = (f64, f64)> + '_ {
        self.points.iter().map(|p| (p.right / self.positives, p.right / p.flagged))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn perfect_reversed_and_blind() {
        let labels = [false, false, true, true];
        let cases = [
            ("perfect", [1.0, 2.0, 3.0, 4.0], 1.0, 1.0, 1.0),
            ("reversed", [4.0, 3.0, 2.0, 1.0], 0.0, 1.0 / 6.0 + 0.25, 2.0 / 3.0),
            ("blind", [7.0; 4], 0.5, 0.5, 2.0 / 3.0),
        ];
        for (case, scores, roc, pr, f1) in cases {
            let curve = Curve::of(&labels, &scores).unwrap();
            for (got, expected) in [(curve.roc_auc(), roc), (curve.pr_auc(), pr), (curve.best_f1(), f1)] {
                assert!((got - expected).abs() < 1e-12, "{case}: {got} is not {expected}");
            }
        }
        assert!(Curve::of(&[true, true], &[1.0, 2.0]).is_none());
        assert!(Curve::of(&[false], &[1.0]).is_none());
    }

    #[test]
    fn curves_on_a_grid() {
        // From the worst: right, wrong, right, wrong.
        let curve = Curve::of(&[true, false, true, false], &[4.0, 3.0, 2.0, 1.0]).unwrap();
        assert_eq!(curve.tpr_at(&[0.0, 0.25, 0.5, 0.75, 1.0]), [0.5, 0.5, 1.0, 1.0, 1.0]);
        assert_eq!(curve.precision_at(&[0.0, 0.5, 0.75, 1.0]), [1.0, 1.0, 2.0 / 3.0, 2.0 / 3.0]);
        let blind = Curve::of(&[true, false], &[1.0, 1.0]).unwrap();
        assert_eq!(blind.tpr_at(&[0.0, 0.3, 1.0]), [0.0, 0.3, 1.0]);
    }
}
