//! The order of things waiting for one platform, and what is merged or dropped when there are too many. No I/O.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::super::{Answer, Card, clean};
use super::OutboxCounts;

/// Longest text of merged lines, in characters: what every platform takes in one message or a few.
const LONGEST_SAID: usize = 8000;
/// Longest text of lines that happen to wait together, in characters: one message on every platform.
const LONGEST_TOGETHER: usize = 1800;

/// Something to deliver.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum What {
    Show(Box<Card>),
    Line {
        key: String,
        text: String,
        how: How,
    },
    /// To one who asked, with the adapter's own address.
    Answer {
        to: serde_json::Value,
        answer: Box<Answer>,
    },
}

/// How a line is said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum How {
    /// In the card's thread, or just said.
    Say,
    /// In the thread, so that the channel sees it: how it ended.
    Conclude,
    /// To others, who are called to the card.
    Call(Vec<String>),
}

impl What {
    pub fn key(&self) -> &str {
        match self {
            Self::Show(card) => &card.key,
            Self::Line { key, .. } => key,
            Self::Answer { .. } => "",
        }
    }

    /// A question or an outcome. Answers (cards without a key) are not: whoever asked can ask again.
    pub fn must_arrive(&self) -> bool {
        match self {
            Self::Show(card) => !card.key.is_empty() && (!card.actions.is_empty() || card.settled),
            Self::Line { .. } | Self::Answer { .. } => false,
        }
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
    /// Under what it is kept for the next start, if it is.
    pub kept: Vec<String>,
}

/// What waits for one platform.
pub(super) struct Queue {
    jobs: VecDeque<Job>,
    under_way: Option<Job>,
    capacity: usize,
    counts: OutboxCounts,
    /// What was kept for the next start and need not be any more.
    forgotten: Vec<String>,
    /// Lines of one thread that wait together are said together.
    together: bool,
}

impl Queue {
    pub fn new(capacity: usize) -> Self {
        Self {
            jobs: VecDeque::new(),
            under_way: None,
            capacity: capacity.max(1),
            counts: OutboxCounts::default(),
            forgotten: Vec::new(),
            together: false,
        }
    }

    /// From now on lines of one thread that wait together are said together: where each message takes a second.
    pub fn say_together(&mut self) {
        self.together = true;
    }

    /// What was kept for the next start and need not be any more; told once.
    pub fn forgotten(&mut self) -> Vec<String> {
        std::mem::take(&mut self.forgotten)
    }

    pub fn counts(&self) -> OutboxCounts {
        OutboxCounts { waiting: self.jobs.len() + usize::from(self.under_way.is_some()), ..self.counts }
    }

    /// A card that tells more than all that waits: first, or in the place of its older form.
    pub fn put_ahead(&mut self, what: What) {
        let key = what.key().to_owned();
        match self.jobs.iter_mut().find(|job| job.what.is_form_of(&key)) {
            Some(older) => {
                older.what = what;
                self.counts.replaced += 1;
            }
            None => self.jobs.push_front(Job { what, tries: 0, kept: Vec::new() }),
        }
    }

    /// A card that was never shown, before anything that is to be said in its thread: an earlier life may have left that.
    pub fn put_first_form(&mut self, what: What) {
        let key = what.key().to_owned();
        let is_said = |job: &Job| matches!(job.what, What::Line { .. }) && job.what.key() == key;
        match self.jobs.iter().position(is_said) {
            Some(at) if !self.jobs.iter().any(|job| job.what.is_form_of(&key)) => {
                self.jobs.insert(at, Job { what, tries: 0, kept: Vec::new() });
            }
            _ => self.put(what, None),
        }
    }

    /// At the end; a newer form of a card that is waiting takes its place instead, so that a card that changes all
    /// the time still gets its turn.
    pub fn put(&mut self, what: What, kept: Option<String>) {
        if let What::Show(card) = &what
            && let Some(older) = self.jobs.iter_mut().find(|job| job.what.is_form_of(&card.key))
        {
            older.what = what;
            self.counts.replaced += 1;
            return;
        }
        if self.together
            && let What::Line { key, text, how: How::Say } = &what
            && let Some((said, names)) = self.jobs.iter_mut().find_map(|job| match &mut job.what {
                What::Line { key: other, text, how: How::Say } if other == key => Some((text, &mut job.kept)),
                _ => None,
            })
            && said.chars().count() + text.chars().count() < LONGEST_TOGETHER
        {
            said.push('\n');
            said.push_str(text);
            names.extend(kept);
            return;
        }
        self.jobs.push_back(Job { what, tries: 0, kept: kept.into_iter().collect() });
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
        self.done();
        self.counts.sent += 1;
    }

    pub fn failed(&mut self) {
        self.counts.failed += 1;
    }

    pub fn given_up(&mut self) {
        self.done();
        self.counts.dropped += 1;
    }

    fn done(&mut self) {
        let done = self.under_way.take();
        self.forgotten.extend(done.into_iter().flat_map(|job| job.kept));
    }

    /// The newer form of the card that could not be sent, if one came meanwhile; it is under way from here on.
    pub fn newer_than(&mut self, job: &Job) -> Option<Job> {
        let at = match &job.what {
            What::Show(card) => self.jobs.iter().position(|other| other.what.is_form_of(&card.key))?,
            What::Line { .. } | What::Answer { .. } => return None,
        };
        let newer = Job { tries: job.tries, ..self.jobs.remove(at)? };
        self.counts.replaced += 1;
        self.under_way = Some(newer.clone());
        Some(newer)
    }

    /// Puts the job behind everything else, and what belongs to the same card behind it, in order. Leaves it with
    /// the caller when nothing else waits.
    pub fn put_last(&mut self, job: &mut Option<Job>) {
        let Some(mine) = job.take_if(|mine| self.others_than(mine)) else {
            return;
        };
        let key = mine.what.key().to_owned();
        let (same, others): (VecDeque<_>, VecDeque<_>) =
            std::mem::take(&mut self.jobs).into_iter().partition(|other| !key.is_empty() && other.what.key() == key);
        self.jobs = others;
        self.jobs.push_back(mine);
        self.jobs.extend(same);
        self.under_way = None;
    }

    /// Does anything wait that does not belong to the same card?
    pub fn others_than(&self, mine: &Job) -> bool {
        let is_answer = |what: &What| matches!(what, What::Answer { .. });
        self.jobs.iter().any(|job| job.what.key() != mine.what.key() || is_answer(&job.what))
    }

    /// All lines of one thread become the first of them.
    fn merge_lines(&mut self) {
        let mut merged: VecDeque<Job> = VecDeque::with_capacity(self.jobs.len());
        for job in std::mem::take(&mut self.jobs) {
            if let What::Line { key, text, how: How::Say } = &job.what {
                let first = merged.iter_mut().find_map(|other| match &mut other.what {
                    What::Line { key: other_key, text, how: How::Say } if other_key == key => {
                        Some((text, &mut other.kept))
                    }
                    _ => None,
                });
                if let Some((first, kept)) = first {
                    kept.extend(job.kept);
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
        let line = |job: &Job| !matches!(job.what, What::Show(_)) && !job.what.must_arrive();
        let least = self.jobs.iter().position(update).or_else(|| self.jobs.iter().position(line));
        let dropped = least.and_then(|least| self.jobs.remove(least));
        self.counts.dropped += u64::from(dropped.is_some());
        self.forgotten.extend(dropped.iter().flat_map(|job| job.kept.iter().cloned()));
        dropped.is_some()
    }
}

/// The beginning and the newest end of a text that grew too long.
fn middle_left_out(text: &str) -> String {
    let half = LONGEST_SAID / 2 - 50;
    let tail: Vec<char> = text.chars().rev().take(half).collect();
    let tail: String = tail.into_iter().rev().collect();
    format!("{}\n(lines left out here; `audit` has them)\n{tail}", clean::shortened(text, half))
}
