//! Plain lines: in from a pipe, out to anything.

use std::io::{BufRead, ErrorKind, Write};

use tokio::sync::mpsc;

use super::{ConsoleInput, OnEof};

/// Longest line that is kept, in bytes: above what the grammar takes, so that it can say so. The rest is read and
/// thrown away, or a pipe without line ends would fill the memory.
const LONGEST_LINE: usize = 16 * 1024;

/// Reads lines until the end, or until nobody takes them any more.
pub(super) fn read(mut reader: impl BufRead, on_eof: OnEof, lines: &mpsc::Sender<ConsoleInput>) {
    loop {
        match line(&mut reader) {
            Ok(Some(line)) => {
                if lines.blocking_send(ConsoleInput::Line(line)).is_err() {
                    return;
                }
            }
            Ok(None) => break,
            Err(error) => {
                tracing::warn!(%error, "standard input cannot be read any more");
                break;
            }
        }
    }
    if on_eof == OnEof::Quit {
        // Nobody listens any more: that is an end, too.
        let _ = lines.blocking_send(ConsoleInput::Eof);
    }
}

/// One line without its end; `None` at the end of input. What is not UTF-8 becomes the replacement character.
fn line(reader: &mut impl BufRead) -> std::io::Result<Option<String>> {
    let mut bytes = Vec::new();
    let mut any = false;
    loop {
        let chunk = match reader.fill_buf() {
            Ok(chunk) => chunk,
            Err(e) if e.kind() == ErrorKind::Interrupted => continue,
            Err(e) => return Err(e),
        };
        if chunk.is_empty() {
            break;
        }
        any = true;
        let end = chunk.iter().position(|b| *b == b'\n');
        let (part, used) = match end {
            Some(end) => (chunk.get(..end).unwrap_or_default(), end + 1),
            None => (chunk, chunk.len()),
        };
        let room = LONGEST_LINE.saturating_sub(bytes.len());
        bytes.extend_from_slice(part.get(..room.min(part.len())).unwrap_or_default());
        reader.consume(used);
        if end.is_some() {
            break;
        }
    }
    if bytes.last() == Some(&b'\r') {
        bytes.pop();
    }
    Ok(any.then(|| String::from_utf8_lossy(&bytes).into_owned()))
}

/// Writes until whoever reads is gone.
pub(super) struct Out<W> {
    to: W,
    gone: bool,
}

impl<W: Write> Out<W> {
    pub fn new(to: W) -> Self {
        Self { to, gone: false }
    }

    /// Prints a text. Once that failed, nothing more is tried: a closed pipe stays closed.
    pub fn print(&mut self, text: &str) {
        if self.gone {
            return;
        }
        if let Err(error) = self.to.write_all(text.as_bytes()).and_then(|()| self.to.flush()) {
            self.gone = true;
            tracing::warn!(%error, "nobody reads the console any more; it is silent from here on");
        }
    }
}
