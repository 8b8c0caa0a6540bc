//! Setting up the log: human lines or JSON, to stderr or through the console.

use std::io::IsTerminal as _;
use std::sync::Mutex;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::LogFormat;

/// Whatever is asked for, these say no more: they write addresses with one-time tickets and bodies with people's words into
/// their lines. What matters of them Suture says itself.
fn caps() -> Targets {
    Targets::new().with_default(LevelFilter::TRACE).with_targets([
        ("slack_morphism", LevelFilter::OFF),
        ("kube_client", LevelFilter::OFF),
        ("aws_config", LevelFilter::WARN),
        ("aws_runtime", LevelFilter::WARN),
        ("aws_smithy_runtime", LevelFilter::WARN),
        ("aws_credential_types", LevelFilter::WARN),
        ("serenity", LevelFilter::WARN),
        ("serenity::gateway::ws", LevelFilter::ERROR),
    ])
}

/// Starts the log.
///
/// # Errors
/// When the filter cannot be read.
pub(super) fn start(
    filter: &str,
    format: LogFormat,
    writer: Option<Box<dyn std::io::Write + Send>>,
) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(filter).map_err(|e| {
        anyhow::anyhow!("log filter `{filter}`: {e}; write a level like `info`, or `warn,suture=debug`")
    })?;
    let colour = writer.is_none() && std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    match writer {
        Some(writer) => init(filter, format, colour, Mutex::new(writer)),
        None => init(filter, format, colour, std::io::stderr),
    }
    Ok(())
}

fn init<W>(filter: EnvFilter, format: LogFormat, colour: bool, writer: W)
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let registry = tracing_subscriber::registry().with(filter).with(caps());
    // An error means that a log was set up before, which then stays.
    let _ = match format {
        LogFormat::Human => registry
            .with(tracing_subscriber::fmt::layer().with_ansi(colour).with_target(false).with_writer(writer))
            .try_init(),
        LogFormat::Json => {
            registry.with(tracing_subscriber::fmt::layer().json().flatten_event(true).with_writer(writer)).try_init()
        }
    };
}
