//! Spans, lines, wrapping and columns: what `render` is built from. Widths are columns of a terminal, not characters.

use anstyle::Style;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Space between two columns of a table.
const GUTTER: usize = 2;
/// A column of a table is not made narrower than this.
const NARROWEST: usize = 6;

/// Text in one style.
#[derive(Clone, Debug)]
pub(super) struct Span {
    text: String,
    style: Style,
}

impl Span {
    pub fn new(text: String, style: Style) -> Self {
        Self { text, style }
    }

    pub fn plain(text: String) -> Self {
        Self { text, style: Style::new() }
    }
}

/// One line of output.
#[derive(Clone, Debug)]
pub(super) struct Line(pub Vec<Span>);

impl Line {
    pub fn width(&self) -> usize {
        self.0.iter().map(|s| width_of(&s.text)).sum()
    }

    pub fn paint(&self, colour: bool) -> String {
        let mut out = String::new();
        for span in &self.0 {
            if colour && span.style != Style::new() && !span.text.trim().is_empty() {
                out.push_str(&format!("{}{}{}", span.style.render(), span.text, span.style.render_reset()));
            } else {
                out.push_str(&span.text);
            }
        }
        out
    }
}

/// Columns that a text takes.
pub(super) fn width_of(text: &str) -> usize {
    text.width()
}

/// The text in lines of at most `width` columns; words that are longer are broken. At least one line.
pub(super) fn wrapped(text: &str, width: usize) -> Vec<String> {
    textwrap::wrap(text, width.max(1)).into_iter().map(std::borrow::Cow::into_owned).collect()
}

/// The text in at most `width` columns, with `...` where something was cut off.
pub(super) fn cut(text: &str, width: usize) -> String {
    if width_of(text) <= width {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut used = 0;
    for c in text.chars() {
        used += c.width().unwrap_or(0);
        if used + 3 > width {
            break;
        }
        out.push(c);
    }
    out.push_str("...");
    out
}

/// The text in ASCII: what has a plain form gets it, the rest becomes `?`.
pub(super) fn ascii(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            c if c.is_ascii() => out.push(c),
            '·' | '•' | '–' | '—' | '‑' | '─' | '┄' => out.push('-'),
            '→' => out.push_str("->"),
            '×' => out.push('x'),
            'µ' | 'μ' => out.push('u'),
            '…' => out.push_str("..."),
            '‘' | '’' => out.push('\''),
            '“' | '”' => out.push('"'),
            '│' => out.push('|'),
            c if c.is_whitespace() => out.push(' '),
            // Joins what is before it and takes no column.
            c if c.width() == Some(0) => {}
            _ => out.push('?'),
        }
    }
    out
}

/// How wide each column of a table becomes: as its widest cell, or less (the widest column first) until all fit.
pub(super) fn columns(head: &[String], rows: &[Vec<String>], inner: usize) -> Vec<usize> {
    let mut widths: Vec<usize> = head.iter().map(|cell| width_of(cell)).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(width_of(cell));
        }
    }
    let room = inner.saturating_sub(GUTTER * widths.len().saturating_sub(1));
    while widths.iter().sum::<usize>() > room {
        match widths.iter_mut().max() {
            Some(widest) if *widest > NARROWEST => *widest -= 1,
            // More columns than fit at all: the box is left, nothing is lost.
            _ => break,
        }
    }
    widths
}

/// A row of a table, as many lines high as its highest cell.
pub(super) fn row(cells: &[String], widths: &[usize], style: Style) -> Vec<Line> {
    let parts: Vec<Vec<String>> = cells.iter().zip(widths).map(|(cell, width)| wrapped(cell, *width)).collect();
    let height = parts.iter().map(Vec::len).max().unwrap_or(0);
    (0..height)
        .map(|y| {
            let mut text = String::new();
            for (x, width) in widths.iter().enumerate() {
                let part = parts.get(x).and_then(|column| column.get(y)).map_or("", String::as_str);
                text.push_str(part);
                if x + 1 < widths.len() {
                    text.push_str(&" ".repeat(width.saturating_sub(width_of(part)) + GUTTER));
                }
            }
            Line(vec![Span::new(text.trim_end().to_owned(), style)])
        })
        .collect()
}
