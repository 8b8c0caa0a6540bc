//! Proves what the config says, each thing by asking Slack, and says what to mend.

use serde_json::Value;

use super::{Inner, http};
use crate::chat::Proof;

/// What the bot needs.
const NEEDED: [(&str, &str); 4] = [
    ("chat:write", "to post and edit cards"),
    ("commands", "for /suture"),
    ("app_mentions:read", "to hear mentions, which is how one commands in threads"),
    ("im:history", "to hear direct messages"),
];
/// What it can do without.
const OPTIONAL: [(&str, &str); 3] = [
    ("files:write", "pictures, audit files and what does not fit into a card are left out"),
    ("usergroups:read", "nobody is in any group, so that grants to slack-group:.. do not count"),
    ("users:read", "people are shown by their ids"),
];

/// All proofs.
pub(super) async fn check(slack: &Inner) -> Vec<Proof> {
    let mut proofs = Vec::new();
    match slack.api.who_and_scopes(&slack.bot_token).await {
        Ok((who, scopes)) => {
            let part = |name: &str| who.get(name).and_then(Value::as_str).unwrap_or("?").to_owned();
            proofs.push(proof("bot token", Ok(format!("{} in {}", part("user"), part("team")))));
            proofs.extend(scope_proofs(scopes.as_deref()));
            proofs.push(proof("channel", channel(slack, &part("user_id")).await));
        }
        Err(error) => proofs.push(proof("bot token", Err(error.words()))),
    }
    match &slack.http {
        Some(mode) => {
            let bound = http::bind(mode.listen).await;
            proofs.push(proof("http.listen", bound.map(|_| format!("{} is free", mode.listen)).map_err(|e| e.why)));
        }
        None => {
            let opened = slack.api.try_app_token().await;
            let found = opened.map(|()| "opens a connection".to_owned()).map_err(|e| e.words());
            proofs.push(proof("app token", found));
        }
    }
    proofs
}

fn proof(what: &str, found: Result<String, String>) -> Proof {
    Proof { what: format!("slack: {what}"), found }
}

/// A proof for each scope, so that each missing one can be named with its reason.
fn scope_proofs(scopes: Option<&[String]>) -> Vec<Proof> {
    let Some(scopes) = scopes else {
        return vec![proof("scopes", Err("Slack did not say which scopes the token has".to_owned()))];
    };
    let has = |scope: &str| scopes.iter().any(|s| s == scope);
    let where_ = "add it under OAuth & Permissions, Bot Token Scopes, and install the app again";
    let needed = NEEDED.iter().map(|(scope, why)| {
        let found = if has(scope) { Ok((*why).to_owned()) } else { Err(format!("missing, {why}: {where_}")) };
        proof(&format!("scope {scope}"), found)
    });
    let optional = OPTIONAL.iter().map(|(scope, without)| {
        let found = if has(scope) { "there".to_owned() } else { format!("not there (optional): {without}") };
        proof(&format!("scope {scope}"), Ok(found))
    });
    needed.chain(optional).collect()
}

/// Is the bot in the channel? To be told so takes a scope that is not asked for; without it, the question is put by
/// what a card would need.
async fn channel(slack: &Inner, me: &str) -> Result<String, String> {
    let channel = &slack.channel;
    match slack.api.get("conversations.info", &[("channel", channel)]).await {
        Ok(answer) => {
            let name = answer.pointer("/channel/name").and_then(Value::as_str).unwrap_or(channel).to_owned();
            let flag = |at: &str| answer.pointer(at).and_then(Value::as_bool);
            if flag("/channel/is_archived") == Some(true) {
                return Err(format!("{name} is archived: unarchive it or name another"));
            }
            match flag("/channel/is_member") {
                Some(false) => Err(format!("the bot is not in {name}: `/invite @suture` there")),
                _ => Ok(format!("the bot is in {name}")),
            }
        }
        Err(error) if error.is("missing_scope") => member_without_scope(slack, me).await,
        Err(error) => Err(error.words()),
    }
}

/// A message for the bot's own eyes is seen by nobody, and refused where a card would be.
async fn member_without_scope(slack: &Inner, me: &str) -> Result<String, String> {
    let body = serde_json::json!({"channel": slack.channel, "user": me, "text": "suture check"});
    match slack.api.post("chat.postEphemeral", &body).await {
        Ok(_) => Ok("the bot may post there".to_owned()),
        Err(error) if error.is("user_not_in_channel") => {
            Err("the bot is not in the channel; `/invite @suture` there".to_owned())
        }
        Err(error) if ["not_in_channel", "channel_not_found", "is_archived"].iter().any(|code| error.is(code)) => {
            Err(error.words())
        }
        Err(error) => {
            Ok(format!("could not be looked at without channels:read ({}); the first card will tell", error.words()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_missing_scope_is_named() {
        let have = ["chat:write", "commands", "im:history", "users:read"].map(str::to_owned);
        let proofs = scope_proofs(Some(&have));
        let missing: Vec<_> = proofs.iter().filter(|p| p.found.is_err()).map(|p| p.what.as_str()).collect();
        assert_eq!(missing, ["slack: scope app_mentions:read"]);
        assert_eq!(proofs.len(), NEEDED.len() + OPTIONAL.len());
        assert!(scope_proofs(None)[0].found.is_err());
    }
}
