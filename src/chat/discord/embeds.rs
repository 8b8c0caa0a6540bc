//! A card as a message: embeds, buttons, files. Pure.
//!
//! Must say in words whatever a colour says, and must take any card: what does not fit goes into a file. All text is
//! escaped here, on its way into the message.

use serde_json::{Map, Value, json};

use super::fit::{self, Piece, Sheet};
use super::markdown::{self, units};
use crate::chat::{Answer, Block, Card, CardAction, MetricLine, Tone, plain, render};

/// Hides previews of links, and with them all embeds: only for messages that have none.
const SUPPRESS_EMBEDS: u64 = 1 << 2;
/// For the eyes of one person only.
pub(super) const EPHEMERAL: u64 = 1 << 6;
/// In front of the id of a button that is carried out at once.
pub(super) const PRESS: &str = "s:";
/// In front of the id of a button that is asked about again.
pub(super) const DANGER: &str = "d:";
/// In front of the id of the button that says yes, I am sure.
pub(super) const SURE: &str = "c:";
/// In front of the id of a form.
pub(super) const FORM: &str = "f:";
/// The name of the picture.
pub(super) const CHART: &str = "chart.png";
/// Most text for what may be typed.
const TYPED: usize = 600;
/// Room for the line that says where the rest is.
const NOTE: usize = 160;
/// Longest line of a paragraph; longer ones are for the file.
const LINE: usize = 1000;
/// Values in a sparkline.
const SPARK_VALUES: usize = 20;

/// A file that goes with a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Upload {
    /// Its name.
    pub name: String,
    /// What is in it, in words.
    pub description: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// A message, ready to be sent.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Message {
    /// The text above the embeds, escaped.
    pub content: String,
    /// The embeds.
    pub embeds: Vec<Value>,
    /// The rows of buttons.
    pub components: Vec<Value>,
    /// The files.
    pub files: Vec<Upload>,
    /// People who may be pinged by it.
    pub users: Vec<String>,
    /// Roles that may be pinged by it.
    pub roles: Vec<String>,
    /// The message that it replies to.
    pub reply_to: Option<u64>,
}

impl Message {
    /// A text alone, escaped already; too long a one goes into a file.
    pub fn text(content: String) -> Self {
        Self { content, ..Self::default() }
    }

    /// The body of a request. Names of files that are there already come with their ids in `kept`; the others are
    /// numbered in the order in which [`Self::uploads`] gives them.
    pub fn body(&self, kept: &[(String, u64)]) -> Map<String, Value> {
        let mut body = Map::new();
        body.insert("content".to_owned(), self.content.clone().into());
        body.insert("embeds".to_owned(), self.embeds.clone().into());
        body.insert("components".to_owned(), self.components.clone().into());
        let mentions = json!({ "parse": [], "users": self.users, "roles": self.roles, "replied_user": false });
        body.insert("allowed_mentions".to_owned(), mentions);
        let kept_files = kept.iter().map(|(_, id)| json!({ "id": id.to_string() }));
        let new = self.uploads(kept).into_iter().enumerate();
        let new = new.map(|(id, f)| json!({ "id": id, "filename": f.name, "description": f.description }));
        body.insert("attachments".to_owned(), kept_files.chain(new).collect());
        if self.embeds.is_empty() {
            body.insert("flags".to_owned(), SUPPRESS_EMBEDS.into());
        }
        if let Some(id) = self.reply_to {
            // A card that somebody deleted must not keep its news from being said.
            let reference = json!({ "message_id": id.to_string(), "fail_if_not_exists": false });
            body.insert("message_reference".to_owned(), reference);
        }
        body
    }

    /// The files that are not there already.
    pub fn uploads(&self, kept: &[(String, u64)]) -> Vec<&Upload> {
        self.files.iter().filter(|f| !kept.iter().any(|(name, _)| *name == f.name)).collect()
    }
}

/// The message for a card.
pub(super) fn message(card: &Card) -> Message {
    let (title, mut short) = markdown::line_within(card.title.trim(), fit::TITLE);
    let rows = rows(&card.actions);
    let typed = typed(&card.actions, !rows.is_empty());
    let author = tone_words(card);
    let reserved = [units(&title), units(author), NOTE, typed.as_ref().map_or(0, |(n, v)| units(n) + units(v))];
    let mut sheet = Sheet::new(reserved.iter().sum());
    let picture = picture(card);
    for block in &card.blocks {
        // The picture shows what the characters would.
        if !(picture.is_some() && matches!(block, Block::Fixed(_))) {
            short |= put(&mut sheet, block);
        }
    }
    short |= sheet.short;
    let mut embeds = sheet.done();
    if let Some((name, value)) = typed {
        add_field(&mut embeds, json!({ "name": name, "value": value, "inline": false }));
    }
    let mut files = Vec::new();
    if let Some(bytes) = picture {
        files.push(Upload { name: CHART.to_owned(), description: picture_words(card), bytes });
        set(embeds.first_mut(), "image", json!({ "url": format!("attachment://{CHART}") }));
    }
    if short {
        let name = file_name(&card.key);
        set(
            embeds.last_mut(),
            "footer",
            json!({ "text": format!("Not all of it fits here; the whole is in {name}.") }),
        );
        let description = "The whole text of this card".to_owned();
        files.push(Upload { name, description, bytes: plain::whole(card).into_bytes() });
    }
    let title = if markdown::is_blank(&title) { String::new() } else { title };
    if !title.is_empty() {
        set(embeds.first_mut(), "title", title.clone().into());
    } else if embeds.iter().all(|e| e.get("description").is_none() && e.get("fields").is_none()) {
        set(embeds.first_mut(), "description", "-".into());
    }
    if !author.is_empty() {
        set(embeds.first_mut(), "author", json!({ "name": author }));
    }
    for embed in &mut embeds {
        set(Some(embed), "color", colour(card.tone).into());
    }
    // A telephone shows the text of a message and nothing of its embeds.
    let content = if card.asks() { title } else { String::new() };
    Message { content, embeds, components: rows, files, ..Message::default() }
}

/// The message for an answer.
pub(super) fn answer(answer: &Answer) -> Message {
    let mut message = message(&answer.card);
    if let Some(file) = &answer.file {
        let name = safe_name(&file.name, &message.files);
        let description = markdown::plain(&file.title, fit::ALT);
        message.files.push(Upload { name, description, bytes: file.bytes.clone() });
    }
    message
}

/// A message of one text; what is longer than a message may be goes along as a file.
pub(super) fn said(text: &str, key: &str) -> Message {
    let escaped = markdown::escape(text);
    if units(&escaped) <= fit::CONTENT {
        return Message::text(fit::seen(escaped));
    }
    let name = file_name(key);
    let (start, _) = markdown::escape_within(text, fit::CONTENT - NOTE);
    let description = "The whole text".to_owned();
    let bytes = crate::chat::clean::paragraph(text).into_bytes();
    let content = format!("{start}\nThe whole is in {}.", markdown::line(&name));
    Message { content, files: vec![Upload { name, description, bytes }], ..Message::default() }
}

/// How a card stands, for those who do not see its colour.
fn tone_words(card: &Card) -> &'static str {
    match card.tone {
        Tone::Neutral => "",
        Tone::Bad => "Needs attention",
        Tone::Waiting if card.asks() => "Waiting for an answer",
        Tone::Waiting => "Under way",
        Tone::Good => "Well",
    }
}

fn colour(tone: Tone) -> u32 {
    match tone {
        Tone::Neutral => 0x0060_7D8B,
        Tone::Bad => 0x00C6_2828,
        Tone::Waiting => 0x00F9_A825,
        Tone::Good => 0x002E_7D32,
    }
}

/// The picture of a card's chart; without it the words have to do.
fn picture(card: &Card) -> Option<Vec<u8>> {
    let chart = card.picture.as_ref()?;
    match crate::chat::picture::png(chart) {
        Ok(png) => Some(png),
        Err(error) => {
            tracing::warn!(%error, "a chart could not be drawn; the card goes out without it");
            None
        }
    }
}

/// The picture in words.
fn picture_words(card: &Card) -> String {
    let words = card.picture.as_ref().map(|chart| crate::chat::picture::words(chart)).unwrap_or_default();
    markdown::plain(&words, fit::ALT)
}

/// Puts a block on the sheet; true when something of it was cut off.
fn put(sheet: &mut Sheet, block: &Block) -> bool {
    let mut short = false;
    let mut cut = |(text, cut): (String, bool)| {
        short |= cut;
        text
    };
    match block {
        Block::Field(label, value) => {
            let name = fit::seen(cut(markdown::line_within(label, fit::NAME)));
            let value = fit::seen(cut(markdown::escape_within(value, fit::VALUE)));
            sheet.field(&name, &value);
        }
        Block::Text(text) => {
            let lines = text.trim_end().lines().map(|l| cut(markdown::line_within(l, LINE))).collect();
            sheet.piece(&Piece { name: "Details", lines, ..Piece::default() });
        }
        Block::Metrics(metrics) => {
            let lines = metrics.iter().map(|m| metric(m, &mut cut)).collect();
            sheet.piece(&Piece { name: "Metrics", lines, ..Piece::default() });
        }
        Block::Diff(steps) => {
            let lines = steps.iter().flat_map(|l| diff(l)).map(|l| cut(shortened(l))).collect();
            sheet.piece(&Piece { name: "Steps", open: "```diff\n", lines, close: "\n```" });
        }
        Block::Table { head, rows } => match plain::table(head, rows, fit::COLUMNS) {
            Some(lines) => {
                let lines = lines.iter().map(|l| cut(shortened(markdown::code(l)))).collect();
                sheet.piece(&Piece { name: "Table", open: "```\n", lines, close: "\n```" });
            }
            None => {
                let lines = plain::spelled(head, rows);
                let lines = lines.iter().map(|l| cut(markdown::line_within(l, LINE / 2))).collect();
                sheet.piece(&Piece { name: "Table", open: "", lines, close: "" });
            }
        },
        Block::Fixed(text) => {
            let lines = text.trim_end().lines().map(|l| cut(shortened(markdown::code(l)))).collect();
            sheet.piece(&Piece { name: "Chart", open: "```\n", lines, close: "\n```" });
        }
    }
    short
}

fn shortened(line: String) -> (String, bool) {
    if units(&line) <= LINE {
        return (line, false);
    }
    // Half, since a character may be two units.
    (crate::chat::clean::shortened(&line, LINE / 2), true)
}

/// `latency_p95  412 ms (normally 18 ms), rising · ▁▂▃█ · 62 % of it`.
fn metric(metric: &MetricLine, cut: &mut impl FnMut((String, bool)) -> String) -> String {
    let skip = metric.recent.len().saturating_sub(SPARK_VALUES);
    let spark = render::sparkline(metric.recent.get(skip..).unwrap_or_default(), true);
    let name = fit::seen(cut(markdown::line_within(&metric.name, 200)));
    let words = cut(markdown::line_within(&metric.words, 400));
    let spark = if spark.trim().is_empty() { String::new() } else { format!(" · `{spark}`") };
    format!("**{name}** {words}{spark} · {:.0} % of it", metric.share.clamp(0.0, 1.0) * 100.0)
}

/// Before and after on lines of their own, as a diff has them; what has no such form is marked as a change.
fn diff(step: &str) -> Vec<String> {
    let step = markdown::code(step);
    let parts = step.split_once(" -> ").and_then(|(left, after)| {
        let (subject, before) = left.rsplit_once(' ')?;
        (!after.contains(" -> ") && !subject.trim().is_empty()).then_some((subject.trim_end(), before, after))
    });
    match parts {
        Some((subject, before, after)) => vec![format!("- {subject} {before}"), format!("+ {subject} {after}")],
        None => vec![format!("! {step}")],
    }
}

/// The rows of buttons: of five, and five of them.
fn rows(actions: &[CardAction]) -> Vec<Value> {
    let buttons: Vec<Value> = with_buttons(actions)
        .iter()
        .map(|(action, id)| {
            let (prefix, style) = match (action.dangerous, action.primary) {
                (true, _) => (DANGER, 4),
                (false, true) => (PRESS, 3),
                (false, false) => (PRESS, 2),
            };
            let label = fit::seen(markdown::plain(&action.label, fit::LABEL));
            json!({ "type": 2, "style": style, "label": label, "custom_id": format!("{prefix}{id}") })
        })
        .collect();
    buttons.chunks(5).map(|row| json!({ "type": 1, "components": row })).collect()
}

/// The actions that get a button, with its id. Two buttons with one id would be refused, and so would be a 26th.
fn with_buttons(actions: &[CardAction]) -> Vec<(&CardAction, &str)> {
    let mut found: Vec<(&CardAction, &str)> = Vec::new();
    for action in actions {
        let id = action.button.as_ref().map_or("", |b| b.id.as_str());
        let fits = !id.is_empty() && units(id) <= 98 && !markdown::is_blank(id);
        if fits && found.len() < 25 && !found.iter().any(|(_, other)| *other == id) {
            found.push((action, id));
        }
    }
    found
}

/// What may be typed, as a field.
fn typed(actions: &[CardAction], buttons: bool) -> Option<(&'static str, String)> {
    let pressed = with_buttons(actions);
    let mut value = String::new();
    for action in actions.iter().filter(|a| !pressed.iter().any(|(p, _)| std::ptr::eq(*p, *a))) {
        let again = if action.dangerous { " (cannot be taken back)" } else { "" };
        let code = markdown::code(&action.command);
        let next = format!("{}`{}`{again}", if value.is_empty() { "" } else { " · " }, code.trim());
        if !markdown::is_blank(&code) && units(&value) + units(&next) <= TYPED {
            value.push_str(&next);
        }
    }
    let name = if buttons { "Or type, after a mention" } else { "Type, after a mention" };
    (!value.is_empty()).then_some((name, value))
}

fn add_field(embeds: &mut Vec<Value>, field: Value) {
    let full = |e: &Value| e.get("fields").and_then(Value::as_array).is_some_and(|f| f.len() >= fit::FIELDS);
    // An embed too many is never made: the field then takes the place of the last one, which is in the file.
    if embeds.last().is_none_or(full) && embeds.len() < fit::EMBEDS {
        embeds.push(json!({}));
    }
    let Some(embed) = embeds.last_mut().and_then(Value::as_object_mut) else { return };
    if let Some(fields) = embed.entry("fields").or_insert_with(|| json!([])).as_array_mut() {
        fields.truncate(fit::FIELDS - 1);
        fields.push(field);
    }
}

fn set(embed: Option<&mut Value>, key: &str, value: Value) {
    if let Some(embed) = embed.and_then(Value::as_object_mut) {
        embed.insert(key.to_owned(), value);
    }
}

/// `INC-7.txt`.
fn file_name(key: &str) -> String {
    let name: String = key.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(60).collect();
    if name.is_empty() { "message.txt".to_owned() } else { format!("{name}.txt") }
}

/// A name that Discord leaves as it is and that no other file of the message has.
fn safe_name(name: &str, others: &[Upload]) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' };
    let name: String = name.trim_start_matches('.').chars().map(safe).take(80).collect();
    let name = if name.is_empty() { "file".to_owned() } else { name };
    if others.iter().any(|f| f.name == name) { format!("answer-{name}") } else { name }
}

#[cfg(test)]
mod tests;
