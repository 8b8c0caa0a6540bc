//! Faults in a `local:` target, with real processes: each is there where metrics show it, and is gone when it is taken out,
//! when nobody renews it, and when the supervisor is killed.

use std::time::Duration;

use rustix::process::Signal;
use suture::chaos::{Aim, InjectError, Injector, LEASE, LocalInjector, Wish};
use suture::collect::scrape::ScrapeSource;
use suture::collect::{Collector, Source, SourceSettings};
use suture::model::{AimedFault, Badness, BlastRadius, Fault, FaultKind, SystemClock};
use suture::sample::Shop;
use tempfile::TempDir;

use super::local_bench::*;

const ONE: BlastRadius = BlastRadius { instances: 1, share: 0.5 };
const ALL: BlastRadius = BlastRadius { instances: 9, share: 1.0 };

fn injector(bench: &Bench) -> LocalInjector {
    LocalInjector::new([(target(), bench.process.socket.clone())].into())
}

async fn aim(
    injector: &dyn Injector,
    fault: &Fault,
    at: &[&str],
    radius: BlastRadius,
) -> Result<AimedFault, InjectError> {
    let (target, at) = (target(), at.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
    let wish = Wish { target: &target, fault, instances: &at, radius, seed: 1 };
    let Aim { instances, how, undo, held } = injector.aim(&wish).await?;
    let (from, until) = (Duration::ZERO, Duration::from_secs(60));
    Ok(AimedFault { fault: fault.clone(), target, instances, from, until, how, undo, held })
}

/// Puts it into shop-2.
async fn put_in(injector: &dyn Injector, id: &str, fault: Fault) -> AimedFault {
    let aimed = aim(injector, &fault, &["shop-2"], ONE).await.unwrap();
    injector.put_in(id, &aimed).await.unwrap();
    aimed
}

/// What a page says; 0 for what is not on it.
fn value(page: &str, name: &str) -> f64 {
    let line = page.lines().find(|l| l.split(' ').next() == Some(name));
    line.map_or(0.0, |l| l.rsplit(' ').next().unwrap().parse().unwrap())
}

impl Bench {
    async fn own(&self, instance: &str, name: &str) -> f64 {
        let (status, page) = self.ask_worker(instance, "GET", "/metrics", "").await;
        assert_eq!(status, 200);
        value(&page, name)
    }

    async fn front(&self, instance: &str, name: &str) -> f64 {
        let admin = self.report().await.admin;
        let (status, page) = ask(admin, "GET", &format!("/front/{instance}/metrics"), "").await;
        assert_eq!(status, 200);
        value(&page, name)
    }

    /// So many requests at once: how many of each status; 0 where the connection broke off.
    async fn buy(&self, requests: u32) -> std::collections::BTreeMap<u16, usize> {
        let paths: Vec<_> = (0..requests).map(|n| format!("/buy?item={n}")).collect();
        let all = paths.iter().map(|path| ask(self.process.balancer, "GET", path, ""));
        let mut found = std::collections::BTreeMap::new();
        for (status, _) in futures::future::join_all(all).await {
            *found.entry(status).or_default() += 1;
        }
        found
    }

    async fn held(&self) -> String {
        let stream = tokio::net::UnixStream::connect(&self.process.socket).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(hyper_util::rt::TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let request = hyper::Request::get("/faults").header("host", "x").body(String::new()).unwrap();
        let body = sender.send_request(request).await.unwrap().into_body();
        let body = http_body_util::BodyExt::collect(body).await.unwrap().to_bytes();
        let report: serde_json::Value = serde_json::from_slice(&body).unwrap();
        report["held"].to_string()
    }
}

/// The children of a process that are there.
fn children(pid: u32) -> Vec<u32> {
    let all = std::fs::read_dir("/proc").unwrap().flatten().filter_map(|e| e.file_name().to_str()?.parse::<u32>().ok());
    all.filter(|child| {
        let stat = std::fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
        let parent = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse().ok());
        parent == Some(pid) && lives(*child)
    })
    .collect()
}

/// Bytes of memory that a process has.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).unwrap_or("0");
    line.split_whitespace().next().unwrap_or("0").parse::<u64>().unwrap() * 1024
}

/// The largest file without a name that a process has open.
fn nameless(pid: u32) -> u64 {
    let Ok(open) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { return 0 };
    let sizes = open.flatten().filter_map(|fd| {
        let name = std::fs::read_link(fd.path()).ok()?.to_string_lossy().into_owned();
        let size = std::fs::metadata(fd.path()).ok()?.len();
        (name.starts_with('/') && name.ends_with("(deleted)")).then_some(size)
    });
    sizes.max().unwrap_or(0)
}

fn processor(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    rest.split_whitespace().nth(11).map_or(0, |ticks| ticks.parse().unwrap())
}

/// Is it felt, seen from the process that does it?
type Felt = fn(u32) -> bool;

#[tokio::test]
async fn what_lies_on_the_way_is_seen_by_the_balancer_and_not_by_the_worker() {
    let bench = Bench::start(&shop_settings(2)).await;
    let injector = injector(&bench);
    assert_eq!(bench.buy(20).await, [(200, 20)].into());
    assert_eq!(
        (bench.front("shop-2", "front_errors_total").await, bench.front("shop-2", "front_up").await),
        (0.0, 1.0)
    );

    let delay = Duration::from_millis(700);
    let fast = r#"front_request_duration_seconds_bucket{le="0.6"}"#;
    let slow =
        async |name| bench.front(name, "front_request_duration_seconds_count").await - bench.front(name, fast).await;
    let latency = put_in(&injector, "EXP-1.1", Fault::Latency { delay, jitter: Duration::ZERO, share: 1.0 }).await;
    assert_eq!(latency.how, "by the balancer in front of shop-2");
    let before = slow("shop-1").await;
    assert_eq!(bench.buy(10).await, [(200, 10)].into());
    assert_eq!((slow("shop-2").await, slow("shop-1").await - before), (5.0, 0.0));
    let own = bench.own("shop-2", r#"shop_request_duration_seconds_bucket{le="0.6"}"#).await;
    assert_eq!(own, bench.own("shop-2", "shop_request_duration_seconds_count").await);
    // Twice with one id is once, and another of its kind is refused there.
    injector.put_in("EXP-1.1", &latency).await.unwrap();
    let again = injector.put_in("EXP-2.1", &latency).await;
    assert!(matches!(again, Err(InjectError::Refused(why)) if why.contains("by EXP-1.1")));
    assert_eq!(injector.take_out("EXP-1.1", &latency).await.unwrap(), "latency is out");
    assert_eq!(injector.take_out("EXP-1.1", &latency).await.unwrap(), "EXP-1.1 is not in");

    let resets = put_in(&injector, "EXP-1.2", Fault::Resets { share: 1.0 }).await;
    assert_eq!(bench.buy(10).await, [(0, 5), (200, 5)].into());
    assert_eq!(bench.front("shop-2", "front_errors_total").await, 5.0);
    injector.take_out("EXP-1.2", &resets).await.unwrap();

    let partition = put_in(&injector, "EXP-1.3", Fault::Partition).await;
    until("cut off", async || !bench.state().await.instance("shop-2").unwrap().up).await;
    assert_eq!(bench.front("shop-2", "front_up").await, 0.0);
    // It is well, and says so to whoever asks it itself.
    assert_eq!(bench.ask_worker("shop-2", "GET", "/healthz", "").await.0, 200);
    injector.take_out("EXP-1.3", &partition).await.unwrap();
    until("back", async || bench.state().await.serving() == 2).await;
    assert_eq!(bench.buy(20).await, [(200, 20)].into());
    assert_eq!(bench.held().await, "[]");
}

#[tokio::test]
async fn errors_without_a_door_are_the_balancers_and_stay_over_a_restart() {
    let mut settings = shop_settings(2);
    settings.faults = None;
    let bench = Bench::start(&settings).await;
    let injector = injector(&bench);
    let errors = put_in(&injector, "EXP-1.1", Fault::Errors { share: 1.0, status: 503 }).await;
    assert_eq!(bench.buy(10).await, [(200, 5), (503, 5)].into());
    bench.act(restart("shop-2"), "again").await.unwrap();
    assert_eq!(bench.buy(10).await, [(200, 5), (503, 5)].into());
    // Gone and come back: the place still has it, until it is taken out.
    bench.act(scale(1), "down").await.unwrap();
    injector.renew("EXP-1.1", &errors, LEASE).await.unwrap();
    bench.act(scale(2), "up").await.unwrap();
    assert_eq!(bench.buy(10).await, [(200, 5), (503, 5)].into());
    bench.act(scale(1), "down again").await.unwrap();
    injector.take_out("EXP-1.1", &errors).await.unwrap();
    bench.act(scale(2), "up again").await.unwrap();
    assert_eq!(bench.buy(10).await, [(200, 10)].into());
}

#[tokio::test]
async fn a_lease_that_nobody_renews_ends_the_fault() {
    let bench = Bench::start(&shop_settings(2)).await;
    let injector = injector(&bench);
    let all = [
        Fault::Resets { share: 1.0 },
        Fault::Hang,
        Fault::Errors { share: 1.0, status: 500 },
        Fault::DiskFill { bytes: 8 << 20, bytes_per_second: 32 << 20 },
    ];
    // What is at the door must be in before the process stops answering there.
    for (n, fault) in all.iter().enumerate().rev() {
        put_in(&injector, &format!("EXP-1.{n}"), fault.clone()).await;
    }
    let pid = bench.report().await.workers[1].pid.unwrap();
    assert!(nameless(pid) <= 8 << 20);
    until("all out", async || bench.held().await == "[]").await;
    until("well", async || bench.state().await.serving() == 2).await;
    until("the worker's own are out", async || nameless(pid) == 0).await;
    assert_eq!(bench.buy(10).await, [(200, 10)].into());
    let aimed = aim(&injector, &Fault::Hang, &["shop-2"], ONE).await.unwrap();
    assert!(matches!(injector.renew("EXP-1.1", &aimed, LEASE).await, Err(InjectError::Gone(_))));
}

#[tokio::test]
async fn renewals_keep_it_in_and_what_is_left_bounds_them() {
    let bench = Bench::start(&shop_settings(2)).await;
    let injector = injector(&bench);
    let errors = put_in(&injector, "EXP-1.1", Fault::Errors { share: 1.0, status: 500 }).await;
    assert_eq!(errors.how, "by shop-2 itself");
    let began = tokio::time::Instant::now();
    until("longer than a lease", async || {
        injector.renew("EXP-1.1", &errors, LEASE).await.unwrap();
        began.elapsed() > LEASE + Duration::from_secs(1)
    })
    .await;
    assert_eq!(bench.buy(10).await, [(200, 5), (500, 5)].into());
    injector.renew("EXP-1.1", &errors, Duration::from_millis(300)).await.unwrap();
    let began = tokio::time::Instant::now();
    until("out", async || bench.held().await == "[]").await;
    assert!(began.elapsed() < LEASE, "not for a whole lease");
    assert_eq!(bench.buy(10).await, [(200, 10)].into());
}

#[tokio::test]
async fn a_worker_that_hangs_is_restarted_and_the_next_process_is_left_alone() {
    let bench = Bench::start(&shop_settings(2)).await;
    let injector = injector(&bench);
    let hang = put_in(&injector, "EXP-1.1", Fault::Hang).await;
    let hung = bench.report().await.workers[1].pid.unwrap();
    let state = std::fs::read_to_string(format!("/proc/{hung}/stat")).unwrap();
    assert!(state.rsplit_once(')').unwrap().1.trim_start().starts_with('T'), "{state}");
    bench.act(restart("shop-2"), "heal").await.unwrap();
    assert!(!lives(hung));
    assert_eq!(bench.state().await.serving(), 2);
    let gone = injector.renew("EXP-1.1", &hang, LEASE).await;
    assert!(matches!(gone, Err(InjectError::Gone(ref why)) if why.contains("went with the process")), "{gone:?}");
    injector.take_out("EXP-1.1", &hang).await.unwrap();

    // And without a restart it goes on where it was.
    let hang = put_in(&injector, "EXP-2.1", Fault::Hang).await;
    let pid = bench.report().await.workers[1].pid.unwrap();
    injector.take_out("EXP-2.1", &hang).await.unwrap();
    until("well", async || bench.state().await.serving() == 2).await;
    assert_eq!(bench.report().await.workers[1].pid, Some(pid));
    assert_eq!(bench.who_answers(4).await.len(), 2);
}

#[tokio::test]
async fn a_crash_is_dealt_once() {
    let bench = Bench::start(&shop_settings(2)).await;
    let injector = injector(&bench);
    let crash = put_in(&injector, "EXP-1.1", Fault::Crash).await;
    let report = bench.report().await;
    assert!(report.workers[1].pid.is_none() && report.workers[1].status.contains("SIGKILL"), "{report:?}");
    bench.act(restart("shop-2"), "heal").await.unwrap();
    // Asked again by a daemon that did not hear the answer: what has come up since is not hit.
    assert_eq!(injector.put_in("EXP-1.1", &crash).await.unwrap(), "EXP-1.1 was done before");
    injector.renew("EXP-1.1", &crash, LEASE).await.unwrap();
    assert!(injector.take_out("EXP-1.1", &crash).await.unwrap().contains("over at once"));
    assert_eq!(bench.state().await.serving(), 2);
}

#[tokio::test]
async fn faults_of_a_worker_show_on_its_page_and_go_with_it() {
    let bench = Bench::start(&shop_settings(2)).await;
    let injector = injector(&bench);
    let memory = "process_resident_memory_bytes";
    let before = bench.own("shop-2", memory).await;

    let pressure = put_in(&injector, "EXP-1.1", Fault::MemoryPressure { bytes: 64 << 20 }).await;
    assert!(bench.own("shop-2", memory).await > before + 6e7);
    injector.take_out("EXP-1.1", &pressure).await.unwrap();
    until("given back", async || bench.own("shop-2", memory).await < before + 3e7).await;

    let fill = put_in(&injector, "EXP-1.2", Fault::DiskFill { bytes: 8 << 20, bytes_per_second: 64 << 20 }).await;
    let pid = bench.report().await.workers[1].pid.unwrap();
    until("full", async || bench.own("shop-2", "shop_spool_bytes").await >= 8_388_608.0).await;
    assert_eq!(nameless(pid), 8 << 20);
    injector.take_out("EXP-1.2", &fill).await.unwrap();
    until("empty", async || nameless(pid) == 0).await;
    assert_eq!(bench.own("shop-2", "shop_spool_bytes").await, 0.0);

    put_in(&injector, "EXP-1.3", Fault::DiskIo { block: 1 << 20 }).await;
    bench.buy(20).await;
    assert!(bench.own("shop-2", "shop_journal_seconds_total").await > 0.0);
    assert_eq!(bench.own("shop-1", "shop_journal_seconds_total").await, 0.0);

    let leak = Fault::MemoryLeak { bytes_per_second: 64 << 20, at_most: 32 << 20 };
    let leak = put_in(&injector, "EXP-1.4", leak).await;
    until("leaked", async || bench.own("shop-2", memory).await > before + 3e7).await;
    bench.act(restart("shop-2"), "heal").await.unwrap();
    assert!(bench.own("shop-2", memory).await < before + 3e7);
    assert!(matches!(injector.renew("EXP-1.4", &leak, LEASE).await, Err(InjectError::Gone(_))));

    let pool = put_in(&injector, "EXP-1.5", Fault::PoolExhaustion { every: Duration::from_millis(50) }).await;
    until("leaked", async || bench.own("shop-2", "shop_pool_connections_in_use").await >= 2.0).await;
    injector.take_out("EXP-1.5", &pool).await.unwrap();
    assert_eq!(bench.own("shop-2", "shop_pool_connections_in_use").await, 0.0);

    let cpu = put_in(&injector, "EXP-1.6", Fault::Cpu { cores: 1.0 }).await;
    let burnt = bench.own("shop-2", "process_cpu_seconds_total").await;
    bench.buy(20).await;
    assert!(bench.own("shop-2", "process_cpu_seconds_total").await > burnt + 0.3);
    injector.take_out("EXP-1.6", &cpu).await.unwrap();
    // Nobody comes to the door through the balancer.
    for path in ["/fault", "/fault/EXP-1.6", "//fault", "/%66ault"] {
        assert_eq!(ask(bench.process.balancer, "GET", path, "").await.0, 404, "{path}");
    }
}

#[tokio::test]
async fn without_a_door_the_machine_itself_is_stressed_and_nothing_is_left() {
    let mut settings = shop_settings(2);
    settings.faults = None;
    let bench = Bench::start(&settings).await;
    let injector = injector(&bench);
    let offers = injector.offers(&target()).await.unwrap();
    assert!(offers.contains(&FaultKind::Cpu) && !offers.contains(&FaultKind::MemoryLeak), "{offers:?}");
    let narrow = aim(&injector, &Fault::Cpu { cores: 1.0 }, &[], ONE).await.unwrap_err().to_string();
    assert!(narrow.contains("all 2 that serve feel it, and the blast radius allows 1"), "{narrow}");
    let greedy =
        aim(&injector, &Fault::DiskFill { bytes: 64 << 30, bytes_per_second: 1 << 20 }, &[], ALL).await.unwrap();
    let free = rustix::fs::statvfs(bench.dir.path()).unwrap();
    if free.f_bavail * free.f_frsize / 2 < 64 << 30 {
        let why = injector.put_in("EXP-1.0", &greedy).await.unwrap_err().to_string();
        assert!(why.contains("do not fit: at most half"), "{why}");
    }

    let supervisor = bench.report().await.pid;
    let workers = children(supervisor);
    let stresses: [(Fault, Felt); 4] = [
        (Fault::Cpu { cores: 0.5 }, |pid| processor(pid) >= 10),
        (Fault::MemoryPressure { bytes: 64 << 20 }, |pid| resident(pid) >= 64 << 20),
        (Fault::DiskFill { bytes: 4 << 20, bytes_per_second: 64 << 20 }, |pid| nameless(pid) == 4 << 20),
        (Fault::DiskIo { block: 1 << 20 }, |pid| nameless(pid) == 1 << 20),
    ];
    for (n, (fault, shows)) in stresses.iter().enumerate() {
        let id = format!("EXP-1.{}", n + 1);
        let aimed = aim(&injector, fault, &[], ALL).await.unwrap();
        injector.put_in(&id, &aimed).await.unwrap();
        let child = *children(supervisor).iter().find(|pid| !workers.contains(pid)).unwrap();
        let line = std::fs::read_to_string(format!("/proc/{child}/cmdline")).unwrap();
        assert!(line.contains("chaos-stress") && line.contains(fault.kind().name()), "{line}");
        until("shows", async || shows(child)).await;
        if n % 2 == 0 {
            injector.take_out(&id, &aimed).await.unwrap();
            assert!(!lives(child));
        } else {
            until("gone by its lease", async || !lives(child)).await;
        }
    }
    assert_eq!(
        std::fs::read_dir(bench.dir.path())
            .unwrap()
            .flatten()
            .filter(|e| e.file_name().to_string_lossy().ends_with(".tmp"))
            .count(),
        0
    );
}

#[tokio::test]
async fn nothing_outlives_a_supervisor_that_is_killed_or_stopped() {
    for signal in [Signal::KILL, Signal::TERM] {
        let mut settings = shop_settings(2);
        settings.faults = None;
        let bench = Bench::start(&settings).await;
        let injector = injector(&bench);
        put_in(&injector, "EXP-1.1", Fault::Hang).await;
        let fill = Fault::DiskFill { bytes: 4 << 20, bytes_per_second: 64 << 20 };
        let fill = aim(&injector, &fill, &[], BlastRadius { instances: 2, share: 1.0 }).await.unwrap();
        injector.put_in("EXP-1.2", &fill).await.unwrap();
        let supervisor = bench.report().await.pid;
        let mut pids = children(supervisor);
        assert_eq!(pids.len(), 3);
        pids.push(supervisor);
        kill(supervisor, signal);
        all_gone(&pids).await;
        until("said to be out", async || {
            injector.take_out("EXP-1.2", &fill).await.is_ok_and(|s| s.contains("is gone"))
        })
        .await;
    }
}

#[tokio::test]
async fn more_load_is_held_by_a_lease_too() {
    let dir = TempDir::new().unwrap();
    let shop = Shop::start(&program(), dir.path()).await.unwrap();
    let injector = shop.injector();
    assert!(injector.offers(&target()).await.unwrap().contains(&FaultKind::Load));
    let load = aim(&*injector, &Fault::Load { factor: 2.0 }, &[], ONE).await.unwrap();
    injector.put_in("EXP-1.1", &load).await.unwrap();
    assert_eq!(shop.load_stats().await.unwrap().factor, 2.0);
    injector.renew("EXP-1.1", &load, LEASE).await.unwrap();
    injector.take_out("EXP-1.1", &load).await.unwrap();
    assert_eq!(shop.load_stats().await.unwrap().factor, 1.0);
    injector.put_in("EXP-1.2", &load).await.unwrap();
    until("as usual", async || shop.load_stats().await.unwrap().factor == 1.0).await;
    assert!(matches!(injector.renew("EXP-1.2", &load, LEASE).await, Err(InjectError::Gone(_))));
    shop.stop().await.unwrap();
}

/// The sources of the demo's config, for the shop of a bench.
fn sources_of_the_demo(bench: &Bench) -> Vec<Box<dyn Source>> {
    let text = include_str!("../../src/cli/demo.toml");
    let text: String =
        text.lines().map(|line| if line.contains("= @") { "" } else { line }.to_owned() + "\n").collect();
    let demo: toml::Table = text.parse().unwrap();
    let sources = demo["service"].as_array().unwrap()[0]["source"].as_array().unwrap();
    sources
        .iter()
        .map(|source| {
            let SourceSettings::Scrape(mut settings) = source.clone().try_into().unwrap() else { panic!("{source}") };
            let sd = &bench.process.sd_url;
            settings.discover = match settings.discover.as_deref() {
                Some("local:shop") => Some(sd.clone()),
                Some("local:shop/front") => Some(format!("{sd}/front")),
                other => panic!("{other:?}"),
            };
            Box::new(ScrapeSource::new(&settings, Duration::from_secs(5)).unwrap()) as Box<dyn Source>
        })
        .collect()
}

#[tokio::test]
async fn the_demos_two_sources_make_one_sample_with_what_the_front_sees() {
    let bench = Bench::start(&shop_settings(2)).await;
    let injector = injector(&bench);
    let second = Duration::from_secs(5);
    let mut collector =
        Collector::new("shop".into(), sources_of_the_demo(&bench), second, second, std::sync::Arc::new(SystemClock));
    collector.once().await;
    let resets = put_in(&injector, "EXP-1.1", Fault::Resets { share: 1.0 }).await;
    bench.buy(10).await;
    let sample = collector.once().await;
    assert!(sample.faults.is_empty(), "{:?}", sample.faults);
    assert_eq!(collector.complaints(), []);
    // About half: the pages are not read at the same moment, and the rounds follow each other closely.
    assert!((0.2..0.8).contains(&sample.values["front_errors_ratio"]), "{:?}", sample.values);
    let of =
        |sample: &suture::model::Sample, instance: &str, name: &str| sample.by_instance[instance].get(name).copied();
    assert_eq!(of(&sample, "shop-2", "front_errors_ratio"), Some(1.0));
    assert_eq!(of(&sample, "shop-1", "front_errors_ratio"), Some(0.0));
    assert_eq!(sample.values["front_up"], 1.0);
    assert!(sample.values.contains_key("front_latency_p95") && sample.values.contains_key("latency_p95"));
    assert_eq!(of(&sample, "shop-2", "spool_bytes"), Some(0.0));
    injector.take_out("EXP-1.1", &resets).await.unwrap();

    // That the balancer's own pages answer says nothing of the workers.
    assert_eq!((sample.values["up_ratio"], sample.values["source2_up_ratio"]), (1.0, 1.0));
    assert_eq!(collector.specs()["source2_up_ratio"].bad, Badness::Never);
    assert_eq!(collector.specs()["up_ratio"].bad, Badness::Low);

    put_in(&injector, "EXP-1.2", Fault::Partition).await;
    until("cut off", async || !bench.state().await.instance("shop-2").unwrap().up).await;
    let sample = collector.once().await;
    assert_eq!((sample.values["front_up"], of(&sample, "shop-2", "front_up")), (0.5, Some(0.0)));
    assert_eq!((sample.values["up_ratio"], of(&sample, "shop-2", "up_ratio")), (1.0, Some(1.0)));
    // Out of the traffic it is no longer asked about.
    bench.act(isolate("shop-2", true), "shed").await.unwrap();
    let sample = collector.once().await;
    assert_eq!((sample.values["front_up"], of(&sample, "shop-2", "front_up")), (1.0, None));
}
