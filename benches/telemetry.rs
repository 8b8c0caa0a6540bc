//! What it costs to read thousands of services through one Prometheus: CPU and memory of the reading side alone.
//!
//! Needs `prometheus` on the path. The generator is a child of its own, and so is Prometheus; what is measured is this
//! process. Not part of criterion: one round takes seconds, and what counts is the whole process.
//!
//! ```text
//! cargo bench --bench telemetry -- [--services 2000] [--pods 2] [--rounds 12] [--interval 10]
//! ```

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a bench that cannot be set up has nothing to report and may as well end"
)]

#[allow(dead_code, reason = "the cases need more of it")]
#[path = "../tests/harness/prometheus.rs"]
mod prometheus;

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use prometheus::{Exporter, Prometheus, Setup, Workloads};
use suture::collect::promql::PromqlSource;
use suture::collect::{Making, Pool, PromqlSettings, Source as _, deadline};

/// Pages of the generator: Prometheus scrapes each by itself.
const PAGES: usize = 20;

struct Args {
    services: usize,
    pods: usize,
    rounds: usize,
    interval: u64,
}

fn main() {
    let words: Vec<String> = std::env::args().collect();
    let number = |name: &str, usual: usize| {
        let at = words.iter().position(|word| word == name);
        at.and_then(|at| words.get(at + 1)).map_or(usual, |n| n.parse().expect("a number"))
    };
    let args = Args {
        services: number("--services", 2000),
        pods: number("--pods", 2),
        rounds: number("--rounds", 12),
        interval: number("--interval", 10) as u64,
    };
    if words.iter().any(|word| word == "--generate") {
        generate(&args);
    } else if words.iter().any(|word| word == "--test") {
        // `cargo test --benches` only wants to know whether it starts.
    } else {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap()
            .block_on(measure(&args));
    }
}

/// The generator: says where it listens, and ends when nobody holds its input any more.
fn generate(args: &Args) {
    let (services, workloads) = (args.services, Workloads { pods: args.pods });
    let exporter = Exporter::serve(move |path, seconds| {
        let page: usize = path.trim_start_matches('/').parse().unwrap_or(0);
        let mut out = String::new();
        (0..services).filter(|i| i % PAGES == page).for_each(|i| workloads.page(&mut out, i, seconds, ""));
        out
    });
    println!("{}", exporter.at);
    let _ = std::io::stdin().read_line(&mut String::new());
}

struct Generator(Child);

impl Drop for Generator {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn measure(args: &Args) {
    let mut generator = Generator(
        Command::new(std::env::current_exe().unwrap())
            .args(["--generate", "--services", &args.services.to_string(), "--pods", &args.pods.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    let mut at = String::new();
    BufReader::new(generator.0.stdout.take().unwrap()).read_line(&mut at).unwrap();
    let mut scrape = String::new();
    for page in 0..PAGES {
        let _ = writeln!(
            scrape,
            "- job_name: page{page}\n  honor_labels: true\n  metrics_path: /{page}\n  static_configs: [{{ targets: ['{}'] }}]",
            at.trim()
        );
    }
    let every = format!("{}s", args.interval);
    let folder = tempfile::tempdir().unwrap();
    let prometheus = Prometheus::start(folder, &Setup { scrape, every: &every, ..Setup::default() });
    let interval = Duration::from_secs(args.interval);
    println!("{} services with {} pods each, every {every}; Prometheus at {}", args.services, args.pods, prometheus.at);

    // Until rates of all are there.
    let making = Making { interval, timeout: deadline(interval, interval.mul_f64(0.8)), pool: Pool::default() };
    let query = format!(
        "url = '{}'\n[metric.n]\nquery = 'count(rate(container_cpu_usage_seconds_total[{}s]) > 0)'",
        prometheus.url(),
        args.interval * 4
    );
    let mut probe = PromqlSource::new(&toml::from_str::<PromqlSettings>(&query).unwrap(), &making).unwrap();
    let all = (args.services * args.pods) as f64;
    let began = Instant::now();
    while probe.read().await.ok().and_then(|read| read.values.get("n").copied()).is_none_or(|n| n < all) {
        assert!(began.elapsed() < Duration::from_secs(600), "Prometheus has not all series after 10 minutes");
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    drop(probe);
    println!("Prometheus has all of it after {:.0} s", began.elapsed().as_secs_f64());

    let empty = rss();
    let mut sources: Vec<PromqlSource> = (0..args.services)
        .map(|i| {
            let text = format!("url = '{}'\nwatch = '{}'", prometheus.url(), Workloads::target(i));
            PromqlSource::new(&toml::from_str::<PromqlSettings>(&text).unwrap(), &making).unwrap()
        })
        .collect();
    println!("resident before {empty} MB, with all sources made {} MB", rss());
    let (mut began_cpu, mut began, mut began_server) = (cpu(), Instant::now(), 0.0);
    let (mut least, mut queries_before) = (usize::MAX, 0);
    let mut ticks = tokio::time::interval(interval);
    for round in 0..=args.rounds {
        ticks.tick().await;
        if round == 1 {
            // The first round also learns who owns what.
            (began_cpu, began, began_server) = (cpu(), Instant::now(), cpu_of(prometheus.pid()));
            queries_before = making.pool.promql.stats()[0].queries;
        }
        let (cpu_before, at) = (cpu(), Instant::now());
        // Each service at its own moment, as collectors do.
        let spread = interval.mul_f64(0.3);
        let count = sources.len();
        let reads = sources.iter_mut().enumerate().map(|(i, source)| async move {
            #[expect(clippy::cast_possible_truncation, reason = "a count")]
            tokio::time::sleep(spread * (i as u32) / (count as u32)).await;
            source.read().await
        });
        let reads = futures::future::join_all(reads).await;
        let metrics: usize = reads.iter().map(|read| read.as_ref().map_or(0, |g| g.values.len())).sum();
        if let Some(error) = reads.iter().find_map(|read| read.as_ref().err()) {
            println!("  {error}");
        }
        least = least.min(reads.iter().map(|read| read.as_ref().map_or(0, |g| g.values.len())).min().unwrap_or(0));
        drop(reads);
        println!(
            "round {round}: {metrics} metrics, {:.0} ms CPU, {:.0} ms until the last, {} MB resident",
            (cpu() - cpu_before) * 1000.0,
            at.elapsed().as_secs_f64() * 1000.0,
            rss()
        );
    }
    ticks.tick().await;
    let (used, elapsed) = (cpu() - began_cpu, began.elapsed().as_secs_f64());
    let stats = &making.pool.promql.stats()[0];
    println!(
        "over {} rounds in {elapsed:.0} s: {:.2} % of one core, {} MB resident at most, {:.1} queries a round, at least {least} metrics of each service",
        args.rounds,
        used / elapsed * 100.0,
        peak(),
        (stats.queries - queries_before) as f64 / args.rounds as f64
    );
    println!("{stats:?}");
    println!("Prometheus itself used {:.0} % of one core", (cpu_of(prometheus.pid()) - began_server) / elapsed * 100.0);
}

/// CPU seconds of this process, all threads, by the kernel's clock ticks.
fn cpu() -> f64 {
    cpu_of(std::process::id())
}

fn cpu_of(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: f64 = rest.split_whitespace().skip(11).take(2).map(|n| n.parse::<f64>().unwrap()).sum();
    ticks / rustix::param::clock_ticks_per_second() as f64
}

fn status(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim_start_matches(':').split_whitespace().next().unwrap().parse::<u64>().unwrap() / 1024
}

fn rss() -> u64 {
    status("VmRSS")
}

fn peak() -> u64 {
    status("VmHWM")
}
