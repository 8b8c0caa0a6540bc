//! The components as people see them: the page of `playbooks`, and who may decide about them.

use super::Shared;
use super::registry::{Key, Picture};
use crate::chat::Card;
use crate::chat::pages::{self, PlaybookRow};
use crate::incident::{STRIKES_ALLOWED, State};
use crate::model::{Person, Role};

/// Refuses whoever may not decide about components.
///
/// # Errors
/// With the line that would allow it.
pub(super) fn must_be_admin(shared: &Shared, by: &Person, verb: &str) -> Result<(), String> {
    let admins = &shared.config().plugins.admins;
    if super::rights::is_admin(shared, by) {
        return Ok(());
    }
    let listed: Vec<_> =
        admins.iter().map(String::as_str).chain([by.id.as_str()]).map(|id| format!("{id:?}")).collect();
    Err(format!(
        "{} may not {verb} components; to allow it, write into {}\n[plugins]\nadmins = [{}]",
        by.id,
        shared.config().path.display(),
        listed.join(", ")
    ))
}

/// The playbooks with what each may do and how it stands, and the rules that do not stand well.
pub(super) fn page(shared: &Shared, state: &State) -> Card {
    let targets: Vec<_> = shared.config().targets.iter().map(|t| t.id().clone()).collect();
    let (catalog, picture) = (shared.registry.catalog(), shared.registry.picture());
    let mut rows: Vec<_> = catalog
        .playbooks()
        .map(|playbook| {
            let description = playbook.description();
            PlaybookRow {
                name: playbook.name().to_owned(),
                summary: description.summary.clone(),
                may: shared.config().grants.in_words(playbook.name(), &targets, playbook.wants()),
                args: description.params.iter().map(|p| p.name.clone()).collect(),
                digest: playbook.digest().short(),
                standing: standing(state, &picture, &(Role::Playbook, playbook.name().to_owned())),
            }
        })
        .collect();
    for key in picture.without.keys().filter(|(role, _)| *role == Role::Playbook) {
        rows.push(PlaybookRow {
            name: key.1.clone(),
            summary: "is not run".to_owned(),
            standing: standing(state, &picture, key),
            ..PlaybookRow::default()
        });
    }
    let rules = catalog.rules().map(|rule| rule.name().to_owned());
    let without = picture.without.keys().filter(|(role, _)| *role == Role::Rule).map(|(_, name)| name.clone());
    let rules = rules.chain(without).flat_map(|name| {
        let words = standing(state, &picture, &(Role::Rule, name.clone()));
        words.into_iter().map(move |words| format!("rule {name}: {words}"))
    });
    pages::playbooks(&rows, &rules.collect::<Vec<_>>())
}

/// What is out of the ordinary about a component, in words.
fn standing(state: &State, picture: &Picture, key: &Key) -> Vec<String> {
    let (role, name) = (key.0, &key.1);
    let mut words = Vec::new();
    if let Some(why) = picture.without.get(key) {
        words.push(format!("NOT RUN: {why}"));
    } else if let Some(known) = state.components.get(role, name) {
        match (&known.disabled, known.strikes) {
            (Some(why), _) => words.push(format!("DISABLED after faults, the last: {why}; `enable {name}`")),
            (None, 0) => {}
            (None, strikes) => words.push(format!("strike {strikes} of {STRIKES_ALLOWED}")),
        }
    }
    if let Some(held) = picture.held.get(key) {
        let list = |kinds: &[String]| if kinds.is_empty() { "nothing".to_owned() } else { kinds.join(", ") };
        words.push(format!(
            "HELD: {} waits; it wants also: {}; not any more: {}; `accept {name} {}`",
            held.digest.short(),
            list(&held.gains),
            list(&held.loses),
            held.digest.short()
        ));
        if let Some(lines) = &held.lacks {
            words.push(format!("before that, write into the config\n{lines}"));
        }
    }
    words
}
