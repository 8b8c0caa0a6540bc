//! The console: the terminal (or pipe) that the daemon was started from, as one more place to talk.
//!
//! On a terminal: line editing, history, completion, cards above the prompt. Piped: plain lines in, plain lines out.
//! Must never stop the daemon: reading blocks, so it has a thread of its own; writing may block (a paused terminal, a
//! slow pipe), so it has another; a closed pipe is noted once and written to no more. Decides nothing: lines go to
//! the engine with [`person`] as the one who wrote them.

mod editor;
mod lines;
mod story;
mod terminal;

use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{mpsc, oneshot};

use self::story::{Story, Told};
use self::terminal::Input;
use super::complete::Names;
use super::render::{Look, render, render_said, render_update};
use super::{Card, ChatError, Messenger};
use crate::model::Person;

pub use self::terminal::restore as restore_terminal;

/// Lines read and not yet taken. full: the reader waits, and with it whoever types or pipes.
const LINES_WAITING: usize = 64;
/// Texts to print and not yet printed. full: `show` and `say` wait, and the outbox merges behind them.
const TEXTS_WAITING: usize = 64;
/// A log line is not gathered further than this, in bytes.
const LONGEST_LOG_LINE: usize = 64 * 1024;
/// How long `close` waits for the terminal to take what is left.
const CLOSE_WITHIN: Duration = Duration::from_secs(1);

/// What came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConsoleInput {
    /// A line, as typed, without its end. Not cleaned and not parsed.
    Line(String),
    /// Ctrl-C at the prompt (or SIGINT while it stands, which the line editor catches).
    Interrupted,
    /// The end of input, with [`OnEof::Quit`] only.
    Eof,
}

/// What the end of input means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnEof {
    /// Somebody wants to leave: [`ConsoleInput::Eof`] is sent.
    Quit,
    /// Nothing (`suture run < /dev/null`): nothing is sent, the channel stays open.
    #[default]
    Stay,
}

/// Holds the prompt back until whoever started the console has said what is to be said first.
#[derive(Clone, Default)]
pub struct Hold(Arc<(Mutex<bool>, Condvar)>);

impl Hold {
    /// Lets the prompt appear.
    pub fn release(&self) {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.1.notify_all();
    }

    fn wait(&self) {
        let released = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.0.1.wait_while(released, |released| !*released));
    }
}

/// How the console starts.
#[derive(Clone)]
pub struct ConsoleOptions {
    /// Where typed lines are kept from one start to the next; nowhere when absent.
    pub history: Option<PathBuf>,
    /// What the end of input means.
    pub on_eof: OnEof,
    /// Names for completion; see [`Names`].
    pub names: Arc<Names>,
    /// The prompt appears when this is released; at once when absent. Piped lines are read at once in any case.
    pub hold: Option<Hold>,
    /// How output looks; found out when absent (and followed, when the window is resized).
    pub look: Option<Look>,
}

impl Default for ConsoleOptions {
    fn default() -> Self {
        Self { history: None, on_eof: OnEof::default(), names: Arc::new(|_| Vec::new()), hold: None, look: None }
    }
}

/// Why the console did not start.
#[derive(Debug, thiserror::Error)]
pub enum ConsoleError {
    /// The operating system gives no more threads.
    #[error("console: no thread can be started for it: {0}")]
    Thread(#[source] std::io::Error),
}

/// The console. Dropping it puts the terminal back; [`Console::close`] prints what is left before that.
pub struct Console {
    printer: mpsc::Sender<Print>,
    story: Mutex<Story>,
    look: Option<Look>,
    person_types: bool,
    /// Keeps the channel of lines open after the end of input.
    _lines: mpsc::Sender<ConsoleInput>,
}

/// For the printing thread.
enum Print {
    Text(String),
    /// Say when everything before this is on the screen.
    Settle(oneshot::Sender<()>),
}

impl Console {
    /// Starts reading and printing. Register signal handlers (`tokio::signal`) before: the line editor puts its own
    /// in front of them while a prompt stands, and puts back what it found.
    ///
    /// # Errors
    /// [`ConsoleError::Thread`]. A terminal that cannot be edited on is used for plain lines instead.
    pub fn start(options: ConsoleOptions) -> Result<(Self, mpsc::Receiver<ConsoleInput>), ConsoleError> {
        let input = terminal::input();
        if input == Input::Person {
            terminal::keep();
            match editor::Reader::new(options.history.clone(), options.on_eof, Arc::clone(&options.names)) {
                Ok((reader, mut above)) => {
                    let (console, lines, prints) = Self::parts(options.look, true);
                    let sender = console._lines.clone();
                    let hold = options.hold.clone();
                    spawn("console-read", move || reader.run(hold.as_ref(), &sender))?;
                    spawn("console-print", move || {
                        let mut direct = lines::Out::new(std::io::stdout());
                        print_all(prints, |print| match print {
                            Some(text) if above.print(text) => {}
                            Some(text) => direct.print(text),
                            None => above.settle(),
                        });
                    })?;
                    return Ok((console, lines));
                }
                Err(error) => tracing::warn!(%error, "no line editing on this terminal; reading plain lines"),
            }
        }
        let reader = (input != Input::None).then(|| std::io::BufReader::new(std::io::stdin()));
        Self::start_plain(reader, std::io::stdout(), &options)
    }

    /// Plain lines in and out.
    fn start_plain(
        reader: Option<impl std::io::BufRead + Send + 'static>,
        writer: impl Write + Send + 'static,
        options: &ConsoleOptions,
    ) -> Result<(Self, mpsc::Receiver<ConsoleInput>), ConsoleError> {
        let (console, lines, prints) = Self::parts(options.look, false);
        if let Some(reader) = reader {
            let (sender, on_eof) = (console._lines.clone(), options.on_eof);
            spawn("console-read", move || lines::read(reader, on_eof, &sender))?;
        }
        spawn("console-print", move || {
            let mut out = lines::Out::new(writer);
            print_all(prints, |print| {
                if let Some(text) = print {
                    out.print(text);
                }
            });
        })?;
        Ok((console, lines))
    }

    fn parts(look: Option<Look>, person_types: bool) -> (Self, mpsc::Receiver<ConsoleInput>, mpsc::Receiver<Print>) {
        let (printer, prints) = mpsc::channel(TEXTS_WAITING);
        let (sender, lines) = mpsc::channel(LINES_WAITING);
        (Self { printer, story: Mutex::default(), look, person_types, _lines: sender }, lines, prints)
    }

    /// Is there a person with a prompt (and not a pipe)?
    #[must_use]
    pub fn person_types(&self) -> bool {
        self.person_types
    }

    /// A writer for logs, so that they do not tear the prompt.
    #[must_use]
    pub fn writer(&self) -> ConsoleWriter {
        ConsoleWriter { printer: self.printer.clone(), begun: Vec::new() }
    }

    /// How output looks now.
    #[must_use]
    pub fn look(&self) -> Look {
        self.look.unwrap_or_else(terminal::look)
    }

    /// Prints what is left and puts the terminal back. The reading thread is left where it is: a read that blocks
    /// cannot be called off, and it ends with the process.
    pub async fn close(&self) {
        let (done, settled) = oneshot::channel();
        let settle = async {
            if self.printer.send(Print::Settle(done)).await.is_ok() {
                // An error means that the printing thread has ended: then nothing is left.
                let _ = settled.await;
            }
        };
        if tokio::time::timeout(CLOSE_WITHIN, settle).await.is_err() {
            tracing::warn!("the console did not take everything in time");
        }
        terminal::restore();
    }

    async fn print(&self, text: impl FnOnce() -> Option<String>) -> Result<(), ChatError> {
        let place =
            self.printer.reserve().await.map_err(|_| ChatError::new("console", "its printing thread has ended"))?;
        // Only now, with a place in the queue, is it certain that what is told is also printed.
        if let Some(text) = text() {
            place.send(Print::Text(text));
        }
        Ok(())
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        terminal::restore();
    }
}

#[async_trait]
impl Messenger for Console {
    fn platform(&self) -> &'static str {
        "console"
    }

    async fn show(&self, card: &Card) -> Result<(), ChatError> {
        self.print(|| match self.story.lock().unwrap_or_else(PoisonError::into_inner).tell(card) {
            Told::Full => Some(render(card, self.look())),
            Told::Update(update) => Some(render_update(&update, self.look())),
            Told::Nothing => None,
        })
        .await
    }

    async fn say(&self, key: &str, text: &str) -> Result<(), ChatError> {
        self.print(|| Some(render_said(key, text, self.look()))).await
    }
}

/// Whoever has the console: the operating system's user.
///
/// The id comes from the process's real user id and the system's own list of users (files, LDAP, ...), not from
/// `$USER`, which anybody can set to a colleague's name. Who has no entry there is `console:uid-1000`.
#[must_use]
pub fn person() -> Person {
    let uid = nix::unistd::getuid();
    let entry = nix::unistd::User::from_uid(uid).ok().flatten();
    let name = entry.map(|user| super::clean::line(&user.name)).filter(|name| !name.is_empty());
    let name = name.unwrap_or_else(|| format!("uid-{uid}"));
    Person::new(format!("console:{name}"), name)
}

/// Writes whole lines above the prompt, for logs. full: lines are dropped, since a log must never wait.
#[derive(Clone)]
pub struct ConsoleWriter {
    printer: mpsc::Sender<Print>,
    begun: Vec<u8>,
}

impl Write for ConsoleWriter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.begun.extend_from_slice(bytes);
        // A line that never ends is printed in pieces.
        if self.begun.len() > LONGEST_LOG_LINE {
            self.begun.push(b'\n');
        }
        if let Some(end) = self.begun.iter().rposition(|b| *b == b'\n') {
            let rest = self.begun.split_off(end + 1);
            let whole = std::mem::replace(&mut self.begun, rest);
            let _ = self.printer.try_send(Print::Text(String::from_utf8_lossy(&whole).into_owned()));
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Prints until the console is gone; `None` asks to wait until all is on the screen.
fn print_all(mut prints: mpsc::Receiver<Print>, mut print: impl FnMut(Option<&str>)) {
    while let Some(next) = prints.blocking_recv() {
        match next {
            Print::Text(text) => print(Some(&text)),
            Print::Settle(done) => {
                print(None);
                // Whoever waited may have gone.
                let _ = done.send(());
            }
        }
    }
}

/// A thread that is not joined: it may be blocked for ever in a read or a write, and ends with the process.
fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<(), ConsoleError> {
    thread::Builder::new().name(name.to_owned()).spawn(run).map(drop).map_err(ConsoleError::Thread)
}

#[cfg(test)]
mod tests;
