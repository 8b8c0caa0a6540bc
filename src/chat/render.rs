//! A card as text for a terminal or a pipe.
//!
//! Must read well without colour and without Unicode: whatever colour says, words say too. All text of a card is
//! cleaned here (`clean`), so that a metric's name or a reason can neither move the cursor nor turn text round; the
//! escapes in the output are this module's own. Called by the console and by `suture ctl`.

mod layout;

use anstyle::{AnsiColor, Style};

use self::layout::{Line, Span, width_of, wrapped};
use super::{Block, Card, MetricLine, Tone, clean};

/// How the output may look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// Columns of the terminal; kept within 40 to 160, since longer lines cannot be read.
    pub width: usize,
    /// May ANSI colours be used?
    pub colour: bool,
    /// May characters beyond ASCII be used? Without, they become `?` in names and `#` in sparklines.
    pub unicode: bool,
}

impl Default for Look {
    /// What every pipe takes.
    fn default() -> Self {
        Self { width: 80, colour: false, unicode: true }
    }
}

/// Longest text of one block, in characters; more is cut off with `...`.
const MOST_CHARS: usize = 4000;
/// Most lines of one card.
const MOST_LINES: usize = 300;
/// Values in a sparkline.
const SPARK_VALUES: usize = 20;
/// Widest label of a field; longer ones push their value to the right.
const WIDEST_LABEL: usize = 16;

/// The card in its box, ending with a line end.
#[must_use]
pub fn render(card: &Card, look: Look) -> String {
    let painter = Painter::new(card.tone, look);
    let inner = painter.width - 4;
    let lines = painter.body(&card.blocks, &card.actions, inner);
    let b = &painter.border;
    let title = painter.title(&card.title, painter.width - 6);
    let rest = painter.width.saturating_sub(width_of(&title) + 5);
    let mut out = String::new();
    let mut put = |spans: Vec<Span>| {
        out.push_str(&Line(spans).paint(look.colour));
        out.push('\n');
    };
    put(vec![
        painter.frame(format!("{}{} ", b.top_left, b.across)),
        Span::new(title, painter.strong),
        painter.frame(format!(" {}{}", b.across.repeat(rest), b.top_right)),
    ]);
    for line in lines {
        let padding = " ".repeat(inner.saturating_sub(line.width()));
        let mut spans = vec![painter.frame(format!("{} ", b.down))];
        spans.extend(line.0);
        spans.push(Span::plain(padding));
        spans.push(painter.frame(format!(" {}", b.down)));
        put(spans);
    }
    put(vec![painter.frame(format!("{}{}{}", b.bottom_left, b.across.repeat(painter.width - 2), b.bottom_right))]);
    out
}

/// The card as a short update without a box: its title, and what `card` has of blocks and actions below it. For a
/// card that was shown before, pared down by the caller to what changed.
#[must_use]
pub fn render_update(card: &Card, look: Look) -> String {
    let painter = Painter::new(card.tone, look);
    let inner = painter.width - 2;
    let title = painter.title(&card.title, inner);
    let mut lines =
        vec![Line(vec![painter.frame(format!("{} ", painter.border.bullet)), Span::new(title, painter.strong)])];
    for line in painter.body(&card.blocks, &card.actions, inner) {
        let mut spans = vec![painter.frame(format!("{} ", painter.border.down))];
        spans.extend(line.0);
        lines.push(Line(spans));
    }
    lines.iter().map(|line| format!("{}\n", line.paint(look.colour).trim_end())).collect()
}

/// A line said in a card's thread, ending with a line end.
#[must_use]
pub fn render_said(key: &str, text: &str, look: Look) -> String {
    let painter = Painter::new(Tone::Neutral, look);
    let key = painter.text(&clean::line(key));
    let head = if key.is_empty() { String::new() } else { format!("{key}: ") };
    let mut out = String::new();
    for paragraph in painter.text(&clean::shortened(&clean::paragraph(text), MOST_CHARS)).lines().take(MOST_LINES) {
        for (i, part) in wrapped(&format!("{head}{paragraph}"), painter.width).into_iter().enumerate() {
            let indent = if i == 0 { "" } else { "  " };
            out.push_str(indent);
            out.push_str(&part);
            out.push('\n');
        }
    }
    out
}

/// The course of a metric in one row, oldest first, from its least to its greatest value; what is not a number is a
/// gap.
#[must_use]
pub fn sparkline(values: &[f64], unicode: bool) -> String {
    let steps: &[char] = if unicode {
        &['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█']
    } else {
        &['_', '.', ':', '-', '=', '+', '*', '#']
    };
    let finite = || values.iter().copied().filter(|v| v.is_finite());
    let least = finite().fold(f64::INFINITY, f64::min);
    let greatest = finite().fold(f64::NEG_INFINITY, f64::max);
    // Halves, since the whole span of two finite numbers may be infinite.
    let span = greatest / 2.0 - least / 2.0;
    values
        .iter()
        .map(|v| {
            if !v.is_finite() {
                return ' ';
            }
            let part = if span > 0.0 { (v / 2.0 - least / 2.0) / span } else { 0.0 };
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 7 by construction")]
            let step = (part * 7.0).round() as usize;
            steps.get(step).copied().unwrap_or(' ')
        })
        .collect()
}

/// The pieces a box is made of.
struct Border {
    top_left: &'static str,
    top_right: &'static str,
    bottom_left: &'static str,
    bottom_right: &'static str,
    across: &'static str,
    down: &'static str,
    bullet: &'static str,
}

const UNICODE_BORDER: Border =
    Border {
        top_left: "╭", top_right: "╮", bottom_left: "╰", bottom_right: "╯", across: "─", down: "│", bullet: "•"
    };

const ASCII_BORDER: Border =
    Border { top_left: "+", top_right: "+", bottom_left: "+", bottom_right: "+", across: "-", down: "|", bullet: "*" };

/// Turns the parts of a card into lines.
struct Painter {
    width: usize,
    unicode: bool,
    border: Border,
    strong: Style,
    tint: Style,
    faint: Style,
}

impl Painter {
    fn new(tone: Tone, look: Look) -> Self {
        let colour = match tone {
            Tone::Neutral => AnsiColor::Cyan,
            Tone::Bad => AnsiColor::Red,
            Tone::Waiting => AnsiColor::Yellow,
            Tone::Good => AnsiColor::Green,
        };
        let tint = Style::new().fg_color(Some(colour.into()));
        Self {
            width: look.width.clamp(40, 160),
            unicode: look.unicode,
            border: if look.unicode { UNICODE_BORDER } else { ASCII_BORDER },
            strong: tint.bold(),
            tint,
            faint: Style::new().dimmed(),
        }
    }

    /// In the characters that may be used.
    fn text(&self, text: &str) -> String {
        if self.unicode { text.to_owned() } else { layout::ascii(text) }
    }

    fn line(&self, text: &str) -> String {
        self.text(&clean::shortened(&clean::line(text), MOST_CHARS))
    }

    fn title(&self, title: &str, most: usize) -> String {
        layout::cut(&self.line(title), most)
    }

    fn frame(&self, text: String) -> Span {
        Span::new(text, self.tint)
    }

    fn body(&self, blocks: &[Block], actions: &[super::CardAction], inner: usize) -> Vec<Line> {
        let labels = blocks.iter().filter_map(|b| match b {
            Block::Field(label, _) => Some(width_of(&self.line(label))),
            _ => None,
        });
        let label_width = labels.max().unwrap_or(0).min(WIDEST_LABEL);
        let mut lines = Vec::new();
        let mut before: Option<&Block> = None;
        for block in blocks {
            // Air around everything but runs of fields and of paragraphs.
            let alike = matches!(
                (before, block),
                (None, _)
                    | (Some(Block::Field(..)), Block::Field(..))
                    | (Some(Block::Text(_)), Block::Text(_))
                    | (Some(Block::Text(_)), Block::Field(..))
            );
            if !alike {
                lines.push(Line(Vec::new()));
            }
            match block {
                Block::Text(text) => self.paragraphs(text, inner, &mut lines),
                Block::Field(label, value) => self.field(label, value, label_width, inner, &mut lines),
                Block::Metrics(metrics) => self.metrics(metrics, inner, &mut lines),
                Block::Diff(diff) => self.diff(diff, inner, &mut lines),
                Block::Table { head, rows } => self.table(head, rows, inner, &mut lines),
                Block::Fixed(text) => {
                    let cleaned = clean::paragraph(text);
                    let fixed = cleaned.lines().take(MOST_LINES).map(|l| layout::cut(&self.text(l), inner));
                    lines.extend(fixed.map(|l| Line(vec![Span::plain(l)])));
                }
            }
            before = Some(block);
        }
        if actions.iter().any(|a| !a.command.is_empty()) {
            if before.is_some() {
                lines.push(Line(Vec::new()));
            }
            let dot = if self.unicode { "  ·  " } else { "  |  " };
            let said = actions.iter().filter(|a| !a.command.is_empty()).map(|a| {
                let again = if a.dangerous && a.button.is_none() { " (cannot be taken back)" } else { "" };
                format!("{}{again}", self.line(&a.command))
            });
            self.hanging("Type  ", &said.collect::<Vec<_>>().join(dot), inner, self.strong, &mut lines);
        }
        if lines.len() > MOST_LINES {
            let left_out = lines.len() - MOST_LINES;
            lines.truncate(MOST_LINES);
            lines.push(Line(vec![Span::plain(format!("... and {left_out} lines more"))]));
        }
        lines
    }

    fn paragraphs(&self, text: &str, inner: usize, lines: &mut Vec<Line>) {
        let text = self.text(&clean::shortened(&clean::paragraph(text), MOST_CHARS));
        for paragraph in text.lines() {
            lines.extend(wrapped(paragraph, inner).into_iter().map(|l| Line(vec![Span::plain(l)])));
        }
    }

    fn field(&self, label: &str, value: &str, label_width: usize, inner: usize, lines: &mut Vec<Line>) {
        let label = layout::cut(&self.line(label), inner / 2);
        let padding = label_width.saturating_sub(width_of(&label)) + 2;
        let head = format!("{label}{}", " ".repeat(padding));
        self.hanging(&head, &self.line(value), inner, Style::new(), lines);
    }

    /// `head` in faint, then `text` wrapped beside it.
    fn hanging(&self, head: &str, text: &str, inner: usize, style: Style, lines: &mut Vec<Line>) {
        let indent = width_of(head);
        for (i, part) in wrapped(text, inner.saturating_sub(indent).max(10)).into_iter().enumerate() {
            let head = if i == 0 { head.to_owned() } else { " ".repeat(indent) };
            lines.push(Line(vec![Span::new(head, self.faint), Span::new(part, style)]));
        }
    }

    fn metrics(&self, metrics: &[MetricLine], inner: usize, lines: &mut Vec<Line>) {
        struct Row {
            name: String,
            words: String,
            spark: String,
            share: String,
        }
        let rows: Vec<Row> = metrics
            .iter()
            .map(|m| {
                let skip = m.recent.len().saturating_sub(SPARK_VALUES);
                Row {
                    name: layout::cut(&self.line(&m.name), inner / 3),
                    words: self.line(&m.words),
                    spark: sparkline(m.recent.get(skip..).unwrap_or_default(), self.unicode),
                    share: format!("{:.0} % of it", m.share.clamp(0.0, 1.0) * 100.0),
                }
            })
            .collect();
        let widest = |of: fn(&Row) -> &str| rows.iter().map(|r| width_of(of(r))).max().unwrap_or(0);
        let (name, words) = (widest(|r| &r.name), widest(|r| &r.words));
        let (spark, share) = (widest(|r| &r.spark), widest(|r| &r.share));
        let one_line = name + words + spark + share + 6 <= inner;
        for row in rows {
            let pad = |text: &str, to: usize| format!("{text}{}  ", " ".repeat(to.saturating_sub(width_of(text))));
            let spark_span = Span::new(pad(&row.spark, spark), self.tint);
            let right = " ".repeat(share.saturating_sub(width_of(&row.share)));
            let share_span = Span::new(format!("{right}{}", row.share), self.faint);
            let name_span = Span::new(pad(&row.name, name), Style::new().bold());
            if one_line {
                lines.push(Line(vec![name_span, Span::plain(pad(&row.words, words)), spark_span, share_span]));
                continue;
            }
            let mut parts = wrapped(&row.words, inner.saturating_sub(name + 2).max(10)).into_iter();
            lines.push(Line(vec![name_span, Span::plain(parts.next().unwrap_or_default())]));
            let indent = || Span::plain(" ".repeat(name + 2));
            lines.extend(parts.map(|part| Line(vec![indent(), Span::plain(part)])));
            lines.push(Line(vec![indent(), spark_span, share_span]));
        }
    }

    fn diff(&self, diff: &[String], inner: usize, lines: &mut Vec<Line>) {
        for line in diff {
            for (i, part) in wrapped(&self.line(line), inner - 2).into_iter().enumerate() {
                let mark = if i == 0 { "~ " } else { "    " };
                let (before, after) = part.split_once(" -> ").map_or((part.as_str(), None), |(b, a)| (b, Some(a)));
                let mut spans = vec![Span::new(mark.to_owned(), self.tint), Span::plain(before.to_owned())];
                if let Some(after) = after {
                    spans.push(Span::plain(" -> ".to_owned()));
                    spans.push(Span::new(after.to_owned(), Style::new().bold()));
                }
                lines.push(Line(spans));
            }
        }
    }

    fn table(&self, head: &[String], rows: &[Vec<String>], inner: usize, lines: &mut Vec<Line>) {
        let cleaned = |row: &[String]| row.iter().take(head.len()).map(|cell| self.line(cell)).collect::<Vec<_>>();
        let head_cells = cleaned(head);
        let rows: Vec<_> = rows.iter().take(MOST_LINES).map(|row| cleaned(row)).collect();
        let widths = layout::columns(&head_cells, &rows, inner);
        lines.extend(layout::row(&head_cells, &widths, self.faint));
        for row in &rows {
            lines.extend(layout::row(row, &widths, Style::new()));
        }
    }
}

#[cfg(test)]
mod tests;
