//! `suture audit export`: the records that match, as JSON lines or as CSV.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use crate::model::Record;

use super::{Disk, LedgerError, Query, describe, folder, records_on};

/// How to write an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The lines as they lie in the ledger: each can still be checked against its own hash.
    JsonLines,
    /// RFC 4180, with a head line. A cell that a spreadsheet would take for a formula has a `'` in front.
    Csv,
}

/// What was exported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exported {
    /// Records written.
    pub records: u64,
    /// Lines that could not be read and are missing; `suture audit verify` says more.
    pub unreadable: u64,
}

const HEAD: &str = "seq,at,service,incident,run,by_id,by_name,kind,description,event,prev,hash\r\n";

/// Writes all records that match, oldest first; the query's pages do not matter.
///
/// # Errors
/// When a file cannot be read, or `out` does not take it.
pub fn export(data_dir: &Path, query: &Query, format: Format, out: &mut dyn Write) -> Result<Exported, LedgerError> {
    let failed = |e: io::Error| LedgerError::io("the export", "cannot write", &e);
    if format == Format::Csv {
        out.write_all(HEAD.as_bytes()).map_err(failed)?;
    }
    let mut records = records_on(Arc::new(Disk::at(folder(data_dir))))?;
    let mut exported = Exported::default();
    while let Some(next) = records.next() {
        let record = match next {
            Ok(stored) if query.matches(&stored.record.event) => stored.record,
            Ok(_) => continue,
            Err(LedgerError::Damaged(_)) => {
                exported.unreadable += 1;
                continue;
            }
            Err(e) => return Err(e),
        };
        match format {
            Format::JsonLines => out.write_all(records.raw()).and_then(|()| out.write_all(b"\n")),
            Format::Csv => out.write_all(row(&record).as_bytes()),
        }
        .map_err(failed)?;
        exported.records += 1;
    }
    out.flush().map_err(failed)?;
    Ok(exported)
}

fn row(record: &Record) -> String {
    let event = &record.event;
    let or_empty = |text: Option<String>| text.unwrap_or_default();
    let cells = [
        record.seq.to_string(),
        event.at.to_string(),
        or_empty(event.service.as_ref().map(ToString::to_string)),
        or_empty(event.incident.map(|i| i.to_string())),
        or_empty(event.run.map(|r| r.to_string())),
        or_empty(event.by.as_ref().map(|p| p.id.clone())),
        or_empty(event.by.as_ref().map(|p| p.name.clone())),
        event.fact.kind().to_owned(),
        describe(event),
        // It was read from JSON, so it can be written as such.
        serde_json::to_string(event).unwrap_or_default(),
        record.prev.to_string(),
        record.hash.to_string(),
    ];
    let quoted: Vec<_> = cells.iter().map(|c| cell(c)).collect();
    quoted.join(",") + "\r\n"
}

fn cell(text: &str) -> String {
    let guard = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { "'" } else { "" };
    if guard.is_empty() && !text.contains([',', '"', '\r', '\n']) {
        return text.to_owned();
    }
    format!("\"{guard}{}\"", text.replace('"', "\"\""))
}
