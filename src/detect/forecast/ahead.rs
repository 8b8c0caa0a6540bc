//! A steady way and a limit: is a crossing to be told?
//!
//! It is when
//! - the limit lies ahead, and no part of the window lay beyond it;
//! - it is reached within twice the time that the window spans, and a third of the time that was watched before: what
//!   was watched for ten minutes tells of the next twenty, not of tomorrow, and a daemon that has just started knows
//!   no tide from a leak;
//! - a way that slows down would still get there;
//! - the metric has left what it was before that way, or what it was before had crossed the limit too. So what rises
//!   every day, or between two garbage collections, and falls again, is no news; a leak that comes back after each
//!   restart is.
//!
//! Pure. Called by [`super::Outlook`].

use std::time::Duration;

use super::Crossing;
use super::fit::Fit;
use crate::model::Timestamp;

/// Time ahead that is told, in spans of the window, and in times that were watched before it.
const HORIZON: f64 = 2.0;
const KNOWN: f64 = 0.33;
/// Farthest time ahead, in ms: nobody gets up for what comes after the next shift.
const FARTHEST: f64 = 8.0 * 3_600_000.0;
/// How far the metric must have left what it was before, as part of the range that it had then, or of the way that it
/// made: no two days have quite the same tide.
const NEW: f64 = 0.2;
/// Age of an answer, in spans of its window, from which on it says nothing, as it does when even the latest time
/// has passed. (A bucket closes each tenth of the shortest window; the values may have stopped.)
const STALE: f64 = 0.25;
/// A latest crossing that is this many times the expected one is as good as never.
const AS_GOOD_AS_NEVER: f64 = 4.0;

/// A crossing as one fit sees it; times in ms after the fit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ahead {
    at: i64,
    span: f64,
    within: f64,
    earliest: f64,
    latest: f64,
    /// Standard error of the slope, as part of it.
    pub(super) doubt: f64,
}

impl Ahead {
    /// Whether the line of a fit, which must go to the bad side, leads to a crossing.
    pub(super) fn of(fit: &Fit, limit: f64) -> Option<Self> {
        let limit = if fit.rising { limit } else { -limit } / fit.unit;
        let distance = limit - fit.level;
        let within = distance / fit.slope;
        let near = within <= (HORIZON * fit.span).min(FARTHEST).min(KNOWN * fit.known);
        let left = fit.recent - fit.former_top;
        let news =
            fit.former_top >= limit || left >= NEW * (fit.former_top - fit.former_bottom).max(fit.slope * fit.span);
        // A limit that is no number gives no distance, and no such is greater than 0 and near.
        if !(distance > 0.0 && near && distance <= fit.reach && fit.top < limit && news) {
            return None;
        }
        let (fast, slow) = (fit.slope * (1.0 + 2.0 * fit.doubt), fit.slope * (1.0 - 2.0 * fit.doubt));
        Some(Self {
            at: fit.at,
            span: fit.span,
            within,
            earliest: (distance - 2.0 * fit.spread).max(0.0) / fast,
            latest: if slow > 0.0 { (distance + 2.0 * fit.spread) / slow } else { f64::INFINITY },
            doubt: fit.doubt,
        })
    }

    /// Time of the window's first bucket, in ms.
    pub(super) fn began(&self) -> i64 {
        self.at.saturating_sub(self.span as i64)
    }

    /// The same in people's terms, as of a time; `None` when the answer is too old, or was wrong.
    pub(super) fn from(self, now: i64) -> Option<Crossing> {
        let since = now.saturating_sub(self.at) as f64;
        if since > (STALE * self.span).min(self.latest) {
            return None;
        }
        let ahead = |ms: f64| Duration::try_from_secs_f64((ms - since).max(0.0) / 1000.0).ok();
        let within = ahead(self.within)?;
        Some(Crossing {
            at: Timestamp(now).plus(within),
            within,
            earliest: ahead(self.earliest)?,
            latest: ahead(self.latest).filter(|_| self.latest <= AS_GOOD_AS_NEVER * self.within),
            confidence: (1.0 - 4.0 * self.doubt).clamp(0.0, 1.0),
        })
    }
}
