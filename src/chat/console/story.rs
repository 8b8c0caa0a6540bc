//! What a terminal shows of a card that changes: it cannot edit what has scrolled by.
//!
//! The choice: a person who scrolls back reads each incident once in full, then a short update for each change, then
//! once more in full how it ended. An update is the new title and the blocks that are new or changed below it (the
//! plan when it comes, an approval, an outcome); curves and what stands in brackets (ages, countdowns, the exact
//! risk) are no news by themselves. A form that says nothing new prints nothing. Repainting the old card in place was
//! left out on purpose: it tears when lines come in between, is lost in a pipe, and hides what was decided on.

use std::collections::VecDeque;

use super::super::{Block, Card};

/// Cards that are remembered; the oldest is forgotten first and then told in full again.
const MOST_CARDS: usize = 200;

/// What to print of a card.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Told {
    /// All of it, in its box.
    Full,
    /// This much of it.
    Update(Card),
    /// Nothing.
    Nothing,
}

/// What was shown already.
#[derive(Default)]
pub(super) struct Story {
    shown: VecDeque<Card>,
}

impl Story {
    /// What to print of this form of the card, which counts as shown from here on.
    pub fn tell(&mut self, card: &Card) -> Told {
        if card.key.is_empty() {
            return Told::Full;
        }
        let at = self.shown.iter().position(|older| older.key == card.key);
        let older = at.and_then(|at| self.shown.remove(at));
        let told = match &older {
            Some(older) if card.settled == older.settled || !card.settled => news(older, card),
            _ => Told::Full,
        };
        if self.shown.len() >= MOST_CARDS {
            self.shown.pop_front();
        }
        self.shown.push_back(card.clone());
        told
    }
}

fn news(older: &Card, card: &Card) -> Told {
    let is_news = |block: &&Block| match block {
        Block::Metrics(_) => !older.blocks.iter().any(|b| matches!(b, Block::Metrics(_))),
        Block::Field(label, value) => !older.blocks.iter().any(
            |b| matches!(b, Block::Field(other, was) if other == label && without_gloss(was) == without_gloss(value)),
        ),
        block => !older.blocks.contains(block),
    };
    let blocks: Vec<_> = card.blocks.iter().filter(is_news).cloned().collect();
    let actions = if older.actions == card.actions { Vec::new() } else { card.actions.clone() };
    if blocks.is_empty() && actions.is_empty() && older.title == card.title {
        return Told::Nothing;
    }
    Told::Update(Card { blocks, actions, ..card.clone() })
}

/// `12:04:31` of `12:04:31 (4.2 s ago)`.
fn without_gloss(value: &str) -> &str {
    value.split(" (").next().unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::{CardAction, MetricLine, Tone};

    fn field(label: &str, value: &str) -> Block {
        Block::Field(label.to_owned(), value.to_owned())
    }

    fn metrics(words: &str) -> Block {
        let line = MetricLine { name: "latency".to_owned(), words: words.to_owned(), share: 1.0, recent: Vec::new() };
        Block::Metrics(vec![line])
    }

    fn opened() -> Card {
        Card {
            key: "INC-1".to_owned(),
            title: "INC-1 · shop · HIGH · planning".to_owned(),
            tone: Tone::Bad,
            blocks: vec![field("Since", "12:04:31 UTC (4.2 s ago)"), metrics("412 ms")],
            ..Card::default()
        }
    }

    fn asking() -> Card {
        let approve =
            CardAction { label: "Approve".to_owned(), command: "approve 1".to_owned(), ..CardAction::default() };
        let mut card = opened();
        card.title = "INC-1 · shop · HIGH · awaiting approval".to_owned();
        card.blocks = vec![
            field("Since", "12:04:31 UTC (5.9 s ago)"),
            metrics("430 ms"),
            Block::Diff(vec!["local:shop workers  2 -> 4".to_owned()]),
            field("Question", "open (expires in 30 min 00 s)"),
        ];
        card.actions = vec![approve];
        card
    }

    #[test]
    fn first_in_full_then_what_changed_then_in_full_how_it_ended() {
        let mut story = Story::default();
        assert_eq!(story.tell(&opened()), Told::Full);
        let Told::Update(update) = story.tell(&asking()) else { panic!("no update") };
        assert_eq!(update.blocks, asking().blocks[2..]);
        assert_eq!(update.actions, asking().actions);

        let acting = Card { title: "INC-1 · shop · HIGH · acting".to_owned(), actions: Vec::new(), ..asking() };
        let Told::Update(update) = story.tell(&acting) else { panic!("no update") };
        assert_eq!((update.blocks.len(), update.actions.len()), (0, 0));

        let resolved = Card { settled: true, title: "INC-1 · shop · HIGH · resolved".to_owned(), ..acting };
        assert_eq!(story.tell(&resolved), Told::Full);
        assert_eq!(story.tell(&resolved), Told::Nothing);
    }

    #[test]
    fn what_only_ticks_is_no_news() {
        let mut story = Story::default();
        story.tell(&asking());
        let mut later = asking();
        later.blocks[0] = field("Since", "12:04:31 UTC (9.9 s ago)");
        later.blocks[1] = metrics("431 ms");
        later.blocks[3] = field("Question", "open (expires in 29 min 56 s)");
        assert_eq!(story.tell(&later), Told::Nothing);
    }

    #[test]
    fn answers_are_always_in_full() {
        let mut story = Story::default();
        let answer = Card { title: "status".to_owned(), settled: true, ..Card::default() };
        assert_eq!(story.tell(&answer), Told::Full);
        assert_eq!(story.tell(&answer), Told::Full);
    }

    #[test]
    fn an_incident_that_opens_again_is_told_on() {
        let mut story = Story::default();
        story.tell(&Card { settled: true, ..asking() });
        let again = Card { title: "INC-1 · shop · HIGH · planning".to_owned(), ..asking() };
        assert!(matches!(story.tell(&again), Told::Update(_)));
        assert_eq!(story.tell(&Card { settled: true, ..again }), Told::Full);
    }

    #[test]
    fn only_so_many_cards_are_remembered() {
        let mut story = Story::default();
        for n in 0..1000 {
            story.tell(&Card { key: format!("INC-{n}"), ..Card::default() });
        }
        assert_eq!(story.shown.len(), MOST_CARDS);
    }
}
