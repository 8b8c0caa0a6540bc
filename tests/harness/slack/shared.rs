//! The lock around the state, and the tasks that work on it.
//!
//! Every change goes through [`Shared::change`], which wakes whoever waits for something to happen.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::state::{State, Wire};

/// The state, and the bell that rings when it changes.
pub(super) struct Shared {
    state: Mutex<State>,
    pub changed: watch::Sender<u64>,
    tasks: Mutex<Vec<AbortHandle>>,
}

impl Shared {
    pub fn new(state: State) -> Self {
        Self { state: Mutex::new(state), changed: watch::Sender::new(0), tasks: Mutex::default() }
    }

    /// Runs it until it is done or the fake is dropped.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.retain(|task| !task.is_finished());
        tasks.push(tokio::spawn(task).abort_handle());
    }

    /// Ends every task and every connection.
    pub fn stop(&self) {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner).drain(..).for_each(|task| task.abort());
        self.change(|state| state.sockets.iter().for_each(|socket| drop(socket.out.send(Wire::Cut))));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A test that failed while it held the lock must still be able to print the transcript.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.lock())
    }

    pub fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.lock());
        self.changed.send_modify(|n| *n += 1);
        result
    }
}
