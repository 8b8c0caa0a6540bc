//! The task that watches the operator's folders: a changed file is in use without a restart.
//!
//! The system tells of a change (`notify`), and a slow look of its own catches what it did not tell. A file is left
//! alone until its size and times stand still, for editors write twice; one that does not load gets a second chance
//! before anybody is bothered. Everything is loaded here, aside from incidents, and swapped in at once.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecursiveMode, Watcher as _};
use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::Shared;
use super::registry::Survey;
use crate::model::{Clock, Fact, Person, Role, Timestamp};
use crate::supervise::drained;

/// A change that nobody told of is found within this.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// A file that did not change for this long is whole, as far as anybody can tell.
const STILL_FOR: Duration = Duration::from_millis(25);

/// A file that never stands still is looked at all the same after this.
const STILL_WITHIN: Duration = Duration::from_secs(5);

/// When a file that does not load is tried once more.
const AGAIN_AFTER: Duration = Duration::from_millis(500);

/// What tells one state of a file from the next: size, inode, and both of its times.
type Mark = (u64, u64, [i64; 4]);

/// The files of the folders.
type Fingerprint = BTreeMap<PathBuf, Mark>;

/// Watches until the drain.
pub(super) async fn run(
    shared: Arc<Shared>,
    clock: Arc<dyn Clock>,
    mut drain: watch::Receiver<bool>,
) -> Result<(), String> {
    let plugins = &shared.config().plugins;
    let folders: Vec<PathBuf> = [&plugins.playbooks_dir, &plugins.rules_dir].into_iter().flatten().cloned().collect();
    if folders.is_empty() {
        drained(&mut drain).await;
        return Ok(());
    }
    // full: a look is due anyway
    let (tell, mut told) = mpsc::channel::<()>(1);
    let mut watcher = watcher(tell);
    let mut looks = interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut seen = fingerprint(&folders).await;
    let mut reported = Reported::default();
    // The first tick is at once: it sets the watches, and finds what changed while the daemon came up.
    let mut first = true;
    loop {
        tokio::select! {
            _ = looks.tick() => watch_all(watcher.as_mut(), &folders),
            Some(()) = told.recv() => {}
            () = drained(&mut drain) => return Ok(()),
        }
        let now = fingerprint(&folders).await;
        if now == seen && !first {
            continue;
        }
        first = false;
        let noticed = clock.now();
        seen = stand_still(&folders, now).await;
        if reload(&shared, &clock, noticed, &mut reported, false).await {
            sleep(AGAIN_AFTER).await;
            let noticed = clock.now();
            seen = stand_still(&folders, fingerprint(&folders).await).await;
            reload(&shared, &clock, noticed, &mut reported, true).await;
        }
    }
}

/// Makes the system tell of changes. Where it cannot, the slow look is all there is.
fn watcher(tell: mpsc::Sender<()>) -> Option<notify::RecommendedWatcher> {
    let told = move |event: notify::Result<notify::Event>| {
        // Our own reading is an access, too.
        let matters = event.is_ok_and(|event| match event.kind {
            EventKind::Access(kind) => kind == AccessKind::Close(AccessMode::Write),
            _ => true,
        });
        if matters {
            let _ = tell.try_send(());
        }
    };
    notify::recommended_watcher(told)
        .inspect_err(|error| {
            tracing::warn!(%error, every_s = LOOK_EVERY.as_secs(), "the system does not tell of changed files");
        })
        .ok()
}

/// Sets the watches anew: a folder that was exchanged for another is another.
fn watch_all(watcher: Option<&mut notify::RecommendedWatcher>, folders: &[PathBuf]) {
    let Some(watcher) = watcher else { return };
    for folder in folders {
        if let Err(error) = watcher.watch(folder, RecursiveMode::NonRecursive) {
            tracing::warn!(folder = %folder.display(), %error, "a folder of components cannot be watched");
        }
    }
}

/// Waits until nothing changed for a while; gives what it was by then.
async fn stand_still(folders: &[PathBuf], mut last: Fingerprint) -> Fingerprint {
    let rounds = STILL_WITHIN.as_millis() / STILL_FOR.as_millis().max(1);
    for _ in 0..rounds {
        sleep(STILL_FOR).await;
        let now = fingerprint(folders).await;
        if now == last {
            break;
        }
        last = now;
    }
    last
}

async fn fingerprint(folders: &[PathBuf]) -> Fingerprint {
    let folders = folders.to_vec();
    let look = move || folders.iter().flat_map(|folder| files(folder)).collect();
    tokio::task::spawn_blocking(look).await.unwrap_or_default()
}

fn files(folder: &Path) -> Vec<(PathBuf, Mark)> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let file = |path: PathBuf| {
        let meta = std::fs::metadata(&path).ok()?;
        let times = [meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec()];
        Some((path, (meta.len(), meta.ino(), times)))
    };
    let paths = entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|e| e == "wasm"));
    paths.filter_map(file).collect()
}

/// What people were told of already, so that they are told once.
#[derive(Default)]
struct Reported(BTreeMap<String, String>);

impl Reported {
    /// Those of the problems that are news. One that went away and comes back is news again.
    fn news(&mut self, problems: BTreeMap<String, String>) -> Vec<String> {
        let news = problems.iter().filter(|(about, words)| self.0.get(*about) != Some(*words));
        let news = news.map(|(_, words)| words.clone()).collect();
        self.0 = problems;
        news
    }
}

/// Looks, records, swaps and tells. True when a file does not load and it is too early to say so.
async fn reload(
    shared: &Shared,
    clock: &Arc<dyn Clock>,
    noticed: Timestamp,
    reported: &mut Reported,
    last_chance: bool,
) -> bool {
    let turn = shared.registry.turn.lock().await;
    let survey = match shared.registry.survey(&shared.engine.state().components).await {
        Ok(survey) => survey,
        Err(error) => {
            let words = format!("the components stay as they are: {error}");
            tell(shared, reported.news(BTreeMap::from([(String::new(), words)])));
            return false;
        }
    };
    let mut problems = survey.problems.clone();
    let torn = survey.torn.clone();
    let changes = changes(shared, &survey);
    if let Err(why) = enter(shared, survey).await {
        problems.insert(String::new(), format!("the components stay as they are: {why}"));
    } else if !changes.is_empty() {
        let reload_ms = u64::try_from(clock.now().since(noticed).as_millis()).unwrap_or(u64::MAX);
        tracing::info!(reload_ms, changes = changes.join("; "), "components were reloaded");
        for change in &changes {
            shared.outbox.say("components", change);
        }
    }
    drop(turn);
    for (path, error) in &torn {
        let words = format!("{error}; what was in use stays in use");
        let about = path.display().to_string();
        let known = reported.0.get(&about) == Some(&words);
        if last_chance || known {
            problems.insert(about, words);
        }
    }
    let too_early = torn.keys().any(|path| !problems.contains_key(&path.display().to_string()));
    if !too_early {
        tell(shared, reported.news(problems));
    }
    too_early
}

fn tell(shared: &Shared, news: Vec<String>) {
    for words in news {
        tracing::warn!("{words}");
        shared.outbox.say("components", &words);
    }
}

/// Records what a survey came to, and makes it the truth.
///
/// # Errors
/// When the ledger does not take it; nothing has changed then but what the ledger has.
pub(super) async fn enter(shared: &Shared, survey: Survey) -> Result<(), String> {
    for fact in survey.facts() {
        shared.engine.note(None, None, fact.clone()).await.map_err(|e| e.to_string())?;
    }
    shared.registry.take(survey);
    shared.registry.prune(&shared.engine.state()).await;
    Ok(())
}

/// What is other than before, in words: versions that come into use, and names that are gone.
fn changes(shared: &Shared, survey: &Survey) -> Vec<String> {
    let before = shared.registry.catalog();
    let mut words = Vec::new();
    for fact in survey.facts() {
        if let Fact::ComponentLoaded { name, role, digest, .. } = fact {
            words.extend(match before.get(*role, name) {
                Some(old) if old.digest() == *digest => None,
                Some(old) => Some(format!("{role} {name} is {} now (was {})", digest.short(), old.digest().short())),
                None => Some(format!("{role} {name} is there now: {}", digest.short())),
            });
        }
    }
    for old in before.components().filter(|old| !survey.has(old.role(), old.name())) {
        let (role, name) = (old.role(), old.name());
        words.push(format!("{role} {name} is gone: nothing is planned with it any more"));
    }
    words
}

/// Takes a version that is held. `wanted`: how its digest begins, where the person said so.
///
/// # Errors
/// Why not, in words that say what to do.
pub(super) async fn accept(shared: &Shared, by: &Person, name: &str, wanted: Option<&str>) -> Result<String, String> {
    let _turn = shared.registry.turn.lock().await;
    let picture = shared.registry.picture();
    let held: Vec<_> = [Role::Playbook, Role::Rule]
        .into_iter()
        .filter_map(|role| Some((role, picture.held.get(&(role, name.to_owned()))?)))
        .collect();
    if held.is_empty() {
        let names: Vec<_> = picture.held.keys().map(|(_, name)| name.as_str()).collect();
        let waits =
            if names.is_empty() { "nothing does".to_owned() } else { format!("these do: {}", names.join(", ")) };
        let plan = if name.bytes().all(|b| b.is_ascii_digit()) {
            format!(" (yes to a plan is `approve {name}`)")
        } else {
            String::new()
        };
        return Err(format!("no component `{name}` waits to be accepted; {waits}{plan}"));
    }
    for (role, held) in &held {
        if let Some(wanted) = wanted
            && !held.digest.to_string().starts_with(&wanted.to_ascii_lowercase())
        {
            return Err(format!(
                "{role} {name} that waits is {} and not {wanted}: the file has changed; look at it again",
                held.digest.short()
            ));
        }
        let config = shared.config();
        let config = config.path.display();
        if held.pinned {
            return Err(format!(
                "[plugins.pins] in {config} says {}: write there, and start again\n{name} = \"{}\"",
                held.accepted, held.digest
            ));
        }
        if let Some(lines) = &held.lacks {
            return Err(format!(
                "no grant allows what {role} {name} wants: write into {config}, and start again\n{lines}"
            ));
        }
    }
    let mut taken = Vec::new();
    for (role, held) in held {
        let accepted = Fact::ComponentAccepted { name: name.to_owned(), role, digest: held.digest };
        shared.engine.note(None, Some(by), accepted).await.map_err(|e| e.to_string())?;
        taken.push(format!("{role} {name} {} is accepted", held.digest.short()));
    }
    // The ledger says now which version it is to be; the same look at the folders as ever does the rest.
    let taken = taken.join("; ");
    let late = |why: String| format!("{taken}, and comes into use as soon as it can be: {why}");
    let survey = shared.registry.survey(&shared.engine.state().components).await.map_err(|e| late(e.to_string()))?;
    enter(shared, survey).await.map_err(late)?;
    Ok(taken)
}

/// Lets a disabled component run again.
///
/// # Errors
/// Why not, in words that say what to do.
pub(super) async fn enable(shared: &Shared, by: &Person, name: &str) -> Result<String, String> {
    let state = shared.engine.state();
    let mut enabled = Vec::new();
    for role in [Role::Playbook, Role::Rule] {
        let Some(known) = state.components.get(role, name).filter(|c| c.disabled.is_some()) else { continue };
        if let Some(why) = shared.registry.picture().without.get(&(role, name.to_owned())) {
            return Err(format!("{role} {name} cannot be run: {why}"));
        }
        let fact = Fact::ComponentEnabled { name: name.to_owned(), role, digest: known.accepted };
        shared.engine.note(None, Some(by), fact).await.map_err(|e| e.to_string())?;
        enabled.push(format!("{role} {name} is enabled, with a clean record"));
    }
    if enabled.is_empty() {
        return Err(format!("no component `{name}` is disabled; `playbooks` shows how each stands"));
    }
    Ok(enabled.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(list: &[(&str, &str)]) -> BTreeMap<String, String> {
        list.iter().map(|(about, words)| ((*about).to_owned(), (*words).to_owned())).collect()
    }

    #[test]
    fn a_problem_is_told_once_and_again_when_it_comes_back() {
        let mut reported = Reported::default();
        assert_eq!(reported.news(problems(&[("a", "torn"), ("b", "huge")])), ["torn", "huge"]);
        assert_eq!(reported.news(problems(&[("a", "torn"), ("b", "gone")])), ["gone"]);
        assert_eq!(reported.news(problems(&[("a", "torn")])), [""; 0]);
        assert_eq!(reported.news(problems(&[("a", "torn"), ("b", "gone")])), ["gone"]);
    }

    #[tokio::test]
    async fn every_way_to_change_a_file_changes_its_mark() {
        let dir = tempfile::tempdir().unwrap();
        let folders = [dir.path().to_owned()];
        let path = dir.path().join("a.wasm");
        let mut marks = vec![fingerprint(&folders).await];
        std::fs::write(dir.path().join("notes.txt"), "not looked at").unwrap();
        assert_eq!(fingerprint(&folders).await, marks[0]);
        std::fs::write(&path, "one").unwrap();
        marks.push(fingerprint(&folders).await);
        std::fs::write(dir.path().join("aside"), "two").unwrap();
        std::fs::rename(dir.path().join("aside"), &path).unwrap();
        marks.push(fingerprint(&folders).await);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(fingerprint(&folders).await, marks[0]);
        assert_ne!(marks[1], marks[2], "of the same size, by rename");
        assert_eq!(stand_still(&folders, marks[1].clone()).await, marks[0]);
    }
}
