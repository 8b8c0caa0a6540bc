//! The handle that everybody appends through, and the thread behind it that shares one sync among all who wait.
//!
//! A durable append resolves when its records are on disk, and not before. A relaxed one resolves when its records
//! have their place in the chain; they are on disk with the next sync. Order in the chain is the order of arrival.

use std::path::PathBuf;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, JoinHandle, Thread};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::model::{Clock, Event, SystemClock, Timestamp};

use super::scan::Stored;
use super::writer::{Found, Writer};
use super::{DataLock, Disk, LedgerError, Storage, folder};

/// Jobs that may wait. Full: the appender waits, which is right, since nothing may happen without the ledger.
const QUEUE: usize = 1024;

/// Jobs written with one sync at most, so that the first of them does not wait for ever longer batches.
const BATCH: usize = 256;

/// Called with each record once it is on disk, in order: for indexes and live views. Runs on the writer's thread after
/// everybody who waits was answered; what it takes, the next append waits for.
pub type Observer = Box<dyn FnMut(&Stored) + Send>;

/// How to open a ledger.
pub struct Options {
    /// The data folder; created if it is not there.
    pub data_dir: PathBuf,
    /// A file is followed by the next when it has this many bytes.
    pub segment_bytes: u64,
    /// Begin a file of its own for this process.
    pub fresh_segment: bool,
    /// Relaxed records are on disk after about this time, busy or not.
    pub relaxed_delay: Duration,
    /// Measures `relaxed_delay` while the ledger is busy.
    pub clock: Arc<dyn Clock>,
    /// Told of each record that is on disk.
    pub observer: Option<Observer>,
    /// Append on the caller's own thread instead of the writer's: for tests on paused time, where tokio would let
    /// hours pass while another thread syncs, and for simulated crashes, which must be the same each time.
    pub inline: bool,
}

impl Options {
    /// The usual way, for this data folder: files of 64 MB, relaxed records on disk within 200 ms.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            segment_bytes: 64 * 1024 * 1024,
            fresh_segment: false,
            relaxed_delay: Duration::from_millis(200),
            clock: Arc::new(SystemClock),
            observer: None,
            inline: false,
        }
    }
}

/// A half-written record that a crash had left at the end, and that was cut off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Torn {
    /// How many bytes.
    pub bytes: u64,
    /// The file that keeps them.
    pub kept_in: String,
}

/// A ledger that was opened.
pub struct Opened {
    /// The handle.
    pub ledger: Ledger,
    /// Records that were in it.
    pub replayed: u64,
    /// To be recorded as `Fact::TailRepaired` by the caller.
    pub torn: Option<Torn>,
}

/// The open ledger. Clones are the same ledger; it closes in order when the last one is dropped, or by
/// [`Ledger::close`].
#[derive(Clone)]
pub struct Ledger(Arc<Inner>);

enum Inner {
    Threaded(Threaded),
    Inline(Mutex<Option<Box<Core>>>),
}

struct Threaded {
    jobs: Mutex<Option<mpsc::Sender<Job>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Job {
    events: Vec<Event>,
    durable: bool,
    done: oneshot::Sender<Result<Vec<Stored>, LedgerError>>,
}

impl Ledger {
    /// Opens the ledger of a data folder: takes the folder's lock, verifies the whole chain, hands each record to
    /// `each` in order (fold them), and cuts off what a crash left half-written.
    ///
    /// # Errors
    /// `Locked`, `Damaged`, `Full`, `Io`. Nothing but a torn end is ever repaired.
    pub fn open(options: Options, each: impl FnMut(Stored)) -> Result<Opened, LedgerError> {
        let lock = DataLock::acquire(&options.data_dir)?;
        let dir = folder(&options.data_dir);
        let disk = Disk::create_at(&dir).map_err(|e| LedgerError::path(&dir, "cannot create the folder", &e))?;
        Self::start(Arc::new(disk), options, Some(lock), each)
    }

    /// The same on any storage, without a lock; `options.data_dir` is not looked at.
    ///
    /// # Errors
    /// Those of [`Ledger::open`], but for `Locked`.
    pub fn open_on(
        storage: Arc<dyn Storage>,
        options: Options,
        each: impl FnMut(Stored),
    ) -> Result<Opened, LedgerError> {
        Self::start(storage, options, None, each)
    }

    fn start(
        storage: Arc<dyn Storage>,
        options: Options,
        lock: Option<DataLock>,
        mut each: impl FnMut(Stored),
    ) -> Result<Opened, LedgerError> {
        let Found { writer, replayed, torn } =
            Writer::open(storage, options.segment_bytes, options.fresh_segment, &mut each)?;
        let core = Core {
            writer,
            observer: options.observer,
            unseen: Vec::new(),
            clock: options.clock,
            relaxed_delay: options.relaxed_delay,
            dirty_since: None,
            _lock: lock,
        };
        let inner = if options.inline {
            Inner::Inline(Mutex::new(Some(Box::new(core))))
        } else {
            let (jobs, queue) = mpsc::channel(QUEUE);
            let thread = thread::Builder::new()
                .name("ledger".to_owned())
                .spawn(move || core.serve(queue))
                .map_err(|e| LedgerError::io("the ledger's writer", "cannot start its thread", &e))?;
            Inner::Threaded(Threaded { jobs: Mutex::new(Some(jobs)), thread: Mutex::new(Some(thread)) })
        };
        Ok(Opened { ledger: Self(Arc::new(inner)), replayed, torn })
    }

    /// Appends these events as one unit, and resolves when they are on disk. Dropping the future does not take back
    /// what was queued.
    ///
    /// # Errors
    /// Any [`LedgerError`]: then nothing was recorded, and what was to follow must not happen. After `Full` or `Io`
    /// every further append fails the same way.
    pub async fn append(&self, events: Vec<Event>) -> Result<Vec<Stored>, LedgerError> {
        self.submit(events, true).await
    }

    /// Appends facts that announce no effect (a source failed, a model was trained): resolves when they have their
    /// place in the chain; they are on disk with the next sync, or within [`Options::relaxed_delay`].
    ///
    /// # Errors
    /// As for [`Ledger::append`].
    pub async fn append_relaxed(&self, events: Vec<Event>) -> Result<Vec<Stored>, LedgerError> {
        self.submit(events, false).await
    }

    /// [`Ledger::append`] for callers that are not async. Blocks its thread; not for async tasks.
    ///
    /// # Errors
    /// As for [`Ledger::append`].
    pub fn append_blocking(&self, events: Vec<Event>) -> Result<Vec<Stored>, LedgerError> {
        Parker::here().wait(self.submit(events, true), None).unwrap_or(Err(LedgerError::Closed))
    }

    /// Waits until everything appended so far is on disk.
    ///
    /// # Errors
    /// As for [`Ledger::append`].
    pub async fn flush(&self) -> Result<(), LedgerError> {
        self.submit(Vec::new(), true).await.map(|_| ())
    }

    /// Writes what is queued, makes it durable, records the tip, and gives the folder's lock back. Appends through
    /// other clones fail with `Closed` from here on. Blocks for a sync or two.
    pub fn close(&self) {
        match &*self.0 {
            Inner::Threaded(threaded) => threaded.close(),
            Inner::Inline(core) => {
                if let Some(mut core) = core.lock().unwrap_or_else(PoisonError::into_inner).take() {
                    core.finish();
                }
            }
        }
    }

    async fn submit(&self, events: Vec<Event>, durable: bool) -> Result<Vec<Stored>, LedgerError> {
        let (done, answer) = oneshot::channel();
        let job = Job { events, durable, done };
        match &*self.0 {
            Inner::Threaded(threaded) => {
                let jobs = threaded.jobs.lock().unwrap_or_else(PoisonError::into_inner).clone();
                jobs.ok_or(LedgerError::Closed)?.send(job).await.map_err(|_| LedgerError::Closed)?;
            }
            Inner::Inline(core) => {
                if let Some(core) = core.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
                    core.commit(vec![job]);
                }
            }
        }
        answer.await.unwrap_or(Err(LedgerError::Closed))
    }
}

impl Threaded {
    fn close(&self) {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner).take();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        // An observer that holds the last handle would wait for itself.
        let thread = thread.filter(|t| t.thread().id() != thread::current().id());
        if thread.is_some_and(|t| t.join().is_err()) {
            tracing::error!("the ledger's writer died of a panic; what it had not acknowledged may be lost");
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        match self {
            Self::Threaded(threaded) => threaded.close(),
            Self::Inline(core) => {
                if let Some(mut core) = core.get_mut().unwrap_or_else(PoisonError::into_inner).take() {
                    core.finish();
                }
            }
        }
    }
}

/// The writer with all that its thread owns.
struct Core {
    writer: Writer,
    observer: Option<Observer>,
    /// Written, and not shown to the observer, because not on disk yet.
    unseen: Vec<Stored>,
    clock: Arc<dyn Clock>,
    relaxed_delay: Duration,
    dirty_since: Option<Timestamp>,
    _lock: Option<DataLock>,
}

impl Core {
    /// The thread: one batch after the other; when it falls quiet, sync what is relaxed and record the tip.
    fn serve(mut self, mut queue: mpsc::Receiver<Job>) {
        let parker = Parker::here();
        loop {
            let has_work = self.writer.is_dirty() || self.writer.tip_is_stale();
            let patience = has_work.then_some(self.relaxed_delay);
            match parker.wait(queue.recv(), patience) {
                Some(Some(first)) => {
                    let mut jobs = vec![first];
                    while let Some(job) = (jobs.len() < BATCH).then(|| queue.try_recv().ok()).flatten() {
                        jobs.push(job);
                    }
                    self.commit(jobs);
                }
                Some(None) => break,
                None => self.settle(),
            }
        }
        self.finish();
    }

    fn commit(&mut self, jobs: Vec<Job>) {
        let durable = jobs.iter().any(|job| job.durable);
        let rolled = self.writer.roll_if_full();
        let staged: Vec<_> = jobs
            .into_iter()
            .map(|job| {
                let result = rolled.clone().and_then(|()| self.writer.stage(job.events));
                (job.done, result)
            })
            .collect();
        let now = self.clock.now();
        let overdue = self.dirty_since.is_some_and(|since| now.since(since) >= self.relaxed_delay);
        let result =
            self.writer.write_out().and_then(|()| if durable || overdue { self.writer.sync() } else { Ok(()) });
        for (done, stored) in staged {
            let answer = result.clone().and(stored);
            if let (Some(_), Ok(stored)) = (&self.observer, &answer) {
                self.unseen.extend(stored.iter().cloned());
            }
            // An appender that went away meanwhile does not need the answer; the records stay.
            drop(done.send(answer));
        }
        if self.writer.is_dirty() {
            self.dirty_since.get_or_insert(now);
        }
        self.show();
        warn(self.writer.record_tip_now_and_then());
    }

    /// Nothing came for a while.
    fn settle(&mut self) {
        if let Err(e) = self.writer.sync() {
            tracing::error!(error = %e, "the ledger takes no more records");
        }
        self.show();
        warn(self.writer.record_tip());
    }

    fn show(&mut self) {
        if self.writer.is_dirty() {
            return;
        }
        self.dirty_since = None;
        for stored in self.unseen.drain(..) {
            if let Some(observer) = &mut self.observer {
                observer(&stored);
            }
        }
    }

    fn finish(&mut self) {
        self.settle();
    }
}

fn warn(result: Result<(), LedgerError>) {
    if let Err(e) = result {
        tracing::warn!(error = %e, "the ledger's tip was not recorded: removal of its last records would not show");
    }
}

/// Polls futures on a thread of its own, without a runtime.
struct Parker {
    wake: Arc<Unpark>,
    waker: Waker,
}

struct Unpark {
    thread: Thread,
    /// Told apart from a timeout by this, not by the thread's own token: that one may be left over.
    woken: AtomicBool,
}

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.woken.store(true, Ordering::SeqCst);
        self.thread.unpark();
    }
}

impl Parker {
    /// For this thread.
    fn here() -> Self {
        let wake = Arc::new(Unpark { thread: thread::current(), woken: AtomicBool::new(false) });
        Self { waker: Waker::from(Arc::clone(&wake)), wake }
    }

    /// Waits for a future; `None` when nothing woke it for about as long as `patience`.
    fn wait<F: Future>(&self, future: F, patience: Option<Duration>) -> Option<F::Output> {
        // `unconstrained`: polled outside a task, tokio's cooperative budget would never be refilled.
        let mut future = pin!(tokio::task::unconstrained(future));
        let mut context = Context::from_waker(&self.waker);
        loop {
            self.wake.woken.store(false, Ordering::SeqCst);
            if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
                return Some(output);
            }
            match patience {
                None => thread::park(),
                Some(patience) => {
                    thread::park_timeout(patience);
                    if !self.wake.woken.load(Ordering::SeqCst) {
                        return None;
                    }
                }
            }
        }
    }
}
