//! The terminal itself: is there one, how wide is it, and how it is put back when the process ends.
//!
//! The line editor puts the terminal into raw mode while it waits for a key, and its own guard never runs when the
//! process ends meanwhile, since a blocked read cannot be called off. So the settings are kept here when the console
//! starts, and put back by [`restore`]: from `Console::close`, from `Console`'s drop, or directly by whoever is about
//! to call `std::process::exit`. Nothing can be done about `kill -9`; the shell's `reset` can.

use std::io::{IsTerminal, Write, stdin, stdout};
use std::sync::{Mutex, PoisonError};

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetpgrp, tcgetwinsize, tcsetattr};

use super::super::render::Look;

/// How the terminal was before; `None` once it is put back, or where there is none.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// Ends bracketed paste, which the editor switched on, and wipes the line with the prompt.
const LEAVE_EDITOR: &[u8] = b"\x1b[?2004l\r\x1b[K";

/// What standard input is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Input {
    /// A person at a terminal: line editing.
    Person,
    /// A pipe, a file, or a terminal that knows no cursor: plain lines.
    Lines,
    /// A terminal that belongs to somebody else now (`suture run &`): to read from it would stop the process.
    None,
}

/// Looks at standard input and output.
pub(super) fn input() -> Input {
    if !stdin().is_terminal() {
        return Input::Lines;
    }
    if !in_foreground() {
        return Input::None;
    }
    let dumb = matches!(std::env::var("TERM").as_deref(), Err(_) | Ok("" | "dumb" | "cons25" | "emacs"));
    if stdout().is_terminal() && !dumb { Input::Person } else { Input::Lines }
}

/// How to write to standard output as it is now.
pub(super) fn look() -> Look {
    let terminal = stdout().is_terminal();
    let set = |name| std::env::var_os(name).is_some_and(|v| !v.is_empty());
    let dumb = matches!(std::env::var("TERM").as_deref(), Ok("dumb"));
    // https://no-color.org: set and not empty.
    let colour = terminal && !dumb && !set("NO_COLOR");
    let columns = tcgetwinsize(stdout()).map_or(0, |size| usize::from(size.ws_col));
    let width = if terminal && columns > 0 { columns } else { 80 };
    Look { width, colour, unicode: utf8() }
}

/// Does the locale say UTF-8? The first of these that is set decides; when none is, nobody said otherwise.
fn utf8() -> bool {
    let said =
        ["LC_ALL", "LC_CTYPE", "LANG"].iter().find_map(|name| std::env::var(name).ok().filter(|v| !v.is_empty()));
    said.is_none_or(|locale| {
        let locale = locale.to_ascii_lowercase();
        locale.contains("utf-8") || locale.contains("utf8")
    })
}

/// Keeps the settings of the terminal, to be put back by [`restore`].
pub(super) fn keep() {
    if let Ok(settings) = tcgetattr(stdin()) {
        *BEFORE.lock().unwrap_or_else(PoisonError::into_inner) = Some(settings);
    }
}

/// Puts the terminal back as it was when the console started; does nothing the second time. Call it before
/// `std::process::exit`, which runs no drops.
pub fn restore() {
    let Some(before) = BEFORE.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
    // A process in the background that touches the terminal is stopped; the shell has put it in order by then.
    if !in_foreground() {
        return;
    }
    // Nothing is left to be done when either fails: the terminal is gone.
    let _ = tcsetattr(stdin(), OptionalActions::Now, &before);
    let mut out = stdout();
    let _ = out.write_all(LEAVE_EDITOR).and_then(|()| out.flush());
}

fn in_foreground() -> bool {
    tcgetpgrp(stdin()).is_ok_and(|group| group == rustix::process::getpgrp())
}
