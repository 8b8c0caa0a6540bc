//! The stage for a bench: the demo's shop with the whole daemon around it, in a folder of its own.
//!
//! What is normal is learned once; every run then gets a copy of that folder, so that all begin with the same model, two
//! workers and no past.

use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::future::{BoxFuture, Shared};
use tokio::time::sleep;

use super::demo;
use crate::act::local::report;
use crate::app::{App, Door};
use crate::config::Config;
use crate::load::Site;
use crate::model::{Mode, ServiceId, TargetId};
use crate::sample::Shop;

/// What the demo calls its service.
pub(super) const SHOP: &str = "shop";
/// Quiet time after learning, so that what was learned is in the folder before it is copied.
const SETTLE: Duration = Duration::from_secs(1);

/// Somebody wants to stop, and how that was said. Anybody may wait for it, as often as they like.
pub(super) type Stop = Shared<BoxFuture<'static, String>>;

/// The shop of a run, for whoever puts load on it.
pub(super) struct Stage {
    target: TargetId,
    socket: PathBuf,
    report: crate::act::local::Report,
    /// Where customers ask.
    pub site: Site,
    /// The daemon.
    pub door: Door,
}

impl Stage {
    /// Puts the demo's own load on.
    pub(super) async fn open_load(&self, exe: &Path, dir: &Path) -> anyhow::Result<Shop> {
        Ok(Shop::attach(exe, dir, &self.target, &self.socket, &self.report).await?)
    }

    /// How many workers are wanted now; `None` when the supervisor does not say.
    pub(super) async fn replicas(&self) -> Option<u32> {
        report(&self.target, &self.socket).await.ok().map(|report| report.state.replicas)
    }
}

/// What all stages have in common.
#[derive(Clone, Copy)]
pub(super) struct Stages<'a> {
    pub exe: &'a Path,
    /// The folder in which it was learned what is normal.
    pub learned: &'a Path,
    /// Time between two samples; the demo's own when absent.
    pub sampling: Option<Duration>,
    pub stop: &'a Stop,
}

impl Stages<'_> {
    /// Makes the folder in which the daemon has learned what is normal, under the demo's own load.
    pub(super) async fn learn(&self) -> anyhow::Result<()> {
        let dir = self.learned;
        let app = self.build(dir, Mode::Observe).await?;
        let door = app.door();
        let supervisor = app.local(SHOP).ok_or_else(|| anyhow::anyhow!("the shop did not start"))?;
        let shop = Shop::open(self.exe, dir, supervisor).await?;
        let mut learned =
            Err(anyhow::anyhow!("the daemon ended while it learned; its log is {}", log_of(dir).display()));
        let within = self.sampling.map_or(demo::LEARN_WITHIN, |sampling| demo::LEARN_WITHIN.max(sampling * 200));
        let ended = app
            .run(async {
                let learn = async {
                    demo::learn(&door, &ServiceId::from(SHOP), within).await?;
                    sleep(SETTLE).await;
                    Ok(())
                };
                learned = until_stopped(learn, self.stop).await;
                "it has learned".to_owned()
            })
            .await;
        shop.stop().await?;
        ended?;
        learned
    }

    /// Runs `play` on a stage in `dir`, which is made as a copy of `learned`. Everything has ended when this returns; dropped,
    /// it ends everything at once.
    pub(super) async fn with<T>(
        &self,
        dir: &Path,
        mode: Mode,
        play: impl AsyncFnOnce(&Stage) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        copy(self.learned, dir)?;
        let app = self.build(dir, mode).await?;
        let supervisor = app.local(SHOP).ok_or_else(|| anyhow::anyhow!("the shop did not start"))?;
        let stage = Stage {
            target: supervisor.target().clone(),
            socket: supervisor.socket.clone(),
            site: Site::new(supervisor.balancer),
            report: supervisor.report().await?,
            door: app.door(),
        };
        let mut played =
            Err(anyhow::anyhow!("the daemon ended before the run did; its log is {}", log_of(dir).display()));
        let ended = app
            .run(async {
                played = until_stopped(play(&stage), self.stop).await;
                "the run is over".to_owned()
            })
            .await;
        ended?;
        played
    }

    async fn build(&self, dir: &Path, mode: Mode) -> anyhow::Result<App> {
        super::make_data_dir(dir)?;
        let file = dir.join("suture.toml");
        let mut text = replaced(&demo::config_text(self.exe)?, "mode = \"approve\"", &format!("mode = \"{mode}\""))?;
        if let Some(sampling) = self.sampling {
            let span = |span: Duration| humantime::format_duration(span).to_string();
            text = replaced(&text, "interval = \"250ms\"", &format!("interval = \"{}\"", span(sampling)))?;
            text = replaced(&text, "timeout = \"200ms\"", &format!("timeout = \"{}\"", span(sampling * 4 / 5)))?;
        }
        std::fs::write(&file, text)?;
        let mut config = Config::load(&file)?;
        config.suture.data_dir = dir.to_owned();
        let building = App::build(config, self.exe, Vec::new(), &|line| tracing::info!("{line}"));
        until_stopped(async { Ok(building.await?) }, self.stop).await
    }
}

fn replaced(text: &str, old: &str, new: &str) -> anyhow::Result<String> {
    anyhow::ensure!(text.contains(old), "the demo's config has no `{old}`");
    Ok(text.replacen(old, new, 1))
}

/// Where the daemon's log goes: a progress bar has the terminal.
pub(super) fn log_of(dir: &Path) -> PathBuf {
    dir.parent().unwrap_or(dir).join("suture.log")
}

/// What comes of this, unless somebody wants to stop before.
async fn until_stopped<T>(work: impl Future<Output = anyhow::Result<T>>, stop: &Stop) -> anyhow::Result<T> {
    tokio::select! {
        done = work => done,
        reason = stop.clone() => Err(anyhow::anyhow!("stopped: {reason}")),
    }
}

/// Copies a data folder: plain files, and folders of them. Sockets are of a life that is over; links stay links, for the
/// cache of compiled components may be one.
fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    super::make_data_dir(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let (kind, path) = (entry.file_type()?, to.join(entry.file_name()));
        if kind.is_dir() {
            copy(&entry.path(), &path)?;
        } else if kind.is_symlink() {
            std::os::unix::fs::symlink(std::fs::read_link(entry.path())?, &path)?;
        } else if kind.is_file() {
            std::fs::copy(entry.path(), &path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_has_the_files_and_not_the_sockets() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("a"), dir.path().join("b"));
        std::fs::create_dir_all(from.join("ledger")).unwrap();
        std::fs::write(from.join("ledger/1"), "x").unwrap();
        std::os::unix::fs::symlink(dir.path(), from.join("cache")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(from.join("s.sock")).unwrap();
        copy(&from, &to).unwrap();
        assert_eq!(std::fs::read(to.join("ledger/1")).unwrap(), b"x");
        assert!(to.join("cache").is_symlink() && !to.join("s.sock").exists());
    }
}
