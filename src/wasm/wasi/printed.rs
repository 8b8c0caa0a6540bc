//! Standard output and error: lines on their way into the run's log.

use std::sync::{Arc, Mutex, PoisonError};

use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi_io::async_trait;
use wasmtime_wasi_io::bytes::Bytes;
use wasmtime_wasi_io::poll::Pollable;
use wasmtime_wasi_io::streams::{DynOutputStream, OutputStream, StreamResult};

use super::PER_LINE;
use crate::model::LogLevel;
use crate::wasm::limits::{SENTENCE, shown};

/// Bytes of a line that are looked at: enough for the longest sentence in any script.
const LINE: usize = 4 * SENTENCE + 4;

/// How much is taken at once.
const CHUNK: usize = 4096;

/// What was printed and not yet taken into the log.
#[derive(Clone)]
pub(super) struct Printed(Arc<Mutex<Lines>>);

struct Lines {
    budget: usize,
    left: usize,
    lines: Vec<(LogLevel, String)>,
    dropped: usize,
    /// The last line of each stream, still without its end.
    out: Vec<u8>,
    err: Vec<u8>,
}

impl Printed {
    /// `budget`: bytes that are kept until they are taken.
    pub(super) fn new(budget: usize) -> Self {
        let (lines, out, err) = (Vec::new(), Vec::new(), Vec::new());
        Self(Arc::new(Mutex::new(Lines { budget, left: budget, lines, dropped: 0, out, err })))
    }

    /// The lines so far, and how many did not fit. `at_end`: also those without an end.
    pub(super) fn take(&self, at_end: bool) -> (Vec<(LogLevel, String)>, usize) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if at_end {
            lines.end_line(LogLevel::Info);
            lines.end_line(LogLevel::Warn);
        }
        lines.left = lines.budget;
        (std::mem::take(&mut lines.lines), std::mem::take(&mut lines.dropped))
    }

    /// One of the two streams.
    pub(super) fn stream(&self, level: LogLevel) -> Stream {
        Stream { printed: self.clone(), level }
    }
}

impl Lines {
    fn open(&mut self, level: LogLevel) -> &mut Vec<u8> {
        if level == LogLevel::Warn { &mut self.err } else { &mut self.out }
    }

    fn print(&mut self, level: LogLevel, bytes: &[u8]) {
        let mut parts = bytes.split(|b| *b == b'\n').peekable();
        while let Some(part) = parts.next() {
            let open = self.open(level);
            let room = LINE.saturating_sub(open.len());
            open.extend(part.iter().take(room));
            if parts.peek().is_some() {
                self.end_line(level);
            }
        }
    }

    fn end_line(&mut self, level: LogLevel) {
        let bytes = std::mem::take(self.open(level));
        let line = shown(String::from_utf8_lossy(&bytes).trim_end(), SENTENCE);
        if line.is_empty() {
            return;
        }
        match self.left.checked_sub(line.len() + PER_LINE) {
            Some(left) => {
                self.left = left;
                self.lines.push((level, line));
            }
            None => self.dropped += 1,
        }
    }
}

pub(super) struct Stream {
    printed: Printed,
    level: LogLevel,
}

impl IsTerminal for Stream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Stream {
    /// Not called for components of this version of WASI.
    fn async_stream(&self) -> Box<dyn tokio::io::AsyncWrite + Send + Sync> {
        Box::new(tokio::io::sink())
    }

    fn p2_stream(&self) -> DynOutputStream {
        Box::new(self.printed.stream(self.level))
    }
}

#[async_trait]
impl Pollable for Stream {
    async fn ready(&mut self) {}
}

impl OutputStream for Stream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.printed.0.lock().unwrap_or_else(PoisonError::into_inner).print(self.level, &bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(CHUNK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(budget: usize, prints: &[(LogLevel, &[u8])]) -> (Vec<(LogLevel, String)>, usize) {
        let printed = Printed::new(budget);
        for (level, bytes) in prints {
            printed.0.lock().unwrap().print(*level, bytes);
        }
        printed.take(true)
    }

    fn texts(lines: &[(LogLevel, String)]) -> Vec<&str> {
        lines.iter().map(|(_, text)| text.as_str()).collect()
    }

    #[test]
    fn lines_end_where_they_end_and_not_where_they_were_written() {
        use LogLevel::{Info, Warn};
        let (lines, _) = printed(1000, &[(Info, b"on"), (Warn, b"two\n"), (Info, b"e\n\r\n \nthr"), (Info, b"ee")]);
        assert_eq!(lines, [(Warn, "two".to_owned()), (Info, "one".to_owned()), (Info, "three".to_owned())]);
    }

    #[test]
    fn what_is_shown_is_text_of_bounded_length() {
        let long = [b"x".repeat(100_000), b"\nand on".to_vec()].concat();
        let (lines, _) = printed(10_000, &[(LogLevel::Info, b"\x1b[31m\xff\n"), (LogLevel::Info, &long)]);
        assert_eq!(texts(&lines), [" [31m\u{fffd}", &format!("{}...", "x".repeat(500)), "and on"]);
    }

    #[test]
    fn a_flood_is_counted_and_not_kept() {
        let (lines, dropped) = printed(1000, &[(LogLevel::Info, &b"x\n".repeat(100))]);
        assert_eq!((lines.len(), dropped), (15, 85));
    }
}
