//! Takes out of a sentence what must not leave this machine: tokens, passwords, e-mail addresses, network addresses.
//!
//! By looks, word by word, and rather too much than too little: a command needs none of these. What looks like an
//! everyday word (a password of five letters that nobody announced) cannot be known.

use std::net::{Ipv4Addr, Ipv6Addr};

/// What tokens of well-known services begin with, in small letters.
const PREFIXES: [&str; 22] = [
    "xox",
    "xapp-",
    "sk-",
    "sk_",
    "pk_",
    "rk_",
    "ghp_",
    "gho_",
    "ghu_",
    "ghs_",
    "ghr_",
    "github_pat_",
    "glpat-",
    "akia",
    "asia",
    "aiza",
    "eyj",
    "hvs.",
    "npm_",
    "pypi-",
    "ya29.",
    "whsec_",
];
/// Words after which a secret follows.
const ANNOUNCE: [&str; 13] = [
    "code",
    "password",
    "passwd",
    "passphrase",
    "pwd",
    "pass",
    "secret",
    "token",
    "bearer",
    "basic",
    "apikey",
    "api_key",
    "api-key",
];
/// Shorter than this, something that begins like a token is a word: `asia`, `sk-1`.
const SHORTEST_TOKEN: usize = 12;
/// Hexadecimal digits in a row, dashes between them allowed: a short commit id is shorter, a UUID is longer.
const LONGEST_HEX: usize = 15;
/// Letters, digits and the signs of base64 in a row: nothing that a person types is longer.
const LONGEST_WORD: usize = 39;

/// The sentence with `[...]` in place of what was taken out; white space becomes single spaces.
pub(super) fn redacted(sentence: &str) -> String {
    let mut announced = false;
    let mut words: Vec<String> = Vec::new();
    for word in sentence.split_whitespace() {
        let bare = word.trim_matches(|c: char| !c.is_alphanumeric()).to_lowercase();
        let announces = ANNOUNCE.contains(&bare.as_str());
        if announced && !announces && !bare.is_empty() {
            // `the password is ...`, `token = ...`: the word between is let through, the next one is not.
            let between = matches!(bare.as_str(), "is" | "was" | "for" | "of" | "to");
            words.push(if between { word.to_owned() } else { "[secret]".to_owned() });
            announced = between;
            continue;
        }
        announced = announces || (announced && bare.is_empty());
        words.push(replacement(word).map_or_else(|| word.to_owned(), str::to_owned));
    }
    words.join(" ")
}

/// What stands in a word's place; `None` when it may be sent.
fn replacement(word: &str) -> Option<&'static str> {
    if word.contains("://") {
        return Some("[address]");
    }
    if word.split_once('@').is_some_and(|(name, host)| name.ends_with(usual) && host.starts_with(usual)) {
        return Some("[e-mail]");
    }
    // A mention, as platforms hand it on.
    if word.contains("<@") || word.contains("<#") || word.contains("<!") {
        return Some("[mention]");
    }
    let assigned =
        word.split_once(['=', ':']).filter(|(_, value)| !value.is_empty()).map(|(key, _)| key.to_lowercase());
    if assigned.is_some_and(|key| ANNOUNCE.iter().any(|announce| key.ends_with(announce))) {
        return Some("[secret]");
    }
    if network(word) {
        return Some("[address]");
    }
    secret(word).then_some("[secret]")
}

fn usual(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '+' | '%' | '"')
}

/// Is there an IPv4 or IPv6 address in it, alone or with a port or a prefix length?
fn network(word: &str) -> bool {
    let v4 = |run: &str| {
        let run = run.trim_matches('.');
        run.parse::<Ipv4Addr>().is_ok() || run.split('.').filter(|part| (1..=3).contains(&part.len())).count() >= 4
    };
    let v6 = |run: &str| {
        // A time of day has two colons and is none.
        run.parse::<Ipv6Addr>().is_ok() || (run.contains("::") && run.len() > 2) || run.matches(':').count() >= 4
    };
    word.split(|c: char| !c.is_ascii_digit() && c != '.').any(v4)
        || word.split(|c: char| !c.is_ascii_hexdigit() && c != ':' && c != '.').any(v6)
}

/// Does a part of it look like a token or a key?
fn secret(word: &str) -> bool {
    let hex = |run: &str| run.chars().filter(char::is_ascii_hexdigit).count() > LONGEST_HEX;
    let opaque = |run: &str| {
        let length = run.chars().count();
        let lower = run.to_lowercase();
        let has = |kind: fn(&char) -> bool| run.chars().filter(kind).count();
        let (digits, large, small) =
            (has(char::is_ascii_digit), has(char::is_ascii_uppercase), has(char::is_ascii_lowercase));
        length > LONGEST_WORD
            || (length >= SHORTEST_TOKEN && PREFIXES.iter().any(|prefix| lower.starts_with(prefix)))
            // Letters of both sizes and digits mixed: no name is written like that.
            || (length >= 16 && digits > 0 && large > 1 && small > 1)
            || (length >= 20 && digits >= 5)
    };
    word.contains("-----BEGIN")
        || word.split(|c: char| !c.is_ascii_hexdigit() && c != '-').any(hex)
        || word.split(|c: char| !c.is_ascii_alphanumeric() && !"+/_=.~-".contains(c)).any(opaque)
}
