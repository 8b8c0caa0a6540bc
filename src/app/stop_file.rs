//! The kill switch for when chat is down: a file `STOP` in the data folder, or SIGUSR1. Whoever may write there or signal
//! the daemon could as well end it.

use std::path::Path;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::sync::watch as channel;

use super::Shared;
use crate::engine::SubmitError;
use crate::incident::{Input, Refusal};
use crate::model::Person;
use crate::supervise::drained;

/// The file's name in the data folder.
const NAME: &str = "STOP";
/// How often it is looked for.
const EVERY: Duration = Duration::from_secs(1);
/// Characters of the reason in it.
const LONGEST: usize = 200;

/// Looks for the file and listens for the signal until the drain.
pub(super) async fn watch(shared: Arc<Shared>, mut drain: channel::Receiver<bool>) -> Result<(), String> {
    let path = shared.data_dir.join(NAME);
    let kind = tokio::signal::unix::SignalKind::user_defined1();
    let mut signal = tokio::signal::unix::signal(kind).map_err(|e| format!("SIGUSR1 cannot be listened for: {e}"))?;
    loop {
        let found = reason(&path).await;
        *shared.stop_file.lock().unwrap_or_else(PoisonError::into_inner) = found.as_ref().map(|_| path.clone());
        if let Some(reason) = found {
            halt(&shared, reason, "file:STOP").await;
        }
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            received = signal.recv() => {
                received.ok_or("SIGUSR1 cannot be listened for any more")?;
                halt(&shared, "SIGUSR1".to_owned(), "signal:USR1").await;
            }
            () = drained(&mut drain) => return Ok(()),
        }
    }
}

/// The first line of the file; that it is there is enough.
async fn reason(path: &Path) -> Option<String> {
    match tokio::fs::metadata(path).await {
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
        // It cannot be looked at: that is no reason to act.
        Err(error) => return Some(format!("the file {NAME} cannot be looked at: {error}")),
    }
    let mut text = String::new();
    if let Ok(file) = tokio::fs::File::open(path).await {
        use tokio::io::AsyncReadExt as _;
        // A file without words stops all the same.
        let _ = file.take(4096).read_to_string(&mut text).await;
    }
    let line = crate::chat::clean::line(text.lines().next().unwrap_or_default());
    let line = crate::chat::clean::shortened(line.trim(), LONGEST);
    Some(if line.is_empty() { format!("there is a file {NAME}") } else { line })
}

async fn halt(shared: &Shared, reason: String, by: &str) {
    if shared.engine.state().halted.is_some() {
        return;
    }
    let by = Person::new(by, by);
    match shared.engine.submit(Input::Halt { reason, by }).await {
        Ok(_) | Err(SubmitError::Refused(Refusal::NoChange(_))) => {}
        Err(error) => tracing::error!(%error, "the kill switch could not be recorded; it is tried again"),
    }
}
