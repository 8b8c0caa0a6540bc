//! Who is a member of the guild. What is said to the bot alone comes without it, and anybody who shares some other guild
//! with the bot can say something to it there.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use serenity::http::Route;
use tokio::time::Instant;

use super::rest::{Failed, code};
use super::{Bot, nonzero};

/// Who leaves must soon lose what they may do, and who joins must not wait for long.
const MEMBER_FOR: Duration = Duration::from_secs(60);
/// People remembered.
const MOST_MEMBERS: usize = 2000;

/// Each person's roles and since when they are known; `None` for one who is no member.
type Known = HashMap<u64, (Instant, Option<Vec<String>>)>;

/// Who was found to be a member or not, for a while.
#[derive(Debug, Default)]
pub(super) struct Members(Mutex<Known>);

impl Members {
    fn get(&self, user: u64, now: Instant) -> Option<Option<Vec<String>>> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, roles) = known.get(&user)?;
        (now.saturating_duration_since(*at) < MEMBER_FOR).then(|| roles.clone())
    }

    fn put(&self, user: u64, now: Instant, roles: Option<Vec<String>>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST_MEMBERS {
            known.clear();
        }
        known.insert(user, (now, roles));
    }
}

impl Bot {
    /// The roles that somebody has in the guild now; `None` for one who is no member.
    pub async fn roles(&self, user: u64) -> Result<Option<Vec<String>>, Failed> {
        let guild_id = nonzero(self.options.guild).into();
        match self.rest.get(Route::GuildMember { guild_id, user_id: nonzero(user).into() }).await {
            Ok(member) => match member.get("roles").and_then(Value::as_array) {
                Some(roles) => {
                    Ok(Some(roles.iter().filter_map(Value::as_str).map(|r| format!("discord-role:{r}")).collect()))
                }
                None => Err(Failed::Lost("a member without roles".to_owned())),
            },
            Err(failed) if failed.code() == code::MEMBER => Ok(None),
            Err(failed) => Err(failed),
        }
    }

    /// The same, as it was found within the last minute.
    pub async fn recent_roles(&self, user: u64) -> Result<Option<Vec<String>>, Failed> {
        if let Some(known) = self.members.get(user, Instant::now()) {
            return Ok(known);
        }
        let roles = self.roles(user).await?;
        self.members.put(user, Instant::now(), roles.clone());
        Ok(roles)
    }
}
