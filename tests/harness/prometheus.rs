//! A real Prometheus as a child, pages for it to scrape, and time that is over for it to remember.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long a server may take to be ready on a busy machine.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// A page that is another one each time: it is given the seconds since the exporter began. Ends when dropped.
pub struct Exporter {
    pub at: SocketAddr,
    over: Arc<AtomicBool>,
}

impl Exporter {
    /// `page(path, seconds)`
    pub fn serve(page: impl Fn(&str, f64) -> String + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let over = Arc::new(AtomicBool::new(false));
        let (ended, page, began) = (Arc::clone(&over), Arc::new(page), Instant::now());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if ended.load(Ordering::Relaxed) {
                    return;
                }
                let page = Arc::clone(&page);
                std::thread::spawn(move || answer(stream, &*page, began));
            }
        });
        Self { at, over }
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        // Wakes the thread that waits for connections.
        let _ = TcpStream::connect(self.at);
    }
}

fn answer(mut stream: TcpStream, page: &dyn Fn(&str, f64) -> String, began: Instant) {
    let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
    let mut head = Vec::new();
    let mut chunk = [0; 1024];
    while !head.windows(4).any(|w| w == b"\r\n\r\n") {
        match stream.read(&mut chunk) {
            Ok(n) if n > 0 && head.len() < 65_536 => head.extend_from_slice(&chunk[..n]),
            _ => return,
        }
    }
    let head = String::from_utf8_lossy(&head);
    let body = page(head.split(' ').nth(1).unwrap_or("/"), began.elapsed().as_secs_f64());
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/plain; version=0.0.4\r\nconnection: close\r\n\r\n";
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes()));
}

/// How a Prometheus is started.
#[derive(Default)]
pub struct Setup<'a> {
    /// `scrape_configs`, in YAML, not indented; empty: it scrapes nothing.
    pub scrape: String,
    /// Between two scrapes; empty: 1 s.
    pub every: &'a str,
    /// Its `--web.config.file`: TLS and users.
    pub web: Option<String>,
    /// What it is to remember, in OpenMetrics with times.
    pub past: Option<String>,
}

/// A Prometheus. Dropped, it is killed, and its folder is removed.
pub struct Prometheus {
    /// Without the scheme: `127.0.0.1:9090`.
    pub at: String,
    child: Child,
    _dir: TempDir,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Prometheus {
    /// Starts one and waits until it answers. `dir` has what its `web` names.
    #[track_caller]
    pub fn start(dir: TempDir, setup: &Setup<'_>) -> Self {
        let path = dir.path();
        let every = if setup.every.is_empty() { "1s" } else { setup.every };
        let scrape = if setup.scrape.is_empty() { String::new() } else { format!("scrape_configs:\n{}", setup.scrape) };
        fs::write(path.join("prometheus.yml"), format!("global:\n  scrape_interval: {every}\n{scrape}\n")).unwrap();
        if let Some(past) = &setup.past {
            remember(path, past);
        }
        if let Some(web) = &setup.web {
            fs::write(path.join("web.yml"), web).unwrap();
        }
        // The port is free when it is picked; who takes it in between is not waited for.
        for _ in 0..5 {
            let at = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
            let said = path.join("said");
            let mut command = Command::new("prometheus");
            command
                .arg(format!("--config.file={}", path.join("prometheus.yml").display()))
                .arg(format!("--storage.tsdb.path={}", path.join("data").display()))
                .arg(format!("--web.listen-address={at}"))
                .arg("--storage.tsdb.retention.time=10y")
                .current_dir(path)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(File::create(&said).unwrap());
            if setup.web.is_some() {
                command.arg(format!("--web.config.file={}", path.join("web.yml").display()));
            }
            let child = command.spawn().unwrap_or_else(|e| {
                panic!("no Prometheus here ({e}): apt-get install prometheus");
            });
            let mut started = Started(Some(child));
            let deadline = Instant::now() + READY_WITHIN;
            loop {
                let words = fs::read_to_string(&said).unwrap_or_default();
                if words.contains("Server is ready to receive web requests") {
                    let child = started.0.take().unwrap();
                    return Self { at, child, _dir: dir };
                }
                if started.0.as_mut().unwrap().try_wait().unwrap().is_some() {
                    assert!(words.contains("address already in use"), "Prometheus ended:\n{words}");
                    break;
                }
                assert!(Instant::now() < deadline, "Prometheus is not ready within {READY_WITHIN:?}:\n{words}");
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        panic!("no free port for Prometheus in five attempts");
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.at)
    }

    #[allow(dead_code, reason = "asked for by benches/telemetry.rs")]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How many queries it has answered so far, by its own count.
    pub fn queries(&self, path: &str) -> usize {
        let page = get(&self.at, "/metrics");
        let of = |line: &&str| {
            line.starts_with("prometheus_http_requests_total{") && line.contains(&format!("handler=\"/api/v1/{path}\""))
        };
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small count")]
        page.lines()
            .filter(of)
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .map(|n| n as usize)
            .sum()
    }
}

/// A child that is killed unless it is taken out.
struct Started(Option<Child>);

impl Drop for Started {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Makes blocks of what is to be remembered.
#[track_caller]
fn remember(path: &Path, past: &str) {
    let file = path.join("past.om");
    fs::write(&file, past).unwrap();
    let made = Command::new("promtool")
        .args(["tsdb", "create-blocks-from", "openmetrics"])
        .arg(&file)
        .arg(path.join("data"))
        .output()
        .unwrap_or_else(|e| panic!("no promtool here ({e}): apt-get install prometheus"));
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

/// One page over plain HTTP.
pub fn get(at: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(at).unwrap();
    write!(stream, "GET {path} HTTP/1.0\r\nhost: {at}\r\n\r\n").unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).unwrap();
    page
}

/// Deployments as kube-state-metrics, cAdvisor and Istio show them: `web-0`, `web-1`, ... in namespaces of forty.
#[derive(Clone, Copy, Debug)]
pub struct Workloads {
    pub pods: usize,
}

/// Bounds of Istio's buckets, in milliseconds.
const BOUNDS: [&str; 20] = [
    "0.5", "1", "5", "10", "25", "50", "100", "250", "500", "1000", "2500", "5000", "10000", "30000", "60000",
    "300000", "600000", "1.8e+06", "3.6e+06", "+Inf",
];

impl Workloads {
    pub fn namespace(i: usize) -> String {
        format!("ns-{}", i / 40)
    }

    pub fn target(i: usize) -> String {
        format!("k8s:{}/deployment/web-{i}", Self::namespace(i))
    }

    /// As Kubernetes would call it.
    pub fn pod(i: usize, pod: usize) -> String {
        let letters = b"bcdfghjklmnpqrstvwxz2456789";
        let end: String =
            (0..5).map(|at| char::from(letters[(i * 7 + pod * 11 + at * (pod + 3)) % letters.len()])).collect();
        format!("web-{i}-6d4b75cb6d-{end}")
    }

    /// The series of one workload. Each pod uses 0.2 cores and half of its 256 MiB, is throttled in a tenth of the
    /// periods, gets 1000 bytes a second and sends 2000, and answers 10 requests a second, one in twenty wrongly, all of
    /// them within 50 to 100 ms. `at` goes behind each value: a time, for what is over.
    pub fn page(self, out: &mut String, i: usize, seconds: f64, at: &str) {
        let (namespace, pods) = (Self::namespace(i), self.pods);
        for (name, value) in [("spec_replicas", pods), ("status_replicas_ready", pods)] {
            let _ =
                writeln!(out, "kube_deployment_{name}{{namespace=\"{namespace}\",deployment=\"web-{i}\"}} {value}{at}");
        }
        let _ = writeln!(
            out,
            "kube_replicaset_owner{{namespace=\"{namespace}\",replicaset=\"web-{i}-6d4b75cb6d\",owner_kind=\"Deployment\",owner_name=\"web-{i}\"}} 1{at}"
        );
        for pod in (0..pods).map(|pod| Self::pod(i, pod)) {
            self.pod_page(out, i, &pod, seconds, at);
        }
    }

    /// The series of one pod.
    pub fn pod_page(self, out: &mut String, i: usize, pod: &str, seconds: f64, at: &str) {
        let of = format!("namespace=\"{}\",pod=\"{pod}\"", Self::namespace(i));
        let _ =
            writeln!(out, "kube_pod_owner{{{of},owner_kind=\"ReplicaSet\",owner_name=\"web-{i}-6d4b75cb6d\"}} 1{at}");
        let app = format!("{of},container=\"app\"");
        for (name, labels, value) in [
            ("container_cpu_usage_seconds_total", &app, 0.2 * seconds),
            ("container_cpu_cfs_periods_total", &app, 10.0 * seconds),
            ("container_cpu_cfs_throttled_periods_total", &app, seconds),
            ("container_memory_working_set_bytes", &app, 134_217_728.0),
            ("container_fs_writes_bytes_total", &app, 4096.0 * seconds),
            ("kube_pod_container_status_restarts_total", &app, 0.0),
            ("container_network_receive_bytes_total", &of, 1000.0 * seconds),
            ("container_network_transmit_bytes_total", &of, 2000.0 * seconds),
            ("container_network_receive_packets_dropped_total", &of, 0.0),
        ] {
            let _ = writeln!(out, "{name}{{{labels}}} {value}{at}");
        }
        // The whole pod, which is not to be counted a second time.
        let _ = writeln!(out, "container_memory_working_set_bytes{{{of},container=\"\"}} 134217729{at}");
        for (resource, value) in [("cpu", "0.4"), ("memory", "268435456")] {
            let _ = writeln!(out, "kube_pod_container_resource_limits{{{app},resource=\"{resource}\"}} {value}{at}");
        }
        let mesh = format!(
            "reporter=\"destination\",destination_workload_namespace=\"{}\",destination_workload=\"web-{i}\",pod=\"{pod}\"",
            Self::namespace(i)
        );
        for (code, rate) in [("200", 9.5), ("503", 0.5)] {
            let value = rate * seconds;
            let _ = writeln!(out, "istio_requests_total{{{mesh},response_code=\"{code}\"}} {value}{at}");
        }
        for (index, bound) in BOUNDS.iter().enumerate() {
            let value = if index < 6 { 0.0 } else { 10.0 * seconds };
            let _ = writeln!(out, "istio_request_duration_milliseconds_bucket{{{mesh},le=\"{bound}\"}} {value}{at}");
        }
    }
}
