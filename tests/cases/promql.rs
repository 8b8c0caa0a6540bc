//! The promql source against a real Prometheus: what it finds, what it costs the server, what it knows of the past.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use suture::collect::promql::PromqlSource;
use suture::collect::{Gathered, Making, Pool, PromqlSettings, Source as _, SourceError};
use suture::model::{Badness, Timestamp};

use crate::harness::{Exporter, Prometheus, Setup, Workloads, get};

/// Far more than a second's scrapes take to become rates.
const PATIENCE: Duration = Duration::from_secs(60);

fn making() -> Making {
    Making { timeout: Duration::from_secs(8), interval: Duration::from_millis(500), pool: Pool::default() }
}

fn source(text: &str, making: &Making) -> PromqlSource {
    PromqlSource::new(&toml::from_str::<PromqlSettings>(text).unwrap(), making).unwrap()
}

fn folder() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("su-prom").tempdir().unwrap()
}

fn scraping(at: &str, path: &str) -> String {
    format!(
        "- job_name: all\n  honor_labels: true\n  metrics_path: {path}\n  static_configs: [{{ targets: ['{at}'] }}]"
    )
}

/// Reads until it is as it should be.
async fn until(
    source: &mut PromqlSource,
    what: &str,
    is: impl Fn(&Result<Gathered, SourceError>) -> bool,
) -> Result<Gathered, SourceError> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let read = source.read().await;
        if is(&read) {
            return read;
        }
        assert!(
            Instant::now() < deadline,
            "not within {PATIENCE:?}: {what}; last: {read:#?}, {:?}",
            source.complaints()
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

fn near(values: &BTreeMap<String, f64>, metric: &str, expected: f64) -> bool {
    values.get(metric).is_some_and(|value| (value - expected).abs() <= expected.abs() * 0.05 + 1e-9)
}

/// What a Deployment gives, besides what a mesh does.
const OF_PODS: usize = 13;

#[tokio::test]
async fn a_deployment_is_watched_by_naming_it() {
    let workloads = Workloads { pods: 2 };
    let exporter = Exporter::serve(move |_, seconds| {
        let mut page = String::new();
        for i in 0..3 {
            workloads.page(&mut page, i, seconds, "");
        }
        // A pod of web-0 whose name does not say so, and one that is only called like one.
        workloads.pod_page(&mut page, 0, "web-0-by-hand", seconds, "");
        let mut other = String::new();
        workloads.pod_page(&mut other, 0, "web-0-bcdfg-hjklm", seconds, "");
        page + &other.replace(
            "owner_kind=\"ReplicaSet\",owner_name=\"web-0-6d4b75cb6d\"",
            "owner_kind=\"DaemonSet\",owner_name=\"web-0-bcdfg\"",
        )
    });
    let prometheus =
        Prometheus::start(folder(), &Setup { scrape: scraping(&exporter.at.to_string(), "/"), ..Setup::default() });
    let text = format!(
        "url = '{}'\nwatch = '{}'\n[metric.cpu_cores]\nlimit = 2.0\n[metric.memory_limit_ratio]\nacross = 'max'",
        prometheus.url(),
        Workloads::target(0)
    );
    let mut source = source(&text, &making());
    let read = until(&mut source, "all metrics, and rates that are right", |read| {
        read.as_ref().is_ok_and(|g| {
            g.values.len() == OF_PODS + 5
                && near(&g.values, "cpu_cores", 0.6)
                && near(&g.values, "cpu_throttled_ratio", 0.1)
        })
    });
    let gathered = read.await.unwrap();
    for (metric, expected) in [
        ("memory_working_set_bytes", 134_217_728.0),
        ("memory_limit_ratio", 0.5),
        ("cpu_limit_ratio", 0.5),
        ("restarts_10m", 0.0),
        ("replicas_wanted", 2.0),
        ("replicas_ready_ratio", 1.0),
        ("network_received_bytes_rate", 3000.0),
        ("network_transmitted_bytes_rate", 6000.0),
        ("disk_written_bytes_rate", 3.0 * 4096.0),
        ("istio_error_ratio", 0.05),
        ("istio_latency_seconds_p50", 0.075),
        ("istio_latency_seconds_p99", 0.0995),
    ] {
        assert!(near(&gathered.values, metric, expected), "{metric} is not {expected}: {:#?}", gathered.values);
    }
    let mut pods = [Workloads::pod(0, 0), Workloads::pod(0, 1), "web-0-by-hand".to_owned()];
    pods.sort();
    let of_pods: Vec<&String> =
        gathered.by_instance.iter().filter(|(_, v)| v.contains_key("cpu_cores")).map(|(pod, _)| pod).collect();
    assert_eq!(of_pods, pods.iter().collect::<Vec<_>>());
    assert!(near(&gathered.by_instance[&pods[0]], "cpu_cores", 0.2));
    assert_eq!(gathered.specs["cpu_cores"].limit, Some(2.0));
    assert_eq!(
        (gathered.specs["replicas_ready_ratio"].bad, gathered.specs["istio_requests_rate"].bad),
        (Badness::Low, Badness::Never)
    );
    assert!(
        gathered.faults.is_empty() && source.complaints().is_empty(),
        "{:?} {:?}",
        gathered.faults,
        source.complaints()
    );

    // Nobody tells it any more: Prometheus marks its series as ended, and nothing old is handed on.
    drop(exporter);
    let gone = until(&mut source, "that the exporter is gone", Result::is_err).await.unwrap_err();
    assert!(gone.why.contains("no series `"), "{gone}");
}

#[tokio::test]
async fn hundreds_of_services_cost_the_server_as_many_queries_as_one() {
    let workloads = Workloads { pods: 1 };
    let exporter = Exporter::serve(move |_, seconds| {
        let mut page = String::new();
        (0..300).for_each(|i| workloads.page(&mut page, i, seconds, ""));
        page
    });
    let prometheus =
        Prometheus::start(folder(), &Setup { scrape: scraping(&exporter.at.to_string(), "/"), ..Setup::default() });
    let making = Making { interval: Duration::from_secs(30), ..making() };
    let mut probe = source(
        &format!("url = '{}'\n[metric.n]\nquery = 'count(rate(istio_requests_total[10s]))'", prometheus.url()),
        &making,
    );
    until(&mut probe, "two scrapes", |read| read.as_ref().is_ok_and(|g| near(&g.values, "n", 600.0))).await.unwrap();
    let mut sources: Vec<PromqlSource> = (0..300)
        .map(|i| source(&format!("url = '{}'\nwatch = '{}'", prometheus.url(), Workloads::target(i)), &making))
        .collect();
    let before = prometheus.queries("query");
    let first = futures::future::join_all(sources.iter_mut().map(|source| source.read())).await;
    let between = prometheus.queries("query");
    let second = futures::future::join_all(sources.iter_mut().map(|source| source.read())).await;
    let after = prometheus.queries("query");
    for read in first.iter().chain(&second) {
        assert_eq!(read.as_ref().unwrap().values.len(), OF_PODS + 5, "{read:?}");
    }
    // 2 + 1 + 10 + 3 series, and four times how old they are. On a slow machine it may be time to look again how they are
    // scraped, and who owns which pod.
    assert!((20..=28).contains(&(after - between)), "{}", after - between);
    assert_eq!(between - before, 20 + 4 + 2 * 2, "and at first how they are scraped, and who owns which pod");
    let stats = &making.pool.promql.stats()[0];
    assert_eq!((stats.failures, stats.groups, stats.resting), (0, 4, None), "{stats:?}");
}

#[tokio::test]
async fn what_prometheus_remembers_is_there_from_the_first_minute() {
    let workloads = Workloads { pods: 1 };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let (began, step) = (now - 2 * 3600, 15);
    let mut moments: BTreeMap<String, String> = BTreeMap::new();
    for at in (began..now).step_by(step) {
        let mut page = String::new();
        #[allow(clippy::cast_precision_loss, reason = "a few thousand")]
        workloads.page(&mut page, 0, (at - began) as f64, &format!(" {at}"));
        for line in page.lines() {
            // All points of a series and all series of a family have to stand together.
            let series = line.split("} ").next().unwrap();
            let _ = writeln!(moments.entry(series.to_owned()).or_default(), "{line}");
        }
    }
    let past = moments.into_values().collect::<String>() + "# EOF\n";
    let prometheus = Prometheus::start(folder(), &Setup { past: Some(past), ..Setup::default() });
    let making = Making { interval: Duration::from_secs(10), ..making() };
    let text = format!(
        "url = '{}'\nwatch = '{}'\n[metric.pods]\nquery = 'count(kube_pod_owner)'",
        prometheus.url(),
        Workloads::target(0)
    );
    let mut source = source(&text, &making);
    let until = Timestamp(i64::try_from(now).unwrap() * 1000);
    let past = source.history(Timestamp(0), until).await.unwrap();
    assert!((700..=720).contains(&past.len()), "{} moments", past.len());
    assert!(past.windows(2).all(|two| two[1].0.since(two[0].0) >= Duration::from_secs(10)), "oldest first");
    let (at, gathered) = &past[past.len() / 2];
    assert!(at.since(until.minus(Duration::from_secs(7200))) > Duration::from_secs(3000));
    assert_eq!(gathered.values.len(), OF_PODS + 5 + 1, "{:#?}", gathered.values);
    for (metric, expected) in
        [("cpu_cores", 0.2), ("istio_error_ratio", 0.05), ("istio_latency_seconds_p95", 0.0975), ("pods", 1.0)]
    {
        assert!(near(&gathered.values, metric, expected), "{metric} is not {expected}: {:#?}", gathered.values);
    }
    assert_eq!(past[0].1.specs["cpu_cores"].unit, "cores");
    let none = source.history(Timestamp(1_000_000), Timestamp(2_000_000)).await.unwrap();
    assert!(none.is_empty(), "before there was anything");
}

/// The bcrypt hash of `open sesame`.
const HASH: &str = "$2b$04$b6/FLtJdJBaDrWkytuSAR.cYgUZTdc5XUmdMzTuhZkDp3uAHfPxAa";

#[tokio::test]
async fn a_server_that_wants_certificates_and_a_password_gets_them() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = folder();
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path.display().to_string()
    };
    let authority = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca = write("ca.pem", &params.self_signed(&authority).unwrap().pem());
    let issuer = rcgen::Issuer::new(params, authority);
    let issue = |name: &str| {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.extended_key_usages =
            vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth, rcgen::ExtendedKeyUsagePurpose::ClientAuth];
        (params.signed_by(&key, &issuer).unwrap().pem(), key.serialize_pem())
    };
    let (certificate, key) = issue("127.0.0.1");
    let (certificate, key) = (write("server.pem", &certificate), write("server.key", &key));
    let (ours, our_key) = issue("suture");
    let identity = write("identity.pem", &(ours + &our_key));
    let password = write("password", "open sesame\n");
    let web = format!(
        "tls_server_config:\n  cert_file: {certificate}\n  key_file: {key}\n  client_ca_file: {ca}\n  client_auth_type: RequireAndVerifyClientCert\n\
         basic_auth_users:\n  suture: {HASH}\n"
    );
    let prometheus = Prometheus::start(dir, &Setup { web: Some(web), ..Setup::default() });
    let ask = async |auth: &str| {
        let text = format!("url = 'https://{}'\n[metric.two]\nquery = '1 + 1'\n[auth]\n{auth}", prometheus.at);
        source(&text, &making()).read().await
    };
    let all = format!("ca = '{ca}'\nidentity = '{identity}'\nusername = 'suture'\npassword = 'file:{password}'");
    assert!(near(&ask(&all).await.unwrap().values, "two", 2.0));
    let without_password = ask(&format!("ca = '{ca}'\nidentity = '{identity}'")).await.unwrap_err();
    assert!(without_password.why.contains("answered 401"), "{without_password}");
    let without_identity = ask(&format!("ca = '{ca}'\nusername = 'suture'\npassword = 'file:{password}'")).await;
    assert!(without_identity.is_err(), "the server wants a certificate");
    let not_trusted = ask(&format!("identity = '{identity}'")).await.unwrap_err();
    assert!(not_trusted.why.contains("cannot connect") && !not_trusted.why.contains("sesame"), "{not_trusted}");
}

/// A server that is killed when dropped.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Server {
    /// Starts a program of a package, and waits until it listens.
    async fn start(program: &str, package: &str, args: &[&str], at: &str) -> Self {
        let child = Command::new(program)
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|e| panic!("no {program} here ({e}): apt-get install {package}"));
        let mut server = Self(child);
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(at).is_err() {
            assert!(Instant::now() < deadline, "{program} does not listen");
            assert!(server.0.try_wait().unwrap().is_none(), "{program} ended: is {at} taken?");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        server
    }
}

/// A free port's address: who takes it in between fails the case.
fn free() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

#[tokio::test]
async fn haproxys_own_exporter_has_what_its_template_asks_for() {
    let dir = folder();
    let (at, shop) = (free(), Exporter::serve(|_, _| "fine\n".to_owned()));
    let config = format!(
        "defaults\n  mode http\n  timeout connect 1s\n  timeout client 5s\n  timeout server 5s\n\
         frontend metrics\n  bind {at}\n  http-request use-service prometheus-exporter if {{ path /metrics }}\n  default_backend be_shop\n\
         backend be_shop\n  server s1 {shop}\n  server s2 {shop}\n",
        shop = shop.at
    );
    let file = dir.path().join("haproxy.cfg");
    std::fs::write(&file, config).unwrap();
    let _haproxy = Server::start("haproxy", "haproxy", &["-db", "-f", file.to_str().unwrap()], &at).await;
    let prometheus = Prometheus::start(folder(), &Setup { scrape: scraping(&at, "/metrics"), ..Setup::default() });
    let mut source = source(&format!("url = '{}'\nwatch = 'haproxy:be_shop'", prometheus.url()), &making());
    let read = until(&mut source, "all of its metrics", |read| {
        // Something to count.
        get(&at, "/");
        read.as_ref().is_ok_and(|g| g.values.len() == 9 && g.values["backend_requests_rate"] > 0.0)
    });
    let gathered = read.await.unwrap();
    assert!(near(&gathered.values, "backend_active_servers", 2.0), "{gathered:#?}");
    assert!(gathered.by_instance.keys().eq(["s1", "s2"]), "{:#?}", gathered.by_instance);
    assert!(source.complaints().is_empty());
}

#[tokio::test]
async fn the_exporters_of_redis_and_of_machines_have_what_their_templates_ask_for() {
    let (redis_at, redis_page, node_page) = (free(), free(), free());
    let port = redis_at.rsplit(':').next().unwrap();
    let dir = folder();
    let redis_args = [
        "--port",
        port,
        "--bind",
        "127.0.0.1",
        "--save",
        "",
        "--dir",
        dir.path().to_str().unwrap(),
        "--maxmemory",
        "64mb",
    ];
    let _redis = Server::start("redis-server", "redis-server", &redis_args, &redis_at).await;
    let exporter_args = [format!("-redis.addr=redis://{redis_at}"), format!("-web.listen-address={redis_page}")];
    let exporter_args: Vec<&str> = exporter_args.iter().map(String::as_str).collect();
    let _of_redis =
        Server::start("prometheus-redis-exporter", "prometheus-redis-exporter", &exporter_args, &redis_page).await;
    let listen = format!("--web.listen-address={node_page}");
    let _of_node = Server::start("prometheus-node-exporter", "prometheus-node-exporter", &[&listen], &node_page).await;
    let job = |name: &str, at: &str| format!("- job_name: {name}\n  static_configs: [{{ targets: ['{at}'] }}]\n");
    let scrape = job("cache", &redis_page) + &job("machines", &node_page);
    let prometheus = Prometheus::start(folder(), &Setup { scrape, ..Setup::default() });
    let making = making();

    let text = format!("url = '{}'\nwatch = 'redis:cache'\nlabels = {{ job = 'cache' }}", prometheus.url());
    let mut redis = source(&text, &making);
    let read = until(&mut redis, "all of Redis's metrics", |read| {
        // A hit and a miss.
        let mut stream = TcpStream::connect(&redis_at).unwrap();
        stream.write_all(b"SET a 1\r\nGET a\r\nGET b\r\nQUIT\r\n").unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
        read.as_ref().is_ok_and(|g| g.values.len() == 11 && near(&g.values, "redis_cache_hit_ratio", 0.5))
    });
    let gathered = read.await.unwrap();
    assert!(
        near(&gathered.values, "redis_up_ratio", 1.0) && gathered.values["redis_memory_limit_ratio"] < 0.5,
        "{gathered:#?}"
    );
    assert!(gathered.values["redis_command_seconds_mean"] < 0.1, "{gathered:#?}");
    assert!(gathered.by_instance.keys().eq([&redis_page]));

    let text = format!("url = '{}'\ntemplates = ['node']\nlabels = {{ job = 'machines' }}", prometheus.url());
    let mut node = source(&text, &making);
    // A container may have neither disks nor swap: then there are no such series.
    let read = until(&mut node, "the machine's metrics", |read| {
        read.is_ok()
            && node_has(
                read.as_ref().unwrap(),
                &[
                    "node_cpu_ratio",
                    "node_load1_per_core",
                    "node_memory_used_ratio",
                    "node_network_received_bytes_rate",
                    "node_network_errors_rate",
                ],
            )
    });
    let gathered = read.await.unwrap();
    let ratio = |metric: &str| (0.0..=1.0).contains(&gathered.values[metric]);
    assert!(ratio("node_cpu_ratio") && ratio("node_memory_used_ratio"), "{gathered:#?}");
    assert!(node.complaints().is_empty(), "{:?}", node.complaints());
}

fn node_has(gathered: &Gathered, metrics: &[&str]) -> bool {
    metrics.iter().all(|metric| gathered.values.contains_key(*metric))
}

/// The daemon learns from what Prometheus knows of two hours before it was there, and judges its first samples with that.
#[test]
fn a_first_start_begins_with_a_model() {
    use crate::harness::{Rig, count, events, eventually, folder as short, of_kind};
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let mut past = "# TYPE shop_waiters gauge\n".to_owned();
    for back in (0..7200_u32 / 15).rev() {
        let waiters = 3.0 + f64::from(back % 7) * 0.25;
        let at = now - u64::from(back) * 15;
        writeln!(past, "shop_waiters{{job=\"shop\"}} {waiters} {at}").unwrap();
    }
    past.push_str("# EOF\n");
    let exporter = Exporter::serve(|_, seconds| {
        format!("# TYPE shop_waiters gauge\nshop_waiters{{job=\"shop\"}} {}\n", 3.0 + (seconds % 7.0) * 0.25)
    });
    let scrape = format!(
        "  - job_name: shop\n    honor_labels: true\n    static_configs: [{{ targets: [\"{}\"] }}]\n",
        exporter.at
    );
    let server = Prometheus::start(short(), &Setup { scrape, every: "1s", web: None, past: Some(past) });
    let mut rig = Rig::healed_by("local:nobody", "", Vec::new());
    rig.write(|_| {
        format!(
            "[suture]\ndata_dir = \"d\"\n[chat]\nconsole = false\n[[service]]\nname = \"shop\"\nmode = \"observe\"\n\
             interval = \"15s\"\n[[service.source]]\nkind = \"promql\"\nurl = \"{}\"\n\
             [service.source.metric.waiters]\nquery = \"shop_waiters\"\n",
            server.url()
        )
    });
    rig.start();
    let data = rig.data();
    // One round is 15 s and a first training takes 100 samples: a model this soon is one of the past.
    eventually(PATIENCE, "a model", || (count(&data, "model-trained") > 0).then_some(()));
    let trained = of_kind(&events(&data), "model-trained");
    let suture::model::Fact::ModelTrained { samples, .. } = &trained[0].fact else { panic!("{trained:?}") };
    assert!((400..=490).contains(samples), "{samples}");
    rig.end();
}
