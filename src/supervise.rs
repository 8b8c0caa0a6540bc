//! Named tasks with a restart budget, and the drain on shutdown.
//!
//! Every long-lived task of the daemon is started here: one that fails or panics is started again after a pause, one
//! that keeps failing ends the daemon with its name, because a daemon without its collector or its engine only looks
//! alive. Called by the composition root alone.

use std::collections::VecDeque;
use std::future::Future;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Failures tolerated within [`WINDOW`]; healthy time beyond it earns them back.
const BUDGET: usize = 5;
const WINDOW: Duration = Duration::from_secs(60);

/// Pause before the first restart; doubles with each within the window.
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// Returns when the daemon goes down, or when nobody is left to say so. Keeps no borrow of the signal, which may not be
/// held over a wait.
pub async fn drained(drain: &mut watch::Receiver<bool>) {
    let _ = drain.wait_for(|d| *d).await;
}

/// A task that cannot be kept alive.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("task `{name}` failed {failures} times within {} s and is given up: {why}", WINDOW.as_secs())]
pub struct GivenUp {
    /// Which task.
    pub name: String,
    /// How often.
    pub failures: usize,
    /// The last failure.
    pub why: String,
}

/// The daemon's tasks.
pub struct Supervisor {
    tasks: JoinSet<Result<(), GivenUp>>,
    drain: watch::Sender<bool>,
}

impl Default for Supervisor {
    fn default() -> Self {
        Self { tasks: JoinSet::new(), drain: watch::Sender::new(false) }
    }
}

impl Supervisor {
    /// What tasks watch to know that they are to end: true from then on.
    #[must_use]
    pub fn drain_signal(&self) -> watch::Receiver<bool> {
        self.drain.subscribe()
    }

    /// Starts a task and keeps it alive. `start` makes its future anew for each life; a life that ends well while
    /// nothing is being drained has done its work and is not started again.
    pub fn keep<F, Fut>(&mut self, name: &str, mut start: F)
    where
        F: FnMut() -> Fut + Send + 'static,
        Fut: Future<Output = Result<(), String>> + Send + 'static,
    {
        let name = name.to_owned();
        let drain = self.drain.subscribe();
        self.tasks.spawn(async move {
            let mut failures: VecDeque<Instant> = VecDeque::new();
            loop {
                // A task of its own, so that a panic in it is an answer and not our end.
                let why = match tokio::spawn(start()).await {
                    Ok(Ok(())) => return Ok(()),
                    Ok(Err(why)) => why,
                    Err(error) => format!("it panicked: {error}"),
                };
                if *drain.borrow() {
                    tracing::warn!(task = %name, %why, "a task failed while the daemon was going down");
                    return Ok(());
                }
                let now = Instant::now();
                failures.retain(|at| now.duration_since(*at) < WINDOW);
                failures.push_back(now);
                if failures.len() > BUDGET {
                    return Err(GivenUp { name, failures: failures.len(), why });
                }
                let doublings = u32::try_from(failures.len() - 1).unwrap_or(0);
                let pause = FIRST_PAUSE * 2u32.saturating_pow(doublings);
                tracing::error!(task = %name, %why, pause_ms = pause.as_millis(), "a task failed and is started again");
                tokio::time::sleep(pause).await;
            }
        });
    }

    /// Waits until a task is given up. Never returns while all are well, or when all have ended well.
    ///
    /// # Errors
    /// The task that was given up.
    pub async fn watch(&mut self) -> Result<(), GivenUp> {
        loop {
            match self.tasks.join_next().await {
                Some(Ok(Err(given_up))) => return Err(given_up),
                Some(_) => {}
                None => std::future::pending().await,
            }
        }
    }

    /// Tells all tasks to end and waits for them, at most this long; what has not ended by then is cut off.
    /// Returns true when all ended by themselves.
    pub async fn drain(mut self, within: Duration) -> bool {
        self.drain.send_replace(true);
        let all = async { while self.tasks.join_next().await.is_some() {} };
        let in_time = tokio::time::timeout(within, all).await.is_ok();
        if !in_time {
            tracing::warn!(within_ms = within.as_millis(), "not every task ended in time; the rest is cut off");
        }
        in_time
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_task_that_fails_twice_is_started_again() {
        let mut supervisor = Supervisor::default();
        let lives = Arc::new(AtomicUsize::new(0));
        let (counted, mut drain) = (Arc::clone(&lives), supervisor.drain_signal());
        supervisor.keep("flaky", move || {
            let life = counted.fetch_add(1, Ordering::SeqCst);
            let mut drain = drain.clone();
            async move {
                match life {
                    0 => Err("a bad start".to_owned()),
                    1 => panic!("a worse one"),
                    _ => drain.wait_for(|d| *d).await.map(|_| ()).map_err(|e| e.to_string()),
                }
            }
        });
        let _ = tokio::time::timeout(Duration::from_secs(5), supervisor.watch()).await;
        assert_eq!(lives.load(Ordering::SeqCst), 3);
        drain = supervisor.drain_signal();
        assert!(supervisor.drain(Duration::from_secs(1)).await);
        assert!(*drain.borrow());
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_keeps_failing_is_given_up_by_name() {
        let mut supervisor = Supervisor::default();
        supervisor.keep("hopeless", || async { Err("always".to_owned()) });
        let given_up = supervisor.watch().await.unwrap_err();
        assert_eq!(given_up.name, "hopeless");
        assert!(given_up.to_string().contains("always"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_does_not_end_is_cut_off_at_the_deadline() {
        let mut supervisor = Supervisor::default();
        supervisor.keep("deaf", std::future::pending);
        assert!(!supervisor.drain(Duration::from_secs(1)).await);
    }
}
