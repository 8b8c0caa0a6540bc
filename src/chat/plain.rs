//! Parts of a card as plain text in a fixed pitch, for the platforms: a table in columns, a card as a file. A terminal has
//! its own (`render`), which wraps and colours.
//!
//! All text is cleaned here; what a platform takes for a mark of its own, its adapter escapes.

use unicode_width::UnicodeWidthStr as _;

use super::{Block, Card, clean};

/// Most characters of a cell: more is nothing for a table.
const MOST_CELL: usize = 200;

/// A table in columns as wide as their widest cell, the head first. A row may be shorter than the head. `None` when a line
/// would be wider than `room`: a table whose cells are cut says nothing, and [`spelled`] says all of it.
#[must_use]
pub fn table(head: &[String], rows: &[Vec<String>], room: usize) -> Option<Vec<String>> {
    let cell = |text: &String| clean::shortened(&clean::line(text), MOST_CELL);
    let all: Vec<Vec<String>> = std::iter::once(head)
        .chain(rows.iter().map(Vec::as_slice))
        .map(|row| row.iter().take(head.len()).map(cell).collect())
        .collect();
    let mut widths = vec![0; head.len()];
    for row in &all {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.width());
        }
    }
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths);
        let padded = cells.map(|(cell, width)| format!("{cell}{}", " ".repeat(width.saturating_sub(cell.width()))));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let lines: Vec<_> = all.iter().map(line).collect();
    lines.iter().all(|line| line.width() <= room).then_some(lines)
}

/// A table in lines, for where its columns do not fit: `shop: state INC-1 awaiting approval, mode approve`.
#[must_use]
pub fn spelled(head: &[String], rows: &[Vec<String>]) -> Vec<String> {
    let one = |row: &Vec<String>| {
        // With one thing beside the first, what that is need not be said.
        if let ([_, _], [first, second]) = (head, row.as_slice()) {
            return format!("{}: {}", clean::line(first), clean::line(second));
        }
        let cells = head.iter().zip(row).skip(1).filter(|(_, cell)| !cell.is_empty());
        let cells: Vec<_> = cells.map(|(name, cell)| format!("{} {}", clean::line(name), clean::line(cell))).collect();
        format!("{}: {}", clean::line(row.first().map_or("", String::as_str)), cells.join(", "))
    };
    rows.iter().map(one).collect()
}

/// The whole card, for a file.
#[must_use]
pub fn whole(card: &Card) -> String {
    let mut out = format!("{}\n\n", clean::line(&card.title));
    for block in &card.blocks {
        match block {
            Block::Text(text) => out.push_str(&clean::paragraph(text)),
            Block::Field(label, value) => {
                out.push_str(&format!("{}: {}", clean::line(label), clean::paragraph(value)));
            }
            Block::Metrics(metrics) => {
                let lines = metrics.iter().map(|m| {
                    format!("{}: {}, {:.0} % of it", clean::line(&m.name), clean::line(&m.words), 100.0 * m.share)
                });
                out.push_str(&lines.collect::<Vec<_>>().join("\n"));
            }
            Block::Diff(lines) => {
                let lines: Vec<_> = lines.iter().map(|l| format!("~ {}", clean::line(l))).collect();
                out.push_str(&lines.join("\n"));
            }
            Block::Table { head, rows } => {
                out.push_str(&table(head, rows, usize::MAX).unwrap_or_default().join("\n"));
            }
            Block::Fixed(text) => out.push_str(&clean::paragraph(text)),
        }
        out.push('\n');
    }
    for action in card.actions.iter().filter(|action| !action.command.is_empty()) {
        out.push_str(&format!("Type: {}\n", clean::line(&action.command)));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_stands_in_columns_or_is_spelled_out() {
        let text = |cells: &[&str]| cells.iter().map(|cell| (*cell).to_owned()).collect::<Vec<_>>();
        let (head, rows) = (text(&["service", "state"]), [text(&["shop", "INC-1 acting"]), text(&["a-longer-name"])]);
        let lines = table(&head, &rows, 40).unwrap();
        assert_eq!(lines, ["service        state", "shop           INC-1 acting", "a-longer-name"]);
        assert_eq!(table(&head, &rows, 26), None);
        assert_eq!(spelled(&head, &rows), ["shop: INC-1 acting", "a-longer-name: "]);
        let wide = (text(&["service", "state", "mode"]), [text(&["shop", "well", "auto"])]);
        assert_eq!(spelled(&wide.0, &wide.1), ["shop: state well, mode auto"]);
    }
}
