//! Text from elsewhere as Discord shows it literally.
//!
//! Discord has no way to say "this is plain text", so everything that would start a format, a mention, a link, a
//! timestamp, an emoji or a list is escaped. Must be the last step before a text goes into a message, after `clean`;
//! mentions are held off a second time by `allowed_mentions`.

use crate::chat::clean;

/// Stands between `@` and `everyone`: those two words ping whatever a backslash says.
const APART: char = '\u{200b}';
/// Stands for a backtick within code, where nothing can be escaped.
const LIKE_A_BACKTICK: char = 'ˋ';

/// How long Discord may take a text to be. Its servers count characters and its clients units of UTF-16, which are
/// never fewer.
pub(super) fn units(text: &str) -> usize {
    text.chars().map(char::len_utf16).sum()
}

/// Text that may have several lines, escaped.
pub(super) fn escape(text: &str) -> String {
    pieces(&clean::paragraph(text)).concat()
}

/// One line of text, escaped.
pub(super) fn line(text: &str) -> String {
    pieces(&clean::line(text)).concat()
}

/// One line of text, escaped, in at most so many units; and whether something had to be cut off.
pub(super) fn line_within(text: &str, most: usize) -> (String, bool) {
    within(&pieces(&clean::line(text)), most)
}

/// Text that may have several lines, escaped, in at most so many units; and whether something had to be cut off.
pub(super) fn escape_within(text: &str, most: usize) -> (String, bool) {
    within(&pieces(&clean::paragraph(text)), most)
}

/// One line for where Discord knows no format at all: labels, titles of forms, names of threads, footers.
pub(super) fn plain(text: &str, most: usize) -> String {
    let pieces: Vec<String> = clean::line(text).trim().chars().map(String::from).collect();
    within(&pieces, most).0
}

/// One line for within a code block or between backticks.
pub(super) fn code(text: &str) -> String {
    let text = clean::line(text);
    let mut out = String::with_capacity(text.len());
    for (at, c) in text.char_indices() {
        out.push(if c == '`' { LIKE_A_BACKTICK } else { c });
        if c == '@' && pings_all(text.get(at + 1..).unwrap_or_default()) {
            out.push(APART);
        }
    }
    out
}

/// Is there anything to be seen? What is not is refused as an empty text.
pub(super) fn is_blank(text: &str) -> bool {
    use unicode_width::UnicodeWidthChar;
    // The Hangul fillers and the empty Braille cell have a width and show nothing.
    let seen = |c: char| {
        !c.is_whitespace() && c.width().unwrap_or(0) > 0 && !"\u{115f}\u{1160}\u{2800}\u{3164}\u{ffa0}".contains(c)
    };
    !text.chars().any(seen)
}

/// The pieces that may not be torn apart: a character with its escape.
fn pieces(clean: &str) -> Vec<String> {
    let mut out = Vec::with_capacity(clean.len());
    // Where in its line a character stands: a list, a heading and a quotation begin at the left edge only.
    let mut edge = true;
    let mut digits = false;
    for (at, c) in clean.char_indices() {
        let after = clean.get(at + c.len_utf8()..).unwrap_or_default();
        let escaped = match c {
            // `/` because a link needs no brackets, and an invitation not even a scheme.
            '\\' | '*' | '_' | '~' | '`' | '|' | '<' | '>' | '#' | '[' | ']' | '/' | '@' => true,
            '-' | '+' => edge && !digits,
            '.' | ')' => digits,
            _ => false,
        };
        let mut piece = String::new();
        if escaped {
            piece.push('\\');
        }
        piece.push(c);
        if c == '@' && pings_all(after) {
            piece.push(APART);
        }
        out.push(piece);
        match c {
            '\n' => (edge, digits) = (true, false),
            c if c.is_whitespace() => edge = edge && !digits,
            c if c.is_ascii_digit() && edge => digits = true,
            _ => (edge, digits) = (false, false),
        }
        if c.is_whitespace() {
            digits = false;
        }
    }
    out
}

fn pings_all(after: &str) -> bool {
    ["everyone", "here"].iter().any(|word| after.get(..word.len()).is_some_and(|a| a.eq_ignore_ascii_case(word)))
}

fn within(pieces: &[String], most: usize) -> (String, bool) {
    if pieces.iter().map(|p| units(p)).sum::<usize>() <= most {
        return (pieces.concat(), false);
    }
    let mut out = String::new();
    let mut used = 3;
    for piece in pieces {
        used += units(piece);
        if used > most {
            break;
        }
        out.push_str(piece);
    }
    out.push_str("...");
    (out, true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What a reader sees: escapes undone.
    fn shown(escaped: &str) -> String {
        let mut out = String::new();
        let mut chars = escaped.chars().filter(|c| *c != APART);
        while let Some(c) = chars.next() {
            out.push(if c == '\\' { chars.next().unwrap() } else { c });
        }
        out
    }

    /// What is left to Discord to format.
    fn active(escaped: &str) -> String {
        let mut out = String::new();
        let mut chars = escaped.chars();
        while let Some(c) = chars.next() {
            if c == '\\' {
                chars.next();
                out.push('x');
            } else {
                out.push(c);
            }
        }
        out
    }

    #[test]
    fn formats_mentions_and_links_are_shown_as_they_were_typed() {
        for (text, escaped) in [
            ("latency_p95", "latency\\_p95"),
            ("**bold** ||spoiler||", "\\*\\*bold\\*\\* \\|\\|spoiler\\|\\|"),
            ("<@80351110224678912>", "\\<\\@80351110224678912\\>"),
            ("<t:1543392060:R>", "\\<t:1543392060:R\\>"),
            ("<:shop:1>", "\\<:shop:1\\>"),
            ("@everyone @here", "\\@\u{200b}everyone \\@\u{200b}here"),
            ("[click](https://evil.example)", "\\[click\\](https:\\/\\/evil.example)"),
            ("discord.gg/abc", "discord.gg\\/abc"),
            ("# head\n-# small\n- item\n  - item\n1. one", "\\# head\n\\-\\# small\n\\- item\n  \\- item\n1\\. one"),
            ("a - b, 1.4 and -5", "a - b, 1.4 and -5"),
            ("> quoted\n>>> more", "\\> quoted\n\\>\\>\\> more"),
            ("```sh\nrm```", "\\`\\`\\`sh\nrm\\`\\`\\`"),
        ] {
            assert_eq!(escape(text), escaped);
        }
        // A number at the left edge costs a backslash that nobody sees.
        assert_eq!(escape("1.4 s"), "1\\.4 s");
    }

    #[test]
    fn code_cannot_be_left() {
        assert_eq!(code("a ``` b\n@everyone"), "a ˋˋˋ b @\u{200b}everyone");
    }

    #[test]
    fn nothing_to_see_is_blank() {
        assert!(is_blank("") && is_blank(" \u{200b}\n") && is_blank("\u{3164}\u{2800}"));
        assert!(!is_blank("-"));
    }

    proptest! {
        #[test]
        fn the_reader_sees_the_text_and_discord_no_format(text in "(?s)[@<>:_*~`|#\\[\\]/.\\-+0-9a-z \\n\\\\]{0,60}|.{0,60}|(@|everyone|here|<|t:1|>|:){0,12}") {
            let escaped = escape(&text);
            prop_assert_eq!(shown(&escaped), clean::paragraph(&text));
            let active = active(&escaped);
            prop_assert!(!active.contains(['*', '_', '~', '`', '|', '<', '>', '#', '[', ']', '/', '@']), "{}", active);
            for line in active.lines() {
                prop_assert!(!line.trim_start().starts_with(['-', '+']), "{}", line);
                let rest = line.trim_start().trim_start_matches(|c: char| c.is_ascii_digit());
                let list = rest.len() < line.trim_start().len() && rest.starts_with(['.', ')']);
                prop_assert!(!list, "{}", line);
            }
            prop_assert!(!escaped.to_lowercase().contains("@everyone") && !escaped.to_lowercase().contains("@here"));
        }

        #[test]
        fn what_is_cut_is_cut_between_escapes(text in any::<String>(), most in 4_usize..80) {
            let (cut, short) = escape_within(&text, most);
            prop_assert!(units(&cut) <= most);
            prop_assert_eq!(short, units(&escape(&text)) > most);
            let trailing = cut.trim_end_matches('.').chars().rev().take_while(|c| *c == '\\').count();
            prop_assert!(!short || trailing % 2 == 0 || cut.ends_with("...."), "{}", cut);
        }

        #[test]
        fn code_holds_no_backtick(text in any::<String>()) {
            prop_assert!(!code(&text).contains(['`', '\n']));
        }
    }
}
