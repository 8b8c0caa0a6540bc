//! Who people are and which groups they are in, kept for a while. Only ids are ever decided on; a name is for reading.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::api::Api;
use super::errors::CallError;
use super::events::is_id;
use crate::chat::clean;

/// Names hardly ever change.
const NAME_FOR: Duration = Duration::from_secs(3600);
/// When a name could not be had, it is asked for again after this.
const NO_NAME_FOR: Duration = Duration::from_secs(60);
/// Who leaves a group must soon lose what the group may do.
const GROUPS_FOR: Duration = Duration::from_secs(60);
/// People remembered by name.
const MOST_NAMES: usize = 2000;
/// Groups whose people are asked for one by one, where the list does not have them.
const MOST_GROUPS: usize = 50;

/// The groups of each person.
type Groups = HashMap<String, Vec<String>>;

/// What is remembered.
#[derive(Debug, Default)]
pub(super) struct People {
    names: Mutex<HashMap<String, (String, Instant)>>,
    groups: tokio::sync::Mutex<Option<(Instant, Groups)>>,
}

impl People {
    /// The name if it is known, or else the id.
    pub fn known_name(&self, user: &str) -> String {
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.get(user).map_or_else(|| user.to_owned(), |(name, _)| name.clone())
    }

    /// The name that the person chose to be shown by, or the id.
    pub async fn name(&self, api: &Api, user: &str) -> String {
        let now = Instant::now();
        {
            let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((name, until)) = names.get(user)
                && *until > now
            {
                return name.clone();
            }
        }
        let (name, keep) = match api.get("users.info", &[("user", user)]).await {
            Ok(answer) => (name_in(&answer).unwrap_or_else(|| user.to_owned()), NAME_FOR),
            Err(error) => {
                tracing::debug!(user, error = error.words(), "Slack does not tell a name; the id has to do.");
                // An older name is better than none.
                (self.known_name(user), NO_NAME_FOR)
            }
        };
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if names.len() >= MOST_NAMES {
            names.clear();
        }
        names.insert(user.to_owned(), (name.clone(), now + keep));
        name
    }

    /// The ids of the groups that the person is in; `None` when Slack does not say.
    pub async fn groups(&self, api: &Api, user: &str) -> Option<Vec<String>> {
        let mut kept = self.groups.lock().await;
        let now = Instant::now();
        let fresh = kept.as_ref().is_some_and(|(at, _)| now.saturating_duration_since(*at) < GROUPS_FOR);
        if !fresh {
            let groups = match all_groups(api).await {
                Ok(groups) => groups,
                // Optional: without the scope nobody is in any group, nor stays in one from before it was taken away.
                Err(error) if error.is("missing_scope") => Groups::new(),
                Err(error) => {
                    tracing::warn!(error = error.words(), "Slack does not tell who is in which group.");
                    // Not kept: the next one who asks tries again.
                    return None;
                }
            };
            *kept = Some((now, groups));
        }
        let (_, groups) = kept.as_ref()?;
        Some(groups.get(user).cloned().unwrap_or_default())
    }
}

fn name_in(answer: &Value) -> Option<String> {
    let at = ["/user/profile/display_name", "/user/real_name", "/user/profile/real_name", "/user/name"];
    let mut names = at.iter().filter_map(|at| answer.pointer(at).and_then(Value::as_str));
    let name = names.find(|name| !name.trim().is_empty())?;
    Some(clean::shortened(&clean::line(name), 80))
}

async fn all_groups(api: &Api) -> Result<Groups, CallError> {
    let answer = api.get("usergroups.list", &[("include_users", "true")]).await?;
    let mut of = Groups::new();
    let (mut asked, mut left_out) = (0, 0);
    for group in answer.get("usergroups").and_then(Value::as_array).into_iter().flatten() {
        let Some(id) = group.get("id").and_then(Value::as_str).filter(|id| is_id(id, &['S'])) else { continue };
        let users = match group.get("users") {
            Some(users) => users.clone(),
            None if asked == MOST_GROUPS => {
                left_out += 1;
                continue;
            }
            None => {
                asked += 1;
                api.get("usergroups.users.list", &[("usergroup", id)]).await?.get("users").cloned().unwrap_or_default()
            }
        };
        for user in users.as_array().into_iter().flatten().filter_map(Value::as_str) {
            of.entry(user.to_owned()).or_default().push(format!("slack-group:{id}"));
        }
    }
    if left_out > 0 {
        tracing::warn!(left_out, "Slack has more groups than are asked for one by one; nobody is seen in the others.");
    }
    Ok(of)
}
