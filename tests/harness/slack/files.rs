//! Uploads in three steps (pages "files.getUploadURLExternal", "files.completeUploadExternal", "Working with files").

use serde_json::{Value, json};

use super::args::{Answer, Args, refuse, refuse_with};
use super::chat::{self, add, blank};
use super::state::{BOT, File, Message, State, Upload};
use super::transcript;

/// First step: an address for one file of this name and length.
pub(super) fn upload_url(state: &mut State, args: &Args) -> Answer {
    let name = args.required("filename")?;
    let length = args.required("length")?;
    let length = length.parse::<usize>().ok().filter(|length| *length > 0).ok_or_else(|| {
        refuse_with("invalid_arguments", vec!["must be an integer above 0 [json-pointer:/length]".to_owned()])
    })?;
    let alt_text = args.text("alt_txt");
    if alt_text.as_ref().is_some_and(|text| text.chars().count() > 1000) {
        return Err(refuse("alt_txt_too_large"));
    }
    let id = state.id('F');
    state.name(&id, "file");
    let file = File {
        id: id.clone(),
        title: name.clone(),
        name,
        alt_text,
        bytes: Vec::new(),
        channel: None,
        thread_ts: None,
        completed: false,
    };
    state.uploads.push(Upload { file, length, uploaded: false, looks_left: 0 });
    Ok(json!({"ok": true, "upload_url": format!("{}/upload/v1/{id}", state.origin), "file_id": id}))
}

/// Second step: the bytes, raw or as the one file of a multipart form.
pub(super) fn receive(state: &mut State, id: &str, kind: &str, body: &[u8]) -> Result<usize, String> {
    let bytes = match kind.split_once("boundary=") {
        Some((kind, boundary)) if kind.starts_with("multipart/form-data") => {
            part(body, boundary.trim_matches('"')).ok_or("no file in the form")?
        }
        _ => body,
    };
    let upload = state.uploads.iter_mut().find(|upload| upload.file.id == id && !upload.file.completed);
    let upload = upload.ok_or("no such upload")?;
    if upload.uploaded {
        return Err("uploaded twice".to_owned());
    }
    if bytes.len() != upload.length {
        return Err(format!("{} bytes came and {} were announced", bytes.len(), upload.length));
    }
    upload.file.bytes = bytes.to_vec();
    upload.uploaded = true;
    Ok(bytes.len())
}

/// The first part that is a file.
fn part<'b>(body: &'b [u8], boundary: &str) -> Option<&'b [u8]> {
    let mark = format!("--{boundary}");
    let mut rest = body;
    while let Some(start) = find(rest, mark.as_bytes()) {
        rest = &rest[start + mark.len()..];
        let head = find(rest, b"\r\n\r\n")?;
        let end = find(rest, format!("\r\n{mark}").as_bytes())?;
        if String::from_utf8_lossy(&rest[..head]).contains("filename=") {
            return rest.get(head + 4..end);
        }
        rest = &rest[end..];
    }
    None
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

/// Third step: the files become real, and are shared if a channel is named.
pub(super) fn complete(state: &mut State, args: &Args) -> Answer {
    let wanted = args.structure("files").ok().flatten();
    let wanted = wanted.and_then(|files| files.as_array().cloned()).filter(|files| !files.is_empty());
    let missing =
        || refuse_with("invalid_arguments", vec!["missing required field: files [json-pointer:/files]".into()]);
    let wanted = wanted.ok_or_else(missing)?;
    let mut indices = Vec::new();
    for file in &wanted {
        let ready = |upload: &Upload| file["id"] == upload.file.id && upload.uploaded && !upload.file.completed;
        indices.push(state.uploads.iter().position(ready).ok_or_else(|| refuse("file_not_found"))?);
    }
    let key = if args.text("channel_id").is_some() { "channel_id" } else { "channels" };
    let channel = match args.text(key) {
        Some(_) => Some(chat::channel(state, args, key, false)?),
        None => None,
    };
    let thread_ts = match &channel {
        Some(channel) => chat::thread(state, args, channel)?,
        None => None,
    };
    // Page "files.completeUploadExternal": the comment is the text of the message that shares the files.
    let mut said = args.clone();
    if let Some(comment) = said.0.remove("initial_comment") {
        said.0.remove("blocks");
        said.0.insert("text".to_owned(), comment);
    }
    let content = chat::content(state, &said, 40_000, true)?;
    let looks_left = state.weather.slow_files;
    for (index, file) in indices.iter().zip(&wanted) {
        let upload = &mut state.uploads[*index];
        upload.file.completed = true;
        upload.looks_left = looks_left;
        upload.file.channel.clone_from(&channel);
        upload.file.thread_ts.clone_from(&thread_ts);
        if let Some(title) = file["title"].as_str() {
            upload.file.title = title.to_owned();
        }
    }
    let shown: Vec<Value> = indices.iter().map(|index| describe(state, &state.uploads[*index])).collect();
    let ids: Vec<String> = indices.iter().map(|index| state.uploads[*index].file.id.clone()).collect();
    match channel {
        Some(channel) => {
            let text = content.text.unwrap_or_default();
            let blocks = content.blocks.unwrap_or_else(|| json!([]));
            add(state, Message { text, blocks, thread_ts, files: ids, ..blank(&channel, BOT) });
        }
        None => transcript::uploaded(state, &ids),
    }
    Ok(json!({"ok": true, "files": shown}))
}

/// `files.info`; with slow files it is also what gets them on.
pub(super) fn info(state: &mut State, args: &Args) -> Answer {
    let id = args.required("file")?;
    let found = state.uploads.iter_mut().find(|upload| upload.file.id == id && upload.file.completed);
    let upload = found.ok_or_else(|| refuse("file_not_found"))?;
    upload.looks_left = upload.looks_left.saturating_sub(1);
    let index = state.uploads.iter().position(|upload| upload.file.id == id).unwrap_or_default();
    Ok(json!({"ok": true, "file": describe(state, &state.uploads[index])}))
}

/// A file object. As long as it is processed Slack knows neither its kind nor its type.
pub(super) fn describe(state: &State, upload: &Upload) -> Value {
    let file = &upload.file;
    let (mime, kind) = if upload.looks_left > 0 { ("", "") } else { sort(&file.bytes) };
    let url = address(file);
    json!({
        "id": file.id, "created": state.seconds(), "timestamp": state.seconds(), "name": file.name,
        "title": file.title, "mimetype": mime, "filetype": kind, "pretty_type": kind.to_uppercase(), "user": BOT,
        "size": file.bytes.len(), "is_external": false, "is_public": false, "public_url_shared": false,
        "url_private": url, "url_private_download": url, "permalink": url, "alt_txt": file.alt_text,
    })
}

fn address(file: &File) -> String {
    let name: String = file.name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '_' }).collect();
    format!("https://files.slack.com/files-pri/T0FAKE0001-{}/{}", file.id, name.to_lowercase())
}

fn sort(bytes: &[u8]) -> (&'static str, &'static str) {
    match bytes {
        [0x89, b'P', b'N', b'G', ..] => ("image/png", "png"),
        [0xFF, 0xD8, 0xFF, ..] => ("image/jpeg", "jpg"),
        [b'G', b'I', b'F', b'8', ..] => ("image/gif", "gif"),
        _ => ("text/plain", "text"),
    }
}

/// May an image block show it? Page "Slack file object": png, jpg, jpeg and gif, by id or by `url_private`.
pub(super) fn is_image(state: &State, file: &str) -> bool {
    state.uploads.iter().any(|upload| {
        let named = upload.file.id == file || address(&upload.file) == file;
        named && upload.file.completed && upload.looks_left == 0 && sort(&upload.file.bytes).0.starts_with("image/")
    })
}
