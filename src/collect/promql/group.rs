//! Services of one kind are asked for together: one query a series for all of them, and each takes its slice.
//!
//! Must never hand the same round to a service twice, let a service that joins set off a round of its own for each of
//! many, or keep a round alive that nobody waits for. Made by the hub, driven by the services' reads: the first one that
//! needs a new round begins it, the others wait for it or take it.
//!
//! A round's numbers are at most one interval old when a service takes them. All queries are for the server's own now, so
//! that no clock has to agree with another.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::hub::Hub;
use super::make::{Ages, Cell};
use super::place::{Key, Members, Scheme, joined};
use super::round::{self, Kept};
use super::templates::Part;

/// What a group is about; services with the same share it.
#[derive(Clone, Debug)]
pub(super) struct About {
    pub part: &'static Part,
    pub scheme: Scheme,
    /// Between two rounds of a service.
    pub interval: Duration,
    /// What a round may take.
    pub budget: Duration,
}

/// Services that are asked for together.
#[derive(Debug)]
pub(super) struct Group {
    pub about: About,
    pub hub: Arc<Hub>,
    members: Mutex<Slots>,
    current: Mutex<Option<Round>>,
    /// What one round leaves for the next.
    pub kept: Arc<Mutex<Kept>>,
}

/// Who is in the group. A target that two services watch has one slot.
#[derive(Debug, Default)]
struct Slots {
    /// To slot and number of services.
    taken: HashMap<Key, (usize, usize)>,
    free: Vec<usize>,
    generation: u64,
    /// As rounds read it; made anew after a change.
    shared: Option<Arc<Members>>,
}

/// A round under way or over.
#[derive(Debug)]
struct Round {
    id: u64,
    began: Instant,
    /// Of the members when it began.
    generation: u64,
    outcome: watch::Receiver<Option<Arc<Outcome>>>,
    /// Ends with the group, and is over when it can tell.
    task: AbortOnDropHandle<()>,
}

impl Round {
    fn is_under_way(&self) -> bool {
        self.outcome.borrow().is_none() && !self.task.is_finished()
    }
}

/// What a round found.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// By slot.
    pub slices: Vec<Slice>,
    /// Series that could not be had: place in the part, and why.
    pub failed: Vec<(usize, String)>,
    /// Why there is nothing at all.
    pub nothing: Option<String>,
    /// Values older than this are none, in seconds.
    pub oldest: f64,
    /// The part is optional and was not looked for again, or not found.
    pub absent: bool,
}

/// One target's part of a round.
#[derive(Clone, Debug, Default)]
pub(super) struct Slice {
    pub cells: Vec<Cell>,
    pub ages: Ages,
}

impl Group {
    pub fn new(hub: Arc<Hub>, about: About) -> Self {
        Self { about, hub, members: Mutex::default(), current: Mutex::default(), kept: Arc::default() }
    }

    pub fn is_about(&self, other: &About) -> bool {
        let About { part, scheme, interval, budget } = &self.about;
        part.name == other.part.name
            && *scheme == other.scheme
            && *interval == other.interval
            && *budget == other.budget
    }

    /// Takes a target in, for as long as the member lives.
    pub fn join(self: &Arc<Self>, key: Key) -> Member {
        let mut members = lock(&self.members);
        let Slots { taken, free, generation, shared } = &mut *members;
        let next = taken.len() + free.len();
        let (slot, uses) = taken.entry(key.clone()).or_insert_with(|| {
            *generation += 1;
            *shared = None;
            (free.pop().unwrap_or(next), 0)
        });
        *uses += 1;
        let slot = *slot;
        Member { group: Arc::clone(self), slot, key, generation: members.generation, seen: 0 }
    }

    fn leave(&self, key: &Key) {
        let mut members = lock(&self.members);
        let Some((slot, uses)) = members.taken.get_mut(key) else { return };
        *uses = uses.saturating_sub(1);
        if *uses == 0 {
            let slot = *slot;
            members.taken.remove(key);
            members.free.push(slot);
            members.generation += 1;
            members.shared = None;
        }
    }

    /// Who is in it now.
    pub fn members(&self) -> Arc<Members> {
        let mut members = lock(&self.members);
        if let Some(shared) = &members.shared {
            return Arc::clone(shared);
        }
        let keys: Vec<(usize, Key)> = members.taken.iter().map(|(key, (slot, _))| (*slot, key.clone())).collect();
        let shared = Arc::new(Members {
            by_key: keys.iter().map(|(slot, key)| (joined(&key.0), *slot)).collect(),
            keys,
            slots: members.taken.len() + members.free.len(),
            generation: members.generation,
        });
        members.shared = Some(Arc::clone(&shared));
        shared
    }

    /// The round that a member takes: one that it has not seen, that has it in it, and that is no older than an interval.
    fn next(&self, seen: u64, generation: u64) -> Next {
        let mut current = lock(&self.current);
        if let Some(round) = current.as_ref() {
            let under_way = round.is_under_way();
            let has_it = round.generation >= generation;
            let is_new = round.id > seen && (under_way || round.began.elapsed() < self.about.interval);
            if has_it && is_new && (under_way || round.outcome.borrow().is_some()) {
                return Next::Take(round.id, round.outcome.clone());
            }
            if under_way {
                return Next::Wait(round.outcome.clone());
            }
            // Many services that join one after the other share a round or a few, not one each.
            let earliest = round.began + self.about.interval / 5;
            if !has_it && Instant::now() < earliest {
                return Next::Sleep(earliest);
            }
        }
        let id = current.as_ref().map_or(1, |round| round.id + 1);
        let (about, hub, kept) = (self.about.clone(), Arc::clone(&self.hub), Arc::clone(&self.kept));
        let members = self.members();
        let (generation, began) = (members.generation, Instant::now());
        let (found, outcome) = watch::channel(None);
        // Owned by the round, which the group owns: it ends with the last service.
        let task = AbortOnDropHandle::new(tokio::spawn(async move {
            let result = round::run(&about, &hub, &kept, &members, began + about.budget).await;
            found.send_replace(Some(Arc::new(result)));
        }));
        *current = Some(Round { id, began, generation, outcome: outcome.clone(), task });
        Next::Take(id, outcome)
    }
}

enum Next {
    Take(u64, watch::Receiver<Option<Arc<Outcome>>>),
    Wait(watch::Receiver<Option<Arc<Outcome>>>),
    Sleep(Instant),
}

/// A service's place in a group; it leaves when dropped.
#[derive(Debug)]
pub(super) struct Member {
    pub group: Arc<Group>,
    pub slot: usize,
    pub key: Key,
    /// Of the members when it joined: rounds before that have nothing for it.
    generation: u64,
    /// The last round it took.
    seen: u64,
}

impl Drop for Member {
    fn drop(&mut self) {
        self.group.leave(&self.key);
    }
}

impl Member {
    /// The next round for this service. The caller bounds the time; dropping it half-way loses nothing.
    ///
    /// # Errors
    /// When the round was lost, which does not happen unless it panicked.
    pub async fn read(&mut self) -> Result<Arc<Outcome>, String> {
        let lost = || "the round of queries was lost: this is a fault of Suture".to_owned();
        loop {
            match self.group.next(self.seen, self.generation) {
                Next::Take(id, mut outcome) => {
                    let found = outcome.wait_for(Option::is_some).await.map_err(|_| lost())?.clone();
                    self.seen = id;
                    return found.ok_or_else(lost);
                }
                Next::Wait(mut outcome) => {
                    // Lost or not: the next look begins a new one.
                    let _ = outcome.wait_for(Option::is_some).await;
                }
                Next::Sleep(until) => tokio::time::sleep_until(until).await,
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
