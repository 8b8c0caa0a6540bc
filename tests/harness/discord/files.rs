//! Bodies with files (page "Reference", Uploading Files): `payload_json`, `files[n]`, and `attachments`.

use axum::body::Bytes;
use axum::extract::{FromRequest, Multipart, Request};
use serde_json::Value;

use super::check::text_of;
use super::error::{Form, Refusal, at};
use super::message::Attachment;
use super::world::State;

/// Largest file a bot may send where nobody paid for more.
pub const LARGEST_FILE: usize = 10 * 1024 * 1024;

/// A file as it came.
#[derive(Clone, Debug)]
pub struct Upload {
    pub n: String,
    pub name: String,
    pub content_type: String,
    pub bytes: Bytes,
}

/// The JSON and the files of a request.
pub async fn read(request: Request) -> Result<(Value, Vec<Upload>), Refusal> {
    let of = request.headers().get("content-type").and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
    if of.starts_with("multipart/form-data") {
        let form = Multipart::from_request(request, &()).await.map_err(|_| Refusal::not_json())?;
        return parts(form).await;
    }
    let bytes = axum::body::to_bytes(request.into_body(), 32 * LARGEST_FILE).await.map_err(|_| Refusal::too_large())?;
    if bytes.is_empty() {
        return Ok((Value::Null, Vec::new()));
    }
    if !of.starts_with("application/json") {
        let message = "Expected \"Content-Type\" header to be one of {'application/json'}.";
        return Err(Refusal { message: message.to_owned(), code: 50035, ..Refusal::not_json() });
    }
    Ok((serde_json::from_slice(&bytes).map_err(|_| Refusal::not_json())?, Vec::new()))
}

async fn parts(mut form: Multipart) -> Result<(Value, Vec<Upload>), Refusal> {
    let (mut body, mut files) = (Value::Null, Vec::new());
    while let Some(field) = form.next_field().await.map_err(|_| Refusal::not_json())? {
        let name = field.name().unwrap_or_default().to_owned();
        let file_name = field.file_name().map(ToOwned::to_owned);
        let content_type = field.content_type().unwrap_or("application/octet-stream").to_owned();
        let bytes = field.bytes().await.map_err(|_| Refusal::too_large())?;
        if name == "payload_json" {
            body = serde_json::from_slice(&bytes).map_err(|_| Refusal::not_json())?;
        } else if let Some(n) = name.strip_prefix("files[").and_then(|n| n.strip_suffix(']')) {
            files.push(Upload { n: n.to_owned(), name: file_name.unwrap_or_default(), content_type, bytes });
        }
    }
    Ok((body, files))
}

/// The attachments a message will have: those `attachments` keeps of `before`, and the files that came.
/// Without `attachments` all of `before` stay (page "Message", Edit Message).
pub fn attachments(
    state: &mut State,
    body: &Value,
    path: &str,
    before: &[Attachment],
    files: &[Upload],
) -> Result<Vec<Attachment>, Refusal> {
    let mut form = Form::default();
    let listed = body.get("attachments").filter(|a| !a.is_null());
    let list = form.list(body, path, "attachments");
    let path = at(path, "attachments");
    let mut all = if listed.is_none() { before.to_vec() } else { Vec::new() };
    for (n, entry) in list.iter().enumerate() {
        let id = text_of(&entry["id"]);
        if let Some(kept) = before.iter().find(|a| a.id == id) {
            all.push(kept.clone());
        } else if !files.iter().any(|f| f.n == id) {
            form.fault(
                &at(&at(&path, n), "id"),
                "ATTACHMENT_NOT_FOUND",
                format!("No file was sent for attachment {id}"),
            );
        }
        if let Some(description) = form.text(entry, &at(&path, n), "description") {
            form.at_most(&at(&at(&path, n), "description"), description.chars().count(), 1024);
        }
    }
    form.at_most(&path, all.len() + files.len(), 10);
    form.finish()?;
    for file in files {
        if file.bytes.len() > LARGEST_FILE {
            return Err(Refusal::too_large());
        }
        let entry = list.iter().find(|e| text_of(&e["id"]) == file.n);
        let text = |key: &str| entry.and_then(|e| e[key].as_str()).map(ToOwned::to_owned);
        all.push(Attachment {
            id: state.id(),
            // Blanks do not survive, so an embed that refers to such a name finds nothing.
            name: text("filename").unwrap_or_else(|| file.name.clone()).replace(' ', "_"),
            description: text("description"),
            content_type: file.content_type.clone(),
            bytes: file.bytes.to_vec(),
        });
    }
    Ok(all)
}
