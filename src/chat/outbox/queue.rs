//! The order of things waiting for one platform, and what is merged or dropped when there are too many. No I/O.

use std::collections::VecDeque;

use super::super::{Card, clean};
use super::OutboxCounts;

/// Longest text of merged lines, in characters: what every platform takes in one message or a few.
const LONGEST_SAID: usize = 8000;

/// Something to deliver.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum What {
    Show(Card),
    Say { key: String, text: String },
}

impl What {
    pub fn key(&self) -> &str {
        match self {
            Self::Show(card) => &card.key,
            Self::Say { key, .. } => key,
        }
    }

    /// A question or an outcome. Answers (cards without a key) are not: whoever asked can ask again.
    pub fn must_arrive(&self) -> bool {
        matches!(self, Self::Show(card) if !card.key.is_empty() && (card.asks() || card.settled))
    }

    /// A form of this card, which a newer form replaces?
    fn is_form_of(&self, key: &str) -> bool {
        matches!(self, Self::Show(card) if !key.is_empty() && card.key == key)
    }
}

/// Something to deliver, and how often that was tried.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Job {
    pub what: What,
    pub tries: u32,
}

/// What waits for one platform.
pub(super) struct Queue {
    jobs: VecDeque<Job>,
    under_way: Option<Job>,
    capacity: usize,
    counts: OutboxCounts,
}

impl Queue {
    pub fn new(capacity: usize) -> Self {
        Self { jobs: VecDeque::new(), under_way: None, capacity: capacity.max(1), counts: OutboxCounts::default() }
    }

    pub fn counts(&self) -> OutboxCounts {
        OutboxCounts { waiting: self.jobs.len() + usize::from(self.under_way.is_some()), ..self.counts }
    }

    /// At the end; a newer form of a card that is waiting takes its place instead, so that a card that changes all
    /// the time still gets its turn.
    pub fn put(&mut self, what: What) {
        if let What::Show(card) = &what
            && let Some(older) = self.jobs.iter_mut().find(|job| job.what.is_form_of(&card.key))
        {
            older.what = what;
            self.counts.replaced += 1;
            return;
        }
        self.jobs.push_back(Job { what, tries: 0 });
        // full: lines of one thread become one, then the oldest update, the oldest line go; questions and outcomes
        // stay, and there are no more of them than incidents.
        if self.jobs.len() > self.capacity {
            self.merge_lines();
        }
        while self.jobs.len() > self.capacity && self.drop_least() {}
    }

    pub fn take(&mut self) -> Option<Job> {
        self.under_way = self.jobs.pop_front();
        self.under_way.clone()
    }

    /// After a worker crashed: what it had in hand is first again.
    pub fn put_back(&mut self) {
        if let Some(job) = self.under_way.take() {
            self.jobs.push_front(job);
        }
    }

    pub fn sent(&mut self) {
        self.under_way = None;
        self.counts.sent += 1;
    }

    pub fn failed(&mut self) {
        self.counts.failed += 1;
    }

    pub fn given_up(&mut self) {
        self.under_way = None;
        self.counts.dropped += 1;
    }

    /// The newer form of the card that could not be sent, if one came meanwhile; it is under way from here on.
    pub fn newer_than(&mut self, job: &Job) -> Option<Job> {
        let at = match &job.what {
            What::Show(card) => self.jobs.iter().position(|other| other.what.is_form_of(&card.key))?,
            What::Say { .. } => return None,
        };
        let newer = Job { tries: job.tries, ..self.jobs.remove(at)? };
        self.counts.replaced += 1;
        self.under_way = Some(newer.clone());
        Some(newer)
    }

    /// Puts the job behind everything else, and what belongs to the same card behind it, in order. Leaves it with
    /// the caller when nothing else waits.
    pub fn put_last(&mut self, job: &mut Option<Job>) {
        let Some(mine) = job.take_if(|mine| self.jobs.iter().any(|other| other.what.key() != mine.what.key())) else {
            return;
        };
        let key = mine.what.key().to_owned();
        let (same, others): (VecDeque<_>, VecDeque<_>) =
            std::mem::take(&mut self.jobs).into_iter().partition(|other| other.what.key() == key);
        self.jobs = others;
        self.jobs.push_back(mine);
        self.jobs.extend(same);
        self.under_way = None;
    }

    /// All lines of one thread become the first of them.
    fn merge_lines(&mut self) {
        let mut merged: VecDeque<Job> = VecDeque::with_capacity(self.jobs.len());
        for job in std::mem::take(&mut self.jobs) {
            if let What::Say { key, text } = &job.what {
                let first = merged.iter_mut().find_map(|other| match &mut other.what {
                    What::Say { key: other_key, text } if other_key == key => Some(text),
                    _ => None,
                });
                if let Some(first) = first {
                    first.push('\n');
                    first.push_str(text);
                    if first.chars().count() > LONGEST_SAID {
                        *first = middle_left_out(first);
                        self.counts.dropped += 1;
                    }
                    continue;
                }
            }
            merged.push_back(job);
        }
        self.jobs = merged;
    }

    /// Drops what is missed least; false when there is nothing that may be dropped.
    fn drop_least(&mut self) -> bool {
        let update = |job: &Job| matches!(job.what, What::Show(_)) && !job.what.must_arrive();
        let line = |job: &Job| matches!(job.what, What::Say { .. });
        let least = self.jobs.iter().position(update).or_else(|| self.jobs.iter().position(line));
        if let Some(least) = least {
            self.jobs.remove(least);
            self.counts.dropped += 1;
        }
        least.is_some()
    }
}

/// The beginning and the newest end of a text that grew too long.
fn middle_left_out(text: &str) -> String {
    let half = LONGEST_SAID / 2 - 50;
    let tail: Vec<char> = text.chars().rev().take(half).collect();
    let tail: String = tail.into_iter().rev().collect();
    format!("{}\n(lines left out here; `audit` has them)\n{tail}", clean::shortened(text, half))
}
