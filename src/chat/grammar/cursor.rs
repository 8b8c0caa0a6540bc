//! Words with their columns, and quotes. Knows nothing of commands.

use super::{ParseError, Problem, error};

/// One word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Word {
    /// Without its quotes.
    pub text: String,
    /// Where it begins, in characters from 1.
    pub column: usize,
    /// It began with a quote, so it is meant as text, not as an id or a verb.
    pub quoted: bool,
}

/// Where the reader is.
#[derive(Clone, Debug)]
pub(super) struct Cursor<'a> {
    chars: &'a [char],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub fn new(chars: &'a [char]) -> Self {
        Self { chars, at: 0 }
    }

    /// The column of what comes next, in characters from 1.
    pub fn column(&mut self) -> usize {
        self.skip_spaces();
        self.at + 1
    }

    /// The next word. A quote at its beginning, or right after its first `=` or `:`, reaches to the closing one; a mention
    /// reaches to its end, because the names in it may have spaces.
    pub fn next(&mut self) -> Result<Option<Word>, ParseError> {
        self.skip_spaces();
        let column = self.at + 1;
        let mut text = String::new();
        let mut quoted = false;
        let mut may_quote = true;
        let mut parted = false;
        let mut any = false;
        if let Some(end) = self.mention() {
            text.extend(self.chars.get(self.at..end).unwrap_or_default());
            self.at = end;
            (any, may_quote) = (true, false);
        }
        while let Some(c) = self.peek().filter(|c| *c != ' ') {
            any = true;
            if may_quote && let Some(inside) = self.quotation()? {
                quoted |= self.started_at(column);
                text.push_str(&inside);
                may_quote = false;
                continue;
            }
            self.at += 1;
            text.push(c);
            may_quote = !parted && matches!(c, '=' | ':');
            parted |= may_quote;
        }
        Ok(any.then_some(Word { text, column, quoted }))
    }

    /// The next word where an unclosed quote is no matter (yet).
    pub fn next_lenient(&mut self) -> Option<Word> {
        let column = self.column();
        self.next().unwrap_or_else(|_| Some(Word { text: String::new(), column, quoted: true }))
    }

    /// Everything that is left, with single spaces; without its quotes if it is one quotation altogether.
    pub fn rest(&mut self) -> Result<String, ParseError> {
        self.skip_spaces();
        let mut whole = self.clone();
        let inside = whole.quotation()?.filter(|_| whole.at >= self.chars.len());
        let text = inside.unwrap_or_else(|| self.chars.get(self.at..).unwrap_or_default().iter().collect());
        self.at = self.chars.len();
        Ok(text.split_whitespace().collect::<Vec<_>>().join(" "))
    }

    /// A quotation that begins here: its inside, with `\"` and `\\` resolved between double quotes. A single quote
    /// that nothing closes is an apostrophe ('tis).
    fn quotation(&mut self) -> Result<Option<String>, ParseError> {
        let mark = match self.peek() {
            Some(mark @ ('"' | '\'')) => mark,
            _ => return Ok(None),
        };
        let start = self.at;
        let mut inside = String::new();
        let mut at = start + 1;
        while let Some(c) = self.chars.get(at).copied() {
            let next = self.chars.get(at + 1).copied();
            match c {
                '\\' if mark == '"' && matches!(next, Some('"' | '\\')) => {
                    inside.extend(next);
                    at += 1;
                }
                '"' if mark == '"' => {
                    self.at = at + 1;
                    return Ok(Some(inside));
                }
                '\'' if mark == '\'' && next.is_none_or(|c| c == ' ') => {
                    self.at = at + 1;
                    return Ok(Some(inside));
                }
                c => inside.push(c),
            }
            at += 1;
        }
        if mark == '\'' {
            return Ok(None);
        }
        let word: String = self.chars.iter().skip(start).take_while(|c| **c != ' ').collect();
        Err(error(Problem::Unclosed, &word, start + 1))
    }

    /// Where the mention ends that begins here: `<@U123|Anna S>`.
    fn mention(&self) -> Option<usize> {
        let rest = self.chars.get(self.at..)?;
        let length = rest.strip_prefix(&['<', '@'])?.iter().position(|c| matches!(c, '<' | '>'))? + 2;
        (rest.get(length) == Some(&'>')).then_some(self.at + length + 1)
    }

    /// Does the word in this column begin with a quote?
    fn started_at(&self, column: usize) -> bool {
        matches!(self.chars.get(column - 1), Some('"' | '\''))
    }

    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn skip_spaces(&mut self) {
        while self.peek() == Some(' ') {
            self.at += 1;
        }
    }
}
