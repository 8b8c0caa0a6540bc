//! What a platform said, made safe to be shown to people.
//!
//! Must never let a reply drive a terminal or fill a card. Called by the adapters.

/// Longest piece of a platform's own words that is shown.
const MOST: usize = 200;

/// The first line of somebody else's text: no control or direction-changing characters, at most 200 characters.
pub(super) fn said(text: &str) -> String {
    let line = text.trim().lines().next().unwrap_or_default().trim_end_matches(['.', ' ']);
    let shown: String = line
        .chars()
        .take(MOST)
        .map(|c| if c == ' ' || c.is_ascii_graphic() || c.is_alphanumeric() { c } else { '\u{b7}' })
        .collect();
    if line.chars().nth(MOST).is_some() { shown + "..." } else { shown }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_plain_line_is_shown() {
        assert_eq!(said("No such backend.\n\n"), "No such backend");
        assert_eq!(said("a\x1b[31m\u{202e}b\nsecond"), "a\u{b7}[31m\u{b7}b");
        assert_eq!(said(&"x".repeat(300)).len(), 203);
    }
}
