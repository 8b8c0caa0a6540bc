//! Makes a card's blocks keep Slack's limits: what there is no room for is left over as text, for a file.
//!
//! Pure. Must never fail and never drop anything without saying so on the card. A header and the buttons are worth more
//! than the body: they are never what goes.

use slack_morphism::blocks::SlackBlock;

use super::blocks::{self, Part};
use crate::chat::Card;

/// Blocks in a message.
pub(super) const MOST_BLOCKS: usize = 50;
/// All text of a message together, with [`EACH_BLOCK`] for each block. Slack does not document this limit; those who
/// ran into it found it a little above 13,000.
pub(super) const MOST_CHARS: usize = 11_500;
/// What a block costs besides its text.
const EACH_BLOCK: usize = 150;

/// A card that can be sent.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Fitted {
    pub blocks: Vec<SlackBlock>,
    /// What there was no room for.
    pub rest: Option<String>,
}

/// Puts together what fits. `picture` is an image block.
pub(super) fn fit(card: &Card, picture: Option<SlackBlock>) -> Fitted {
    let head: Vec<_> = blocks::header(card).into_iter().collect();
    let mut tail: Vec<_> = picture.into_iter().collect();
    tail.extend(blocks::actions(card));
    tail.extend(blocks::foot(card));
    let left_over = blocks::note("This card was too long: the rest of it is in a file in its thread.");

    let reserved = cost(&head) + cost(&tail) + cost(std::slice::from_ref(&left_over));
    let mut room = MOST_CHARS.saturating_sub(reserved);
    let mut places = MOST_BLOCKS.saturating_sub(head.len() + tail.len() + 1);
    let mut out = head;
    let mut rest: Vec<String> = Vec::new();
    for Part { block, text } in blocks::body(card) {
        let cost = cost(std::slice::from_ref(&block));
        // Once something is left over, so is all that follows: a card with holes would be misread.
        if rest.is_empty() && places > 0 && cost <= room {
            room -= cost;
            places -= 1;
            out.push(block);
        } else {
            rest.push(text);
        }
    }
    if !rest.is_empty() {
        out.push(left_over);
    }
    out.extend(tail);
    Fitted { blocks: out, rest: (!rest.is_empty()).then(|| rest.join("\n\n")) }
}

fn cost(blocks: &[SlackBlock]) -> usize {
    let texts = serde_json::to_value(blocks).map(|value| chars(&value)).unwrap_or_default();
    texts + EACH_BLOCK * blocks.len()
}

/// All text in it, in the units that Slack counts.
fn chars(value: &serde_json::Value) -> usize {
    match value {
        serde_json::Value::Array(items) => items.iter().map(chars).sum(),
        serde_json::Value::Object(map) => map
            .iter()
            .map(|(key, value)| match value {
                serde_json::Value::String(text) if key == "text" || key == "alt_text" => text.encode_utf16().count(),
                other => chars(other),
            })
            .sum(),
        _ => 0,
    }
}

#[cfg(test)]
#[path = "tests/fit.rs"]
mod tests;
