//! Slash commands: what may be registered (page "Application Commands": naming, limits, options, sub commands), and
//! what a person can then type.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::error::{Form, Refusal, at};
use super::world::{Channel, State, User};

const SUB_COMMAND: u64 = 1;
const GROUP: u64 = 2;

/// Letters, digits and `-_'` in any script, no upper case where there is a lower one, 1 to 32 of them.
fn name(form: &mut Form, value: &Value, path: &str) {
    let Some(name) = form.text(value, path, "name") else { return form.required(&at(path, "name")) };
    let path = at(path, "name");
    form.between(&path, name.chars().count(), 1, 32);
    // Devanagari and Thai in whole, since their vowel signs are not letters.
    let script = |c: char| matches!(c, '\u{900}'..='\u{97f}' | '\u{e00}'..='\u{e7f}');
    let may = |c: char| c.is_alphanumeric() || "-_'".contains(c) || script(c);
    if !name.chars().all(may) || name.to_lowercase() != name {
        form.fault(&path, "APPLICATION_COMMAND_INVALID_NAME", "Command name is invalid");
    }
}

fn description(form: &mut Form, value: &Value, path: &str) {
    match form.text(value, path, "description") {
        Some(text) => form.between(&at(path, "description"), text.trim().chars().count(), 1, 100),
        None => form.required(&at(path, "description")),
    }
}

/// A list of commands, as PUT takes it.
pub fn check_all(list: &Value) -> Result<(), Refusal> {
    let mut form = Form::default();
    let Some(list) = list.as_array() else {
        form.fault("", "BASE_TYPE_BAD_TYPE", "Only iterables may be used in a ListType");
        return form.finish();
    };
    let chat = list.iter().filter(|c| kind(c) == 1).count();
    form.at_most("", chat, 100);
    let mut names = HashSet::new();
    for (n, command) in list.iter().enumerate() {
        check(&mut form, command, &n.to_string());
        if !names.insert((kind(command), command["name"].as_str())) {
            let message = "Application command names must be unique";
            form.fault(&n.to_string(), "APPLICATION_COMMANDS_DUPLICATE_NAME", message);
        }
    }
    form.finish()
}

/// One command, as POST takes it.
pub fn check_one(command: &Value) -> Result<(), Refusal> {
    let mut form = Form::default();
    check(&mut form, command, "");
    form.finish()
}

fn kind(command: &Value) -> u64 {
    command.get("type").and_then(Value::as_u64).unwrap_or(1)
}

fn check(form: &mut Form, command: &Value, path: &str) {
    if kind(command) != 1 {
        return form.between(&at(path, "name"), command["name"].as_str().unwrap_or_default().chars().count(), 1, 32);
    }
    name(form, command, path);
    description(form, command, path);
    options(form, command, path, 0);
    let permissions = command.get("default_member_permissions").filter(|p| !p.is_null());
    if permissions.is_some_and(|p| p.as_str().is_none_or(|p| p.parse::<u64>().is_err())) {
        form.fault(&at(path, "default_member_permissions"), "BASE_TYPE_BAD_INT", "Not a set of permissions");
    }
    if size(command) > 8000 {
        form.fault(path, "APPLICATION_COMMAND_TOO_LARGE", "Command exceeds maximum size (8000)");
    }
}

/// Names, descriptions and choices' values of a command and all inside it.
fn size(value: &Value) -> usize {
    let own = ["name", "description", "value"].iter().filter_map(|k| value[*k].as_str()).map(|t| t.chars().count());
    let lists = ["options", "choices"].iter().filter_map(|k| value[*k].as_array()).flatten();
    own.sum::<usize>() + lists.map(size).sum::<usize>()
}

fn options(form: &mut Form, of: &Value, path: &str, depth: u64) {
    let list = form.list(of, path, "options");
    let path = at(path, "options");
    form.at_most(&path, list.len(), 25);
    let mut names = HashSet::new();
    let mut optional = false;
    let nested = |o: &Value| kind(o) <= GROUP;
    if list.iter().any(nested) && !list.iter().all(nested) {
        let message = "Sub-command and sub-command group option types are mutually exclusive to all other types";
        form.fault(&path, "APPLICATION_COMMAND_OPTIONS_TYPE_INVALID", message);
    }
    for (n, option) in list.iter().enumerate() {
        let path = at(&path, n);
        name(form, option, &path);
        description(form, option, &path);
        if !names.insert(option["name"].as_str()) {
            form.fault(
                &at(&path, "name"),
                "APPLICATION_COMMAND_OPTIONS_NAME_ALREADY_EXISTS",
                "Option name already exists",
            );
        }
        let option_kind = option["type"].as_u64().unwrap_or(0);
        form.one_of(&at(&path, "type"), option_kind, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
        // A group only at the top, a sub command at the top or in a group.
        let deepest = if option_kind == GROUP { 0 } else { 1 };
        if option_kind <= GROUP {
            if depth > deepest {
                form.fault(&at(&path, "type"), "APPLICATION_COMMAND_OPTIONS_TYPE_INVALID", "Nested too deep");
            }
            if option_kind == GROUP
                && option["options"].as_array().is_none_or(|o| o.iter().any(|o| kind(o) != SUB_COMMAND))
            {
                form.fault(
                    &at(&path, "options"),
                    "APPLICATION_COMMAND_OPTIONS_TYPE_INVALID",
                    "A group holds sub commands",
                );
            }
            options(form, option, &path, depth + if option_kind == GROUP { 1 } else { 2 });
            continue;
        }
        if option["required"] == true && optional {
            let message = "Required options must be placed before non-required options";
            form.fault(&path, "APPLICATION_COMMAND_OPTIONS_REQUIRED_INVALID", message);
        }
        optional |= option["required"] != true;
        choices(form, option, &path, option_kind);
        for (key, least) in [("min_length", 0), ("max_length", 1)] {
            if option.get(key).and_then(Value::as_u64).is_some_and(|l| l < least || l > 6000) {
                form.fault(&at(&path, key), "NUMBER_TYPE_MAX", format!("Must be between {least} and 6000."));
            }
        }
    }
}

fn choices(form: &mut Form, option: &Value, path: &str, kind: u64) {
    let list = form.list(option, path, "choices");
    if option["autocomplete"] == true {
        if !list.is_empty() {
            let message = "Autocomplete may not be set to true if choices are present";
            form.fault(path, "APPLICATION_COMMAND_OPTION_AUTOCOMPLETE_CHOICES", message);
        }
        form.one_of(&at(path, "type"), kind, &[3, 4, 10]);
    }
    let path = at(path, "choices");
    form.at_most(&path, list.len(), 25);
    for (n, choice) in list.iter().enumerate() {
        let path = at(&path, n);
        let name = form.text(choice, &path, "name").unwrap_or_default();
        form.between(&at(&path, "name"), name.trim().chars().count(), 1, 100);
        match &choice["value"] {
            Value::String(text) if kind == 3 => form.between(&at(&path, "value"), text.chars().count(), 1, 100),
            Value::Number(_) if kind != 3 => {}
            _ => form.fault(&at(&path, "value"), "BASE_TYPE_BAD_TYPE", "The value is not of the option's type"),
        }
    }
}

/// What a person typed, or is typing.
pub struct Typed<'t> {
    pub root: &'t str,
    pub path: &'t [&'t str],
    pub options: &'t [(&'t str, Value)],
    /// The option under the cursor, and what is there so far.
    pub focused: Option<(&'t str, &'t str)>,
}

/// The data of the interaction, when the client would let this user type that here; otherwise what it would say.
pub fn data(state: &State, user: &User, channel: &Channel, typed: &Typed<'_>) -> Result<Value, String> {
    let named = |c: &&Value| kind(c) == 1 && c["name"] == typed.root;
    let in_guild = state.guild_commands.iter().find(named).filter(|_| channel.kind != 1);
    let command = in_guild.or_else(|| state.global_commands.iter().find(named).filter(|c| anywhere(c, channel)));
    let command = command.ok_or(format!("there is no command /{} here", typed.root))?;
    let mine = state.permissions(user);
    if channel.kind != 1 && mine & super::world::bit("USE_APPLICATION_COMMANDS") == 0 {
        return Err(format!("{} may not use commands", user.name));
    }
    let needed = command["default_member_permissions"].as_str().and_then(|p| p.parse::<u64>().ok());
    // Zero stands for administrators only.
    let admin = mine & super::world::bit("ADMINISTRATOR") != 0;
    if let Some(needed) = needed.filter(|_| channel.kind != 1 && !admin)
        && (needed == 0 || mine & needed != needed)
    {
        return Err(format!("/{} is hidden from {}", typed.root, user.name));
    }
    let mut level = command;
    let mut kinds = Vec::new();
    for part in typed.path {
        let found = level["options"].as_array().into_iter().flatten().find(|o| o["name"] == *part && kind(o) <= GROUP);
        level = found.ok_or(format!("/{} has no {}", typed.root, typed.path.join(" ")))?;
        kinds.push(kind(level));
    }
    let registered = level["options"].as_array().map_or(&[][..], Vec::as_slice);
    if registered.iter().any(|o| kind(o) <= GROUP) {
        return Err(format!("/{} {} needs a sub command", typed.root, typed.path.join(" ")));
    }
    let mut resolved = json!({});
    let mut inner = given(state, registered, typed, &mut resolved)?;
    for (part, kind) in typed.path.iter().zip(&kinds).rev() {
        inner = vec![json!({"name": part, "type": kind, "options": inner})];
    }
    let mut data = json!({"id": command["id"], "name": typed.root, "type": 1});
    if !inner.is_empty() {
        data["options"] = json!(inner);
    }
    if command.get("guild_id").is_some() {
        data["guild_id"] = command["guild_id"].clone();
    }
    if resolved.as_object().is_some_and(|r| !r.is_empty()) {
        data["resolved"] = resolved;
    }
    Ok(data)
}

/// Whether a global command can be used in this kind of channel (Interaction Contexts).
fn anywhere(command: &Value, channel: &Channel) -> bool {
    let here = u64::from(channel.kind == 1);
    command["contexts"].as_array().is_none_or(|c| c.iter().any(|c| *c == here))
        && (here == 0 || command["dm_permission"] != false)
}

fn given(state: &State, registered: &[Value], typed: &Typed<'_>, resolved: &mut Value) -> Result<Vec<Value>, String> {
    let mut all = Vec::new();
    for (name, value) in typed.options {
        let option = registered.iter().find(|o| o["name"] == *name).ok_or(format!("there is no option {name}"))?;
        fits(state, option, name, value, resolved)?;
        all.push(json!({"name": name, "type": option["type"], "value": value}));
    }
    if let Some((name, text)) = typed.focused {
        let option = registered.iter().find(|o| o["name"] == name).ok_or(format!("there is no option {name}"))?;
        if option["autocomplete"] != true {
            return Err(format!("{name} does not complete"));
        }
        all.push(json!({"name": name, "type": option["type"], "value": text, "focused": true}));
        // What is not typed yet is not missing.
        return Ok(all);
    }
    let missing = |o: &&Value| o["required"] == true && !typed.options.iter().any(|(n, _)| o["name"] == *n);
    match registered.iter().find(missing) {
        Some(option) => Err(format!("{} is required", option["name"])),
        None => Ok(all),
    }
}

fn fits(state: &State, option: &Value, name: &str, value: &Value, resolved: &mut Value) -> Result<(), String> {
    let kind = option["type"].as_u64().unwrap_or(0);
    let right = match kind {
        3 | 6..=9 => value.is_string(),
        4 => value.is_i64(),
        5 => value.is_boolean(),
        10 => value.is_number(),
        _ => false,
    };
    if !right {
        return Err(format!("{name} does not take {value}"));
    }
    let choices = option["choices"].as_array().map_or(&[][..], Vec::as_slice);
    if !choices.is_empty() && !choices.iter().any(|c| c["value"] == *value) {
        return Err(format!("{name} does not offer {value}"));
    }
    let long = value.as_str().map_or(0, |t| t.chars().count()) as u64;
    let limit = |key: &str| option.get(key).and_then(Value::as_u64);
    if kind == 3 && (limit("min_length").is_some_and(|l| long < l) || long > limit("max_length").unwrap_or(6000)) {
        return Err(format!("{name} is too short or too long"));
    }
    let number = value.as_f64().unwrap_or(0.0);
    let bound = |key: &str| option.get(key).and_then(Value::as_f64);
    if bound("min_value").is_some_and(|l| number < l) || bound("max_value").is_some_and(|m| number > m) {
        return Err(format!("{name} is out of range"));
    }
    let id = value.as_str().unwrap_or_default();
    match kind {
        6 | 9 if state.users.iter().any(|u| u.id == id) => {
            let user = state.user(id);
            resolved["users"][id] = super::render::user(&user);
            let mut member = super::render::partial_member(state, &user);
            member["permissions"] = json!(state.permissions(&user).to_string());
            resolved["members"][id] = member;
        }
        8 | 9 if state.roles.iter().any(|r| r.id == id) => {
            resolved["roles"][id] = super::render::role(state, &state.role(id));
        }
        7 if state.find_channel(id).is_some() => {
            let channel = state.find_channel(id).map(|c| super::render::channel(state, c));
            resolved["channels"][id] = channel.unwrap_or_default();
        }
        6..=9 => return Err(format!("{name}: there is no {id}")),
        _ => {}
    }
    Ok(())
}
