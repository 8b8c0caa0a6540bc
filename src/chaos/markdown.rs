//! A card as Markdown, for a file or a ticket. All text is cleaned, and no character of it is taken for a mark of Markdown or HTML.

use crate::chat::{Block, Card, clean};

/// The card with its title as a heading.
#[must_use]
pub fn markdown(card: &Card) -> String {
    let mut out = format!("# {}\n", plain(&card.title));
    let mut in_list = false;
    for block in &card.blocks {
        let is_field = matches!(block, Block::Field(..));
        if !(is_field && in_list) {
            out.push('\n');
        }
        in_list = is_field;
        match block {
            Block::Text(text) => out.push_str(&format!("{}\n", plain(text))),
            Block::Field(label, value) => out.push_str(&format!("- **{}:** {}\n", plain(label), plain(value))),
            Block::Table { head, rows } => out.push_str(&table(head, rows)),
            Block::Metrics(lines) => {
                lines
                    .iter()
                    .for_each(|line| out.push_str(&format!("- {}: {}\n", plain(&line.name), plain(&line.words))));
            }
            Block::Diff(lines) => lines.iter().for_each(|line| out.push_str(&format!("- {}\n", plain(line)))),
            Block::Fixed(text) => {
                clean::paragraph(text).lines().for_each(|line| out.push_str(&format!("    {line}\n")));
            }
        }
    }
    out
}

fn table(head: &[String], rows: &[Vec<String>]) -> String {
    let line = |cells: &mut dyn Iterator<Item = String>| format!("| {} |\n", cells.collect::<Vec<_>>().join(" | "));
    let mut out = line(&mut head.iter().map(|cell| plain(cell)));
    out.push_str(&line(&mut head.iter().map(|_| "---".to_owned())));
    for row in rows {
        let cell = |i: usize| row.get(i).map(|cell| plain(cell)).unwrap_or_default();
        out.push_str(&line(&mut (0..head.len()).map(cell)));
    }
    out
}

/// One line in which no character means anything to Markdown or HTML.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in clean::line(text).chars() {
        if "\\`*[]<>|#~".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}
