//! What our user may do, by asking the server to say so without doing it (`ACL DRYRUN`, Redis 7 and later).
//!
//! Called by the actuator for `suture check --live`.

use ::redis::cmd;

use super::link::{Link, Linker};
use crate::act::{ActError, Permission};

pub(super) async fn permissions(linker: &Linker) -> Result<Vec<Permission>, ActError> {
    let settings = linker.settings();
    let mut link = linker.link().await?;
    // Servers without users, or with no right to ask, do not tell.
    let user: Option<String> = link.ask(cmd("ACL").arg("WHOAMI")).await.ok();
    let mut asked: Vec<(&str, Vec<&str>)> = vec![
        ("look", vec!["INFO"]),
        ("look", vec!["CONFIG", "GET", "maxmemory*"]),
        ("configure", vec!["CONFIG", "SET", "maxmemory", "0"]),
    ];
    if let Some(key) = &settings.ttl_key {
        asked.push(("look", vec!["GET", key]));
        asked.push(("cache", vec!["WATCH", key]));
        asked.push(("cache", vec!["MULTI"]));
        asked.push(("cache", vec!["EXEC"]));
        asked.push(("cache", vec!["SET", key, "1", "KEEPTTL"]));
        asked.push(("cache", vec!["DEL", key]));
    }
    asked.push(("flush", vec!["SCAN", "0"]));
    let mut permissions = Vec::new();
    for (what, command) in asked {
        let allowed = allowed(&mut link, user.as_deref(), &command).await.map(|refusal| refusal.is_none());
        permissions.push(Permission { what: what.to_owned(), name: name_of(&command), allowed });
    }
    // Which keys it will be, only the plan knows: a refusal of this one says nothing unless it is of the command.
    let allowed = match allowed(&mut link, user.as_deref(), &["UNLINK", "suture"]).await {
        Some(Some(refusal)) if refusal.contains("command") => Some(false),
        Some(None) => Some(true),
        _ => None,
    };
    permissions.push(Permission {
        what: "flush".to_owned(),
        name: "UNLINK of the keys under the prefix".to_owned(),
        allowed,
    });
    Ok(permissions)
}

/// `CONFIG SET maxmemory`, without the value.
fn name_of(command: &[&str]) -> String {
    command.iter().take(3).copied().filter(|word| *word != "0" && *word != "1").collect::<Vec<_>>().join(" ")
}

/// `None` when the server does not tell, else the refusal, if there is one.
async fn allowed(link: &mut Link, user: Option<&str>, command: &[&str]) -> Option<Option<String>> {
    let told: String = link.ask(cmd("ACL").arg("DRYRUN").arg(user?).arg(command)).await.ok()?;
    Some((told != "OK").then_some(told))
}
