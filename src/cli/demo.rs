//! `suture demo`: a sample service on this machine falls ill and is healed, with the same engine as `suture run`.
//!
//! Everything is real: processes, load, metrics, model, component, ledger. What is the demo's own is the story around
//! it: learn, break, wait for the end, tell what happened.

use std::collections::BTreeSet;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueHint};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::{Instant, sleep, timeout};

use super::run::{Signals, Talk};
use super::{FAILED, Global, OK, log, print};
use crate::app::{App, Door, Reply};
use crate::config::{Config, STOCK_PLAYBOOKS};
use crate::incident::{Incident, Phase, State};
use crate::ledger::{self, Query};
use crate::model::{Clock as _, Digest, Fact, IncidentId, Judge, Person, ServiceId, SystemClock, in_words};
use crate::sample::{Fault, Shop};
use crate::wasm::{Host, Limits};

/// How long learning may take; 110 samples of a quarter of a second are half a minute.
pub(super) const LEARN_WITHIN: Duration = Duration::from_secs(120);

/// Quiet time between the first model and the fault, so that the card's curves have a before.
const SETTLE: Duration = Duration::from_secs(3);

/// With `--yes`: how long from the fault to the end, at most.
const HEAL_WITHIN: Duration = Duration::from_secs(75);

/// `suture demo`
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "Examples:\n  suture demo\n  suture demo --fault memory-leak\n  suture demo --fault crash --yes\n  suture demo --playbook my-playbook.wasm"
)]
pub(super) struct DemoArgs {
    /// What goes wrong
    #[arg(long, value_enum, default_value_t = Fault::Load)]
    fault: Fault,
    /// Approve by itself and leave when it is over; exits 0 only if the service was healed
    #[arg(long)]
    yes: bool,
    /// A playbook of your own (NAME.wasm) to heal with: it is granted what it imports, on the shop alone, and asked for
    /// when the incident opens
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    playbook: Option<PathBuf>,
}

/// The config of the demo, as a file that anybody can read and change.
pub(super) fn config_text(exe: &Path) -> anyhow::Result<String> {
    let settings = Shop::settings(exe)?;
    Ok(include_str!("demo.toml")
        .replace("@COMMAND@", &serde_json::to_string(&settings.command)?)
        .replace("@CACHE@", settings.cache.as_deref().unwrap_or_default())
        .replace("@FAULTS@", settings.faults.as_deref().unwrap_or_default())
        .replace("@MAX_IN_FLIGHT@", &settings.max_in_flight.to_string()))
}

pub(super) fn demo(global: &Global, args: &DemoArgs) -> anyhow::Result<u8> {
    let dir = match &global.data_dir {
        Some(dir) => std::path::absolute(dir)?,
        None => fresh_folder("demo")?,
    };
    super::make_data_dir(&dir)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let ended = runtime.block_on(tell_the_story(global, args, &dir));
    runtime.shutdown_background();
    ended
}

/// A folder for this demo, or this bench, alone.
pub(super) fn fresh_folder(what: &str) -> anyhow::Result<PathBuf> {
    let stamp = SystemClock.now().to_string().replace([':', '.'], "-");
    let dir = std::env::temp_dir().join(format!("suture-{what}-{stamp}-{}", std::process::id()));
    // The name must be ours alone: somebody else may write to the same folder of temporary files.
    std::fs::DirBuilder::new().mode(0o700).create(&dir)?;
    Ok(dir)
}

async fn tell_the_story(global: &Global, args: &DemoArgs, dir: &Path) -> anyhow::Result<u8> {
    let mut signals = Signals::new()?;
    let exe = std::env::current_exe()?;
    let file = dir.join("suture.toml");
    let own = match &args.playbook {
        Some(path) => Some(OwnPlaybook::take(path, dir).await?),
        None => None,
    };
    let grant = own.as_ref().map(OwnPlaybook::config).unwrap_or_default();
    std::fs::write(&file, config_text(&exe)? + &grant)?;
    let mut config = Config::load(&file)?;
    config.suture.data_dir = dir.to_owned();
    let filter = global.log.clone().unwrap_or_else(|| config.suture.log.clone());

    print(&format!("Suture demo: a sample shop on this machine; the fault will be: {}.", args.fault.describe()));
    print(&format!("Everything is kept in {}", dir.display()));
    let talk = Talk::start(true, dir, false)?;
    log::start(&filter, global.log_format(config.suture.log_format), talk.log_writer())?;
    let app = tokio::select! {
        app = App::build(config, &exe, talk.messengers(), &|line| print(&format!("  {line}"))) => app?,
        _ = signals.next() => return Ok(FAILED),
    };
    let door = app.door();
    let supervisor = app.local("shop").ok_or_else(|| anyhow::anyhow!("the shop did not start"))?;
    let shop = Arc::new(Shop::open(&exe, dir, supervisor).await?);
    door.add_injector(shop.injector());
    // The folder may have a demo behind it: its incidents say nothing about this one.
    let over = over(&door.engine().state());
    let (mut healed, mut trouble) = (false, None);
    let ended = app
        .run(async {
            tokio::select! {
                reason = signals.next() => reason,
                reason = talk.converse(&door) => reason,
                outcome = story(args, own.as_ref(), &door, &shop, &talk, &over) => match outcome {
                    Ok(well) => {
                        healed = well;
                        "the demo is over".to_owned()
                    }
                    Err(error) => {
                        trouble = Some(error);
                        "the demo failed".to_owned()
                    }
                },
            }
        })
        .await;
    if let Some(shop) = Arc::into_inner(shop) {
        shop.stop().await?;
    }
    talk.close().await;
    ended?;
    if let Some(error) = trouble {
        return Err(error);
    }
    healed = healed || healed_by_the_ledger(dir, &over)?;
    epilogue(dir)?;
    Ok(if healed || !args.yes { OK } else { FAILED })
}

/// Learn, break, wait for the end. True when the service was healed. Without `--yes` it goes on until somebody leaves.
async fn story(
    args: &DemoArgs,
    own: Option<&OwnPlaybook>,
    door: &Door,
    shop: &Shop,
    talk: &Talk,
    over: &BTreeSet<IncidentId>,
) -> anyhow::Result<bool> {
    let service = ServiceId::from("shop");
    learn(door, &service, LEARN_WITHIN).await?;
    talk.open(door);
    door.outbox().say_on(
        "console",
        "",
        "The model is trained. Commands: status, metrics shop, chart shop latency_p95, help",
    );
    sleep(SETTLE).await;

    let place = shop.inject(args.fault, None).await?;
    let detail = match args.fault {
        Fault::Load => args.fault.describe().to_owned(),
        _ => format!("{} ({place})", args.fault.describe()),
    };
    let fact = Fact::FaultInjected { fault: args.fault.to_string(), detail, experiment: None, index: None };
    door.engine().note(Some(&service), None, fact).await?;

    if let Some(own) = own {
        ask_for(door, &own.name, over).await?;
    }
    if args.yes {
        let by = Person::new("demo:yes", "--yes");
        let healed = timeout(HEAL_WITHIN, approve_until_over(door, &by, over)).await.unwrap_or(false);
        return Ok(healed);
    }
    let mut state = door.engine().subscribe();
    state.wait_for(|s| s.incidents.values().any(|i| !i.is_open() && !over.contains(&i.id))).await?;
    door.outbox().say_on(
        "console",
        "",
        "It is over. Look around (`show 1`, `audit`, `chart shop latency_p95`, `rollback RUN-1`); `quit` leaves.",
    );
    std::future::pending().await
}

/// A playbook that somebody wants to see at work.
struct OwnPlaybook {
    name: String,
    allow: String,
    digest: Digest,
}

impl OwnPlaybook {
    /// Proves it, and copies it to where the demo's config looks.
    async fn take(path: &Path, dir: &Path) -> anyhow::Result<Self> {
        let host = Host::new(Limits::default(), None)?;
        let bytes = std::fs::read(path).map_err(|e| anyhow::anyhow!("cannot read {}: {e}", path.display()))?;
        let playbook = host.load_playbook(&path.display().to_string(), bytes.clone()).await?;
        let name = playbook.name().to_owned();
        anyhow::ensure!(
            !STOCK_PLAYBOOKS.contains(&name.as_str()),
            "{} calls itself `{name}`, as one that is built in does: give it a name of its own",
            path.display()
        );
        // The folder may have a demo behind it, with another playbook.
        let folder = dir.join("playbooks");
        if folder.exists() {
            std::fs::remove_dir_all(&folder)?;
        }
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join(format!("{name}.wasm")), bytes)?;
        let allow: Vec<_> = playbook.wants().iter().map(|kind| format!("\"{kind}\"")).collect();
        Ok(Self { name, allow: allow.join(", "), digest: playbook.digest() })
    }

    /// What the demo's config needs to know of it.
    fn config(&self) -> String {
        let Self { name, allow, digest } = self;
        let grant = format!("\n[[grant]]\nplaybook = \"{name}\"\ntargets = [\"local:shop\"]\nallow = [{allow}]\n");
        let scale = if allow.contains("scale") { "max_delta = 3\nmax_replicas = 8\n" } else { "" };
        format!(
            "{}{scale}\n[plugins]\nplaybooks_dir = \"playbooks\"\n\n[plugins.pins]\n{name} = \"{digest}\"\n",
            if allow.is_empty() { "" } else { &grant }
        )
    }
}

/// Asks for a plan of this playbook once the incident has a plan, or was given up.
async fn ask_for(door: &Door, playbook: &str, over: &BTreeSet<IncidentId>) -> anyhow::Result<()> {
    let by = Person::new("demo:playbook", "--playbook");
    let asks = |i: &Incident| !over.contains(&i.id) && matches!(i.phase, Phase::AwaitingApproval | Phase::Escalated);
    let mut changes = door.engine().subscribe();
    let state = changes.wait_for(|s| s.incidents.values().any(asks)).await?.clone();
    if let Some(incident) = state.incidents.values().find(|i| asks(i))
        && let Reply::Refused(card) = door.answer(&by, "demo", &format!("plan {} {playbook}", incident.id)).await
    {
        door.outbox().show_on("console", &card);
    }
    Ok(())
}

/// Waits for the first model, with a bar.
pub(super) async fn learn(door: &Door, service: &ServiceId, within: Duration) -> anyhow::Result<()> {
    let bar = ProgressBar::new(110);
    bar.set_style(ProgressStyle::with_template("  learning what is normal {bar:40} {pos}/{len} samples")?);
    let deadline = Instant::now() + within;
    loop {
        let (judge, model) = door.board().with(service, |b| (b.reading.as_ref().map(|r| r.judge.clone()), b.model));
        if let Some(Judge::Learning { have, need }) = judge {
            bar.set_length(need as u64);
            bar.set_position(have.min(need) as u64);
        }
        if model.is_some() {
            bar.finish();
            return Ok(());
        }
        if Instant::now() > deadline {
            bar.abandon();
            anyhow::bail!("no model after {}: the shop gives too few samples on this machine", in_words(within));
        }
        sleep(Duration::from_millis(100)).await;
    }
}

/// Says yes to every plan until the incident is over. True when it was healed.
async fn approve_until_over(door: &Door, by: &Person, over: &BTreeSet<IncidentId>) -> bool {
    let mut changes = door.engine().subscribe();
    loop {
        let state = changes.borrow_and_update().clone();
        for incident in state.incidents.values() {
            let asks = incident.question.as_ref().is_some_and(|q| q.approvals.is_empty());
            if asks && let Reply::Refused(card) = door.answer(by, "demo", &format!("approve {}", incident.id)).await {
                door.outbox().show_on("console", &card);
            }
        }
        if state.incidents.values().any(|i| i.phase == Phase::Escalated) {
            return false;
        }
        if let Some(healed) = healed(&state, over) {
            return healed;
        }
        if changes.changed().await.is_err() {
            return false;
        }
    }
}

/// The incidents that are over.
fn over(state: &State) -> BTreeSet<IncidentId> {
    state.incidents.values().filter(|i| !i.is_open()).map(|i| i.id).collect()
}

/// Was an incident healed, besides those that were over before? `None` while one is open, or when there was none.
fn healed(state: &State, over: &BTreeSet<IncidentId>) -> Option<bool> {
    let ours: Vec<_> = state.incidents.values().filter(|i| !over.contains(&i.id)).collect();
    let ended = !ours.is_empty() && ours.iter().all(|i| !i.is_open());
    ended.then(|| ours.iter().any(|i| i.how.as_deref() == Some("healed")))
}

/// The same from the ledger, which has the last word.
fn healed_by_the_ledger(dir: &Path, over: &BTreeSet<IncidentId>) -> anyhow::Result<bool> {
    let mut state = State::default();
    for stored in ledger::records(dir)? {
        state.apply(&stored?.record.event);
    }
    Ok(healed(&state, over).unwrap_or(false))
}

/// What happened, from the ledger, and the proof that it is all there.
fn epilogue(dir: &Path) -> anyhow::Result<()> {
    let page = ledger::query(dir, &Query { limit: 500, ..Query::default() })?;
    print("\nWhat happened, from the ledger:");
    for stored in page.records.iter().filter(|s| is_part_of_the_story(&s.record.event.fact)) {
        print(&format!("  {}", ledger::tell(&stored.record)));
    }
    let report = ledger::verify(dir)?;
    print(&format!("\n{report}"));
    print(&format!("\nProve it yourself:   suture audit verify --data-dir {}", dir.display()));
    print(&format!("Read it all:         suture audit --data-dir {}", dir.display()));
    if let Some(incident) = page.records.iter().rev().find_map(|s| s.record.event.incident) {
        print(&format!("Run it all again:    suture replay {incident} --data-dir {}", dir.display()));
    }
    Ok(())
}

fn is_part_of_the_story(fact: &Fact) -> bool {
    !matches!(fact, Fact::ComponentLoaded { .. } | Fact::IncidentWorsened { .. } | Fact::HostCalled { .. })
}
