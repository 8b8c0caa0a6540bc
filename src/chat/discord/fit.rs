//! Discord's limits, and what becomes of that which does not fit: it goes along as a text file, and the card says so.
//!
//! Must never make an error of a long text, and never leave something out in silence.

use serde_json::{Map, Value, json};

use super::markdown::{self, units};

/// Text of a message.
pub(super) const CONTENT: usize = 2000;
/// Embeds of a message.
pub(super) const EMBEDS: usize = 10;
/// Everything in all embeds of a message together.
pub(super) const ALL: usize = 6000;
/// Title of an embed.
pub(super) const TITLE: usize = 256;
/// Description of an embed.
pub(super) const DESCRIPTION: usize = 4096;
/// Fields of an embed.
pub(super) const FIELDS: usize = 25;
/// Name of a field.
pub(super) const NAME: usize = 256;
/// Value of a field.
pub(super) const VALUE: usize = 1024;
/// Label of a button.
pub(super) const LABEL: usize = 80;
/// Name of a thread.
pub(super) const THREAD: usize = 100;
/// Alternative text of a picture.
pub(super) const ALT: usize = 1024;
/// A field beside others rather than below them has at most so much in it: what stands in a third of the width.
const SHORT: usize = 32;
/// Columns of fixed pitch that an embed shows without wrapping on a wide screen.
pub(super) const COLUMNS: usize = 56;

/// Lines that belong together, with what stands around them: a paragraph, or a code block.
#[derive(Clone, Debug, Default)]
pub(super) struct Piece {
    /// What it is called where it has to have a name.
    pub name: &'static str,
    /// Before the first line.
    pub open: &'static str,
    /// The lines, formatted.
    pub lines: Vec<String>,
    /// After the last line.
    pub close: &'static str,
}

impl Piece {
    fn around(&self) -> usize {
        units(self.open) + units(self.close)
    }

    fn size(&self) -> usize {
        self.around() + self.lines.iter().map(|l| units(l) + 1).sum::<usize>()
    }

    fn text(&self, lines: &[String]) -> String {
        format!("{}{}{}", self.open, lines.join("\n"), self.close)
    }
}

#[derive(Default)]
struct Embed {
    description: String,
    fields: Vec<Value>,
}

/// Embeds that are filled from top to bottom until nothing more fits.
pub(super) struct Sheet {
    finished: Vec<Embed>,
    last: Embed,
    room: usize,
    /// Something did not fit.
    pub short: bool,
}

impl Sheet {
    /// An empty sheet for a message in whose embeds `reserved` units are needed for other things.
    pub fn new(reserved: usize) -> Self {
        Self { finished: Vec::new(), last: Embed::default(), room: ALL.saturating_sub(reserved), short: false }
    }

    /// Adds a label with its value; both are escaped already.
    pub fn field(&mut self, name: &str, value: &str) {
        let size = units(name) + units(value);
        if self.last.fields.len() >= FIELDS {
            self.next();
        }
        if self.short || size > self.room {
            self.short = true;
            return;
        }
        self.room -= size;
        let inline = units(value) <= SHORT && units(name) <= SHORT && !value.contains('\n');
        self.last.fields.push(json!({ "name": name, "value": value, "inline": inline }));
    }

    /// Adds lines: to the text at the top while there are no fields, as a field after that, in an embed of its own if
    /// it is longer than a field may be.
    pub fn piece(&mut self, piece: &Piece) {
        // Empty lines between others are air; nothing but empty lines is nothing.
        if self.short || markdown::is_blank(&piece.lines.concat()) {
            return;
        }
        if !self.last.fields.is_empty() {
            if piece.size() <= VALUE && self.last.fields.len() < FIELDS {
                self.field(piece.name, &piece.text(&piece.lines));
                return;
            }
            self.next();
        }
        let mut rest = piece.lines.as_slice();
        while !rest.is_empty() && !self.short {
            let between = usize::from(!self.last.description.is_empty());
            let free = DESCRIPTION.saturating_sub(units(&self.last.description)).min(self.room);
            let mut used = between + piece.around();
            let fitting = rest.iter().take_while(|line| {
                used += units(line) + 1;
                used <= free
            });
            let (now, later) = rest.split_at_checked(fitting.count()).unwrap_or((rest, &[]));
            if now.is_empty() {
                // Nothing of it, not even on a fresh sheet: that is the end.
                if self.last.description.is_empty() {
                    self.short = true
                } else {
                    self.next()
                }
                continue;
            }
            let text = piece.text(now);
            self.room = self.room.saturating_sub(between + units(&text));
            let description = &mut self.last.description;
            if between > 0 {
                description.push('\n');
            }
            description.push_str(&text);
            rest = later;
        }
    }

    fn next(&mut self) {
        if self.finished.len() + 1 < EMBEDS {
            self.finished.push(std::mem::take(&mut self.last));
        } else {
            self.short = true;
        }
    }

    /// The embeds as Discord takes them. Empty ones are left out, but for the first, which the title goes on.
    pub fn done(self) -> Vec<Value> {
        let parts = self.finished.into_iter().chain([self.last]).enumerate();
        // A description of which nothing is seen is none.
        let parts = parts.map(|(i, e)| (i, Some(e.description).filter(|d| !markdown::is_blank(d)), e.fields));
        let wanted = parts.filter(|(i, description, fields)| *i == 0 || description.is_some() || !fields.is_empty());
        wanted
            .map(|(_, description, fields)| {
                let mut embed = Map::new();
                if let Some(description) = description {
                    embed.insert("description".to_owned(), description.into());
                }
                if !fields.is_empty() {
                    embed.insert("fields".to_owned(), fields.into());
                }
                Value::Object(embed)
            })
            .collect()
    }
}

/// A text that Discord does not take for empty.
pub(super) fn seen(text: String) -> String {
    if markdown::is_blank(&text) { "-".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(lines: usize, length: usize) -> Piece {
        Piece { name: "Details", lines: vec!["x".repeat(length); lines], ..Piece::default() }
    }

    #[test]
    fn a_long_piece_goes_on_in_the_next_embed_until_everything_is_full() {
        let mut sheet = Sheet::new(0);
        sheet.piece(&piece(50, 99));
        assert!(!sheet.short);
        sheet.piece(&piece(50, 99));
        assert!(sheet.short);
        let embeds = sheet.done();
        assert_eq!(embeds.len(), 2);
        let lengths: Vec<_> = embeds.iter().map(|e| e["description"].as_str().unwrap().len()).collect();
        assert!(lengths[0] <= DESCRIPTION && lengths.iter().sum::<usize>() <= ALL, "{lengths:?}");
    }

    #[test]
    fn after_a_field_lines_are_a_field_or_an_embed_of_their_own() {
        let mut sheet = Sheet::new(0);
        sheet.field("Since", "12:00");
        sheet.piece(&piece(2, 10));
        sheet.piece(&piece(30, 50));
        let embeds = sheet.done();
        assert_eq!(embeds.len(), 2);
        assert_eq!(embeds[0]["fields"][0]["inline"], true);
        assert_eq!(embeds[0]["fields"][1]["name"], "Details");
        assert!(embeds[1]["description"].is_string());
    }
}
