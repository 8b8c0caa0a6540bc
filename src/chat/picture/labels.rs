//! Where the words of the marks stand: in rows above the course, so that no two touch and none leaves the picture.

use super::canvas::{Font, Spot};
use super::{LABEL, MARK_RADIUS, Mark, MarkKind};

/// Rows of words above the course. More would leave it too low to read.
pub(super) const MOST_ROWS: usize = 4;
/// Room that words get, tried in this order.
const ROOMS: [f32; 3] = [420.0, 250.0, 140.0];
/// Between a mark and its words, and least between words and whatever comes next.
const SPACE: f32 = 7.0;

/// A mark with its words.
pub(super) struct Label {
    /// Where its line stands.
    pub(super) x: f32,
    /// Counted from above.
    pub(super) row: usize,
    /// What sort of thing.
    pub(super) kind: MarkKind,
    /// As far as there was room.
    pub(super) words: String,
    /// Where the words begin.
    pub(super) words_at: f32,
    /// Where they end.
    pub(super) words_to: f32,
}

/// Gives each mark a row, in their order; those for which there is no room are handed back.
///
/// A mark's line goes down through all rows below its own, so words must keep clear of lines too.
pub(super) fn place<'a>(
    marks: &[(f32, &'a Mark)],
    font: &Font,
    edges: Spot,
    said: impl Fn(&Mark) -> String,
) -> (Vec<Label>, Vec<(f32, &'a Mark)>) {
    // What is taken in each row, from where to where.
    let mut taken: Vec<Vec<Spot>> = vec![Vec::new(); MOST_ROWS];
    let (mut placed, mut left_over) = (Vec::new(), Vec::new());
    for &(x, mark) in marks {
        let text = said(mark);
        let choice = ROOMS.iter().find_map(|room| {
            let words = font.fitted(&text, LABEL, *room);
            let width = font.width(&words, LABEL);
            let reach = MARK_RADIUS + SPACE;
            let sides = [(x + reach, x - reach, x + reach + width), (x - reach - width, x - reach - width, x + reach)];
            (0..MOST_ROWS).find_map(|row| {
                let clear = |span: Spot, rows: &[Vec<Spot>]| {
                    rows.iter().flatten().all(|(from, to)| span.1 + SPACE <= *from || *to + SPACE <= span.0)
                };
                let fits = |&(_, from, to): &(f32, f32, f32)| {
                    from.min(x - MARK_RADIUS) >= edges.0
                        && to.max(x + MARK_RADIUS) <= edges.1
                        && clear((from, to), taken.get(row..=row).unwrap_or_default())
                        && clear((x, x), taken.get(row + 1..).unwrap_or_default())
                };
                let (words_at, from, to) = sides.into_iter().find(fits)?;
                let words = words.clone();
                Some((Label { x, row, kind: mark.kind, words, words_at, words_to: words_at + width }, from, to))
            })
        });
        let Some((label, from, to)) = choice else {
            left_over.push((x, mark));
            continue;
        };
        for (row, spans) in taken.iter_mut().enumerate().skip(label.row) {
            spans.push(if row == label.row { (from, to) } else { (x, x) });
        }
        placed.push(label);
    }
    (placed, left_over)
}
