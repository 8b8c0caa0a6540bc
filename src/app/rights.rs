//! Who may do what, as people ask about it: `whoami`, `can`, and which commands `help` lists. Decides nothing: the engine
//! asks the same rules again when something is to be done.

use super::Shared;
use super::commands::Asked;
use crate::chat::command::{CommandHelp, Who};
use crate::chat::{Block, Card, pages};
use crate::config::ServiceConfig;
use crate::decide::{self, Deed};
use crate::engine::Standing as _;
use crate::incident::Refusal;
use crate::model::{Action, ActionKind, Facet, Person, PlannedAction, ServiceId, TargetId, VERBS};

/// Commands that everybody may give: the kill switch, and what only looks.
const FOR_ALL: [&str; 2] = ["stop", "chaos stop"];

/// May they give this command for some service?
pub(super) fn may_give(shared: &Shared, by: &Person, help: &CommandHelp) -> bool {
    if !help.changes || FOR_ALL.contains(&help.verb) {
        return true;
    }
    if ["accept", "enable"].contains(&help.verb) {
        return is_admin(shared, by);
    }
    let verb = verb_of(help.verb);
    shared.config().services.iter().any(|s| may(shared, by, s, verb, None))
}

/// The verb as rules name it: `chaos` of `chaos run`.
fn verb_of(verb: &str) -> &str {
    verb.split(' ').next().unwrap_or(verb)
}

pub(super) fn is_admin(shared: &Shared, by: &Person) -> bool {
    let groups = shared.people.groups(&by.id);
    std::iter::once(&by.id).chain(&groups).any(|id| decide::matches_any(&shared.config().plugins.admins, id))
}

/// May they do this for the service, or to some target of it, when it is about an action?
fn may(shared: &Shared, by: &Person, service: &ServiceConfig, verb: &str, kind: Option<ActionKind>) -> bool {
    let allowed = |actions: &[PlannedAction]| shared.engine.may(&service.name, by, Deed { verb, actions }).is_ok();
    match kind {
        Some(kind) => service.targets.iter().any(|target| allowed(&[example(kind, target)])),
        None => allowed(&[]) || ActionKind::ALL.iter().any(|kind| may(shared, by, service, verb, Some(*kind))),
    }
}

/// An action of this kind on this target, to ask the rules with.
fn example(kind: ActionKind, target: &TargetId) -> PlannedAction {
    let target = target.clone();
    let action = match kind {
        ActionKind::Scale => Action::Scale { target, to: 0 },
        ActionKind::Restart => Action::Restart { target, instance: String::new() },
        ActionKind::Traffic => Action::Shift { target, weights: std::collections::BTreeMap::new() },
        ActionKind::Isolate => Action::Isolate { target, instance: String::new(), isolated: true },
        ActionKind::Cache => Action::Cache { target, ttl_ms: 0 },
        ActionKind::Configure => Action::Configure { target, setting: String::new(), value: String::new() },
        ActionKind::Flush => Action::Flush { target, prefix: String::new() },
    };
    PlannedAction::new(action, Facet::Replicas(0))
}

/// Who Suture takes somebody for, and what they may do.
pub(super) fn whoami(shared: &Shared, by: &Person) -> Card {
    let mut blocks = vec![Block::Field("You are".to_owned(), by.to_string())];
    let groups = shared.people.groups(&by.id);
    if !groups.is_empty() {
        blocks.push(Block::Field("In".to_owned(), groups.join(", ")));
    }
    for service in &shared.config().services {
        blocks.push(Block::Field(service.name.to_string(), rights_in_words(shared, by, service)));
    }
    if is_admin(shared, by) {
        let words = "may accept changed components and enable disabled ones".to_owned();
        blocks.push(Block::Field("Components".to_owned(), words));
    }
    pages::answer("whoami", blocks)
}

fn rights_in_words(shared: &Shared, by: &Person, service: &ServiceConfig) -> String {
    let all = VERBS.iter().all(|verb| shared.engine.may(&service.name, by, Deed { verb, actions: &[] }).is_ok());
    let every = ActionKind::ALL.iter().filter(|kind| may(shared, by, service, "approve", Some(**kind)));
    let kinds: Vec<_> = every.map(ToString::to_string).collect();
    if all && (kinds.len() == ActionKind::ALL.len() || service.targets.is_empty()) {
        return "may approve, roll back, change the mode: everything".to_owned();
    }
    let mut parts = Vec::new();
    if !kinds.is_empty() {
        parts.push(format!("may approve {}", kinds.join(", ")));
    }
    let others: Vec<_> =
        VERBS.iter().filter(|verb| **verb != "approve" && may(shared, by, service, verb, None)).copied().collect();
    if !others.is_empty() {
        parts.push(format!("may {}", others.join(", ")));
    }
    if parts.is_empty() { "may look, and stop everything".to_owned() } else { parts.join("; ") }
}

/// `can @anna restart shop`.
pub(super) fn can(shared: &Shared, asked: &Asked, who: &Who, what: &str, service: &ServiceId) -> Result<Card, String> {
    let config = shared.config();
    let known = config.service(service).ok_or_else(|| Refusal::NoService(service.clone()).to_string())?;
    let person = match who {
        Who::Me => asked.by.clone(),
        Who::Id(id) => Person::new(id.clone(), id.clone()),
        Who::Mention(id) => {
            let platform = asked.platform.as_ref().ok_or("a mention is known on its platform only: write the id")?;
            let id = format!("{platform}:{id}");
            Person::new(id.clone(), id)
        }
    };
    let kind = ActionKind::ALL.into_iter().find(|kind| kind.to_string() == what);
    let verb = if kind.is_some() { "approve" } else { verb_of(what) };
    let always = FOR_ALL.contains(&what) || (!VERBS.contains(&verb) && kind.is_none());
    let yes = match what {
        "accept" | "enable" => is_admin(shared, &person),
        _ => always || may(shared, &person, known, verb, kind),
    };
    let deed = kind.map_or_else(|| what.to_owned(), |kind| format!("approve {kind}"));
    let mut blocks = vec![Block::Text(format!(
        "{}: {} may{} {deed} on {service}.",
        if yes { "Yes" } else { "No" },
        person.id,
        if yes { "" } else { " not" }
    ))];
    if !yes {
        let target = known.targets.first();
        let action = kind.zip(target).map(|(kind, target)| (kind, target.clone()));
        let missing = Box::new(decide::Missing { verb: verb.to_owned(), action });
        let refusal =
            Refusal::NotAllowed { who: person.id.clone(), id: person.id.clone(), service: service.clone(), missing };
        blocks.push(Block::Text(refusal.to_string()));
    }
    if person.id != asked.by.id && shared.people.groups(&person.id).is_empty() {
        let words = "Groups and roles count as last heard of; nothing was heard of this person's yet.";
        blocks.push(Block::Text(words.to_owned()));
    }
    Ok(pages::answer(&format!("can · {}", person.id), blocks))
}
