//! Files by Slack's external upload: an address, the bytes, and the word that they are there.
//!
//! Without a channel the file belongs to the bot alone; a message of the bot that shows it lets its readers see it.

use serde_json::{Value, json};

use super::api::Api;
use super::errors::CallError;
use crate::chat::{File, clean};

/// Where a file is shared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Share {
    pub channel: String,
    pub thread_ts: Option<String>,
}

/// Uploads; the answer is Slack's id of the file. Slack looks at a file a moment longer after that: a message that
/// shows it may be refused meanwhile.
pub(super) async fn upload(api: &Api, file: &File, share: Option<&Share>) -> Result<String, CallError> {
    let name = safe_name(&file.name);
    let length = file.bytes.len().to_string();
    let answer = api.get("files.getUploadURLExternal", &[("filename", &name), ("length", &length)]).await?;
    let part = |at: &str| answer.get(at).and_then(Value::as_str).map(str::to_owned);
    let (Some(url), Some(id)) = (part("upload_url"), part("file_id")) else {
        return Err(CallError::Broken("files.getUploadURLExternal: no address in the answer".to_owned()));
    };
    api.upload(&url, file.bytes.clone()).await?;
    let title = clean::shortened(&clean::line(&file.title), 200);
    let mut body = json!({"files": [{"id": id, "title": if title.is_empty() { name } else { title }}]});
    if let (Some(share), Some(map)) = (share, body.as_object_mut()) {
        map.insert("channel_id".to_owned(), share.channel.clone().into());
        if let Some(ts) = &share.thread_ts {
            map.insert("thread_ts".to_owned(), ts.clone().into());
        }
    }
    api.post("files.completeUploadExternal", &body).await?;
    Ok(id)
}

/// Letters, digits and a few signs; the name may come from a service's name.
fn safe_name(name: &str) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_') { c } else { '-' };
    let name: String = name.chars().take(100).map(safe).collect();
    if name.trim_matches(['.', '-']).is_empty() { "file.txt".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::safe_name;

    #[test]
    fn a_name_is_made_safe() {
        assert_eq!(safe_name("audit.csv"), "audit.csv");
        assert_eq!(safe_name("../a b\n.csv"), "..-a-b-.csv");
        assert_eq!(safe_name(""), "file.txt");
    }
}
