//! Line editing on a terminal: the reader's thread, and the way to print above the prompt.
//!
//! The editor draws its prompt on one thread while cards come in on another. [`Turn`] keeps them apart: nothing is
//! printed while a prompt is being set up, and everything printed while it stands goes through the editor, which
//! wipes the prompt, prints and draws it again.

use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::Validator;
use rustyline::{ColorMode, CompletionType, Config, Context, Editor, ExternalPrinter, Helper};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use super::super::complete::{Names, complete};
use super::super::grammar::MAX_CHARS;
use super::{ConsoleInput, Hold, OnEof};

/// What stands before the cursor.
const PROMPT: &str = "suture> ";
/// Lines kept in the history file.
const HISTORY_LINES: usize = 1000;
/// Ctrl-D this often in a row ends reading even when it must not end the daemon: a terminal that was hung up says
/// nothing else any more.
const MOST_EOFS: u32 = 3;
/// Time to draw the prompt a last time: some hundred bytes to a terminal.
const LAST_PROMPT: Duration = Duration::from_millis(20);
/// Moves the cursor up and down again: printed to learn that what was printed before is on the screen.
const NOTHING_VISIBLE: &str = "\x1b[A\n";

/// Whose turn it is to write to the terminal.
#[derive(Default)]
pub(super) struct Turn {
    now: Mutex<Now>,
    changed: Condvar,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Now {
    /// A prompt is about to be drawn: wait.
    #[default]
    Drawing,
    /// The prompt stands: print through the editor.
    Prompt,
    /// There is no prompt for now: print directly.
    Free,
}

impl Turn {
    fn set(&self, now: Now) {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner) = now;
        self.changed.notify_all();
    }

    /// Waits while a prompt is being drawn; true when one stands. Drawing takes no time worth mentioning, so after
    /// half a second something is wrong with the editor, and what is to be said matters more than its prompt.
    fn prompt_stands(&self) -> bool {
        let now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        let wait = self.changed.wait_timeout_while(now, Duration::from_millis(500), |now| *now == Now::Drawing);
        *wait.unwrap_or_else(PoisonError::into_inner).0 == Now::Prompt
    }
}

/// Prints through the editor.
pub(super) struct AbovePrompt<P> {
    printer: P,
    turn: Arc<Turn>,
}

impl<P: ExternalPrinter> AbovePrompt<P> {
    /// Prints above the prompt; false when there is none and the caller has to print directly.
    pub fn print(&mut self, text: &str) -> bool {
        self.turn.prompt_stands() && self.printer.print(text.to_owned()).is_ok()
    }

    /// Returns when all that was printed is on the screen. The editor takes one text at a time and holds one more,
    /// so the second of these goes in only after it has drawn what came before the first.
    pub fn settle(&mut self) {
        if self.print(NOTHING_VISIBLE) && self.print(NOTHING_VISIBLE) {
            // The last prompt is being drawn at this moment; should it come later than this, it is left behind on
            // the screen when the terminal is put back, and nothing worse.
            std::thread::sleep(LAST_PROMPT);
        }
    }
}

/// What the reader's thread needs.
pub(super) struct Reader {
    editor: Editor<Assistant, FileHistory>,
    history: Option<PathBuf>,
    on_eof: OnEof,
    turn: Arc<Turn>,
}

impl Reader {
    /// An editor on standard input and output, and a way to print above its prompt.
    ///
    /// # Errors
    /// When the terminal cannot be used for it.
    pub fn new(
        history: Option<PathBuf>,
        on_eof: OnEof,
        names: Arc<Names>,
    ) -> rustyline::Result<(Self, AbovePrompt<impl ExternalPrinter + Send + 'static>)> {
        let config = Config::builder()
            .max_history_size(HISTORY_LINES)?
            .history_ignore_dups(true)?
            .completion_type(CompletionType::List)
            .color_mode(ColorMode::Disabled)
            .build();
        let mut editor = Editor::<Assistant, FileHistory>::with_config(config)?;
        let printer = editor.create_external_printer()?;
        let turn = Arc::new(Turn::default());
        editor.set_helper(Some(Assistant { names, turn: Arc::clone(&turn) }));
        if let Some(file) = &history
            && file.exists()
            && let Err(error) = editor.load_history(file)
        {
            tracing::warn!(file = %file.display(), %error, "the console's history cannot be read");
        }
        Ok((Self { editor, history, on_eof, turn: Arc::clone(&turn) }, AbovePrompt { printer, turn }))
    }

    /// Reads until the end of input, or until nobody takes the lines any more.
    pub fn run(mut self, hold: Option<&Hold>, lines: &mpsc::Sender<ConsoleInput>) {
        if let Some(hold) = hold {
            self.turn.set(Now::Free);
            hold.wait();
        }
        let mut eofs = 0;
        loop {
            self.turn.set(Now::Drawing);
            let read = self.editor.readline(PROMPT);
            self.turn.set(Now::Drawing);
            let input = match read {
                Ok(line) => {
                    eofs = 0;
                    self.remember(&line);
                    ConsoleInput::Line(line)
                }
                Err(ReadlineError::Interrupted | ReadlineError::Signal(_)) => ConsoleInput::Interrupted,
                Err(ReadlineError::Eof) if self.on_eof == OnEof::Stay => {
                    eofs += 1;
                    if eofs >= MOST_EOFS {
                        break;
                    }
                    continue;
                }
                Err(error) => {
                    if !matches!(error, ReadlineError::Eof) {
                        tracing::warn!(%error, "the console cannot be read any more");
                    }
                    self.turn.set(Now::Free);
                    if self.on_eof == OnEof::Quit {
                        // Nobody listens any more: that is an end, too.
                        let _ = lines.blocking_send(ConsoleInput::Eof);
                    }
                    break;
                }
            };
            if !self.hand_over(lines, input) {
                break;
            }
        }
        self.turn.set(Now::Free);
    }

    /// full: the prompt does not come back until the daemon has taken a line.
    fn hand_over(&self, lines: &mpsc::Sender<ConsoleInput>, input: ConsoleInput) -> bool {
        match lines.try_send(input) {
            Ok(()) => true,
            Err(TrySendError::Closed(_)) => false,
            Err(TrySendError::Full(input)) => {
                self.turn.set(Now::Free);
                lines.blocking_send(input).is_ok()
            }
        }
    }

    /// Into the history, at once: the daemon may be killed.
    fn remember(&mut self, line: &str) {
        if line.trim().is_empty() || line.chars().count() > MAX_CHARS {
            return;
        }
        let added = self.editor.add_history_entry(line);
        if let (Ok(true), Some(file)) = (added, self.history.as_ref())
            && let Err(error) = self.editor.append_history(file)
        {
            tracing::warn!(file = %file.display(), %error, "the console's history cannot be written; going on without");
            self.history = None;
        }
    }
}

/// Completion, and the notice that the prompt is about to stand.
struct Assistant {
    names: Arc<Names>,
    turn: Arc<Turn>,
}

impl Completer for Assistant {
    type Candidate = String;

    fn complete(&self, line: &str, pos: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<String>)> {
        let (start, mut candidates) = complete(line.get(..pos).unwrap_or(line), &*self.names);
        // A word that is whole is followed by the next one.
        if let [only] = candidates.as_mut_slice()
            && !only.ends_with(':')
        {
            only.push(' ');
        }
        Ok((start, candidates))
    }
}

impl Hinter for Assistant {
    type Hint = String;

    /// Gives no hints. The editor asks for one when it is in raw mode and about to draw the prompt: from here on,
    /// what is printed has to go through it.
    fn hint(&self, _: &str, _: usize, _: &Context<'_>) -> Option<String> {
        self.turn.set(Now::Prompt);
        None
    }
}

impl Highlighter for Assistant {}
impl Validator for Assistant {}
impl Helper for Assistant {}
