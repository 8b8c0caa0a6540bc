//! Makes text harmless in each of the places where Slack would read markup into it.
//!
//! The body of a card is rich text, which has no markup at all, so little depends on this; what remains are headers,
//! buttons, code spans, mentions and the text of notifications. Must never let a metric's name or a reason call a
//! channel, make a link or look like something that Suture says itself.

use crate::chat::clean;

/// Seen by nobody, and enough to keep two characters from being read as one thing.
const BREAK: char = '\u{200b}';

/// For the elements of rich text: Slack reads nothing into them, and what is copied from them is what was meant.
pub(super) fn literal(text: &str) -> String {
    clean::paragraph(text)
}

/// One line for `plain_text` objects: headers, buttons, labels, dialogs. Slack turns `:name:` into an emoji there.
pub(super) fn plain(text: &str) -> String {
    without_emoji(&broken(&clean::line(text)))
}

/// The same for `plain_text` of several lines.
pub(super) fn plain_lines(text: &str) -> String {
    without_emoji(&broken(&clean::paragraph(text)))
}

/// For text that is read as mrkdwn: notifications, and what stands beside a mention. Nothing in it is formatted, linked
/// or called. Characters that would format are replaced by their likes: a zero-width space before them would make Slack
/// take them for the beginning of a word, which is what formats.
pub(super) fn escaped(text: &str) -> String {
    let text = without_emoji(&clean::paragraph(text));
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let at = |i: Option<usize>| i.and_then(|i| chars.get(i)).copied();
    for (i, c) in chars.iter().copied().enumerate() {
        let before = at(i.checked_sub(1));
        let inside = before.is_some_and(char::is_alphanumeric) && at(Some(i + 1)).is_some_and(char::is_alphanumeric);
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            // At the beginning of a line it quotes, however it is escaped.
            '>' if before.is_none_or(|b| b == '\n') => out.push('›'),
            '>' => out.push_str("&gt;"),
            // `latency_p95` is no markup, and people copy it.
            '_' if inside => out.push('_'),
            '_' => out.push('ˍ'),
            '*' => out.push('∗'),
            '~' => out.push('∼'),
            '`' => out.push('\''),
            '@' => out.extend(['@', BREAK]),
            '#' if !inside => out.extend(['#', BREAK]),
            c => out.push(c),
        }
    }
    out
}

/// A code span in mrkdwn, for what people are to type.
pub(super) fn code(text: &str) -> String {
    let text = clean::line(text).replace('`', "'").replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    // Nothing in between would leave the two marks to format what follows.
    if text.trim().is_empty() { "` `".to_owned() } else { format!("`{text}`") }
}

/// What a person typed, as they typed it: Slack sends `&`, `<` and `>` escaped, and links in angle brackets.
pub(super) fn as_typed(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('<') {
        out.push_str(before);
        match after.split_once('>') {
            Some((inside, behind)) => {
                let (target, label) = inside.split_once('|').unwrap_or((inside, ""));
                match target.chars().next() {
                    Some('@' | '#' | '!') => out.push_str(target),
                    _ if label.is_empty() => out.push_str(target),
                    _ => out.push_str(label),
                }
                rest = behind;
            }
            None => {
                out.push('<');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    // The ampersand last, or `&amp;lt;` would become `<`.
    out.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
}

fn broken(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        out.push(c);
        if c == '<' && chars.peek().is_some_and(|next| matches!(next, '!' | '@' | '#')) {
            out.push(BREAK);
        }
    }
    out
}

/// `:name:` is broken after its first colon. Nothing else is: `12:04:31` is a time, and between the colons of an address
/// stands no name. Only letters between the colons of an IPv6 address cannot be told from one, such as `:cd:`.
fn without_emoji(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(':') {
        out.push_str(before);
        out.push(':');
        let name = after.split(':').next().unwrap_or_default();
        let closed = after.len() > name.len() && !name.is_empty();
        let named = name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '+' | '\''));
        if closed && named && name.contains(|c: char| !c.is_ascii_digit()) {
            out.push(BREAK);
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_is_called_linked_or_formatted() {
        assert_eq!(escaped("<!channel> a & b"), "&lt;!channel&gt; a &amp; b");
        assert_eq!(escaped("@here *bold* _it_ ~no~ `c`"), "@\u{200b}here ∗bold∗ ˍitˍ ∼no∼ 'c'");
        assert_eq!(escaped("> said\n> again > x"), "› said\n› again &gt; x");
        assert_eq!(escaped("latency_p95 at 12:04:31"), "latency_p95 at 12:04:31");
        assert_eq!(escaped(":tada: <!date^1^{date}|x>"), ":\u{200b}tada: &lt;!date^1^{date}|x&gt;");
        assert_eq!(escaped("#general a#b"), "#\u{200b}general a#b");
    }

    #[test]
    fn a_code_span_holds_what_is_in_it() {
        assert_eq!(code("approve `x` <@U1>"), "`approve 'x' &lt;@U1&gt;`");
        assert_eq!(code("a\nb"), "`a b`");
        assert_eq!(code(""), "` `");
    }

    #[test]
    fn a_header_has_no_emoji_and_keeps_times() {
        assert_eq!(plain("a :boom: 12:04:31\nb"), "a :\u{200b}boom: 12:04:31 b");
        assert_eq!(plain("<!here>"), "<\u{200b}!here>");
        assert_eq!(plain(":+1: :a::skin-tone-2:"), ":\u{200b}+1: :\u{200b}a::\u{200b}skin-tone-2:");
    }

    #[test]
    fn an_address_can_be_copied() {
        for text in ["http://10.0.0.7:9090/a?b=c:d", "see https://x.test: it says why", "[::1]:80", "shop: 3, cart: 4"]
        {
            assert_eq!(plain(text), text);
            assert_eq!(escaped(text), text);
        }
        assert_eq!(literal(":tada: <!here> http://x.test:1/a:b"), ":tada: <!here> http://x.test:1/a:b");
    }

    #[test]
    fn what_was_typed_comes_back() {
        assert_eq!(as_typed("reject 7 a &lt; b &amp;&amp; c"), "reject 7 a < b && c");
        assert_eq!(as_typed("see <http://x.test|x.test> and <http://y.test>"), "see x.test and http://y.test");
        assert_eq!(as_typed("<@U024BE7LH|anna> <"), "@U024BE7LH <");
        assert_eq!(as_typed("&amp;lt;"), "&lt;");
    }

    proptest! {
        #[test]
        fn escaped_text_has_no_markup_left(text in any::<String>()) {
            let out = escaped(&text);
            prop_assert!(!out.contains(['<', '>', '*', '~', '`']));
            for (i, _) in out.match_indices('&') {
                let entity = out.get(i..).unwrap_or_default();
                prop_assert!(["&amp;", "&lt;", "&gt;"].iter().any(|e| entity.starts_with(e)), "{out}");
            }
            for word in ["@channel", "@here", "@everyone"] {
                prop_assert!(!out.contains(word));
            }
        }

        #[test]
        fn a_code_span_is_never_left(text in any::<String>()) {
            let out = code(&text);
            prop_assert_eq!(out.matches('`').count(), 2);
            prop_assert!(out.starts_with('`') && out.ends_with('`') && !out.contains(['\n', '<', '>']));
        }

        #[test]
        fn no_mention_is_left_in_plain_text(text in "[<>!@#a-z:|^ ]{0,60}") {
            for out in [plain_lines(&text), plain(&text)] {
                prop_assert!(!out.contains("<!") && !out.contains("<@") && !out.contains("<#"));
            }
        }

        #[test]
        fn as_typed_takes_anything(text in any::<String>()) {
            let _ = as_typed(&text);
        }

        #[test]
        fn what_slack_escapes_is_unescaped(text in "[a-z0-9 &<>]{0,40}") {
            let sent = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
            prop_assert_eq!(as_typed(&sent), text);
        }
    }
}
