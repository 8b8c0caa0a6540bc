//! Modals: opened with a trigger, sent off by a person (pages "views.open", "Modals", "view_submission payload").

use std::time::Duration;

use serde_json::{Value, json};

use super::args::{Answer, Args, Refusal, refuse, refuse_with};
use super::check::{Check, length};
use super::elements::choices;
use super::state::{APP, BOT_ID, State, TEAM, View};
use super::{blocks, files, transcript};

/// Page "Modals": a trigger expires in three seconds.
const TRIGGER_FOR: Duration = Duration::from_secs(3);
/// Page "views.open": `view_too_large`.
const LARGEST: usize = 250_000;

/// `views.open`.
pub(super) fn open(state: &mut State, args: &Args) -> Answer {
    let trigger = args.required("trigger_id")?;
    let asked = checked(state, args)?;
    let now = state.now();
    let found = state.triggers.get_mut(&trigger).ok_or_else(|| refuse("invalid_trigger_id"))?;
    if found.used {
        return Err(refuse("exchanged_trigger_id"));
    }
    if now.duration_since(found.at) > TRIGGER_FOR {
        return Err(refuse("expired_trigger_id"));
    }
    found.used = true;
    let user = found.user.clone();
    let id = state.id('V');
    state.name(&id, "form");
    let view = whole(state, &id, &asked);
    state.views.push(View { user: user.clone(), view: view.clone(), open: true });
    transcript::opened(state, &user, &view);
    Ok(json!({"ok": true, "view": view}))
}

/// `views.update`, by `view_id`.
pub(super) fn update(state: &mut State, args: &Args) -> Answer {
    let asked = checked(state, args)?;
    let id = args.required("view_id")?;
    let hash = args.text("hash");
    let index = find(state, &id).filter(|index| state.views[*index].open).ok_or_else(|| refuse("not_found"))?;
    if hash.is_some_and(|hash| state.views[index].view["hash"] != hash) {
        return Err(refuse("hash_conflict"));
    }
    replace(state, index, &asked);
    Ok(json!({"ok": true, "view": state.views[index].view}))
}

fn replace(state: &mut State, index: usize, asked: &Value) {
    let id = state.views[index].view["id"].as_str().unwrap_or_default().to_owned();
    let view = whole(state, &id, asked);
    let user = state.views[index].user.clone();
    transcript::opened(state, &user, &view);
    state.views[index].view = view;
}

pub(super) fn find(state: &State, id: &str) -> Option<usize> {
    state.views.iter().position(|view| view.view["id"] == id)
}

fn checked(state: &mut State, args: &Args) -> Result<Value, Refusal> {
    let missing = || refuse_with("invalid_arguments", vec!["missing required field: view [json-pointer:/view]".into()]);
    let view = args.structure("view").ok().flatten().ok_or_else(missing)?;
    examine(state, &view)?;
    Ok(view)
}

fn examine(state: &mut State, view: &Value) -> Result<(), Refusal> {
    if length(&view.to_string()) > LARGEST {
        return Err(refuse("view_too_large"));
    }
    let is_image = |file: &str| files::is_image(state, file);
    let mut check = Check::new(&is_image);
    blocks::modal(&mut check, view);
    let (errors, injected) = (check.errors, check.injected);
    state.rejected.extend(injected);
    if !errors.is_empty() {
        return Err(refuse_with("invalid_arguments", errors));
    }
    let external = view["external_id"].as_str().unwrap_or_default();
    if !external.is_empty() && state.views.iter().any(|other| other.open && other.view["external_id"] == external) {
        return Err(refuse("duplicate_external_id"));
    }
    Ok(())
}

/// The view as Slack gives it back.
fn whole(state: &mut State, id: &str, asked: &Value) -> Value {
    let hash = state.ts();
    let mut view = json!({
        "id": id, "team_id": TEAM, "type": "modal", "private_metadata": "", "callback_id": "",
        "state": {"values": {}}, "hash": hash, "clear_on_close": false, "notify_on_close": false, "close": null,
        "submit": null, "previous_view_id": null, "root_view_id": id, "app_id": APP, "external_id": "",
        "app_installed_team_id": TEAM, "bot_id": BOT_ID,
    });
    for (key, value) in asked.as_object().into_iter().flatten() {
        view[key] = value.clone();
    }
    for (n, block) in view["blocks"].as_array_mut().into_iter().flatten().enumerate() {
        if block.get("block_id").is_none() {
            block["block_id"] = json!(format!("auto{n}"));
        }
        if let Some(element) = block.get_mut("element").filter(|element| element.get("action_id").is_none()) {
            element["action_id"] = json!(format!("auto{n}.0"));
        }
    }
    view
}

/// Fills in a form as a person does, who cannot send off what Slack's own client refuses. `values` are
/// `(block_id/action_id, text)`; for a select the text is the option's value, for checkboxes values with commas.
pub(super) fn filled(view: &Value, values: &[(&str, &str)]) -> Result<Value, String> {
    let mut state = json!({});
    let mut unused: Vec<&str> = values.iter().map(|(place, _)| *place).collect();
    for block in view["blocks"].as_array().into_iter().flatten().filter(|block| block["type"] == "input") {
        let element = &block["element"];
        let (block_id, action_id) = (text(&block["block_id"]), text(&element["action_id"]));
        let place = format!("{block_id}/{action_id}");
        let given = values.iter().find(|(at, _)| *at == place).map(|(_, value)| *value);
        unused.retain(|at| *at != place);
        let value = entered(element, given)?;
        let kind = text(&element["type"]);
        let empty = value.as_object().is_none_or(|value| value.values().all(is_nothing));
        if empty && block["optional"] != true {
            return Err(format!("{place} must be filled in"));
        }
        let mut entry = json!({"type": kind});
        for (key, value) in value.as_object().into_iter().flatten() {
            entry[key] = value.clone();
        }
        state[block_id][action_id] = entry;
    }
    match unused.first() {
        Some(place) => Err(format!("the form has no {place}")),
        None => Ok(json!({"values": state})),
    }
}

fn is_nothing(value: &Value) -> bool {
    value.is_null() || value.as_str() == Some("") || value.as_array().is_some_and(Vec::is_empty)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn entered(element: &Value, given: Option<&str>) -> Result<Value, String> {
    let option = |wanted: &str| {
        let found = element.as_object().and_then(|map| choices(map).find(|option| option["value"] == wanted));
        found.cloned().ok_or_else(|| format!("there is no option {wanted}"))
    };
    match (text(&element["type"]), given) {
        ("static_select" | "radio_buttons", Some(value)) => Ok(json!({"selected_option": option(value)?})),
        ("static_select" | "radio_buttons", None) => Ok(json!({"selected_option": element["initial_option"]})),
        ("checkboxes" | "multi_static_select", Some(values)) => {
            let chosen = values.split(',').filter(|value| !value.is_empty()).map(option);
            Ok(json!({"selected_options": chosen.collect::<Result<Vec<_>, _>>()?}))
        }
        ("checkboxes" | "multi_static_select", None) => {
            Ok(json!({"selected_options": element.get("initial_options").cloned().unwrap_or_else(|| json!([]))}))
        }
        ("users_select", given) => Ok(json!({"selected_user": given})),
        ("channels_select", given) => Ok(json!({"selected_channel": given})),
        ("conversations_select", given) => Ok(json!({"selected_conversation": given})),
        (_, given) => {
            let value = given.or(element["initial_value"].as_str()).filter(|value| !value.is_empty());
            let count = value.map_or(0, length) as u64;
            let (least, most) = (element["min_length"].as_u64(), element["max_length"].as_u64());
            if value.is_some() && (least.is_some_and(|least| count < least) || count > most.unwrap_or(3000)) {
                return Err(format!("{count} characters are too few or too many"));
            }
            Ok(json!({"value": value}))
        }
    }
}

/// What the bot's ack does with the form (page "Modals", "Response actions").
pub(super) fn submitted(state: &mut State, id: &str, answer: Option<&Value>) {
    let Some(index) = find(state, id) else { return };
    let action = answer.and_then(|answer| answer["response_action"].as_str());
    match (action, answer) {
        (Some("errors"), Some(answer)) => {
            let inputs = state.views[index].view["blocks"].as_array().cloned().unwrap_or_default();
            let known = |place: &str| inputs.iter().any(|block| block["type"] == "input" && block["block_id"] == place);
            let errors = answer["errors"].as_object().cloned().unwrap_or_default();
            if errors.is_empty() || !errors.iter().all(|(place, text)| known(place) && text.is_string()) {
                state.reject(format!("ack of a form: errors must name its input blocks: {answer}"));
            }
            transcript::wrong(state, id, &errors);
        }
        (Some("update" | "push"), Some(answer)) => match examine(state, &answer["view"]) {
            Ok(()) => replace(state, index, &answer["view"]),
            Err(refusal) => state.reject(format!("ack of a form: {}: {}", refusal.error, refusal.details.join("; "))),
        },
        (None, Some(answer)) => state.reject(format!("ack of a form: no response_action: {answer}")),
        (Some("clear") | None, _) => state.views[index].open = false,
        (Some(_), _) => state.reject(format!("ack of a form: unknown response_action: {action:?}")),
    }
}
