//! `suture playbook pull`: a component from an OCI registry into the folder of playbooks, by its digest alone.

use std::io::Write as _;
use std::path::PathBuf;

use clap::{Args, ValueHint};
use oci_client::secrets::RegistryAuth;

use super::{OK, print};
use crate::oci;
use crate::wasm::{Host, Limits};

/// `suture playbook pull`
#[derive(Args)]
#[command(
    after_help = "Example:\n  suture playbook pull registry.example.org/team/one-more@sha256:4f1c... --to playbooks\n\n\
                        The file is written only when it is a playbook or a rule that this host can run. Nothing uses it\n\
                        before `[plugins]` names its folder and a [[grant]] allows what it wants."
)]
pub(super) struct PullArgs {
    /// The artefact, with its digest: REGISTRY/REPOSITORY@sha256:...
    reference: String,
    /// The folder to write it to, as NAME.wasm
    #[arg(long, default_value = ".", value_name = "DIR", value_hint = ValueHint::DirPath)]
    to: PathBuf,
    /// Name of the environment variable that holds the user, for registries that want one
    #[arg(long, value_name = "VARIABLE", requires = "password_env")]
    username_env: Option<String>,
    /// Name of the environment variable that holds the password or token
    #[arg(long, value_name = "VARIABLE", requires = "username_env")]
    password_env: Option<String>,
    /// Replace a file that is there
    #[arg(long)]
    force: bool,
}

pub(super) fn run(args: &PullArgs) -> anyhow::Result<u8> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(pull(args))
}

async fn pull(args: &PullArgs) -> anyhow::Result<u8> {
    let limits = Limits::default();
    let auth = match (&args.username_env, &args.password_env) {
        (Some(user), Some(password)) => RegistryAuth::Basic(secret(user)?, secret(password)?),
        _ => RegistryAuth::Anonymous,
    };
    let pulled = oci::pull(&args.reference, auth, limits.component_bytes).await?;
    let host = Host::new(limits, None)?;
    // Its own word for its name, which is what grants and pins call it: so it has to run first, in the sandbox.
    let (role, name, wants) = match host.load_playbook(&pulled.reference, pulled.bytes.clone()).await {
        Ok(playbook) => {
            let wants: Vec<_> = playbook.wants().iter().map(|kind| format!("\"{kind}\"")).collect();
            ("playbook", playbook.name().to_owned(), wants)
        }
        Err(crate::wasm::LoadError::MissingExport { hint, .. }) if !hint.is_empty() => {
            let rule = host.load_rule(&pulled.reference, pulled.bytes.clone()).await?;
            ("rule", rule.name().to_owned(), Vec::new())
        }
        Err(error) => return Err(error.into()),
    };
    let path = args.to.join(format!("{name}.wasm"));
    write(&path, &pulled.bytes, args.force)?;
    let mut text = format!(
        "{role} {name}: {} bytes, written to {}\n\nTo hold the daemon to exactly these bytes, in suture.toml:\n\n\
         [plugins.pins]\n{}\n",
        pulled.bytes.len(),
        path.display(),
        oci::pin_line(&name, &pulled.bytes)
    );
    if !wants.is_empty() {
        text.push_str(&format!(
            "\nIt may do nothing before it is granted what it wants:\n\n[[grant]]\nplaybook = \"{name}\"\n\
             targets = [\"KIND:NAME\"]\nallow = [{}]\n",
            wants.join(", ")
        ));
    }
    print(&text);
    Ok(OK)
}

fn secret(variable: &str) -> anyhow::Result<String> {
    std::env::var(variable).map_err(|_| anyhow::anyhow!("the environment variable {variable} is not set, or not text"))
}

/// Writes the whole file or none of it.
fn write(path: &std::path::Path, bytes: &[u8], force: bool) -> anyhow::Result<()> {
    let failed = |e: std::io::Error| anyhow::anyhow!("cannot write {}: {e}", path.display());
    if path.exists() && !force {
        anyhow::bail!("{} is there already; --force replaces it", path.display());
    }
    let partial = path.with_extension("wasm.partial");
    let mut file = std::fs::File::create(&partial).map_err(failed)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(failed)?;
    std::fs::rename(&partial, path).map_err(failed)
}
