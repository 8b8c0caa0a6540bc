//! Makes text from elsewhere safe to show: metric names, reasons, error texts and people's names are hostile input.
//!
//! Every adapter sends its dynamic text through here before its own escaping. Must never be skipped because a text
//! "comes from us": a worker's name or a receipt may quote somebody else.

use unicode_width::UnicodeWidthChar;

/// More combining marks than this on one character serve only to draw over other lines.
const MOST_MARKS: usize = 4;

/// One line: escape sequences and invisible characters removed, line ends and tabs turned into spaces.
#[must_use]
pub fn line(text: &str) -> String {
    paragraph(text).split('\n').map(str::trim_end).collect::<Vec<_>>().join(" ")
}

/// Text that may have several lines: escape sequences and invisible characters removed, `\n` kept, tabs turned into
/// spaces.
#[must_use]
pub fn paragraph(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut marks = 0;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' => skip_escape(&mut chars),
            // The one-character form of ESC [.
            '\u{9b}' => skip_control_sequence(&mut chars),
            '\n' | '\u{2028}' | '\u{2029}' | '\u{85}' => out.push('\n'),
            '\t' => out.push(' '),
            c if c.is_control() || hidden_name(c).is_some() => {}
            c => {
                marks = if c.width() == Some(0) { marks + 1 } else { 0 };
                if marks <= MOST_MARKS {
                    out.push(c);
                }
            }
        }
    }
    out
}

/// At most `most` characters, with `...` where something was cut off.
#[must_use]
pub fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(most.saturating_sub(3)).collect();
    short.push_str("...");
    short
}

/// The name of a character that is not seen but changes what is seen; `None` for all others.
///
/// Zero-width joiners and variation selectors are left alone: scripts and emoji need them.
#[must_use]
pub fn hidden_name(c: char) -> Option<&'static str> {
    Some(match c {
        '\u{061c}' => "Arabic letter mark",
        '\u{00ad}' => "soft hyphen",
        '\u{200b}' => "zero-width space",
        '\u{200e}' => "left-to-right mark",
        '\u{200f}' => "right-to-left mark",
        '\u{202a}' => "left-to-right embedding",
        '\u{202b}' => "right-to-left embedding",
        '\u{202c}' => "pop directional formatting",
        '\u{202d}' => "left-to-right override",
        '\u{202e}' => "right-to-left override",
        '\u{2060}' => "word joiner",
        '\u{2061}'..='\u{2064}' => "invisible operator",
        '\u{2066}' => "left-to-right isolate",
        '\u{2067}' => "right-to-left isolate",
        '\u{2068}' => "first strong isolate",
        '\u{2069}' => "pop directional isolate",
        '\u{206a}'..='\u{206f}' => "deprecated format character",
        '\u{feff}' => "byte order mark",
        '\u{fff9}'..='\u{fffb}' => "annotation mark",
        '\u{e0000}'..='\u{e007f}' => "tag character",
        _ => return None,
    })
}

/// Skips what follows ESC: a control sequence, a string up to its end mark, or one character.
fn skip_escape(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    match chars.peek() {
        Some('[') => {
            chars.next();
            skip_control_sequence(chars);
        }
        // Operating system command, device control, privacy message, application command, start of string: to the
        // bell or to ESC \. An end mark that never comes must not swallow the text: line ends close it too.
        Some(']' | 'P' | '^' | '_' | 'X') => {
            while let Some(c) = chars.next() {
                match c {
                    '\u{7}' | '\u{9c}' => break,
                    '\u{1b}' => {
                        chars.next_if_eq(&'\\');
                        break;
                    }
                    _ if chars.peek() == Some(&'\n') => break,
                    _ => {}
                }
            }
        }
        Some(c) if c.is_ascii_graphic() => {
            chars.next();
        }
        _ => {}
    }
}

/// Skips parameters and the final byte of a control sequence.
fn skip_control_sequence(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    while chars.next_if(|c| ('\u{20}'..='\u{3f}').contains(c)).is_some() {}
    chars.next_if(|c| ('\u{40}'..='\u{7e}').contains(c));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn escape_sequences_go_and_their_text_with_them() {
        assert_eq!(line("\u{1b}[31mred\u{1b}[0m"), "red");
        assert_eq!(line("a\u{1b}]0;new window title\u{7}b"), "ab");
        assert_eq!(line("a\u{1b}]8;;http://x\u{1b}\\link"), "alink");
        assert_eq!(line("a\u{9b}2Jb"), "ab");
        assert_eq!(line("a\u{1b}"), "a");
        assert_eq!(paragraph("a\u{1b}]0;never closed\nnext line"), "a\nnext line");
    }

    #[test]
    fn what_turns_text_round_goes() {
        assert_eq!(line("abc\u{202e}def\u{2066}g\u{200b}"), "abcdefg");
        assert_eq!(line("one\r\ntwo\tthree\u{8}"), "one two three");
    }

    #[test]
    fn emoji_and_accents_stay_but_towers_of_accents_do_not() {
        assert_eq!(line("e\u{301} 👩\u{200d}🔧"), "e\u{301} 👩\u{200d}🔧");
        let tower = format!("a{}", "\u{301}".repeat(50));
        assert_eq!(line(&tower).chars().count(), 1 + MOST_MARKS);
    }

    proptest! {
        #[test]
        fn nothing_that_moves_the_cursor_is_left(text in any::<String>()) {
            let clean = line(&text);
            prop_assert!(!clean.chars().any(|c| c.is_control() || hidden_name(c).is_some()));
        }
    }
}
