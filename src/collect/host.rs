//! Host: this machine through sysinfo, and groups of its processes.
//!
//! Must never block the async threads (a disk that hangs hangs its `statfs`), read twice at once, or cost more than the
//! metrics are worth: only what is shown is refreshed. Called by the collector, once a round.
//!
//! | metric | unit | |
//! |---|---|---|
//! | `cpu_ratio` | ratio | busy part of all cores, 0 to 1 |
//! | `memory_used_ratio`, `swap_used_ratio` | ratio | what is not available to a new process; no swap, no value |
//! | `load1_per_core` | | runnable (on Linux also disk-bound) threads a core over the last minute |
//! | `disk_read_bytes_rate`, `disk_written_bytes_rate` | bytes/s | all disks |
//! | `disk_used_ratio` | ratio | of the fullest real, writable file system |
//! | `network_received_bytes_rate`, `network_transmitted_bytes_rate` | bytes/s | all but loopback and virtual interfaces |
//! | `network_errors_rate` | 1/s | of the same, both ways |
//! | `processes` | | on the whole machine |
//! | `NAME_cpu_cores`, `NAME_memory_bytes`, `NAME_processes` | cores, bytes | one set for each group of the config |
//!
//! What is "since the last read" has no value in the first one.
//!
//! A read without groups costs half a millisecond, most of it the interfaces; groups add 30 microseconds for each process
//! of the machine, of the group or not (release build, 2 cores, 114 processes: 3.7 ms). Every 5 s, that is 0.01 % and 0.08 %
//! of a core.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use async_trait::async_trait;
use globset::{Glob, GlobMatcher};
use sysinfo::{
    CpuRefreshKind, DiskRefreshKind, Disks, MemoryRefreshKind, Networks, Pid, ProcessRefreshKind, ProcessesToUpdate,
    System, UpdateKind,
};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::{Gathered, HostSettings, MetricSettings, Source, SourceError, names};
use crate::model::{Badness, MetricSpec};

/// As the config and the cards name it.
const NAME: &str = "host";
/// How much of a command line is looked at: a glob that needs more than this is a mistake.
const MOST_COMMAND_BYTES: usize = 4096;
/// Interfaces whose traffic is counted a second time on a real one, or never leaves the machine.
const VIRTUAL: &[&str] = &["veth", "docker", "br-", "virbr", "cni", "cali", "flannel", "dummy", "ifb"];
/// File systems that are full by design or not on a disk of this machine.
const NOT_DISKS: &[&str] = &["squashfs", "iso9660", "erofs", "tmpfs", "devtmpfs", "ramfs", "fuse.snapfuse"];

/// This machine: one source of a service.
#[derive(Debug)]
pub struct HostSource {
    metric: BTreeMap<String, MetricSettings>,
    groups: Vec<Group>,
    state: State,
}

/// A named group of processes.
#[derive(Clone, Debug)]
struct Group {
    name: String,
    glob: GlobMatcher,
}

/// The machine's handles wander to the thread that reads and back.
#[derive(Debug)]
enum State {
    /// Before the first read, and after a reading thread was lost.
    New,
    Idle(Box<Machine>),
    /// A read is under way, perhaps one that was cut off: the next read first takes back the handles.
    Busy(JoinHandle<(Box<Machine>, Values)>),
}

type Values = BTreeMap<String, f64>;

impl HostSource {
    /// # Errors
    /// When a group's pattern is not a glob, or its name is not fit for a metric.
    pub fn new(settings: &HostSettings) -> Result<Self, SourceError> {
        let wrong = |why: String| SourceError { source_name: NAME.to_owned(), why };
        let group = |(name, pattern): (&String, &String)| {
            if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
                return Err(wrong(format!(
                    "the process group `{}` needs a name of letters, digits and _",
                    names::excerpt(name, 60)
                )));
            }
            let glob = Glob::new(pattern).map_err(|e| wrong(format!("processes.{name} is not a glob: {e}")))?;
            Ok(Group { name: name.clone(), glob: glob.compile_matcher() })
        };
        let groups = settings.processes.iter().map(group).collect::<Result<_, _>>()?;
        Ok(Self { metric: settings.metric.clone(), groups, state: State::New })
    }

    fn specs(&self, values: &Values) -> BTreeMap<String, MetricSpec> {
        let spec = |name: &String| {
            let spec = names::with_settings(self.usual_spec(name), self.metric.get(name));
            (name.clone(), spec)
        };
        values.keys().map(spec).collect()
    }

    /// What these metrics are known to mean; the rest is guessed from the name like anywhere else.
    fn usual_spec(&self, name: &str) -> MetricSpec {
        let (bad, floor, limit) = match name {
            // A machine at 95 % is busy, not broken: limits only where the next step is an outage.
            "cpu_ratio" => (Badness::High, 0.05, None),
            "memory_used_ratio" => (Badness::High, 0.02, Some(0.97)),
            "swap_used_ratio" => (Badness::High, 0.02, None),
            "disk_used_ratio" => (Badness::High, 0.01, Some(0.97)),
            "load1_per_core" => (Badness::High, 0.25, None),
            "network_errors_rate" => (Badness::High, 1.0, None),
            "disk_read_bytes_rate" | "disk_written_bytes_rate" => (Badness::Both, 1_048_576.0, None),
            // Whole batches of short-lived ones come and go with cron; what matters is a pile-up.
            "processes" => (Badness::High, 20.0, None),
            _ if self.groups.iter().any(|g| name.strip_suffix("_processes") == Some(&g.name)) => {
                (Badness::Low, 0.5, None)
            }
            _ => return names::guess(name),
        };
        MetricSpec { bad, floor, limit, ..names::guess(name) }
    }

    /// The handles, when nobody is reading with them.
    async fn machine(&mut self) -> Result<Box<Machine>, SourceError> {
        // A read that was cut off goes on in its thread. What it finds is too old; its handles are ours again. When this
        // wait is cut off too, the state stays as it is.
        if let State::Busy(reading) = &mut self.state {
            let back = reading.await;
            self.state = back.map_or(State::New, |(machine, _)| State::Idle(machine));
        }
        match std::mem::replace(&mut self.state, State::New) {
            State::Idle(machine) => Ok(machine),
            State::New | State::Busy(_) => Machine::new().map(Box::new).map_err(|e| SourceError {
                source_name: NAME.to_owned(),
                why: format!("sysinfo cannot read this machine: {e}"),
            }),
        }
    }
}

#[async_trait]
impl Source for HostSource {
    fn name(&self) -> &str {
        NAME
    }

    async fn read(&mut self) -> Result<Gathered, SourceError> {
        let mut machine = self.machine().await?;
        let groups = self.groups.clone();
        let now = Instant::now();
        self.state = State::Busy(tokio::task::spawn_blocking(move || {
            let values = machine.read(&groups, now);
            (machine, values)
        }));
        let State::Busy(reading) = &mut self.state else { return Ok(Gathered::default()) };
        let (machine, values) = match reading.await {
            Ok(back) => back,
            Err(e) => {
                self.state = State::New;
                return Err(SourceError {
                    source_name: NAME.to_owned(),
                    why: format!("the reading thread was lost: {e}"),
                });
            }
        };
        self.state = State::Idle(machine);
        let specs = self.specs(&values);
        Ok(Gathered { values, specs, ..Gathered::default() })
    }
}

/// sysinfo's handles: they remember the last refresh, which rates need.
#[derive(Debug)]
struct Machine {
    system: System,
    disks: Disks,
    networks: Networks,
    last: Option<Instant>,
    /// Of the processes in groups: when it began and the CPU milliseconds it had used.
    cpu_time: HashMap<Pid, (u64, u64)>,
}

impl Machine {
    fn new() -> Result<Self, sysinfo::Error> {
        Ok(Self {
            system: System::new()?,
            disks: Disks::new()?,
            networks: Networks::new()?,
            last: None,
            cpu_time: HashMap::new(),
        })
    }

    fn read(&mut self, groups: &[Group], now: Instant) -> Values {
        let elapsed = self.last.map(|last| now.saturating_duration_since(last));
        // Below sysinfo's least interval the kernel's ticks are too coarse for a share.
        let elapsed = elapsed.filter(|elapsed| *elapsed >= sysinfo::MINIMUM_CPU_UPDATE_INTERVAL);
        let mut values = Values::new();
        self.cpu_and_memory(elapsed.is_some(), &mut values);
        self.disks(elapsed, &mut values);
        self.networks(elapsed, &mut values);
        self.processes(groups, elapsed, &mut values);
        self.last = Some(now);
        values
    }

    fn cpu_and_memory(&mut self, has_interval: bool, values: &mut Values) {
        self.system.refresh_cpu_specifics(CpuRefreshKind::nothing().with_usage());
        self.system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram().with_swap());
        let mut set = |name: &str, value: f64| values.insert(name.to_owned(), value);
        if has_interval {
            set("cpu_ratio", (f64::from(self.system.global_cpu_usage()) / 100.0).clamp(0.0, 1.0));
        }
        if let Some(available) = part(self.system.available_memory(), self.system.total_memory()) {
            set("memory_used_ratio", 1.0 - available);
        }
        if let Some(used) = part(self.system.used_swap(), self.system.total_swap()) {
            set("swap_used_ratio", used);
        }
        let cores = u32::try_from(self.system.cpus().len()).map_or(0.0, f64::from);
        if let (Ok(load), true) = (System::load_average(), cores > 0.0) {
            set("load1_per_core", load.one / cores);
        }
    }

    fn disks(&mut self, elapsed: Option<Duration>, values: &mut Values) {
        self.disks.refresh_specifics(true, DiskRefreshKind::nothing().with_storage().with_io_usage());
        let (mut read, mut written, mut fullest) = (0_u64, 0_u64, None::<f64>);
        // One disk may be mounted in many places.
        let mut counted = BTreeSet::new();
        for disk in &self.disks {
            if counted.insert(disk.name().to_os_string()) {
                let usage = disk.usage();
                read = read.saturating_add(usage.read_bytes);
                written = written.saturating_add(usage.written_bytes);
            }
            let kind = disk.file_system().to_string_lossy();
            if !disk.is_read_only() && !NOT_DISKS.contains(&kind.as_ref()) {
                let used = part(disk.available_space(), disk.total_space()).map(|free| 1.0 - free);
                fullest = fullest.into_iter().chain(used).reduce(f64::max);
            }
        }
        if let Some(fullest) = fullest {
            values.insert("disk_used_ratio".to_owned(), fullest);
        }
        if let Some(elapsed) = elapsed {
            values.insert("disk_read_bytes_rate".to_owned(), per_second(read, elapsed));
            values.insert("disk_written_bytes_rate".to_owned(), per_second(written, elapsed));
        }
    }

    fn networks(&mut self, elapsed: Option<Duration>, values: &mut Values) {
        self.networks.refresh(true);
        let Some(elapsed) = elapsed else { return };
        let (mut received, mut transmitted, mut errors) = (0_u64, 0_u64, 0_u64);
        for (name, data) in self.networks.iter() {
            if is_real(&name.to_string_lossy()) {
                received = received.saturating_add(data.received());
                transmitted = transmitted.saturating_add(data.transmitted());
                let both = data.errors_on_received().saturating_add(data.errors_on_transmitted());
                errors = errors.saturating_add(both);
            }
        }
        values.insert("network_received_bytes_rate".to_owned(), per_second(received, elapsed));
        values.insert("network_transmitted_bytes_rate".to_owned(), per_second(transmitted, elapsed));
        values.insert("network_errors_rate".to_owned(), per_second(errors, elapsed));
    }

    fn processes(&mut self, groups: &[Group], elapsed: Option<Duration>, values: &mut Values) {
        if groups.is_empty() {
            if let Some(count) = count_processes(&mut self.system) {
                values.insert("processes".to_owned(), count);
            }
            return;
        }
        let wanted =
            ProcessRefreshKind::nothing().with_cpu().with_memory().with_cmd(UpdateKind::OnlyIfNotSet).without_tasks();
        self.system.refresh_processes_specifics(ProcessesToUpdate::All, true, wanted);
        values.insert("processes".to_owned(), number(self.system.processes().len()));
        let earlier = std::mem::take(&mut self.cpu_time);
        let mut found = vec![Found::default(); groups.len()];
        for (pid, process) in self.system.processes() {
            let command = command_line(process);
            for (group, found) in groups.iter().zip(&mut found) {
                if !group.glob.is_match(&command) {
                    continue;
                }
                let used = process.accumulated_cpu_time();
                self.cpu_time.insert(*pid, (process.start_time(), used));
                found.processes += 1;
                found.memory = found.memory.saturating_add(process.memory());
                // A process that began since, or took over the number of another, gives nothing this once.
                if let Some((_, before)) = earlier.get(pid).filter(|(began, _)| *began == process.start_time()) {
                    found.known += 1;
                    found.cpu_ms = found.cpu_ms.saturating_add(used.saturating_sub(*before));
                }
            }
        }
        for (group, found) in groups.iter().zip(found) {
            let mut set = |what: &str, value: f64| values.insert(format!("{}_{what}", group.name), value);
            set("processes", number(found.processes));
            set("memory_bytes", per_second(found.memory, Duration::from_secs(1)));
            if let Some(elapsed) = elapsed.filter(|_| found.known > 0 || found.processes == 0) {
                set("cpu_cores", per_second(found.cpu_ms, elapsed) / 1000.0);
            }
        }
    }
}

/// What was found of one group.
#[derive(Clone, Debug, Default)]
struct Found {
    processes: usize,
    known: usize,
    memory: u64,
    cpu_ms: u64,
}

/// How many processes there are. Without groups this is all that is wanted of them, and on Linux a look at the names in
/// /proc, which costs a thirtieth of asking for each one.
fn count_processes(system: &mut System) -> Option<f64> {
    if cfg!(target_os = "linux") {
        let entries = std::fs::read_dir("/proc").ok()?;
        let is_process = |name: &std::ffi::OsStr| name.as_encoded_bytes().iter().all(u8::is_ascii_digit);
        return Some(number(entries.flatten().filter(|entry| is_process(&entry.file_name())).count()));
    }
    system.refresh_processes_specifics(ProcessesToUpdate::All, true, ProcessRefreshKind::nothing().without_tasks());
    Some(number(system.processes().len()))
}

/// The arguments joined by spaces; the bare name for what has none (kernel threads).
fn command_line(process: &sysinfo::Process) -> String {
    let mut command = String::new();
    for argument in process.cmd() {
        if command.len() > MOST_COMMAND_BYTES {
            break;
        }
        if !command.is_empty() {
            command.push(' ');
        }
        command.extend(argument.to_string_lossy().chars().take(MOST_COMMAND_BYTES));
    }
    if command.is_empty() { process.name().to_string_lossy().into_owned() } else { command }
}

fn is_real(interface: &str) -> bool {
    // `lo`, `lo0`, `Loopback Pseudo-Interface 1`.
    let is_loopback = interface == "lo" || interface == "lo0" || interface.starts_with("Loopback");
    !is_loopback && !VIRTUAL.iter().any(|start| interface.starts_with(start))
}

fn part(of: u64, all: u64) -> Option<f64> {
    (all > 0).then(|| (float(of) / float(all)).clamp(0.0, 1.0))
}

fn per_second(amount: u64, elapsed: Duration) -> f64 {
    float(amount) / elapsed.as_secs_f64()
}

#[expect(clippy::cast_precision_loss, reason = "beyond 2^53 a byte more or less does not matter")]
fn float(n: u64) -> f64 {
    n as f64
}

fn number(n: usize) -> f64 {
    u32::try_from(n).map_or(f64::MAX, f64::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(groups: &[(&str, &str)]) -> HostSource {
        let processes = groups.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        HostSource::new(&HostSettings { processes, metric: BTreeMap::new() }).unwrap()
    }

    /// sysinfo needs a real interval between two reads.
    const INTERVAL: Duration = Duration::from_millis(250);

    #[tokio::test]
    async fn the_machine_shows_itself() {
        let mut source = source(&[]);
        let first = source.read().await.unwrap().values;
        assert!(!first.contains_key("cpu_ratio") && !first.contains_key("network_errors_rate"), "{first:?}");
        tokio::time::sleep(INTERVAL).await;
        let second = source.read().await.unwrap();
        for name in ["cpu_ratio", "memory_used_ratio"] {
            let value = second.values[name];
            assert!((0.0..=1.0).contains(&value), "{name} = {value}");
        }
        for name in ["disk_read_bytes_rate", "network_received_bytes_rate", "processes"] {
            assert!(second.values[name] >= 0.0, "{name}");
        }
        assert!(second.values.keys().eq(second.specs.keys()));
        assert_eq!(second.specs["cpu_ratio"].bad, Badness::High);
    }

    #[tokio::test]
    async fn a_group_is_its_processes_and_no_others() {
        let marker = "86399.123";
        let mut child = std::process::Command::new("sleep").arg(marker).spawn().unwrap();
        let pattern = format!("*sleep {marker}");
        let mut source = source(&[("napper", &pattern), ("nobody", "no such command line")]);
        let first = source.read().await;
        tokio::time::sleep(INTERVAL).await;
        let second = source.read().await;
        child.kill().unwrap();
        child.wait().unwrap();
        let (first, second) = (first.unwrap().values, second.unwrap().values);
        assert_eq!(first["napper_processes"].to_bits(), 1f64.to_bits());
        assert!(!first.contains_key("napper_cpu_cores"));
        assert!(second["napper_memory_bytes"] > 0.0);
        assert!(second["napper_cpu_cores"] < 0.5);
        for name in ["nobody_processes", "nobody_memory_bytes", "nobody_cpu_cores"] {
            assert_eq!(second[name].to_bits(), 0f64.to_bits(), "{name}");
        }
        assert!(source.specs(&second)["napper_processes"].bad == Badness::Low);
    }

    #[tokio::test]
    async fn a_read_that_was_cut_off_does_no_harm() {
        let mut source = source(&[]);
        let machine = source.machine().await.unwrap();
        // As a read leaves it that was dropped while its thread was at work.
        let old = Values::from([("old".to_owned(), 1.0)]);
        source.state = State::Busy(tokio::task::spawn_blocking(move || (machine, old)));
        let values = source.read().await.unwrap().values;
        assert!(values.contains_key("memory_used_ratio") && !values.contains_key("old"), "{values:?}");
        assert!(matches!(source.state, State::Idle(_)));
    }

    #[tokio::test]
    async fn a_reading_thread_that_is_lost_costs_one_read() {
        let mut source = source(&[]);
        source.state = State::Busy(tokio::task::spawn_blocking(|| panic!("the thread is lost")));
        assert!(source.read().await.unwrap().values.contains_key("memory_used_ratio"));
    }

    #[test]
    fn a_bad_group_is_named() {
        for (name, pattern, says) in [("a", "[", "processes.a"), ("a b", "*", "`a b`")] {
            let processes = BTreeMap::from([(name.to_owned(), pattern.to_owned())]);
            let error = HostSource::new(&HostSettings { processes, metric: BTreeMap::new() }).unwrap_err();
            assert!(error.to_string().contains(says), "{error}");
        }
    }

    #[test]
    fn virtual_interfaces_are_not_counted() {
        for (name, real) in
            [("eth0", true), ("ens5", true), ("wlan0", true), ("lo", false), ("veth12", false), ("br-1", false)]
        {
            assert_eq!(is_real(name), real, "{name}");
        }
    }
}
