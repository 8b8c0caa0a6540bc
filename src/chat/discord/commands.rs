//! `/suture` with its sub commands, made from the table of commands; and back from what was filled in to a line.
//!
//! Pure. Must give the very line that a person would have typed: it is parsed by the one grammar, like everything else.
//! Discord takes 25 sub commands or groups at most, so verbs of two words are groups (`audit verify`), and some verbs
//! that belong together are as well ([`HOMES`]).

use serde_json::{Value, json};

use crate::chat::command::{CommandHelp, Param, ParamForm, Slot};
use crate::chat::{COMMANDS, clean};

/// The command's name.
pub(super) const NAME: &str = "suture";
/// Most sub commands of a command or a group, most options, most choices.
const MOST: usize = 25;
/// Longest description.
const DESCRIPTION: usize = 100;
/// Most characters of a suggestion.
const CHOICE: usize = 100;
/// The last resort of a table that has outgrown its groups.
const MORE: &str = "more";

/// Verbs that are found in a group: the verb, the group.
const HOMES: &[(&str, &str)] = &[
    ("accept", "component"),
    ("enable", "component"),
    ("close", "incident"),
    ("false-alarm", "incident"),
    ("deployed", "service"),
    ("mode", "service"),
    ("mute", "service"),
    ("unmute", "service"),
];

/// What the groups are about.
const GROUPS: &[(&str, &str)] = &[
    ("audit", "what happened, from the ledger"),
    ("chaos", "faults that are made on purpose"),
    ("component", "playbooks and rules that are held or disabled"),
    ("incident", "what a person says about an incident"),
    ("service", "how far Suture may go for a service, and when it is quiet"),
];

/// Where a command stands under `/suture`.
struct Leaf {
    group: Option<&'static str>,
    name: String,
    help: &'static CommandHelp,
}

/// Every command but `quit`, which leaves a console that is not there.
fn leaves() -> Vec<Leaf> {
    let verbs = || COMMANDS.iter().filter(|c| c.verb != "quit");
    let heads: Vec<&str> = verbs().filter_map(|c| c.verb.split_once(' ')).map(|(head, _)| head).collect();
    let mut leaves: Vec<Leaf> = Vec::new();
    for help in verbs() {
        let home = HOMES.iter().find(|(verb, _)| *verb == help.verb).map(|(_, group)| *group);
        let (group, name) = match (help.verb.split_once(' '), home) {
            (Some((head, tail)), _) => (Some(head), tail),
            (None, Some(group)) => (Some(group), help.verb),
            // A group and a sub command cannot have the same name.
            (None, None) if heads.contains(&help.verb) => (Some(help.verb), "show"),
            (None, None) => (None, help.verb),
        };
        let tops = tops(&leaves);
        let name = name.replace(' ', "-");
        let new_top = !tops.iter().any(|top| *top == group.unwrap_or(&name));
        let group = if new_top && tops.len() >= MOST - 1 { Some(MORE) } else { group };
        // Two forms of one verb: the second is told apart by a number.
        let taken = leaves.iter().any(|l| l.group == group && l.name == name);
        leaves.push(Leaf { group, name: if taken { format!("{name}-2") } else { name }, help });
    }
    leaves
}

fn tops(leaves: &[Leaf]) -> Vec<String> {
    let mut tops: Vec<String> = Vec::new();
    for leaf in leaves {
        let top = leaf.group.map_or_else(|| leaf.name.clone(), str::to_owned);
        if !tops.contains(&top) {
            tops.push(top);
        }
    }
    tops
}

/// The commands to register: one, with everything below it.
pub(super) fn registration() -> Value {
    let leaves = leaves();
    let options: Vec<Value> = tops(&leaves)
        .into_iter()
        .map(|top| {
            let below: Vec<&Leaf> = leaves.iter().filter(|l| l.group == Some(top.as_str())).collect();
            match leaves.iter().find(|l| l.group.is_none() && l.name == top) {
                Some(leaf) => sub_command(leaf),
                None => {
                    let about =
                        GROUPS.iter().find(|(name, _)| *name == top).map_or("more commands", |(_, about)| about);
                    let below: Vec<Value> = below.into_iter().map(sub_command).collect();
                    json!({ "type": 2, "name": top, "description": about, "options": below })
                }
            }
        })
        .collect();
    let about = "what is wrong, what could be done about it, and doing it";
    json!([{ "type": 1, "name": NAME, "description": about, "options": options }])
}

fn sub_command(leaf: &Leaf) -> Value {
    // Those that must be filled in come first: Discord insists. The line is made in the order of the table.
    let mut params: Vec<&Param> = leaf.help.params.iter().take(MOST).collect();
    params.sort_by_key(|p| !p.required);
    let options: Vec<Value> = params.into_iter().map(option).collect();
    json!({ "type": 1, "name": leaf.name, "description": shown(leaf.help.summary), "options": options })
}

fn option(param: &Param) -> Value {
    let mut option = json!({ "type": 3, "name": param.name, "description": shown(param.summary) });
    if let Some(option) = option.as_object_mut() {
        if param.required {
            option.insert("required".to_owned(), true.into());
        }
        match param.slot {
            Some(Slot::Mode) => {
                let modes = ["observe", "approve", "auto"].map(|mode| json!({ "name": mode, "value": mode }));
                option.insert("choices".to_owned(), modes.to_vec().into());
            }
            Some(_) => {
                option.insert("autocomplete".to_owned(), true.into());
            }
            None => {}
        }
    }
    option
}

fn shown(text: &str) -> String {
    let text = clean::shortened(&clean::line(text), DESCRIPTION);
    if text.is_empty() { "-".to_owned() } else { text }
}

/// The command that stands at a path under `/suture`.
pub(super) fn find(path: &[&str]) -> Option<&'static CommandHelp> {
    let (group, name) = match path {
        [name] => (None, *name),
        [group, name] => (Some(*group), *name),
        _ => return None,
    };
    leaves().into_iter().find(|l| l.group == group && l.name == name).map(|l| l.help)
}

/// The line for what was filled in.
pub(super) fn line(help: &CommandHelp, given: &[(String, String)]) -> String {
    let mut line = help.verb.to_owned();
    add_fields(&mut line, help.params, given);
    line
}

/// The line up to the field that is being filled in, and what has to be taken off each suggestion's front.
pub(super) fn begun(help: &CommandHelp, given: &[(String, String)], focused: (&str, &str)) -> (String, String) {
    let (name, text) = focused;
    let before = help.params.iter().position(|p| p.name == name).unwrap_or(help.params.len());
    let mut line = help.verb.to_owned();
    let (ahead, from) = help.params.split_at_checked(before).unwrap_or((help.params, &[]));
    add_fields(&mut line, ahead, given);
    let prefix = match from.first() {
        Some(param) if param.form == ParamForm::Filter => format!("{name}:"),
        _ => String::new(),
    };
    // One word, as far as it has come: nothing in it may look like the end of it.
    let word: String = one_line(text).chars().filter(|c| !c.is_whitespace() && *c != '"').collect();
    (format!("{line} {prefix}{word}"), prefix)
}

/// The suggestions as Discord takes them.
pub(super) fn choices(found: &[String], prefix: &str) -> Vec<Value> {
    let mut seen: Vec<&str> = Vec::new();
    for candidate in found {
        let value = candidate.strip_prefix(prefix).unwrap_or(candidate).trim();
        let fits = !value.is_empty() && super::markdown::units(value) <= CHOICE && !seen.contains(&value);
        if fits && seen.len() < MOST {
            seen.push(value);
        }
    }
    seen.into_iter().map(|value| json!({ "name": shown(value), "value": value })).collect()
}

fn value<'a>(given: &'a [(String, String)], name: &str) -> Option<String> {
    let found: Option<&'a (String, String)> = given.iter().find(|(n, _)| n == name);
    found.map(|(_, value)| one_line(value)).filter(|value| !value.is_empty())
}

/// A field has one line; hidden characters stay, since the grammar names them to whoever typed them.
fn one_line(text: &str) -> String {
    text.split(['\n', '\r', '\t']).map(str::trim).collect::<Vec<_>>().join(" ").trim().to_owned()
}

fn add_fields(line: &mut String, params: &[Param], given: &[(String, String)]) {
    // A reason behind a word that was left out must not be taken for that word: "5 minutes too late" is no incident 5.
    let mut skipped = false;
    for param in params {
        let Some(value) = value(given, param.name) else {
            skipped |= param.form == ParamForm::Word;
            continue;
        };
        match param.form {
            ParamForm::Word => line.push_str(&format!(" {}", quoted_if_needed(&value))),
            ParamForm::Filter => line.push_str(&format!(" {}:{}", param.name, quoted_if_needed(&value))),
            ParamForm::Rest if skipped => line.push_str(&format!(" {}", quoted(&value))),
            ParamForm::Rest => line.push_str(&format!(" {value}")),
        }
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn quoted_if_needed(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_.:/@+,%<>!&".contains(c);
    if text.chars().all(plain) { text.to_owned() } else { quoted(text) }
}

/// Do the commands that are registered say the same as ours? Ids, versions and whatever Discord adds do not count.
pub(super) fn same(theirs: &Value, ours: &Value) -> bool {
    bare(theirs) == bare(ours)
}

/// Only what was asked for, without what stands for nothing, and the options of a sub command in their order.
fn bare(value: &Value) -> Value {
    const KEPT: [&str; 8] = ["name", "description", "type", "options", "required", "autocomplete", "choices", "value"];
    match value {
        Value::Array(items) => items.iter().map(bare).collect(),
        Value::Object(map) => {
            let mut kept: Vec<(String, Value)> = map
                .iter()
                .filter(|(key, _)| KEPT.contains(&key.as_str()))
                .map(|(key, value)| (key.clone(), bare(value)))
                .filter(|(_, v)| !v.is_null() && *v != json!(false) && *v != json!([]))
                .collect();
            kept.sort_by(|a, b| a.0.cmp(&b.0));
            Value::Object(kept.into_iter().collect())
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn help(path: &[&str]) -> &'static CommandHelp {
        find(path).unwrap()
    }

    fn given(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect()
    }

    /// Everything with a name below a command, with how much text there is in all.
    fn walk(value: &Value, depth: usize, total: &mut usize) {
        let name = value["name"].as_str().unwrap();
        let description = value["description"].as_str().unwrap();
        let good = |c: char| c.is_lowercase() || c.is_numeric() || "-_".contains(c);
        assert!((1..=32).contains(&name.chars().count()) && name.chars().all(good), "{name}");
        assert!((1..=DESCRIPTION).contains(&description.chars().count()), "{name}: {description}");
        *total += name.chars().count() + description.chars().count();
        for choice in value["choices"].as_array().into_iter().flatten() {
            *total += choice["name"].as_str().unwrap().len() + choice["value"].as_str().unwrap().len();
        }
        let options = value["options"].as_array().cloned().unwrap_or_default();
        assert!(options.len() <= MOST, "{name} has {}", options.len());
        let mut names: Vec<&str> = options.iter().map(|o| o["name"].as_str().unwrap()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), options.len(), "names under {name}");
        let required: Vec<bool> = options.iter().map(|o| o["required"] == true).collect();
        assert!(required.is_sorted_by(|a, b| a >= b), "required first under {name}");
        for option in &options {
            let kind = option["type"].as_u64().unwrap();
            assert!(matches!((depth, kind), (0, 1 | 2) | (1, 1 | 3) | (2, 3)), "{name} at {depth}: {kind}");
            assert!(!(option["autocomplete"] == true && option.get("choices").is_some()));
            walk(option, depth + 1, total);
        }
    }

    #[test]
    fn discord_takes_what_is_registered() {
        let all = registration();
        let mut total = 0;
        walk(&all[0], 0, &mut total);
        assert!(total <= 8000, "{total} characters");
        assert!(tops(&leaves()).len() <= MOST);
    }

    #[test]
    fn every_command_but_quit_is_found_at_its_path() {
        let leaves = leaves();
        assert_eq!(leaves.len(), COMMANDS.len() - 1);
        for leaf in &leaves {
            let path: Vec<&str> = leaf.group.into_iter().chain([leaf.name.as_str()]).collect();
            assert_eq!(find(&path).unwrap().usage, leaf.help.usage);
        }
        assert_eq!(find(&["audit", "verify"]).unwrap().verb, "audit verify");
        assert_eq!(find(&["audit", "show"]).unwrap().verb, "audit");
        assert_eq!(find(&["component", "accept"]).unwrap().verb, "accept");
        assert!(find(&["quit"]).is_none() && find(&[]).is_none());
    }

    #[test]
    fn fields_make_the_line_that_would_have_been_typed() {
        let lined = |path: &[&str], pairs: &[(&str, &str)]| line(help(path), &given(pairs));
        assert_eq!(lined(&["reject"], &[("reason", "too risky"), ("incident", "INC-1")]), "reject INC-1 too risky");
        let late = [("reason", "5 minutes too \"late\"")];
        assert_eq!(lined(&["reject"], &late), "reject \"5 minutes too \\\"late\\\"\"");
        assert_eq!(lined(&["reject"], &[("incident", "a b\n c")]), "reject \"a b c\"");
        let audit = [("actor", "Anna B"), ("service", "shop")];
        assert_eq!(lined(&["audit", "show"], &audit), "audit service:shop actor:\"Anna B\"");
        assert_eq!(lined(&["stop"], &[("reason", "")]), "stop");
        let approve = [("code", "123456")];
        assert_eq!(lined(&["approve"], &approve), "approve code:123456");
        let can = [("who", "<@80>"), ("what", "restart"), ("service", "shop")];
        assert_eq!(lined(&["can"], &can), "can <@80> restart shop");
    }

    #[test]
    fn every_command_filled_in_with_its_examples_is_one_that_is_understood() {
        for leaf in leaves() {
            let all: Vec<_> = leaf.help.params.iter().map(|p| (p.name.to_owned(), p.example.to_owned())).collect();
            let required = leaf.help.params.iter().filter(|p| p.required);
            let least: Vec<_> = required.map(|p| (p.name.to_owned(), p.example.to_owned())).collect();
            for given in [all, least] {
                let line = line(leaf.help, &given);
                assert!(crate::chat::parse(&line).is_ok(), "{line}");
            }
        }
    }

    #[test]
    fn suggestions_are_asked_for_with_the_line_so_far() {
        let ask = |path: &[&str], pairs: &[(&str, &str)], focused| begun(help(path), &given(pairs), focused);
        assert_eq!(ask(&["reject"], &[], ("incident", "IN")), ("reject IN".to_owned(), String::new()));
        let service = ask(&["audit", "show"], &[("actor", "x")], ("service", "sh"));
        assert_eq!(service, ("audit service:sh".to_owned(), "service:".to_owned()));
        let metric = ask(&["chart"], &[("service", "shop")], ("metric", "la te\""));
        assert_eq!(metric, ("chart shop late".to_owned(), String::new()));
        let found = ["service:shop".to_owned(), "service:shop".to_owned(), "y".repeat(101), String::new()];
        assert_eq!(choices(&found, "service:"), [json!({ "name": "shop", "value": "shop" })]);
        let many: Vec<String> = (0..40).map(|i| format!("s{i}")).collect();
        assert_eq!(choices(&many, "").len(), 25);
    }

    #[test]
    fn what_discord_adds_is_no_difference() {
        let ours = registration();
        let mut theirs = ours.clone();
        theirs[0]["id"] = json!("12");
        theirs[0]["nsfw"] = json!(false);
        theirs[0]["options"][0]["options"][0]["required"] = json!(false);
        assert!(same(&theirs, &ours));
        theirs[0]["options"][0]["description"] = json!("another");
        assert!(!same(&theirs, &ours));
        assert!(!same(&json!([]), &ours));
    }
}
