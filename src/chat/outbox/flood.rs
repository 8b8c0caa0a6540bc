//! When many incidents open at once a channel gets a digest, not a flood. No I/O, no clock of its own.
//!
//! The first cards of a minute go through. What comes beyond is held and counted in one card that is edited; held cards
//! follow as the minute allows, those that ask first. Nothing is lost: an incident that is over before its turn came was
//! in the count and is in the ledger. For platforms where a message rings a telephone; a terminal gets everything.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use super::super::{Block, Card, Tone};

/// New cards in any minute before the rest waits.
const MOST_NEW: usize = 20;
/// The minute.
const WITHIN: Duration = Duration::from_secs(60);
/// Titles in the digest; the rest is a number.
const MOST_TITLES: usize = 20;

/// What to do with a card.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Admission {
    /// Deliver it.
    Pass,
    /// Deliver this digest instead.
    Digest(Card),
}

/// Lets new cards through, or holds them.
pub(super) struct Valve {
    /// Tells the digests of this life from those that earlier ones left on the channel.
    life: u32,
    /// When the cards of the last minute went through.
    recent: VecDeque<Instant>,
    /// Cards that went through and are not over: what is on the channel is edited at any rate.
    through: BTreeSet<String>,
    held: BTreeMap<String, Card>,
    /// Counted from the beginning of this flood.
    all: usize,
    over: usize,
    floods: u64,
}

impl Default for Valve {
    fn default() -> Self {
        Self {
            life: fastrand::u32(..),
            recent: VecDeque::new(),
            through: BTreeSet::new(),
            held: BTreeMap::new(),
            all: 0,
            over: 0,
            floods: 0,
        }
    }
}

impl Valve {
    /// A card that is to be shown.
    pub(super) fn admit(&mut self, card: &Card, now: Instant) -> Admission {
        if card.key.is_empty() || self.through.contains(&card.key) {
            if card.settled {
                self.through.remove(&card.key);
            }
            return Admission::Pass;
        }
        if !self.held.contains_key(&card.key) && self.may_pass(now) && self.held.is_empty() {
            self.pass(card, now);
            return Admission::Pass;
        }
        if self.held.is_empty() {
            (self.all, self.over) = (0, 0);
            self.floods += 1;
        }
        if self.held.remove(&card.key).is_none() {
            self.all += 1;
        }
        if card.settled {
            self.over += 1;
        } else {
            self.held.insert(card.key.clone(), card.clone());
        }
        Admission::Digest(self.digest())
    }

    /// A held card whose turn has come, and the digest without it.
    pub(super) fn release(&mut self, now: Instant) -> Option<(Card, Card)> {
        if self.held.is_empty() || !self.may_pass(now) {
            return None;
        }
        let asks = self.held.values().find(|card| card.asks()).or_else(|| self.held.values().next());
        let card = asks.map(|card| card.key.clone()).and_then(|key| self.held.remove(&key))?;
        self.pass(&card, now);
        Some((card, self.digest()))
    }

    /// Does anything wait for its turn?
    pub(super) fn holds(&self) -> bool {
        !self.held.is_empty()
    }

    /// Does this card wait for its turn?
    pub(super) fn is_held(&self, key: &str) -> bool {
        self.held.contains_key(key)
    }

    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.held.len()
    }

    fn may_pass(&mut self, now: Instant) -> bool {
        while self.recent.front().is_some_and(|at| now.duration_since(*at) >= WITHIN) {
            self.recent.pop_front();
        }
        self.recent.len() < MOST_NEW
    }

    fn pass(&mut self, card: &Card, now: Instant) {
        self.recent.push_back(now);
        if !card.settled {
            self.through.insert(card.key.clone());
        }
    }

    fn digest(&self) -> Card {
        let asking = self.held.values().filter(|card| card.asks()).count();
        let mut titles: Vec<_> = self.held.values().map(|card| (!card.asks(), card.title.clone())).collect();
        titles.sort();
        let mut blocks: Vec<_> = titles.into_iter().take(MOST_TITLES).map(|(_, title)| Block::Text(title)).collect();
        let rest = self.held.len().saturating_sub(MOST_TITLES);
        if rest > 0 {
            blocks.push(Block::Text(format!("and {rest} more; `incidents` lists all that are open")));
        }
        let field = |label: &str, value: String| Block::Field(label.to_owned(), value);
        blocks.push(field("Not shown yet", self.held.len().to_string()));
        blocks.push(field("Of them ask", asking.to_string()));
        blocks.push(field("Over already", self.over.to_string()));
        if !self.held.is_empty() {
            let words = format!(
                "Their cards follow, at most {MOST_NEW} a minute, those that ask first; `show INCIDENT` shows one at once."
            );
            blocks.push(Block::Text(words));
        }
        Card {
            key: format!("digest-{:x}-{}", self.life, self.floods),
            title: format!("Many incidents at once · {} beside those shown", self.all),
            tone: if self.held.is_empty() { Tone::Neutral } else { Tone::Bad },
            blocks,
            settled: self.held.is_empty(),
            ..Card::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::CardAction;

    fn card(n: usize, asks: bool, settled: bool) -> Card {
        let actions = if asks { vec![CardAction::default()] } else { Vec::new() };
        let tone = if asks { Tone::Waiting } else { Tone::Bad };
        Card { key: format!("INC-{n:04}"), title: format!("INC-{n:04}"), tone, actions, settled, ..Card::default() }
    }

    #[test]
    fn a_thousand_incidents_are_a_digest() {
        let (mut valve, now) = (Valve::default(), Instant::now());
        let passed = (0..1000).filter(|n| valve.admit(&card(*n, n % 7 == 0, false), now) == Admission::Pass).count();
        assert_eq!((passed, valve.held()), (MOST_NEW, 1000 - MOST_NEW));
        let Admission::Digest(digest) = valve.admit(&card(999, false, true), now) else { panic!("it was held") };
        assert!(digest.title.contains("980") && digest.blocks.len() < 30, "{digest:?}");
        assert!(digest.blocks.contains(&Block::Field("Over already".to_owned(), "1".to_owned())));
        // What is on the channel is edited at any rate.
        assert_eq!(valve.admit(&card(3, false, false), now), Admission::Pass);
        // Nothing follows within the minute; after it those that ask come first.
        assert_eq!(valve.release(now), None);
        let later = now + WITHIN;
        let mut followed = Vec::new();
        while let Some((card, _)) = valve.release(later) {
            followed.push(card);
        }
        assert_eq!(followed.len(), MOST_NEW);
        assert!(followed.iter().all(Card::asks));
        // All the rest is over: the digest says so and is done.
        let mut last = None;
        for n in 0..1000 {
            if let Admission::Digest(digest) = valve.admit(&card(n, false, true), later) {
                last = Some(digest);
            }
        }
        assert!(last.unwrap().settled && !valve.holds());
    }
}
