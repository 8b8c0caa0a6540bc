//! What is remembered of a metric: its values by time, at six scales of which each is four times as coarse as the one
//! before.
//!
//! The finest bucket holds the mean of three seconds, or one sample where samples come more rarely; a coarser one the
//! middle of four. So nobody has to say how often samples come: at up to 3 s between them the scales reach back 2
//! minutes to 34 hours, at one a minute 40 minutes to 28 days. Called by [`super::Outlook`] only.

/// Buckets a scale keeps: the longest window that is looked at, 780 pairs.
pub(super) const KEPT: usize = 40;
/// Scales. The coarsest reaches back more than a day, so that what comes every day is known to come and to go.
pub(super) const SCALES: usize = 6;
/// Buckets that one of the next scale is made of. [`KEPT`] is four times the shortest window, so none is looked at twice.
const MERGED: usize = 4;
/// Least width of the finest bucket, in ms: the windows of a leak that takes three minutes are some 30 buckets long.
const FINEST: i64 = 3_000;

/// Some samples as one.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Bucket {
    /// Mean time, in ms.
    pub(super) at: i64,
    pub(super) value: f64,
}

/// The bucket that is being filled.
#[derive(Clone, Debug, Default)]
pub(super) struct Open {
    first: i64,
    count: u32,
    /// Sum of the distances from `first`.
    after: i64,
    mean: f64,
}

impl Open {
    /// Takes a finite value that came `gap` ms after the one before; gives the buckets that are full, oldest first.
    pub(super) fn push(&mut self, at: i64, value: f64, gap: i64) -> [Option<Bucket>; 2] {
        // The mean of both sides of a gap lies in neither: what is after it begins a bucket of its own.
        let before = if at.saturating_sub(self.first) >= FINEST { self.close() } else { None };
        if self.count == 0 {
            self.first = at;
        }
        self.count += 1;
        let after = at.saturating_sub(self.first);
        self.after = self.after.saturating_add(after);
        // Two quotients: neither they nor their difference overflow, for any finite values.
        let count = f64::from(self.count);
        self.mean += value / count - self.mean / count;
        // Closed with its last sample, not with the first of the next one, which may be a minute away.
        [before, if after.saturating_add(gap) >= FINEST { self.close() } else { None }]
    }

    /// The bucket as it is, if there is any; it begins anew.
    fn close(&mut self) -> Option<Bucket> {
        let Self { first, count, after, mean, .. } = std::mem::take(self);
        let at = first.saturating_add(after.checked_div(i64::from(count))?);
        Some(Bucket { at, value: mean })
    }
}

/// The newest buckets of one width.
#[derive(Clone, Debug)]
pub(super) struct Scale {
    /// Twice as many as are kept, so that they lie in one piece, and are moved once in [`KEPT`] times only.
    buckets: Vec<Bucket>,
    /// The newest ones, of which the next scale has no bucket yet.
    loose: usize,
}

impl Scale {
    pub(super) fn new() -> Self {
        Self { buckets: Vec::with_capacity(2 * KEPT), loose: 0 }
    }

    /// Takes the next bucket; gives one of the next scale when there is one.
    pub(super) fn push(&mut self, bucket: Bucket) -> Option<Bucket> {
        if self.buckets.len() == 2 * KEPT {
            self.buckets.drain(..=KEPT);
        }
        self.buckets.push(bucket);
        self.loose += 1;
        if self.loose < MERGED {
            return None;
        }
        self.loose = 0;
        let merged = self.last(MERGED)?;
        let oldest = merged.first()?.at;
        let after: i64 = merged.iter().map(|b| b.at.saturating_sub(oldest) / MERGED as i64).sum();
        let mut values = [0.0; MERGED];
        values.iter_mut().zip(merged).for_each(|(to, bucket)| *to = bucket.value);
        Some(Bucket { at: oldest.saturating_add(after), value: middle(&mut values) })
    }

    /// The newest `count`, oldest first; `None` when there are fewer.
    pub(super) fn last(&self, count: usize) -> Option<&[Bucket]> {
        self.buckets.get(self.buckets.len().checked_sub(count)?..)
    }

    /// All that are kept, oldest first.
    pub(super) fn kept(&self) -> &[Bucket] {
        self.buckets.get(self.buckets.len().saturating_sub(KEPT)..).unwrap_or_default()
    }
}

/// The mean of the inner half, which is the mean of all for up to two: as robust as a median against one burst in
/// four, with less noise. 0 of none. Sorts.
pub(super) fn middle(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let cut = values.len() / 4;
    let inner = values.get(cut..values.len() - cut).unwrap_or_default();
    inner.iter().map(|v| v / inner.len() as f64).sum()
}
