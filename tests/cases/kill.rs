//! `kill -9` of the real daemon at random moments of whole incidents, again and again: nothing is lost, nothing is done
//! twice, and no process is left behind.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use suture::incident::{Phase, State};
use suture::model::{Action, Event, Fact, IncidentId, RunId};

use crate::harness::{PATIENCE, Rig, Ways, count, ctl, events, eventually, is_sound, of_kind, quiet_machine, state};

/// After these facts the next steps are the ones that must survive; the daemon is killed shortly after one of them.
const MOMENTS: &[&str] = &[
    "started",
    "incident-opened",
    "proposed",
    "planned",
    "approved",
    "run-started",
    "action-intended",
    "action-done",
    "run-done",
    "undo-started",
    "undo-intended",
    "undone-action",
];

/// How many lives the daemon loses at least, and how long it may go on.
const ROUNDS: usize = 14;
const LONGEST: Duration = Duration::from_secs(80);

/// Small and good enough to choose moments: xorshift.
struct Dice(u64);

impl Dice {
    fn throw(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

/// What the shop's trouble is, one after the other; each is over when the target is as the trouble needs it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Trouble {
    /// Two workers are too few.
    Crowd,
    /// All of them crash.
    Crash,
    /// Somebody wants the crowd's cure taken back.
    Undo,
}

/// The world around the daemon: makes trouble, says yes, and sees when it is over.
struct Play {
    rig: Rig,
    trouble: Trouble,
    /// How many of them are over.
    over: usize,
    crowd_run: Option<RunId>,
    begun: bool,
}

impl Play {
    fn begin(&mut self) {
        match self.trouble {
            Trouble::Crowd => self.rig.crowded(),
            Trouble::Crash => {
                for worker in eventually(PATIENCE, "the supervisor answers", || self.rig.report()).workers {
                    crash(worker.addr.unwrap());
                }
                self.rig.failing();
            }
            Trouble::Undo => {}
        }
        self.begun = true;
    }

    /// Moves the play on: people and the world react to what the ledger and the target say. Anything that the daemon
    /// does not take, because it is being killed, is tried again.
    fn step(&mut self, now: &State) {
        if !self.begun {
            self.begin();
        }
        let open = now.incidents.values().find(|i| i.is_open());
        let data = self.rig.data();
        if let Some(incident) = open.filter(|i| i.question.as_ref().is_some_and(|q| q.approvals.is_empty())) {
            let _ = ctl(&data, &format!("approve {}", incident.id));
        }
        let Some(report) = self.rig.report() else { return };
        let serving = report.state.serving();
        let done = match self.trouble {
            Trouble::Crowd if serving >= 4 => {
                self.rig.well();
                let run = now.runs.values().find(|r| r.plan.playbook == "scale-out" && !r.undo_done && r.done);
                self.crowd_run = run.map(|r| r.id);
                open.is_none() && run.is_some()
            }
            Trouble::Crash if serving == report.state.instances.len() => {
                self.rig.well();
                open.is_none() && now.runs.values().filter(|r| r.plan.playbook == "restart-service").any(|r| r.done)
            }
            Trouble::Undo => {
                let run = self.crowd_run.unwrap();
                let begun = now.runs[&run].undo.is_some();
                if !begun {
                    let _ = ctl(&data, &format!("rollback {run} too costly"));
                }
                now.runs[&run].undo_done && open.is_none()
            }
            _ => false,
        };
        if done {
            self.over += 1;
            self.begun = false;
            self.trouble = match self.trouble {
                Trouble::Crowd => Trouble::Crash,
                Trouble::Crash => Trouble::Undo,
                Trouble::Undo => Trouble::Crowd,
            };
        }
    }
}

fn crash(worker: std::net::SocketAddr) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(super::local_bench::ask(worker, "PUT", "/fault", r#"{"fault":"crash"}"#));
}

#[test]
fn killed_at_random_moments_it_ends_as_if_it_had_not_been() {
    let _quiet = quiet_machine();
    let clock = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().subsec_nanos();
    let given = std::env::var("SUTURE_TEST_SEED").ok().and_then(|s| s.parse::<u64>().ok());
    let seed = given.unwrap_or(clock.into()).max(1);
    println!("SUTURE_TEST_SEED={seed}");
    let mut dice = Dice(seed);
    let rig = Rig::new(Ways { mode: "approve", cooldown: "1ms", outlive: true });
    let data = rig.data();
    let mut play = Play { rig, trouble: Trouble::Crowd, over: 0, crowd_run: None, begun: false };
    play.rig.start_learned();
    let begun = Instant::now();
    let mut kills = Vec::new();
    while kills.len() < ROUNDS || play.over < 3 {
        assert!(begun.elapsed() < LONGEST, "seed {seed}: {kills:?}, {} troubles over", play.over);
        // Either shortly after the next fact of some kind, or at any moment.
        let moment = MOMENTS[usize::try_from(dice.throw(MOMENTS.len() as u64)).unwrap()];
        let had = of_kind(&events(&data), moment).len();
        let patience = Duration::from_millis(1_500 + dice.throw(1_500));
        let waiting = Instant::now();
        let hit = loop {
            let now = events(&data);
            if of_kind(&now, moment).len() > had {
                break true;
            }
            if waiting.elapsed() > patience {
                break false;
            }
            play.step(&State::fold(now.iter()));
            std::thread::sleep(Duration::from_millis(5));
        };
        std::thread::sleep(Duration::from_millis(dice.throw(25)));
        kills.push(if hit { moment } else { "any moment" });
        play.rig.kill();

        let before = events(&data);
        play.rig.launch();
        comes_back_as_it_was(&mut play, &before, &mut dice);
    }
    play.rig.answers();
    // The last life is let be, until nothing is open.
    let end = Instant::now() + PATIENCE;
    while play.begun || !settled(&state(&data)) {
        assert!(Instant::now() < end, "seed {seed}: {:#?}", state(&data).incidents.values().next_back());
        play.step(&state(&data));
        std::thread::sleep(Duration::from_millis(20));
    }
    play.rig.stop();
    println!("killed {} times in {:?}, {} troubles over: {kills:?}", kills.len(), begun.elapsed(), play.over);
    ends_as_the_ledger_says(&play.rig);
    play.rig.end();
}

fn settled(state: &State) -> bool {
    state.incidents.values().all(|i| !i.is_open()) && state.runs.values().all(|r| r.undo.is_none() || r.undo_done)
}

/// Half of the time the new daemon is waited for and asked; the other half it may be killed on its way up.
fn comes_back_as_it_was(play: &mut Play, before: &[Event], dice: &mut Dice) {
    if dice.throw(2) == 0 {
        return;
    }
    let was = State::fold(before);
    play.rig.answers();
    let now = events(&play.rig.data());
    assert_eq!(&now[..before.len()], before, "what was acknowledged is there, as it was");
    let Fact::Started { replayed, .. } = of_kind(&now[before.len()..], "started")[0].fact else { unreachable!() };
    assert_eq!(replayed, before.len() as u64);
    for open in was.incidents.values().filter(|i| i.is_open()) {
        let shown = play.rig.say(&format!("show {}", open.id));
        assert!(shown.contains(&open.id.to_string()), "{shown}");
        // It goes on: a question that had its yes is not asked again.
        let approved = open.question.as_ref().is_some_and(|q| !q.approvals.is_empty());
        if approved && matches!(open.phase, Phase::AwaitingApproval) {
            assert!(shown.contains("unix user"), "who approved {} is forgotten:\n{shown}", open.id);
        }
    }
}

fn ends_as_the_ledger_says(rig: &Rig) {
    let data = rig.data();
    is_sound(&data);
    let events = events(&data);
    let opened: Vec<IncidentId> = of_kind(&events, "incident-opened").iter().map(|e| e.incident.unwrap()).collect();
    let counted: Vec<_> = (1..=opened.len() as u64).map(IncidentId).collect();
    assert_eq!(opened, counted, "incident ids count up and never repeat");
    let runs: Vec<RunId> = of_kind(&events, "run-started").iter().map(|e| e.run.unwrap()).collect();
    assert_eq!(runs, (1..=runs.len() as u64).map(RunId).collect::<Vec<_>>(), "run ids too");

    // What the ledger says was done, and what the target shows of it.
    let mut replicas = 2;
    let mut restarts: BTreeMap<String, u64> = BTreeMap::new();
    let step = |run: RunId, index: u32| {
        events.iter().find_map(|e| match &e.fact {
            Fact::ActionIntended { index: i, step } if e.run == Some(run) && *i == index => Some(step.clone()),
            _ => None,
        })
    };
    for event in &events {
        match &event.fact {
            Fact::ActionDone { index, .. } => match step(event.run.unwrap(), *index).unwrap().action {
                Action::Scale { to, .. } => {
                    assert_ne!(to, replicas, "the same scaling twice");
                    // Those that come new start to count their restarts anew.
                    restarts.retain(|name, _| number(name) <= to);
                    replicas = to;
                }
                Action::Restart { instance, .. } => *restarts.entry(instance).or_default() += 1,
                other => panic!("nobody planned {other}"),
            },
            Fact::UndoneAction { index, .. } => {
                let step = step(event.run.unwrap(), *index).unwrap();
                if let suture::model::Inverse::Action(Action::Scale { to, .. }) = step.inverse {
                    restarts.retain(|name, _| number(name) <= to);
                    replicas = to;
                }
            }
            _ => {}
        }
    }
    let target = rig.target();
    assert_eq!(
        (target.replicas, target.instances.len(), target.serving()),
        (replicas, replicas as usize, replicas as usize)
    );
    let shown: BTreeMap<_, _> =
        target.instances.iter().filter(|i| i.generation > 0).map(|i| (i.name.clone(), i.generation)).collect();
    assert_eq!(shown, restarts, "restarts as the target counts them, and as the ledger does");
    assert!(fs::read_dir(data.join("ledger")).unwrap().count() >= 1);
}

fn number(instance: &str) -> u32 {
    instance.rsplit('-').next().unwrap().parse().unwrap()
}

#[test]
fn an_approval_outlives_the_daemon_that_took_it_and_stopped_is_stopped() {
    let _quiet = quiet_machine();
    let cooldown = Duration::from_secs(8);
    let mut rig = Rig::new(Ways { mode: "approve", cooldown: "8s", outlive: true });
    rig.start_learned();
    let first = heals(&rig, 0);
    let run = state(&rig.data()).incidents[&first].runs[0];
    rig.say(&format!("rollback {run}"));
    rig.until("taken back", |s| s.runs[&run].undo_done.then_some(()));
    let last_action = Instant::now();

    // Too soon for another scaling: the yes stands, and waits.
    rig.crowded();
    let second = rig.asked_after(first.0);
    rig.say(&format!("approve {second}"));
    let question = rig
        .until("the yes is written down", |s| s.incidents[&second].question.clone().filter(|q| q.approvals.len() == 1));
    rig.say("stop for a moment");
    let supervisor = rig.report().unwrap().pid;
    rig.kill();
    rig.start();
    let after = state(&rig.data());
    assert_eq!(after.incidents[&second].question.as_ref(), Some(&question), "the same plan, with its yes");
    assert_eq!(rig.report().unwrap().pid, supervisor, "the target lived on");
    // The cooldown is over before the stop is.
    std::thread::sleep((cooldown + Duration::from_secs(1)).saturating_sub(last_action.elapsed()));
    assert_eq!((rig.target().replicas, count(&rig.data(), "run-started")), (2, 1), "stopped is stopped");
    rig.say("resume");
    eventually(PATIENCE, "it goes on by itself", || (rig.target().serving() == 4).then_some(()));
    rig.well();
    rig.until("healed", |s| (s.incidents[&second].how.as_deref() == Some("healed")).then_some(()));
    assert_eq!(count(&rig.data(), "approved"), 2, "one yes for each was enough");
    rig.stop();
    ends_as_the_ledger_says(&rig);
    rig.end();
}

fn heals(rig: &Rig, last: u64) -> IncidentId {
    rig.crowded();
    let id = rig.asked_after(last);
    rig.say(&format!("approve {id}"));
    eventually(PATIENCE, "four workers", || (rig.target().serving() == 4).then_some(()));
    rig.well();
    rig.until("healed", |s| (s.incidents[&id].how.as_deref() == Some("healed")).then_some(()));
    id
}
