//! From a card to Slack's blocks: pure, total, and nothing in it decides.
//!
//! The body is rich text: its elements hold text as it is, so that a metric's name cannot become a mention, a link or a
//! bold word. Headers and buttons are `plain_text`. What does not fit into one message is left to `fit`.

use slack_morphism::blocks::*;

use super::mrkdwn::{code, literal, plain, plain_lines};
use crate::chat::plain::{spelled, table as plain_table};
use crate::chat::render::sparkline;
use crate::chat::{Block, Card, CardAction, Form, MetricLine, Tone, clean};

/// Characters of a part: well below the 3000 that Slack allows a text, since some count double there.
pub(super) const PART_CHARS: usize = 1400;
/// A header's text.
const HEADER_CHARS: usize = 150;
/// A button's text.
const BUTTON_CHARS: usize = 75;
/// Buttons of one block.
const BUTTONS: usize = 25;
/// All commands that are to be typed. An escaped character takes up to five.
const TYPED_CHARS: usize = 1400;
/// Values in a sparkline.
const SPARK_VALUES: usize = 20;
/// Columns of fixed pitch that fit beside each other on a wide screen.
const COLUMNS: usize = 100;
/// Fields that stand together in a part.
const FIELDS_TOGETHER: usize = 10;

/// A piece of a card's body: a block of its own, and the same in plain text for when there is no room for it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Part {
    pub block: SlackBlock,
    pub text: String,
}

/// The header.
pub(super) fn header(card: &Card) -> Option<SlackBlock> {
    let title = plain(&card.title);
    let title = if title.trim().is_empty() { return None } else { title };
    let text = match card.tone {
        Tone::Neutral => title,
        tone => format!("{} {title}", sign(tone)),
    };
    Some(SlackHeaderBlock::new(plain_only(&text, HEADER_CHARS)).into())
}

/// The body in pieces, from top to bottom.
pub(super) fn body(card: &Card) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut fields: Vec<(String, String)> = Vec::new();
    for block in &card.blocks {
        if let Block::Field(label, value) = block {
            fields.extend(field_pieces(label, value));
            continue;
        }
        put_fields(&mut fields, &mut parts);
        match block {
            Block::Text(text) => parts.extend(pieces(&literal(text)).into_iter().map(|piece| {
                let section = SlackRichTextSection::new(vec![words(&piece)]);
                Part { block: rich(vec![section.into()]), text: piece }
            })),
            Block::Metrics(metrics) => parts.extend(metrics.chunks(5).map(metric_list)),
            Block::Diff(lines) => {
                let lines: Vec<_> = lines.iter().map(|line| format!("~ {}", clean::line(line))).collect();
                put_fixed(&lines.join("\n"), &mut parts);
            }
            Block::Table { head, rows } => {
                let lines = plain_table(head, rows, COLUMNS).unwrap_or_else(|| spelled(head, rows));
                put_fixed(&lines.join("\n"), &mut parts);
            }
            Block::Fixed(text) => put_fixed(text, &mut parts),
            // Taken above.
            Block::Field(..) => {}
        }
    }
    put_fields(&mut fields, &mut parts);
    parts
}

/// The buttons, and what can only be typed. None of both where nothing may be done.
pub(super) fn actions(card: &Card) -> Vec<SlackBlock> {
    let mut blocks = Vec::new();
    let has_button = |action: &&CardAction| action.button.as_ref().is_some_and(|button| !button.id.is_empty());
    let (with, without): (Vec<&CardAction>, Vec<&CardAction>) = card.actions.iter().partition(has_button);
    let buttons: Vec<_> =
        with.iter().take(BUTTONS).enumerate().map(|(i, action)| button(i, action, card).into()).collect();
    if !buttons.is_empty() {
        blocks.push(SlackActionsBlock::new(buttons).into());
    }
    let mut typed = String::new();
    for action in without.into_iter().chain(with.into_iter().skip(BUTTONS)) {
        let command = code(&clean::shortened(&action.command, 200));
        if typed.chars().count() + command.chars().count() > TYPED_CHARS {
            typed.push_str(" or more: see `help`");
            break;
        }
        typed.push_str(if typed.is_empty() { "Type " } else { " or " });
        typed.push_str(&command);
    }
    if !typed.is_empty() {
        blocks.push(context(typed));
    }
    blocks
}

/// The last line: how it stands in a word, and where.
pub(super) fn foot(card: &Card) -> Option<SlackBlock> {
    let environment = card.blocks.iter().find_map(|block| match block {
        Block::Field(label, value) if label == "Where" => Some(plain(value)),
        _ => None,
    });
    let tone = match card.tone {
        Tone::Neutral => None,
        tone => Some(format!("{} {}", sign(tone), word(tone))),
    };
    let parts: Vec<_> = [tone, environment].into_iter().flatten().collect();
    (!parts.is_empty()).then(|| note(&parts.join(" · ")))
}

/// A small grey line.
pub(super) fn note(text: &str) -> SlackBlock {
    let text = SlackBlockPlainText::new(some(&clean::shortened(&plain(text), 1000))).with_emoji(false);
    SlackContextBlock::new(vec![text.into()]).into()
}

/// A picture that Slack has already.
pub(super) fn image(file: &str, words: &str) -> SlackBlock {
    let source = SlackImageUrlOrFile::SlackFile {
        slack_file: SlackFileIdOrUrl::Id { id: slack_morphism::SlackFileId(file.to_owned()) },
    };
    SlackImageBlock::new(source, some(&clean::shortened(&plain(words), 1000))).into()
}

/// What a notification shows, and readers of screens read: the title and the first fields.
pub(super) fn fallback(card: &Card) -> String {
    let fields = card.blocks.iter().filter_map(|block| match block {
        Block::Field(label, value) => Some(format!("{label}: {value}")),
        Block::Text(text) => Some(text.clone()),
        _ => None,
    });
    let lines: Vec<_> = std::iter::once(card.title.clone()).chain(fields.take(5)).filter(|l| !l.is_empty()).collect();
    let text = super::mrkdwn::escaped(&clean::shortened(&lines.join("\n"), 2000));
    // An entity that is cut in two is shown as it stands, so whole lines go.
    some(&whole_lines(&text, 3000))
}

/// Everything in plain text: for when Slack refuses the blocks.
pub(super) fn all_as_text(card: &Card) -> String {
    let mut lines = vec![card.title.clone()];
    lines.extend(body(card).into_iter().map(|part| part.text));
    lines.extend(card.actions.iter().map(|action| format!("Type: {}", action.command)));
    some(&whole_lines(&super::mrkdwn::escaped(&lines.join("\n")), 3000))
}

/// The form as a modal; what is in `metadata` comes back with what is filled in.
pub(super) fn modal(form: &Form, metadata: String) -> SlackView {
    let mut blocks = Vec::new();
    if !form.text.trim().is_empty() {
        let text = SlackBlockPlainText::new(cut(&plain_lines(&form.text), 2800)).with_emoji(false);
        blocks.push(SlackSectionBlock::new().with_text(text.into()).into());
    }
    for (i, field) in form.fields.iter().enumerate().take(5) {
        let name = clean::shortened(&field.name, 200);
        let element = SlackBlockPlainTextInputElement::new()
            .with_action_id(name.as_str().into())
            .with_multiline(field.long)
            .with_max_length(u64::from(field.most.clamp(1, 3000)));
        let input = SlackInputBlock::new(plain_only(&field.label, 45), element.into())
            .with_block_id(format!("{i}:{name}").into())
            .with_optional(field.optional);
        blocks.push(input.into());
    }
    let modal = SlackModalView::new(plain_only(&form.title, 24), blocks)
        .with_submit(plain_only(&form.submit, 24))
        .with_close(plain_only("Cancel", 24))
        .with_callback_id("suture-form".into())
        .with_private_metadata(metadata);
    SlackView::Modal(modal)
}

fn sign(tone: Tone) -> &'static str {
    match tone {
        Tone::Neutral => "🔵",
        Tone::Bad => "🔴",
        Tone::Waiting => "🟠",
        Tone::Good => "🟢",
    }
}

fn word(tone: Tone) -> &'static str {
    match tone {
        Tone::Neutral => "for information",
        Tone::Bad => "something is wrong",
        Tone::Waiting => "waiting",
        Tone::Good => "well again",
    }
}

fn button(i: usize, action: &CardAction, card: &Card) -> SlackBlockButtonElement {
    let (id, command) = action.button.as_ref().map(|b| (b.id.clone(), b.command.clone())).unwrap_or_default();
    let mut button = SlackBlockButtonElement::new(plain_only(&action.label, BUTTON_CHARS))
        .with_action_id(format!("suture-{i}").into())
        .with_value(id);
    if action.dangerous {
        let command = if command.is_empty() { &action.command } else { &command };
        let asked = format!("{} — {}. This may not be possible to take back.", plain(command), plain(&card.title));
        let text = SlackBlockPlainText::new(cut(&asked, 280)).with_emoji(false);
        button.confirm = Some(
            SlackBlockConfirmItem::new(
                plain_only(&format!("{}?", action.label), 90),
                text.into(),
                plain_only(&action.label, 28),
                plain_only("Cancel", 28),
            )
            .with_style("danger".to_owned()),
        );
        button.style = Some(SlackBlockButtonStyle::Danger);
    } else if action.primary {
        button.style = Some(SlackBlockButtonStyle::Primary);
    }
    button
}

fn put_fields(fields: &mut Vec<(String, String)>, parts: &mut Vec<Part>) {
    let mut together: Vec<(String, String)> = Vec::new();
    let mut length = 0;
    for (label, value) in fields.drain(..) {
        let more = label.chars().count() + value.chars().count();
        if !together.is_empty() && (length + more > PART_CHARS || together.len() == FIELDS_TOGETHER) {
            parts.push(field_list(&std::mem::take(&mut together)));
            length = 0;
        }
        length += more;
        together.push((label, value));
    }
    if !together.is_empty() {
        parts.push(field_list(&together));
    }
}

/// A long value becomes several pieces under one label.
fn field_pieces(label: &str, value: &str) -> Vec<(String, String)> {
    let label = clean::shortened(&literal(&clean::line(label)), 100);
    let mut pieces = pieces(&literal(&clean::line(value)));
    if pieces.is_empty() {
        pieces.push("-".to_owned());
    }
    pieces.into_iter().map(|piece| (label.clone(), piece)).collect()
}

fn field_list(fields: &[(String, String)]) -> Part {
    let mut elements: Vec<SlackRichTextInlineElement> = Vec::new();
    let mut text = String::new();
    for (label, value) in fields {
        if !text.is_empty() {
            elements.push(words("\n"));
            text.push('\n');
        }
        elements.push(SlackRichTextText::new(some(label)).bold().into());
        elements.push(words(&format!("  {value}")));
        text.push_str(&format!("{label}: {value}"));
    }
    Part { block: rich(vec![SlackRichTextSection::new(elements).into()]), text }
}

fn metric_list(metrics: &[MetricLine]) -> Part {
    let mut items = Vec::new();
    let mut text = Vec::new();
    for metric in metrics {
        let name = clean::shortened(&literal(&clean::line(&metric.name)), 80);
        let about = clean::shortened(&literal(&clean::line(&metric.words)), 160);
        let skip = metric.recent.len().saturating_sub(SPARK_VALUES);
        let spark = sparkline(metric.recent.get(skip..).unwrap_or_default(), true);
        let share = format!("{:.0} % of it", metric.share.clamp(0.0, 1.0) * 100.0);
        let mut elements = vec![SlackRichTextText::new(some(&name)).code().into(), words(&format!("  {about}  "))];
        if !spark.trim().is_empty() {
            elements.push(SlackRichTextText::new(spark.clone()).code().into());
            elements.push(words("  "));
        }
        elements.push(words(&share));
        items.push(SlackRichTextListElement::Section(SlackRichTextSection::new(elements)));
        text.push(format!("{name}  {about}  {spark}  {share}"));
    }
    let list = SlackRichTextList::new(SlackRichTextListStyle::Bullet, items);
    Part { block: rich(vec![list.into()]), text: text.join("\n") }
}

/// Fixed pitch, in pieces that end with a line.
fn put_fixed(text: &str, parts: &mut Vec<Part>) {
    parts.extend(pieces(&literal(text)).into_iter().map(|piece| {
        let block = SlackRichTextPreformatted::new(vec![words(&piece)]);
        Part { block: rich(vec![block.into()]), text: piece }
    }));
}

/// The text in pieces of at most [`PART_CHARS`], cut between lines where there are lines. Empty text has no piece.
fn pieces(text: &str) -> Vec<String> {
    let mut pieces = Vec::new();
    let mut piece = String::new();
    let mut length = 0;
    let mut put = |piece: &mut String| {
        let done = std::mem::take(piece);
        if !done.trim().is_empty() {
            pieces.push(done);
        }
    };
    for line in text.lines() {
        let chars: Vec<char> = line.chars().collect();
        // A line that is too long by itself is cut where it is.
        let mut cuts: Vec<String> = chars.chunks(PART_CHARS).map(|chunk| chunk.iter().collect()).collect();
        if cuts.is_empty() {
            cuts.push(String::new());
        }
        for cut in cuts {
            let more = cut.chars().count() + 1;
            if length + more > PART_CHARS {
                put(&mut piece);
                length = 0;
            }
            if length > 0 {
                piece.push('\n');
            }
            piece.push_str(&cut);
            length += more;
        }
    }
    put(&mut piece);
    pieces
}

/// As many whole lines as fit; a first line that is too long alone is cut.
fn whole_lines(text: &str, most: usize) -> String {
    let mut out = String::new();
    for line in text.lines() {
        if out.chars().count() + line.chars().count() + 1 > most {
            break;
        }
        if !out.is_empty() {
            out.push('\n');
        }
        out.push_str(line);
    }
    if out.is_empty() { clean::shortened(text, most) } else { out }
}

fn context(mrkdwn: String) -> SlackBlock {
    let text = SlackBlockMarkDownText::new(mrkdwn).with_verbatim(true);
    SlackContextBlock::new(vec![text.into()]).into()
}

fn rich(elements: Vec<SlackRichTextElement>) -> SlackBlock {
    SlackRichTextBlock::new(elements).into()
}

fn words(text: &str) -> SlackRichTextInlineElement {
    SlackRichTextText::new(some(text)).into()
}

fn plain_only(text: &str, most: usize) -> SlackBlockPlainTextOnly {
    SlackBlockPlainText::new(some(&cut(&plain(text), most))).with_emoji(false).into()
}

/// Slack counts a character beyond the first plane as two.
fn cut(text: &str, most: usize) -> String {
    let mut short = clean::shortened(text, most);
    while short.encode_utf16().count() > most {
        let fewer = short.chars().count().saturating_sub(1);
        short = clean::shortened(&short, fewer);
    }
    short
}

/// Slack takes no empty text.
fn some(text: &str) -> String {
    if text.is_empty() { "-".to_owned() } else { text.to_owned() }
}
