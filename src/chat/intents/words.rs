//! A sentence as plain words: without politeness, contractions and slips of the finger, with the names in it found.

use super::super::clean;
use super::super::grammar::{is_our_name, mentioned, number_behind};
use super::Known;
use super::asked::is_order;
use crate::model::{IncidentId, RunId, ServiceId};

/// Contractions, with and without their apostrophe.
const CONTRACTIONS: &[(&str, &str)] = &[
    ("what's", "what is"),
    ("whats", "what is"),
    ("who's", "who is"),
    ("whos", "who is"),
    ("how's", "how is"),
    ("hows", "how is"),
    ("where's", "where is"),
    ("when's", "when is"),
    ("why's", "why is"),
    ("that's", "that is"),
    ("there's", "there is"),
    ("everything's", "everything is"),
    ("it's", "it is"),
    ("i'm", "i am"),
    ("im", "i am"),
    ("i'd", "i would"),
    ("i've", "i have"),
    ("we've", "we have"),
    ("we're", "we are"),
    ("let's", "let us"),
    ("lets", "let us"),
    ("don't", "do not"),
    ("dont", "do not"),
    ("doesn't", "does not"),
    ("didn't", "did not"),
    ("isn't", "is not"),
    ("aren't", "are not"),
    ("wasn't", "was not"),
    ("won't", "will not"),
    ("can't", "can not"),
    ("cant", "can not"),
    ("cannot", "can not"),
    ("shouldn't", "should not"),
    ("mustn't", "must not"),
    ("wouldn't", "would not"),
    ("couldn't", "could not"),
    ("haven't", "have not"),
    ("hasn't", "has not"),
    ("rollback", "roll back"),
    ("u", "you"),
    ("r", "are"),
];

/// Words that carry nothing here, wherever they stand.
const FILLERS: &str = "please pls plz kindly hey hi hello thanks thank thx cheers just maybe currently actually really quickly \
     quick um uh well so ah oh dear suture bot then immediately asap";

/// The words that the rules know. What is one slip away from one of these is taken for it.
const VOCABULARY: &str = "about accept alarm alarms alerts allowed anomalies anomaly anomalous approval approvals approve approved \
     attention available broken changed chaos chart close closed command commands current deployed details doing \
     enable enabled everything faults going graph happened happening health healthy history incident incidents \
     isolate isolated issues latency ledger looking memory metric metrics mute muted night outage pending \
     permission permissions playbook playbooks problem problems reject rejected restart restarted resume resumed \
     rights rolled running scale scaled service services should silence situation state status stopped system \
     things today traffic trend trends unmute usage waiting which working wrong yesterday";

/// Words that look like one of [`VOCABULARY`] and mean something else.
const NOT_SLIPS: &str = "above always charts closet crash heaven might right where while";

/// Is it one of these words, which stand with spaces between them?
pub(super) fn is_one_of(words: &str, word: &str) -> bool {
    words.split(' ').any(|one| one == word)
}

/// One part of what was said, up to a full stop or a question mark.
#[derive(Clone, Debug, Default)]
pub(super) struct Sentence {
    /// In small letters, contractions written out.
    pub words: Vec<String>,
    /// The service that is named, as it is written in the config.
    pub service: Option<ServiceId>,
    /// The incident that is named.
    pub incident: Option<IncidentId>,
    /// The run that is named.
    pub run: Option<RunId>,
    /// The playbook that is named.
    pub playbook: Option<String>,
    /// Who is mentioned: the platform's id.
    pub mention: Option<String>,
}

impl Sentence {
    /// Has it nothing to go by?
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// Is one of these words in it?
    pub fn has(&self, any: &str) -> bool {
        self.words.iter().any(|word| is_one_of(any, word))
    }

    /// Do these words stand in it, one behind the other?
    pub fn says(&self, phrase: &str) -> bool {
        let phrase: Vec<_> = phrase.split(' ').collect();
        self.words.windows(phrase.len()).any(|w| w.iter().zip(&phrase).all(|(a, b)| a == b))
    }

    /// Does it begin with these words?
    pub fn begins(&self, phrase: &str) -> bool {
        let mut words = self.words.iter();
        phrase.split(' ').all(|part| words.next().is_some_and(|w| w == part))
    }

    /// Does it consist of these words and no others?
    pub fn is(&self, phrase: &str) -> bool {
        self.words.len() == phrase.split(' ').count() && self.begins(phrase)
    }

    /// The first word.
    pub fn first(&self) -> &str {
        self.words.first().map_or("", String::as_str)
    }

    /// The word behind this one.
    pub fn behind(&self, word: &str) -> Option<&str> {
        let at = self.words.iter().position(|w| w == word)?;
        self.words.get(at + 1).map(String::as_str)
    }
}

/// Are there characters in it that are not seen? Nobody asks with them.
pub(super) fn has_hidden(text: &str) -> bool {
    text.trim_end().chars().any(|c| (c.is_control() && !matches!(c, '\t' | '\n')) || clean::hidden_name(c).is_some())
}

/// What was said, in parts.
pub(super) fn clauses(text: &str, names: &Known<'_>) -> Vec<Sentence> {
    let text =
        text.replace(['\u{2018}', '\u{2019}', '\u{201b}'], "'").replace(['\u{2013}', '\u{2014}', '\u{2011}'], "-");
    let text = without_quotations(&text);
    let (text, mentions) = without_mentions(&text);
    let mut mentions = mentions.into_iter();
    let mut parts: Vec<Vec<String>> = vec![Vec::new()];
    let bare = |raw: &str| raw.trim_matches(|c: char| !c.is_alphanumeric() && !matches!(c, '#' | '@')).to_lowercase();
    let mut raws = text.split_whitespace().peekable();
    while let Some(raw) = raws.next() {
        let word = bare(raw);
        let next = raws.peek().map(|raw| bare(raw));
        if parts.last().is_some_and(|so_far| begins_another(so_far, &word, next.as_deref())) {
            parts.push(Vec::new());
        }
        if !word.is_empty()
            && let Some(part) = parts.last_mut()
        {
            part.push(word);
        }
        if raw.ends_with(['.', '?', '!', ';']) {
            parts.push(Vec::new());
        }
    }
    let mut sentences: Vec<Sentence> = Vec::new();
    for part in parts {
        let mut next = sentence(part, &mut mentions, names);
        if next.is_empty() {
            continue;
        }
        // "restart it": what the sentence before was about.
        if let Some(before) = sentences.last().filter(|_| next.has("it that this")) {
            next.service = next.service.or_else(|| before.service.clone());
            next.incident = next.incident.or(before.incident);
        }
        sentences.push(next);
    }
    sentences
}

/// Does a new sentence begin with this word? "show me shop and restart it" is two of them; "who can approve and reject" is
/// one.
fn begins_another(so_far: &[String], word: &str, next: Option<&str>) -> bool {
    let asks_about_orders =
        so_far.iter().any(|w| matches!(w.as_str(), "can" | "may" | "who" | "allowed") || is_order(w));
    match word {
        "otherwise" | "else" => true,
        "if" => next == Some("not"),
        "and" => !asks_about_orders && next.is_some_and(|next| is_order(next) || matches!(next, "please" | "then")),
        _ => false,
    }
}

/// Without what stands in double quotes or backticks: that somebody quotes is not what they say.
fn without_quotations(text: &str) -> String {
    let mut inside = false;
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' | '`' | '\u{201c}' | '\u{201d}' | '\u{201e}' | '\u{ab}' | '\u{bb}' => {
                inside = !inside;
                out.push(' ');
            }
            c if !inside => out.push(c),
            _ => {}
        }
    }
    out
}

/// The text with `@mention` for each mention, and whom they mean. One in front is us and is left out.
fn without_mentions(text: &str) -> (String, Vec<String>) {
    let (mut out, mut ids) = (String::new(), Vec::new());
    let mut rest = text;
    while let Some((before, tail)) = rest.split_once("<@") {
        out.push_str(before);
        let end = tail.find('>').map_or(tail.len(), |i| i + 1);
        let (inside, behind) = tail.split_at_checked(end).unwrap_or((tail, ""));
        if let Some(id) = mentioned(&format!("<@{inside}"))
            && !out.trim().is_empty()
        {
            ids.push(id.to_owned());
            out.push_str(" @mention ");
        }
        rest = behind;
    }
    out.push_str(rest);
    (out, ids)
}

fn sentence(raw: Vec<String>, mentions: &mut impl Iterator<Item = String>, names: &Known<'_>) -> Sentence {
    let mut found = Sentence::default();
    let mut words: Vec<String> = Vec::new();
    for (i, word) in raw.iter().enumerate() {
        if i == 0 && is_our_name(word) {
            continue;
        }
        if word == "@mention" {
            found.mention = mentions.next();
            words.push(word.clone());
        } else if let Some(number) = id_in("inc", word) {
            found.incident.get_or_insert(IncidentId(number));
            words.push("@incident".to_owned());
        } else if let Some(number) = id_in("run", word) {
            found.run.get_or_insert(RunId(number));
            words.push("@run".to_owned());
        } else if let Some(service) = named(word, names.services) {
            found.service.get_or_insert(ServiceId(service));
            words.push("@service".to_owned());
        } else if let Some(playbook) = named(word, names.playbooks) {
            found.playbook.get_or_insert(playbook);
            words.push("@playbook".to_owned());
        } else {
            let plain = CONTRACTIONS.iter().find(|(short, _)| short == word).map_or(word.as_str(), |(_, long)| *long);
            let plain = plain.split(' ').map(|w| w.strip_suffix("'s").unwrap_or(w));
            words.extend(plain.map(without_slip).filter(|w| !is_one_of(FILLERS, w)));
        }
    }
    // A service whose name was misspelt, where no other is named.
    if found.service.is_none()
        && let Some((at, service)) = words.iter().enumerate().find_map(|(i, w)| Some((i, misspelt(w, names.services)?)))
    {
        found.service = Some(ServiceId(service));
        if let Some(word) = words.get_mut(at) {
            "@service".clone_into(word);
        }
    }
    numbers_behind_their_word(&mut words, &mut found);
    found.words = words;
    found
}

/// `inc-7`, `inc7`, `#7` (an incident), `run-3`.
fn id_in(kind: &str, word: &str) -> Option<u64> {
    let digits = word.strip_prefix(kind).map(|rest| rest.strip_prefix('-').unwrap_or(rest));
    let digits = digits.or_else(|| word.strip_prefix('#').filter(|_| kind == "inc"))?;
    number_behind("", digits)
}

/// `incident 7`, `run 3`; `approve 7`, but never a number that may be a one-time code.
fn numbers_behind_their_word(words: &mut [String], found: &mut Sentence) {
    for at in 1..words.len() {
        let (Some(before), Some(word)) = (words.get(at - 1).cloned(), words.get_mut(at)) else { continue };
        let Some(number) = number_behind("", word).filter(|_| word.len() < 6) else { continue };
        match before.as_str() {
            "incident" | "inc" | "approve" | "reject" | "close" | "show" | "approved" | "rejected" => {
                found.incident.get_or_insert(IncidentId(number));
                "@incident".clone_into(word);
            }
            "run" => {
                found.run.get_or_insert(RunId(number));
                "@run".clone_into(word);
            }
            _ => {}
        }
    }
}

/// The name that is meant, as it is written in the config.
fn named(word: &str, names: &[String]) -> Option<String> {
    let bare = word.strip_suffix("'s").unwrap_or(word);
    names.iter().find(|name| name.to_lowercase() == bare).cloned()
}

/// The one name that is a slip away. Short names and words that mean something else are left alone.
fn misspelt(word: &str, names: &[String]) -> Option<String> {
    if word.chars().count() < 5 || word.chars().count() > 40 || is_known(word) {
        return None;
    }
    let mut near = names.iter().filter(|name| strsim::osa_distance(word, &name.to_lowercase()) == 1);
    near.next().filter(|_| near.next().is_none()).cloned()
}

fn is_known(word: &str) -> bool {
    is_one_of(VOCABULARY, word) || is_one_of(NOT_SLIPS, word) || word.starts_with('@')
}

/// The word that is meant where this one is a slip away from it.
fn without_slip(word: &str) -> String {
    let length = word.chars().count();
    if !(5..=20).contains(&length) || is_known(word) || !word.is_ascii() {
        return word.to_owned();
    }
    let most = if length >= 8 { 2 } else { 1 };
    let near = VOCABULARY
        .split(' ')
        .filter(|known| known.len() >= 5 && known.as_bytes().first() == word.as_bytes().first())
        .map(|known| (strsim::osa_distance(word, known), known))
        .filter(|(distance, _)| *distance <= most)
        .min();
    near.map_or_else(|| word.to_owned(), |(_, known)| known.to_owned())
}
