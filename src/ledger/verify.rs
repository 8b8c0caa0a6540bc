//! `suture audit verify`: does the chain hold, and is its end where it was?

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use crate::model::{Event, Timestamp};

use super::scan::{segment_name, walk};
use super::tip::TIP;
use super::{Disk, LedgerError, Problem, Storage, Tip, folder};

/// What a verification found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyReport {
    /// Records in order, counted from the first up to the first problem.
    pub records: u64,
    /// Files read.
    pub segments: u64,
    /// The time in the first record.
    pub first_at: Option<Timestamp>,
    /// The time in the last record.
    pub last_at: Option<Timestamp>,
    /// The last record in order, with its hash: what is worth writing down in another place.
    pub tip: Tip,
    /// The tip as it was recorded beside the files; `None` when there is none, and then nobody can tell whether
    /// records were removed from the end.
    pub recorded_tip: Option<Tip>,
    /// The first place where the ledger is not as it was written.
    pub problem: Option<Problem>,
    /// Bytes of a half-written record at the end: a crash, or a daemon that is writing right now.
    pub torn: Option<u64>,
}

impl VerifyReport {
    /// Does everything hold?
    #[must_use]
    pub fn holds(&self) -> bool {
        self.problem.is_none()
    }
}

impl fmt::Display for VerifyReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = |n: u64| if n == 1 { "" } else { "s" };
        match &self.problem {
            None => write!(f, "the chain holds")?,
            Some(problem) => write!(f, "THE CHAIN DOES NOT HOLD: {problem}")?,
        }
        let (records, segments) = (self.records, self.segments);
        write!(f, "\n{records} record{} in order, {segments} file{}", s(records), s(segments))?;
        if let (Some(first), Some(last)) = (self.first_at, self.last_at) {
            write!(f, ", from {first} to {last}")?;
        }
        write!(f, "\nlast record in order: {} {}", self.tip.seq, self.tip.hash)?;
        match self.recorded_tip {
            _ if self.problem.is_some() => {}
            Some(tip) => write!(f, "\n{TIP} names record {}: nothing up to there was removed from the end", tip.seq)?,
            None => write!(f, "\n{TIP} is not there: records removed from the end would not be noticed")?,
        }
        if let Some(bytes) = self.torn {
            write!(f, "\n{bytes} bytes of an unfinished record at the end: a crash, or a daemon that is writing now")?;
        }
        Ok(())
    }
}

/// Verifies the ledger in this data folder. Reads only; a daemon may be writing.
///
/// # Errors
/// When a file cannot be read; what is wrong *in* the files is in the report.
pub fn verify(data_dir: &Path) -> Result<VerifyReport, LedgerError> {
    let disk: Arc<dyn Storage> = Arc::new(Disk::at(folder(data_dir)));
    verify_on(&disk)
}

/// The same for any storage.
///
/// # Errors
/// When a file cannot be read.
pub fn verify_on(storage: &Arc<dyn Storage>) -> Result<VerifyReport, LedgerError> {
    // The tip first: a daemon that writes meanwhile only makes the files longer than it says.
    let (recorded_tip, tip_problem) = match Tip::read(&**storage) {
        Ok(tip) => (tip, None),
        Err(LedgerError::Damaged(problem)) => (None, Some(problem)),
        Err(e) => return Err(e),
    };
    let (mut first_at, mut last_at, mut hash_at_tip) = (None, None, None);
    let mut each = |frame: &super::line::Frame<'_>, _| {
        // Bytes that hash as they should are in order, even if a newer version wrote a kind unknown here.
        if let Ok(event) = serde_json::from_slice::<Event>(frame.event) {
            first_at.get_or_insert(event.at);
            last_at = Some(event.at);
        }
        if recorded_tip.is_some_and(|tip| tip.seq == frame.seq) {
            hash_at_tip = Some(frame.hash);
        }
        Ok(())
    };
    let walked = match walk(storage, &mut each) {
        Ok(walked) => walked,
        // A file that does not belong there: nothing was walked.
        Err(LedgerError::Damaged(problem)) => {
            let tip = Tip::START;
            let (records, segments, torn) = (0, 0, None);
            let problem = Some(problem);
            return Ok(VerifyReport { records, segments, first_at, last_at, tip, recorded_tip, problem, torn });
        }
        Err(e) => return Err(e),
    };
    let tip = Tip { seq: walked.records, hash: walked.last };
    let end = segment_name(walked.end.map_or(1, |end| end.segment));
    let problem = walked
        .problem
        .or(tip_problem)
        .or_else(|| recorded_tip.and_then(|recorded| tip_mismatch(recorded, tip, hash_at_tip, storage.shown(&end))));
    let (records, segments, torn) = (walked.records, walked.segments, walked.torn);
    Ok(VerifyReport { records, segments, first_at, last_at, tip, recorded_tip, problem, torn })
}

/// Is the end before the recorded tip, or is the tip's record another one?
pub(super) fn tip_mismatch(
    recorded: Tip,
    end: Tip,
    hash_there: Option<crate::model::Digest>,
    file: String,
) -> Option<Problem> {
    let why = if recorded.seq > end.seq {
        format!(
            "the ledger ends with record {}, but {TIP} says that record {} was on disk: records were removed from the \
             end, or an older copy was put in place. To go on knowingly with what is left, move {TIP} away",
            end.seq, recorded.seq
        )
    } else if recorded.seq > 0 && hash_there.is_some_and(|hash| hash != recorded.hash) {
        format!(
            "{TIP} says that record {} has hash {}, and it has another: the chain was replaced",
            recorded.seq, recorded.hash
        )
    } else {
        return None;
    };
    Some(Problem { file, line: 0, seq: recorded.seq.min(end.seq + 1), why })
}
