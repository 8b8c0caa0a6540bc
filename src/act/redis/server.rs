//! One Redis server: what it is, and the settings of it.
//!
//! Called by the actuator.

use std::collections::BTreeMap;

use ::redis::{ErrorKind, RedisError, ServerErrorKind, cmd};

use super::fault::{of_change, of_look};
use super::info::Info;
use super::knobs;
use super::link::{Link, Linker};
use super::ttl;
use crate::act::ActError;
use crate::act::said::said;
use crate::model::{Action, ActionKind, Facet, Instance, TargetState};

/// The only instance that a server has.
const INSTANCE: &str = "redis";

/// Looks at everything that the state of a target says.
pub(super) async fn observe(linker: &Linker) -> Result<TargetState, ActError> {
    let settings = linker.settings();
    let mut link = linker.link().await?;
    link.ask::<()>(&cmd("PING")).await.map_err(|e| of_look(&settings.name, &e))?;
    let info = read_info(linker, &mut link).await?;
    let mut notes = info.notes();
    let knobs = match read_knobs(&mut link).await {
        Ok(knobs) => knobs,
        Err(e) if is_refusal(&e) => {
            notes.push(format!("its settings cannot be read, and so not be changed: {}", said(&e.to_string())));
            BTreeMap::new()
        }
        Err(e) => return Err(of_look(&settings.name, &e)),
    };
    let steers = !info.is_replica();
    let cache_ttl_ms = match &settings.ttl_key {
        Some(key) if steers => match ttl::read(linker, &mut link, key).await? {
            ttl::Found::Lifetime { ms, .. } => Some(ms),
            ttl::Found::Strange(why) => {
                notes.push(why);
                None
            }
        },
        _ => None,
    };
    Ok(TargetState {
        replicas: 1,
        min_replicas: 1,
        max_replicas: 1,
        instances: vec![Instance { name: INSTANCE.to_owned(), up: true, isolated: false, weight: 100, generation: 0 }],
        cache_ttl_ms,
        can: [ActionKind::Cache, ActionKind::Configure, ActionKind::Flush].into(),
        settings: knobs,
        stores_entries: steers && !info.is_in_cluster(),
        notes,
        ..TargetState::default()
    })
}

/// `CONFIG SET`, if the setting still is what it was.
pub(super) async fn configure(
    linker: &Linker,
    action: &Action,
    setting: &str,
    value: &str,
    before: &Facet,
) -> Result<String, ActError> {
    let (target, subject) = (&linker.settings().name, action.subject());
    if !knobs::is_known(setting) {
        return Err(ActError::Unsupported(format!(
            "`{}` of {target} cannot be changed here; these can: {}",
            said(setting),
            knobs::names()
        )));
    }
    let mut link = linker.link().await?;
    let info = read_info(linker, &mut link).await?;
    let now = read_knob(linker, &mut link, setting).await?;
    if now == value {
        return Ok(format!("{setting} is {value} already"));
    }
    if *before != Facet::Setting(now.clone()) {
        let found = Facet::Setting(now).to_string();
        return Err(ActError::Conflict { subject, expected: before.to_string(), found });
    }
    knobs::check(setting, value, &info).map_err(ActError::Unsupported)?;
    let set = cmd("CONFIG").arg("SET").arg(setting).arg(value).to_owned();
    link.ask::<()>(&set).await.map_err(|e| of_change(target, &subject, &e))?;
    let unverified = |why: String| ActError::OutcomeUnknown(subject.clone(), why);
    match read_knob(linker, &mut link, setting).await {
        Ok(now) if now == value => {
            Ok(format!("{setting} is {value}, was {before} (until it restarts: `CONFIG REWRITE` would make it stay)"))
        }
        Ok(now) => Err(unverified(format!("Redis took it, but it is {} now", said(&now)))),
        Err(e) => Err(unverified(format!("Redis took it, and then: {e}"))),
    }
}

pub(super) async fn read_info(linker: &Linker, link: &mut Link) -> Result<Info, ActError> {
    let text: String = link.ask(&cmd("INFO")).await.map_err(|e| of_look(&linker.settings().name, &e))?;
    Ok(Info::of(&text))
}

async fn read_knobs(link: &mut Link) -> Result<BTreeMap<String, String>, RedisError> {
    let mut found = BTreeMap::new();
    for pattern in knobs::PATTERNS {
        let some: BTreeMap<String, String> = link.ask(cmd("CONFIG").arg("GET").arg(pattern)).await?;
        found.extend(some.into_iter().filter(|(name, _)| knobs::is_known(name)));
    }
    Ok(found)
}

async fn read_knob(linker: &Linker, link: &mut Link, setting: &str) -> Result<String, ActError> {
    let target = &linker.settings().name;
    let found: BTreeMap<String, String> =
        link.ask(cmd("CONFIG").arg("GET").arg(setting)).await.map_err(|e| of_look(target, &e))?;
    found
        .get(setting)
        .cloned()
        .ok_or_else(|| ActError::Unsupported(format!("{target} has no setting `{setting}`: it is too old for it")))
}

/// The server understood and said no.
fn is_refusal(error: &RedisError) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Server(ServerErrorKind::NoPerm | ServerErrorKind::ResponseError) | ErrorKind::Extension
    )
}
