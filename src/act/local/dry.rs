//! A local target that is not running: what can be said of it from its settings, for `suture check`.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;

use super::LocalError;
use super::supervisor::check;
use crate::act::{ActError, Actuator, LocalSettings, Progress};
use crate::model::{Action, Facet, Instance, TargetId, TargetState};

/// The target as it would be right after its start. Acts on nothing.
struct NotRunning(LocalSettings);

/// Proves the settings of a target that is not running, and that its program is there.
///
/// # Errors
/// When the settings make no sense, or the program cannot be found.
pub fn dry_target(settings: &LocalSettings) -> Result<Arc<dyn Actuator>, LocalError> {
    check(settings)?;
    let program = settings.command.first().map(String::as_str).unwrap_or_default();
    if !is_there(program) {
        return Err(LocalError::Settings {
            target: settings.name.to_string(),
            why: format!("the program `{program}` of `command` is not there, or may not be executed"),
        });
    }
    Ok(Arc::new(NotRunning(settings.clone())))
}

/// A path is looked at as it is; a bare name is looked for where a shell would.
fn is_there(program: &str) -> bool {
    if program.contains('/') {
        return is_executable(Path::new(program));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| is_executable(&dir.join(program)))
}

fn is_executable(file: &Path) -> bool {
    file.is_file() && rustix::fs::access(file, rustix::fs::Access::EXEC_OK).is_ok()
}

#[async_trait]
impl Actuator for NotRunning {
    fn kind(&self) -> &'static str {
        "local"
    }

    async fn observe(&self, target: &TargetId) -> Result<TargetState, ActError> {
        let settings = &self.0;
        let instance = |n| Instance {
            name: format!("{}-{n}", target.name()),
            up: false,
            isolated: false,
            weight: 100,
            generation: 0,
        };
        Ok(TargetState {
            replicas: settings.workers,
            min_replicas: settings.min_workers,
            max_replicas: settings.max_workers,
            instances: (1..=settings.workers).map(instance).collect(),
            cache_ttl_ms: settings.cache.as_ref().map(|_| 0),
            ..TargetState::default()
        })
    }

    async fn apply(&self, action: &Action, _: &Facet, _: &str, _: &Progress) -> Result<String, ActError> {
        Err(ActError::Unavailable(action.target().to_string(), "it is not running".to_owned()))
    }
}
