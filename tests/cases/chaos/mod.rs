//! Chaos experiments with the real daemon and real workers: asked for, approved, put in, found, healed, taken out,
//! reported; and every way of being broken off.
//!
//! What is ill is said by the page of the case; what is put in is real, and is looked for where it is: in the worker's
//! process and at its supervisor. Times are those of the ledger, so that a busy machine is no failure.

mod asked;
mod healed;
mod killed;
mod stopped;

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use suture::act::local::{FaultsReport, HeldFault};
use suture::incident::{FaultState, Progress, Trial};
use suture::model::{ExperimentId, ExperimentOutcome, Fact, ServiceId};

use crate::harness::{Gives, PATIENCE, Rig, Ways, events, eventually, processes_of, state};

/// Between two looks at the ledger.
const LOOK_EVERY: Duration = Duration::from_millis(25);

/// How long a fault may be in after the word that ends it, as the documents promise.
const OUT_WITHIN: Duration = Duration::from_secs(2);

/// Well, and yet not as the experiment `brief` wants it; far from the limit that makes an incident.
const LIVELY: &str = "# TYPE shop_pool_waiters gauge\nshop_pool_waiters 5\n# TYPE shop_errors gauge\nshop_errors 0\n";

/// The page is as it should be, as far as these experiments look; needs no model, so nothing has to be learned.
const STEADY: &str = "[steady_state]\ndetector = false\nsamples = 1\nwithin = \"60s\"\n\n[[steady_state.metric]]\n\
                      metric = \"pool_waiters\"\nat_most = 2.0\n\n";

/// The experiments of the cases. Long where a case ends them, as short as they may be where time does.
fn experiments() -> [(&'static str, String); 7] {
    let hang = |title: &str, steady: &str, more: &str| {
        format!("title = \"{title}\"\n\n{steady}[[fault]]\nkind = \"hang\"\nfor = \"60s\"\n{more}")
    };
    let by_the_detector = "[steady_state]\nsamples = 1\nwithin = \"60s\"\n\n[[steady_state.metric]]\n\
                           metric = \"errors_ratio\"\nat_most = 0.5\n\n";
    let healing = "\n[expect]\ndetected_within = \"30s\"\nplaybooks = [\"restart-service\"]\nhealed_within = \"60s\"\n";
    let soon = "\n[expect]\ndetected_within = \"7s\"\n";
    let rule = "\n[[abort.metric]]\nmetric = \"errors_ratio\"\nat_most = 0.5\nsamples = 2\n";
    [
        ("stall", hang("A worker stands still", STEADY, "")),
        ("cure", hang("A worker stands still, and is healed", by_the_detector, healing)),
        ("never-steady", hang("It never begins", &STEADY.replace("2.0", "0.5"), "")),
        ("later", hang("A worker stands still after a while", STEADY, "after = \"5s\"\n")),
        ("guarded", hang("A worker stands still, with a rule", STEADY, rule)),
        ("pause", hang("A worker stands still for a moment", STEADY, soon).replace("for = \"60s\"", "for = \"6s\"")),
        (
            "brief",
            format!(
                "title = \"Answers come a moment later\"\n\n{STEADY}[[fault]]\nkind = \"latency\"\ndelay = \"50ms\"\n\
                 for = \"3s\"\n"
            ),
        ),
    ]
}

/// A rig with the experiments of the cases. No model is trained in it: what is ill is ill by its limit alone. Who asks
/// may approve. `more` is added to the `[chaos]` table.
fn lab(outlive: bool, more: &str) -> Rig {
    let rig = learning_lab(outlive, more);
    rig.write(|config| config.replace("train_after = 20", "train_after = 1000"));
    rig
}

/// The same, with a model after a few seconds.
fn learning_lab(outlive: bool, more: &str) -> Rig {
    let rig = Rig::new(Ways { mode: "approve", cooldown: "1ms", outlive });
    let dir = rig.dir.path().join("x");
    fs::create_dir(&dir).unwrap();
    for (name, text) in experiments() {
        fs::write(dir.join(format!("{name}.toml")), text).unwrap();
    }
    rig.write(|config| format!("{config}\n[chaos]\ndir = \"x\"\n{more}"));
    rig
}

/// Without the line breaks and the frame that a terminal gets. What stands in a table may still be broken up.
fn flat(text: &str) -> String {
    let words = text.split(|c: char| c.is_whitespace() || "│╭╮╰╯─".contains(c)).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(" ")
}

/// The character that says what a process does: `T` is stopped by a signal.
fn doing(pid: u32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.trim_start().chars().next()
}

impl Rig {
    /// Waits until the ledger says so of an experiment.
    #[track_caller]
    fn trial<T>(&self, id: u64, what: &str, look: impl Fn(&Trial) -> Option<T>) -> T {
        let data = self.data();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let now = state(&data);
            let trial = now.experiments.get(ExperimentId(id));
            if let Some(found) = trial.and_then(&look) {
                return found;
            }
            assert!(Instant::now() < deadline, "never: {what}\n{trial:#?}\n{}", self.words());
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Asks for an experiment on the shop, and gives its number.
    #[track_caller]
    fn ask_for(&self, name: &str) -> u64 {
        // One that does not serve is not hit, and of one that serves none is.
        eventually(PATIENCE, "two workers", || (self.target().serving() == 2).then_some(()));
        let said = self.say(&format!("chaos run {name} shop"));
        let state = state(&self.data());
        let open = state.experiments.open_on(&ServiceId::from("shop")).map(|trial| trial.id.0);
        open.unwrap_or_else(|| panic!("{name} is not asked about: {said}"))
    }

    /// Asks for an experiment, says yes, and gives its number.
    #[track_caller]
    fn begin(&self, name: &str) -> u64 {
        let id = self.ask_for(name);
        let said = self.say(&format!("approve EXP-{id}"));
        let trial = self.trial(id, "it is asked about", |trial| Some(trial.clone()));
        assert!(trial.started_at.is_some(), "a yes is enough: {said}\n{trial:#?}");
        id
    }

    /// The process of the worker that its only fault is for.
    #[track_caller]
    fn victim(&self, id: u64) -> u32 {
        let name = self.trial(id, "it names a worker", |trial| trial.plan.faults.first()?.instances.first().cloned());
        let report = eventually(PATIENCE, "the supervisor answers", || self.report());
        let pid = report.workers.iter().find(|worker| worker.name == name).and_then(|worker| worker.pid);
        pid.unwrap_or_else(|| panic!("{name} has no process: {report:#?}"))
    }

    /// Waits until its only fault is in, and gives the process that has it.
    #[track_caller]
    fn fault_in(&self, id: u64) -> u32 {
        self.trial(id, "the fault is in", |trial| {
            matches!(trial.faults.first(), Some(FaultState::In(_))).then_some(())
        });
        self.victim(id)
    }

    /// Begins one that stops a worker, and waits until that stands still.
    #[track_caller]
    fn stand_still(&self, name: &str) -> (u64, u32) {
        let id = self.begin(name);
        let pid = self.fault_in(id);
        assert_eq!(doing(pid), Some('T'), "the ledger says that process {pid} stands still");
        (id, pid)
    }

    /// Waits for its end.
    #[track_caller]
    fn ended(&self, id: u64) -> (ExperimentOutcome, String) {
        self.trial(id, "it is over", |trial| match trial.progress {
            Progress::Ended(outcome) => Some((outcome, trial.why.clone())),
            _ => None,
        })
    }

    /// What the supervisor holds now; `None` when it does not answer.
    fn held(&self) -> Option<Vec<HeldFault>> {
        let mut socket = UnixStream::connect(self.data().join("local/shop.sock")).ok()?;
        socket.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        socket.write_all(b"GET /faults HTTP/1.1\r\nhost: local\r\nconnection: close\r\n\r\n").ok()?;
        let mut said = String::new();
        socket.read_to_string(&mut said).ok()?;
        serde_json::from_str::<FaultsReport>(said.split_once("\r\n\r\n")?.1).ok().map(|report| report.held)
    }

    /// Its processes that stand still.
    fn stopped(&self) -> Vec<(u32, String)> {
        let mut all = processes_of(self.dir.path());
        all.retain(|(pid, _)| doing(*pid) == Some('T'));
        all
    }

    /// Nothing of any experiment is in now: asked where faults are, not where they are written down.
    #[track_caller]
    fn nothing_is_in(&self) {
        let held = eventually(PATIENCE, "the supervisor answers", || self.held());
        assert_eq!(held, Vec::new(), "the supervisor holds a fault");
        assert_eq!(self.stopped(), Vec::new(), "a process stands still");
    }

    /// How long the faults of an experiment were in after it was broken off, as the ledger has it.
    #[track_caller]
    fn out_after(&self, id: u64) -> Duration {
        let events = events(&self.data());
        let ours = |event: &&suture::model::Event| match &event.fact {
            Fact::ExperimentAborted { experiment, .. } => experiment.0 == id,
            _ => false,
        };
        let aborted = events.iter().find(ours).unwrap_or_else(|| panic!("EXP-{id} was not broken off")).at;
        let lifted = events.iter().filter_map(|event| match &event.fact {
            Fact::FaultLifted { experiment: Some(experiment), .. } if experiment.0 == id => Some(event.at),
            _ => None,
        });
        let last = lifted.max().unwrap_or_else(|| panic!("no fault of EXP-{id} was taken out"));
        last.since(aborted)
    }

    /// How its faults came out, in the words of the ledger.
    fn how_out(&self, id: u64) -> Vec<String> {
        let said = events(&self.data()).into_iter().filter_map(|event| match event.fact {
            Fact::FaultLifted { experiment: Some(experiment), how, .. } if experiment.0 == id => Some(how),
            _ => None,
        });
        said.collect()
    }

    /// Broken off for this reason, with everything out in the time that is promised.
    #[track_caller]
    fn is_broken_off(&self, id: u64, why: &str) {
        let (outcome, said) = self.ended(id);
        assert_eq!(outcome, ExperimentOutcome::Aborted, "{said}");
        assert!(said.contains(why), "broken off for another reason than `{why}`: {said}");
        let after = self.out_after(id);
        assert!(after < OUT_WITHIN, "out only after {after:?}");
        self.nothing_is_in();
    }

    /// Steady enough for the daemon, not for the experiment.
    fn lively(&self) {
        self.page.give(Gives::Text(LIVELY.to_owned()));
    }

    /// Begins one whose fault is over at once and that waits for the steady state afterwards, and waits until it does.
    #[track_caller]
    fn wait_after(&self) -> u64 {
        let id = self.begin("brief");
        self.trial(id, "the fault is in", |trial| trial.first_fault_at);
        self.lively();
        self.trial(id, "the fault is out, and it waits", |trial| {
            let out = trial.faults.iter().all(|fault| matches!(fault, FaultState::Out(_)));
            (out && trial.progress == Progress::Running).then_some(())
        });
        id
    }
}

/// `kill -9` of a process that the case's daemon started.
fn kill(pid: u32) {
    kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), Signal::KILL).unwrap();
}

/// A process that is held still. Dropped, it goes on, also when a case fails.
struct Held(Pid);

impl Held {
    fn hold(pid: u32) -> Self {
        let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
        kill_process(pid, Signal::STOP).unwrap();
        Self(pid)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ = kill_process(self.0, Signal::CONT);
    }
}
