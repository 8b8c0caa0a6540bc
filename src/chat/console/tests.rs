use std::io::{Cursor, ErrorKind, Read};

use super::*;
use crate::chat::Tone;

/// A pipe's reading end, as it were: what was written, and whether anybody still reads.
#[derive(Clone, Default)]
struct Page {
    text: Arc<Mutex<Vec<u8>>>,
    closed: Arc<Mutex<bool>>,
}

impl Page {
    fn read(&self) -> String {
        String::from_utf8(self.text.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if *self.closed.lock().unwrap() {
            return Err(ErrorKind::BrokenPipe.into());
        }
        self.text.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn options(on_eof: OnEof) -> ConsoleOptions {
    ConsoleOptions { on_eof, look: Some(Look::default()), ..ConsoleOptions::default() }
}

fn started(input: impl Into<Vec<u8>>, on_eof: OnEof) -> (Console, mpsc::Receiver<ConsoleInput>, Page) {
    let page = Page::default();
    let reader = std::io::BufReader::with_capacity(7, Cursor::new(input.into()));
    let (console, lines) = Console::start_plain(Some(reader), page.clone(), &options(on_eof)).unwrap();
    (console, lines, page)
}

fn card(title: &str, settled: bool) -> Card {
    Card { key: "INC-1".to_owned(), title: title.to_owned(), tone: Tone::Bad, settled, ..Card::default() }
}

fn line(text: &str) -> Option<ConsoleInput> {
    Some(ConsoleInput::Line(text.to_owned()))
}

#[tokio::test]
async fn piped_lines_come_in_and_the_end_quits() {
    let (_console, mut lines, _) = started("status\r\napprove 1\n\nno end of line", OnEof::Quit);
    assert_eq!(lines.recv().await, line("status"));
    assert_eq!(lines.recv().await, line("approve 1"));
    assert_eq!(lines.recv().await, line(""));
    assert_eq!(lines.recv().await, line("no end of line"));
    assert_eq!(lines.recv().await, Some(ConsoleInput::Eof));
}

#[tokio::test]
async fn the_end_of_input_may_mean_nothing() {
    let (console, mut lines, _) = started("status\n", OnEof::Stay);
    assert_eq!(lines.recv().await, line("status"));
    // Nothing more comes, and the channel does not close either, until the console is gone.
    assert_eq!(lines.try_recv(), Err(mpsc::error::TryRecvError::Empty));
    drop(console);
    assert_eq!(lines.recv().await, None);
}

#[tokio::test]
async fn a_line_without_end_does_not_fill_the_memory() {
    let endless = std::io::repeat(b'a').take(5_000_000).chain(Cursor::new(b"\nstatus\n".to_vec()));
    let reader = std::io::BufReader::new(endless);
    let (_console, mut lines) = Console::start_plain(Some(reader), Page::default(), &options(OnEof::Quit)).unwrap();
    let Some(ConsoleInput::Line(long)) = lines.recv().await else { panic!("no line") };
    assert_eq!(long.len(), 16 * 1024);
    assert_eq!(lines.recv().await, line("status"));
}

#[tokio::test]
async fn what_is_not_utf8_is_shown_as_such() {
    let (_console, mut lines, _) = started(b"stop \xff\n".to_vec(), OnEof::Quit);
    assert_eq!(lines.recv().await, line("stop \u{fffd}"));
}

#[tokio::test]
async fn a_story_full_then_short_then_full() {
    let (console, _lines, page) = started("", OnEof::Stay);
    console.show(&card("INC-1 · opened", false)).await.unwrap();
    console.show(&card("INC-1 · acting", false)).await.unwrap();
    console.show(&card("INC-1 · acting", false)).await.unwrap();
    console.say("INC-1", "approved by anna").await.unwrap();
    console.show(&card("INC-1 · resolved", true)).await.unwrap();
    console.close().await;
    insta::assert_snapshot!(page.read());
}

#[tokio::test]
async fn a_closed_pipe_is_no_panic_and_no_error() {
    let (console, mut lines, page) = started("status\n", OnEof::Quit);
    console.say("", "before").await.unwrap();
    console.close().await;
    *page.closed.lock().unwrap() = true;
    for n in 0..200 {
        console.say("", &format!("nobody reads this {n}")).await.unwrap();
    }
    console.close().await;
    assert_eq!(page.read(), "before\n");
    assert_eq!(lines.recv().await, line("status"));
}

#[tokio::test]
async fn logs_come_as_whole_lines() {
    let (console, _lines, page) = started("", OnEof::Stay);
    let mut log = console.writer();
    log.write_all(b"first ").unwrap();
    log.write_all(b"line\nsecond").unwrap();
    console.close().await;
    assert_eq!(page.read(), "first line\n");
    log.write_all(b" line\n").unwrap();
    console.close().await;
    assert_eq!(page.read(), "first line\nsecond line\n");
}

#[test]
fn the_person_is_the_operating_systems() {
    let person = person();
    assert_eq!(person.id, format!("console:{}", person.name));
    assert!(!person.name.is_empty());
}
