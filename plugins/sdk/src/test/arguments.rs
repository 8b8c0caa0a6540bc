//! Descriptions and arguments, held to what the host holds them to.

use crate::{Args, Description, Param, ParamKind, Proposal};

/// Most bytes of a name or an argument.
const TEXT: usize = 253;
/// Most parameters of a playbook, arguments of a proposal, proposals of a rule.
const ITEMS: usize = 32;

/// The arguments of a run: the defaults, and over them what is given, each checked.
pub(super) fn complete(description: &Description, given: &[(&str, &str)]) -> Result<Args, String> {
    let playbook = &description.name;
    for (name, value) in given {
        let Some(param) = description.params.iter().find(|p| p.name == *name) else {
            let known: Vec<_> = description.params.iter().map(|p| p.name.as_str()).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            return Err(format!("playbook {playbook} has no parameter `{name}`; it has: {known}"));
        };
        if !takes(param, value) {
            return Err(format!("playbook {playbook}: {name} = `{value}` is not {}", in_words(param)));
        }
    }
    let defaults = description.params.iter().filter_map(|p| Some((p.name.as_str(), p.default.as_deref()?)));
    Ok(defaults.chain(given.iter().copied()).collect())
}

/// Panics with what the host would say at load.
pub(super) fn must_be_loadable(description: &Description) {
    must_be_a_name(&description.name);
    assert!(description.params.len() <= ITEMS, "it has more than {ITEMS} parameters");
    for param in &description.params {
        must_be_a_name(&param.name);
        if let Some(default) = param.default.as_deref().filter(|default| !takes(param, default)) {
            panic!("the default `{default}` of its parameter {} is not {}", param.name, in_words(param));
        }
    }
}

/// Panics where the host would not take the name.
pub(super) fn must_be_a_name(name: &str) {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    assert!(
        (1..=64).contains(&name.len()) && name.chars().all(plain),
        "the name `{name}` is not 1 to 64 of a-z, 0-9 and -"
    );
}

/// Panics where the host would not take the proposals.
pub(super) fn must_be_proposals(proposals: &[Proposal]) {
    assert!(proposals.len() <= ITEMS, "{} proposals; at most {ITEMS} are allowed", proposals.len());
    for proposal in proposals {
        must_be_a_name(&proposal.playbook);
        let plain = |text: &str| text.len() <= TEXT && !text.chars().any(char::is_control);
        let args = &proposal.args;
        assert!(
            args.len() <= ITEMS && args.iter().all(|(name, value)| plain(name) && plain(value)),
            "the arguments for {} are too many or too long",
            proposal.playbook
        );
    }
}

fn takes(param: &Param, text: &str) -> bool {
    let in_bounds = |n: f64| n.is_finite() && param.min.is_none_or(|m| n >= m) && param.max.is_none_or(|m| n <= m);
    match param.kind {
        ParamKind::Integer => text.parse::<i64>().is_ok_and(|n| in_bounds(n as f64)),
        ParamKind::DurationMs => text.parse::<u64>().is_ok_and(|n| in_bounds(n as f64)),
        ParamKind::Number => text.parse().is_ok_and(in_bounds),
        ParamKind::Flag => text == "true" || text == "false",
        ParamKind::Text => text.len() <= TEXT && !text.chars().any(char::is_control),
    }
}

fn in_words(param: &Param) -> String {
    let what = match param.kind {
        ParamKind::Integer => "a whole number",
        ParamKind::Number => "a number",
        ParamKind::Text => "a text of at most 253 bytes",
        ParamKind::Flag => "true or false",
        ParamKind::DurationMs => "a time in whole milliseconds",
    };
    match (param.min, param.max) {
        (Some(min), Some(max)) => format!("{what} from {min} to {max}"),
        (Some(min), None) => format!("{what} of at least {min}"),
        (None, Some(max)) => format!("{what} of at most {max}"),
        (None, None) => what.to_owned(),
    }
}
