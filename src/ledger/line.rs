//! One record as bytes: written once, and taken apart by position, never by re-serialising.
//!
//! The format is in the head of [`super`]. Must never accept a line that is not exactly of that form: two readers
//! that disagree about a line would disagree about the chain.

use std::io::Write as _;

use crate::model::{Digest, Event, Record};

use super::LedgerError;

/// The most bytes a line may have. A plan with all the host calls of its dry run takes some ten kilobytes; what is
/// larger than this is a mistake or an attack, and would cost every reader that much memory.
pub const MAX_RECORD_BYTES: usize = 4 * 1024 * 1024;

/// Bytes of `,"hash":"` + 64 digits + `"}`.
const TAIL: usize = 9 + 64 + 2;

/// A line taken apart. Its hash fits its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame<'a> {
    /// Its number.
    pub seq: u64,
    /// The hash it says the record before has.
    pub prev: Digest,
    /// The JSON of the event.
    pub event: &'a [u8],
    /// Its hash.
    pub hash: Digest,
}

/// Appends the line for one event to `out`, and gives its hash. On an error `out` is as it was.
pub(super) fn encode(seq: u64, prev: Digest, event: &Event, out: &mut Vec<u8>) -> Result<Digest, LedgerError> {
    let start = out.len();
    let result = encode_unchecked(seq, prev, event, out);
    if result.is_err() {
        out.truncate(start);
    }
    result
}

fn encode_unchecked(seq: u64, prev: Digest, event: &Event, out: &mut Vec<u8>) -> Result<Digest, LedgerError> {
    let kind = event.fact.kind();
    let unreadable = |why: String| LedgerError::NotReadable { kind, why };
    let start = out.len();
    // Writing to a Vec cannot fail; the errors are carried all the same.
    write!(out, "{{\"seq\":{seq},\"prev\":\"{prev}\",\"event\":").map_err(|e| unreadable(e.to_string()))?;
    let event_start = out.len();
    serde_json::to_writer(&mut *out, event).map_err(|e| unreadable(e.to_string()))?;
    // JSON has no NaN: it would be written as `null`, and the ledger would never open again. So every event is read
    // back before it is written down.
    let back: Event =
        serde_json::from_slice(out.get(event_start..).unwrap_or_default()).map_err(|e| unreadable(e.to_string()))?;
    if back != *event {
        return Err(unreadable("it reads back as something else".to_owned()));
    }
    let hash = Digest::of(out.get(start..).unwrap_or_default());
    writeln!(out, ",\"hash\":\"{hash}\"}}").map_err(|e| unreadable(e.to_string()))?;
    let bytes = out.len() - start;
    if bytes > MAX_RECORD_BYTES {
        return Err(LedgerError::TooLarge { kind, bytes, max: MAX_RECORD_BYTES });
    }
    Ok(hash)
}

/// Takes a line (without its line feed) apart and checks its hash. The error says what was expected and found.
pub(super) fn decode(line: &[u8]) -> Result<Frame<'_>, String> {
    let form = || "this is not a line of the form {\"seq\":..,\"prev\":..,\"event\":..,\"hash\":..}".to_owned();
    let (body, tail) = line.len().checked_sub(TAIL).and_then(|at| line.split_at_checked(at)).ok_or_else(form)?;
    let written = tail.strip_prefix(b",\"hash\":\"").and_then(|t| t.strip_suffix(b"\"}")).and_then(digest);
    let hash = written.ok_or_else(form)?;
    let computed = Digest::of(body);
    if hash != computed {
        return Err(format!("its bytes hash to {computed}, and it says {hash}"));
    }
    let rest = body.strip_prefix(b"{\"seq\":").ok_or_else(form)?;
    let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
    let (number, rest) = rest.split_at_checked(digits).ok_or_else(form)?;
    let seq = std::str::from_utf8(number).ok().and_then(|n| n.parse().ok()).ok_or_else(form)?;
    let rest = rest.strip_prefix(b",\"prev\":\"").ok_or_else(form)?;
    let (prev, rest) = rest.split_at_checked(64).ok_or_else(form)?;
    let prev = digest(prev).ok_or_else(form)?;
    let event = rest.strip_prefix(b"\",\"event\":").ok_or_else(form)?;
    Ok(Frame { seq, prev, event, hash })
}

/// Sixty-four lower-case hexadecimal digits.
fn digest(text: &[u8]) -> Option<Digest> {
    let plain = text.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    std::str::from_utf8(text).ok().filter(|_| plain)?.parse().ok()
}

impl Frame<'_> {
    /// The whole record.
    pub(super) fn record(&self) -> Result<Record, String> {
        let event = serde_json::from_slice(self.event)
            .map_err(|e| format!("its event is not one that this version of Suture knows ({e})"))?;
        Ok(Record { seq: self.seq, prev: self.prev, event, hash: self.hash })
    }
}
