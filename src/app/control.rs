//! The control socket: the same commands as in chat, from the same machine, for when chat is down.
//!
//! A unix socket in the data folder, for its owner alone. Who asks is known from the kernel (`unix:UID`), not from
//! what is said. One line in; out come `yes` or
//! `no`, a line of its own, and the answer as text until the socket closes.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

use super::Shared;
use super::commands::{Asked, Reply, answer};
use crate::chat::render::{Look, render};
use crate::model::Person;
use crate::supervise::drained;

/// The socket's name in the data folder.
pub const SOCKET: &str = "control.sock";

/// Connections served at the same time. full: the next one waits in the kernel's queue.
const AT_ONCE: usize = 16;

/// Longest line that is read, as in chat.
const LONGEST_LINE: u64 = 4_096;

/// What is read away of a line that is longer.
const MOST_IGNORED: u64 = 1024 * 1024;

/// How long somebody may take to say what they want.
const SPEAK_WITHIN: Duration = Duration::from_secs(10);

/// How long an answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// The first line of an answer.
const YES: &str = "yes";
const NO: &str = "no";

/// The control socket does not work.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// It cannot be made.
    #[error("cannot make the control socket {0}: {1}")]
    Listen(PathBuf, io::Error),
    /// Nobody listens.
    #[error("no daemon answers at {0}: {1}; is `suture run` running with this --data-dir?")]
    NoDaemon(PathBuf, io::Error),
    /// The daemon went away in the middle.
    #[error("the daemon at {0} did not answer: {1}")]
    NoAnswer(PathBuf, String),
}

/// Makes the socket. A left-over of a daemon that was killed is replaced; the ledger's lock says that none lives.
pub(super) fn listen(data_dir: &Path) -> Result<Arc<UnixListener>, ControlError> {
    let path = data_dir.join(SOCKET);
    let failed = |e| ControlError::Listen(path.clone(), e);
    match std::fs::remove_file(&path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    let listener = UnixListener::bind(&path).map_err(failed)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
    Ok(Arc::new(listener))
}

/// Serves until the drain.
pub(super) async fn serve(
    listener: Arc<UnixListener>,
    shared: Arc<Shared>,
    mut drain: watch::Receiver<bool>,
) -> Result<(), String> {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let mut talks = tokio::task::JoinSet::new();
    loop {
        let place = Arc::clone(&places).acquire_owned().await.map_err(|e| e.to_string())?;
        tokio::select! {
            accepted = listener.accept() => {
                let (stream, _) = accepted.map_err(|e| format!("the control socket does not accept: {e}"))?;
                let shared = Arc::clone(&shared);
                talks.spawn(async move {
                    let _place = place;
                    if let Err(error) = talk(stream, &shared).await {
                        tracing::debug!(%error, "a control connection ended early");
                    }
                });
            }
            () = drained(&mut drain) => {
                // A left-over is replaced by the next start anyway.
                let _ = std::fs::remove_file(shared.data_dir.join(SOCKET));
                return Ok(());
            }
        }
        while talks.try_join_next().is_some() {}
    }
}

async fn talk(stream: UnixStream, shared: &Arc<Shared>) -> io::Result<()> {
    let by = person(&stream)?;
    let (read, mut write) = stream.into_split();
    let mut line = String::new();
    let mut reader = BufReader::new(read.take(LONGEST_LINE));
    timeout(SPEAK_WITHIN, reader.read_line(&mut line)).await??;
    if !line.ends_with('\n') && reader.get_ref().limit() == 0 {
        // Half a command is no command. What is left is read away: closed on unread bytes, the socket would take the
        // answer with it.
        let said =
            format!("{NO}\na command has at most {LONGEST_LINE} bytes, and this one has more: nothing was done\n");
        write.write_all(said.as_bytes()).await?;
        write.shutdown().await?;
        let mut rest = reader.into_inner().into_inner().take(MOST_IGNORED);
        timeout(SPEAK_WITHIN, tokio::io::copy(&mut rest, &mut tokio::io::sink())).await??;
        return Ok(());
    }
    let look = Look { width: 100, ..Look::default() };
    // In a task of its own: what has begun to change the state is not cut off when whoever asked goes away.
    let (shared, asked) = (Arc::clone(shared), Asked::here(&by, "ctl"));
    let answering = tokio::spawn(async move { answer(&shared, &asked, line.trim_end()).await });
    let (said, text) = match timeout(ANSWER_WITHIN, answering).await?.map_err(io::Error::other)? {
        Reply::Card(card) => (YES, render(&card, look)),
        Reply::Done(text) => (YES, text + "\n"),
        // Here a file is what it holds.
        Reply::File(_, file) => (YES, String::from_utf8_lossy(&file.bytes).into_owned()),
        Reply::Refused(card) => (NO, render(&card, look)),
        Reply::Quit => (NO, "`quit` is for the console; the daemon is stopped by SIGTERM\n".to_owned()),
    };
    write.write_all(format!("{said}\n{text}").as_bytes()).await?;
    write.shutdown().await
}

/// Who is at the other end, from the kernel.
fn person(stream: &UnixStream) -> io::Result<Person> {
    let uid = stream.peer_cred()?.uid();
    Ok(Person::new(format!("unix:{uid}"), format!("unix user {uid}")))
}

/// Asks the daemon of a data folder: `suture ctl`. Returns whether it was done, and what it says.
///
/// # Errors
/// When no daemon answers.
pub async fn ask(data_dir: &Path, line: &str) -> Result<(bool, String), ControlError> {
    let path = data_dir.join(SOCKET);
    let mut stream = UnixStream::connect(&path).await.map_err(|e| ControlError::NoDaemon(path.clone(), e))?;
    let failed = |e: io::Error| ControlError::NoAnswer(path.clone(), e.to_string());
    stream.write_all(line.replace(['\n', '\r'], " ").as_bytes()).await.map_err(failed)?;
    stream.write_all(b"\n").await.map_err(failed)?;
    let mut answer = String::new();
    match timeout(ANSWER_WITHIN, stream.read_to_string(&mut answer)).await {
        Ok(read) => read.map_err(failed).and_then(|_| match answer.split_once('\n') {
            Some((YES, text)) => Ok((true, text.to_owned())),
            Some((NO, text)) => Ok((false, text.to_owned())),
            _ => Err(ControlError::NoAnswer(path.clone(), "the connection was closed".to_owned())),
        }),
        Err(_) => Err(ControlError::NoAnswer(path, format!("nothing within {} s", ANSWER_WITHIN.as_secs()))),
    }
}
