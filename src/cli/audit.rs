//! `suture audit` and `suture ledger`: reading the ledger, proving it, and rebuilding its index.

use std::io::Write as _;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum, ValueHint};

use super::{DAMAGED, Global, OK, print};
use crate::ledger::{self, Format, Query};
use crate::model::{Clock as _, IncidentId, RunId, ServiceId, SystemClock, Timestamp};

/// `suture audit`
#[derive(Args)]
#[command(
    after_help = "Examples:\n  suture audit --service shop --since 24h\n  suture audit --incident INC-7 --json\n  \
                        suture audit verify\n  suture audit export --format csv > audit.csv"
)]
pub(super) struct AuditArgs {
    #[command(subcommand)]
    command: Option<AuditCommand>,
    #[command(flatten)]
    filter: Filter,
    /// Most records, the newest
    #[arg(long, default_value_t = 100, value_name = "N")]
    limit: usize,
    /// Which page of them, 1 is the newest
    #[arg(long, default_value_t = 1, value_name = "N")]
    page: usize,
}

#[derive(Subcommand)]
enum AuditCommand {
    /// Prove that no record was changed, left out or put in; exits 3 when one was
    Verify,
    /// Write the records out
    Export {
        #[command(flatten)]
        filter: Filter,
        /// As what
        #[arg(long, value_enum, default_value_t = ExportFormat::Jsonl)]
        format: ExportFormat,
        /// To where [default: stdout]
        #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        output: Option<PathBuf>,
    },
}

#[derive(Clone, Copy, ValueEnum)]
enum ExportFormat {
    /// The ledger's own lines
    Jsonl,
    /// For spreadsheets
    Csv,
}

/// Which records.
#[derive(Args, Clone)]
struct Filter {
    /// About this service
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
    /// Caused by this person: id or name
    #[arg(long, value_name = "WHO")]
    actor: Option<String>,
    /// Of this kind: approved, action-done, ...
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
    /// Of this incident: INC-7 or 7
    #[arg(long, value_name = "ID")]
    incident: Option<IncidentId>,
    /// Of this run: RUN-12 or 12
    #[arg(long, value_name = "ID")]
    run: Option<RunId>,
    /// Not before: 30m, 24h, 7d, 14:05, 2026-11-02T12:00:00Z
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,
    /// Before
    #[arg(long, value_name = "WHEN")]
    until: Option<String>,
}

impl Filter {
    fn query(self) -> anyhow::Result<Query> {
        let now = SystemClock.now();
        let when = |text: Option<String>| -> anyhow::Result<Option<Timestamp>> {
            Ok(text.map(|t| ledger::parse_when(&t, now)).transpose()?)
        };
        if let Some(kind) = &self.kind {
            ledger::known_kind(kind).map_err(anyhow::Error::msg)?;
        }
        Ok(Query {
            service: self.service.map(ServiceId),
            actor: self.actor,
            kind: self.kind,
            incident: self.incident,
            run: self.run,
            since: when(self.since)?,
            until: when(self.until)?,
            ..Query::default()
        })
    }
}

pub(super) fn audit(global: &Global, args: AuditArgs) -> anyhow::Result<u8> {
    let dir = global.data_dir();
    must_exist(&dir)?;
    match args.command {
        None => {
            let query = Query { limit: args.limit.max(1), page: args.page.max(1), ..args.filter.query()? };
            let page = ledger::query(&dir, &query)?;
            if global.json {
                for stored in &page.records {
                    print(&serde_json::to_string(&stored.record)?);
                }
            } else {
                for stored in &page.records {
                    print(&ledger::tell_dated(&stored.record));
                }
                let mut out = std::io::stderr();
                let noun = if page.matched == 1 { "record matches" } else { "records match" };
                let _ = writeln!(out, "{} {noun}; page {} of {}", page.matched, page.page, page.pages.max(1));
            }
            Ok(OK)
        }
        Some(AuditCommand::Verify) => {
            let report = ledger::verify(&dir)?;
            if global.json {
                print(&serde_json::to_string_pretty(&serde_json::json!({
                    "holds": report.holds(),
                    "records": report.records,
                    "segments": report.segments,
                    "first_at": report.first_at,
                    "last_at": report.last_at,
                    "tip": report.tip,
                    "problem": report.problem.as_ref().map(ToString::to_string),
                    "torn_bytes": report.torn,
                }))?);
            } else {
                print(&report.to_string());
            }
            Ok(if report.holds() { OK } else { DAMAGED })
        }
        Some(AuditCommand::Export { filter, format, output }) => {
            let format = match format {
                ExportFormat::Jsonl => Format::JsonLines,
                ExportFormat::Csv => Format::Csv,
            };
            let query = filter.query()?;
            let exported = match output {
                Some(path) => {
                    let mut file = std::io::BufWriter::new(
                        std::fs::File::create(&path)
                            .map_err(|e| anyhow::anyhow!("cannot write {}: {e}", path.display()))?,
                    );
                    let exported = ledger::export(&dir, &query, format, &mut file)?;
                    file.flush()?;
                    exported
                }
                None => ledger::export(&dir, &query, format, &mut Unclosed(std::io::stdout().lock()))?,
            };
            let mut out = std::io::stderr();
            let _ = writeln!(out, "{} records exported", exported.records);
            if exported.unreadable > 0 {
                let _ = writeln!(out, "{} lines could not be read; see `suture audit verify`", exported.unreadable);
                return Ok(DAMAGED);
            }
            Ok(OK)
        }
    }
}

#[derive(Subcommand)]
pub(super) enum LedgerCommand {
    /// Index the whole ledger anew; samples and models stay
    Rebuild,
}

pub(super) fn ledger(global: &Global, command: &LedgerCommand) -> anyhow::Result<u8> {
    let LedgerCommand::Rebuild = command;
    let dir = global.data_dir();
    must_exist(&dir)?;
    let rebuilt = ledger::rebuild(&dir, SystemClock.now())?;
    print(&format!("{} records are indexed in {}", rebuilt.records, dir.join("views").display()));
    if let Some(replaced) = rebuilt.replaced {
        let moved = replaced.moved_to.map(|to| format!(", kept in {}", to.display())).unwrap_or_default();
        print(&format!("the old index could not be used ({}){moved}", replaced.why));
    }
    Ok(OK)
}

/// Writes as long as somebody reads: `suture audit export | head` is no trouble.
struct Unclosed<W>(W);

impl<W: std::io::Write> std::io::Write for Unclosed<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self.0.write(bytes) {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(bytes.len()),
            other => other,
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match self.0.flush() {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
            other => other,
        }
    }
}

/// A ledger that is not there is a mistyped folder more often than an empty history.
fn must_exist(dir: &std::path::Path) -> anyhow::Result<()> {
    if ledger::folder(dir).is_dir() {
        return Ok(());
    }
    anyhow::bail!("there is no ledger in {}: name the data folder with --data-dir", dir.display())
}
