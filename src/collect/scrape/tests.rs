//! The source against page servers that misbehave in every way we know, and recipes against pages.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::page::PageReader;
use super::*;
use crate::collect::{Across, MetricSettings, Take};

/// What the server does with a request.
#[derive(Clone)]
enum Reply {
    /// A whole page.
    Page(String),
    /// These bytes, head included, and then the connection is closed.
    Raw(Vec<u8>),
    /// These bytes, and then nothing more.
    Stall(Vec<u8>),
    /// A valid page that goes on for 50 MB; counts the bytes that were taken.
    Huge(Arc<Mutex<usize>>),
}

/// A page server on loopback whose replies can be changed between rounds, by path.
struct Server {
    at: String,
    replies: Arc<Mutex<BTreeMap<String, Reply>>>,
    asked: Arc<Mutex<Vec<String>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap().to_string();
        let replies: Arc<Mutex<BTreeMap<String, Reply>>> = Arc::default();
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let (served, heard) = (Arc::clone(&replies), Arc::clone(&asked));
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                let (served, heard) = (Arc::clone(&served), Arc::clone(&heard));
                connections.spawn(async move {
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n") {
                        let Ok(byte) = stream.read_u8().await else { return };
                        head.push(byte);
                    }
                    let head = String::from_utf8(head).unwrap();
                    let path = head.split(' ').nth(1).unwrap().to_owned();
                    heard.lock().unwrap().push(head);
                    let reply = served.lock().unwrap().get(&path).cloned();
                    answer(&mut stream, reply).await;
                });
            }
        });
        Self { at, replies, asked, task }
    }

    fn set(&self, path: &str, reply: Reply) -> String {
        self.replies.lock().unwrap().insert(path.to_owned(), reply);
        format!("http://{}{path}", self.at)
    }

    fn page(&self, path: &str, text: &str) -> String {
        self.set(path, Reply::Page(text.to_owned()))
    }
}

async fn answer(stream: &mut tokio::net::TcpStream, reply: Option<Reply>) {
    let ok = |length: usize| format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
    match reply {
        Some(Reply::Page(text)) => {
            let _ = stream.write_all((ok(text.len()) + &text).as_bytes()).await;
        }
        Some(Reply::Raw(bytes)) => {
            let _ = stream.write_all(&bytes).await;
        }
        Some(Reply::Stall(bytes)) => {
            let _ = stream.write_all(&bytes).await;
            std::future::pending::<()>().await;
        }
        Some(Reply::Huge(taken)) => {
            let size = 50 * 1024 * 1024;
            let _ = stream.write_all(ok(size).as_bytes()).await;
            // Long comments: within every bound but the page's own.
            let mut block = "# ".to_owned() + &"x".repeat(8189);
            block.push('\n');
            for _ in 0..size / block.len() {
                if stream.write_all(block.as_bytes()).await.is_err() {
                    return;
                }
                *taken.lock().unwrap() += block.len();
            }
        }
        None => {
            let _ = stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await;
        }
    }
}

fn settings(urls: &[&str]) -> ScrapeSettings {
    let urls = urls.iter().map(|url| (*url).to_owned()).collect();
    ScrapeSettings { urls, discover: None, metric: BTreeMap::new() }
}

fn source(settings: &ScrapeSettings) -> ScrapeSource {
    ScrapeSource::new(settings, Duration::from_secs(20)).unwrap()
}

fn metric(from: &str) -> MetricSettings {
    MetricSettings { from: Some(from.to_owned()), ..MetricSettings::default() }
}

fn families(text: &str) -> Families {
    let mut reader = PageReader::default();
    reader.feed(text.as_bytes()).unwrap();
    Families::of(reader.finish(true, false).unwrap())
}

/// What a recipe makes of two pages of one instance that lie `seconds` apart.
fn made(settings: &MetricSettings, before: &str, now: &str, seconds: f64) -> Option<f64> {
    let (before, now) = (families(before), families(now));
    let mut recipe = Recipe::of("m", settings).unwrap();
    recipe.settle(&now);
    let part = recipe.part(Pages { now: &now, before: Some((&before, seconds)) }).ok()?;
    recipe.service(&[&part])
}

fn is(value: Option<f64>, expected: f64) -> bool {
    value.is_some_and(|value| (value - expected).abs() < 1e-9)
}

/// The one fault of a page that cannot be used.
async fn fault_of(reply: Reply, timeout: Duration) -> String {
    let server = Server::start().await;
    let url = server.set("/metrics", reply);
    let mut source = ScrapeSource::new(&settings(&[&url]), timeout).unwrap();
    let gathered = source.read().await.unwrap();
    assert_eq!(gathered.values, BTreeMap::from([(UP_RATIO.to_owned(), 0.0)]));
    assert_eq!(gathered.faults.len(), 1);
    assert_eq!(gathered.faults[0].source, format!("scrape {url}"));
    gathered.faults[0].why.clone()
}

const LONG: Duration = Duration::from_secs(20);

#[tokio::test]
async fn bad_pages_are_faults_that_say_what_is_wrong() {
    let page = |text: &str| Reply::Page(text.to_owned());
    let raw = |text: &str| Reply::Raw(text.as_bytes().to_vec());
    for (reply, says) in [
        (page(""), "not one series"),
        (page("<html>\u{1b}[2J</html>\n"), "line 1 is not in the Prometheus text format"),
        (page("a 1\nb 2\n}{ garbage\n"), "line 3 "),
        (page(&format!("a{{l=\"{}\"}} 1\n", "x".repeat(5000))), "longer than 2048 bytes"),
        (page(&"x".repeat(100_000)), "longer than 65536 bytes"),
        (
            Reply::Raw([b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n".as_slice(), &[0xff, 0xfe, 0, b'\n']].concat()),
            "not UTF-8",
        ),
        (raw("HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n"), "answered 500"),
        (raw("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\na 1\n"), "broke off"),
        (raw("HTTP/1.0 200 OK\r\n\r\na 1\nhttp_requests_total 12"), "cut off in line 2"),
        (raw("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 4\r\n\r\na 1\n"), "encoding `gzip`"),
        (
            raw("HTTP/1.1 200 OK\r\ncontent-type: application/openmetrics-text\r\ncontent-length: 4\r\n\r\na 1\n"),
            "# EOF",
        ),
        (raw("HTTP/1.1 302 Found\r\nlocation: /metrics\r\ncontent-length: 0\r\n\r\n"), "redirected more than 3 times"),
        (raw("SSH-2.0-OpenSSH\r\n"), "failed"),
    ] {
        let why = fault_of(reply, LONG).await;
        assert!(why.contains(says), "{why} should say {says}");
        assert!(!why.contains('\u{1b}') && why.len() < 400, "{why}");
    }
}

#[tokio::test]
async fn a_page_of_50_mb_is_cut() {
    let taken = Arc::new(Mutex::new(0));
    let why = fault_of(Reply::Huge(Arc::clone(&taken)), LONG).await;
    assert!(why.contains("longer than 16 MB"), "{why}");
    // What is beyond 16 MB lay in the sockets' buffers.
    assert!(*taken.lock().unwrap() < 30 * 1024 * 1024);
}

#[tokio::test]
async fn half_a_page_that_stalls_is_one_fault_and_the_others_stand() {
    let server = Server::start().await;
    let good = server.page("/good", "g 3\n");
    let bad = server.set("/bad", Reply::Stall(b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\ng 4\nh".to_vec()));
    let mut source = ScrapeSource::new(&settings(&[&good, &bad]), Duration::from_millis(600)).unwrap();
    let gathered = source.read().await.unwrap();
    assert!(is(gathered.values.get("g").copied(), 3.0) && is(gathered.values.get(UP_RATIO).copied(), 0.5));
    assert_eq!(gathered.faults.len(), 1);
    assert!(gathered.faults[0].why.starts_with(&format!("instance {}/bad: no whole answer within", server.at)));
    assert!(is(gathered.by_instance[&format!("{}/bad", server.at)].get(UP_RATIO).copied(), 0.0));
}

#[tokio::test]
async fn nobody_there_is_a_fault() {
    // Bound and let go: nobody listens there now.
    let at = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let gathered = source(&settings(&[&format!("http://{at}/metrics")])).read().await.unwrap();
    assert!(gathered.faults[0].why.contains("cannot connect"), "{:?}", gathered.faults);
}

#[tokio::test]
async fn a_page_makes_the_usual_metrics() {
    let page = |n: u32| {
        format!(
            "# TYPE http_requests counter\nhttp_requests_total{{path=\"/users/{{id}}\"}} {n}\nhttp_requests_created 1.7e9\n\
             # TYPE in_flight gauge\nin_flight 4\n# TYPE lat_seconds histogram\nlat_seconds_bucket{{le=\"0.1\"}} {n}\n\
             lat_seconds_bucket{{le=\"+Inf\"}} {n}\nlat_seconds_sum 1\nlat_seconds_count {n}\ngo_threads 7\n\
             build_info{{version=\"1\"}} 1\nodd NaN\nodder +Inf\n# EOF\n"
        )
    };
    let server = Server::start().await;
    let url = server.page("/metrics", &page(100));
    let mut source = source(&settings(&[&url]));
    let first = source.read().await.unwrap();
    assert!(first.values.keys().eq(["in_flight", UP_RATIO]), "{:?}", first.values);
    server.page("/metrics", &page(300));
    let second = source.read().await.unwrap();
    let names = ["http_requests_rate", "in_flight", "lat_seconds_p50", "lat_seconds_p95", "lat_seconds_p99", UP_RATIO];
    assert!(second.values.keys().eq(names), "{:?}", second.values);
    assert!(second.values["http_requests_rate"] > 0.0);
    assert!(is(second.values.get("lat_seconds_p50").copied(), 0.05));
    assert_eq!(second.by_instance[&server.at].len(), names.len());
    assert_eq!(second.specs["lat_seconds_p95"].unit, "s");
    assert_eq!(second.specs["http_requests_rate"].bad, Badness::Never);
    assert_eq!(second.specs[UP_RATIO].bad, Badness::Low);
    assert!(second.faults.is_empty());
    let head = server.asked.lock().unwrap()[0].to_lowercase();
    assert!(head.contains("accept: text/plain") && !head.contains("accept-encoding"), "{head}");
}

#[tokio::test]
async fn a_restarted_worker_makes_no_giant_rate_and_one_that_is_gone_is_forgotten() {
    let server = Server::start().await;
    let list = |names: &[&str]| {
        let one = |n: &&str| {
            format!(r#"{{"targets":["{}"],"labels":{{"instance":"{n}","__metrics_path__":"/{n}"}}}}"#, server.at)
        };
        format!("[{}]", names.iter().map(one).collect::<Vec<_>>().join(","))
    };
    server.page("/a", "n_total 1000000000\n");
    server.page("/b", "n_total 50\n");
    let discover = Some(server.page("/list", &list(&["a", "b"])));
    let mut source = source(&ScrapeSettings { urls: vec![], discover, metric: BTreeMap::new() });
    source.read().await.unwrap();
    server.page("/a", "n_total 3\n");
    server.page("/b", "n_total 50\n");
    let restarted = source.read().await.unwrap();
    let seconds = 1e-6; // no two answers are closer on a real clock
    assert!(restarted.values["n_rate"] <= 3.0 / seconds, "{:?}", restarted.values);
    assert!(is(restarted.by_instance["b"].get("n_rate").copied(), 0.0));

    server.page("/list", &list(&["b"]));
    for _ in 0..=KEPT_ROUNDS {
        let gathered = source.read().await.unwrap();
        assert!(gathered.by_instance.keys().eq(["b"]) && gathered.faults.is_empty());
    }
    assert!(source.earlier.keys().eq(["b"]));

    // The list is gone: the last one stands, and that is said.
    server.set("/list", Reply::Raw(b"HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n".to_vec()));
    let without_list = source.read().await.unwrap();
    assert!(without_list.by_instance.keys().eq(["b"]));
    assert!(without_list.faults[0].why.contains("asking those of the last list"), "{:?}", without_list.faults);

    server.page("/list", "[]");
    let nobody = source.read().await.unwrap();
    assert!(is(nobody.values.get(UP_RATIO).copied(), 0.0));
    assert_eq!(nobody.faults[0].why, "the list names no instance");
}

#[tokio::test]
async fn without_a_list_there_is_nothing_to_read() {
    let server = Server::start().await;
    let discover = Some(format!("http://{}/list", server.at));
    let error = source(&ScrapeSettings { urls: vec![], discover, metric: BTreeMap::new() }).read().await.unwrap_err();
    assert!(error.why.contains("answered 404"), "{error}");
}

#[tokio::test]
async fn histograms_of_instances_are_merged_by_bucket() {
    let server = Server::start().await;
    let page = |fast: u32, all: u32| {
        format!(
            "# TYPE h histogram\nh_bucket{{le=\"0.1\"}} {fast}\nh_bucket{{le=\"1\"}} {all}\nh_bucket{{le=\"+Inf\"}} {all}\n"
        )
    };
    let urls = [server.page("/a", &page(0, 0)), server.page("/b", &page(0, 0))];
    let mut settings = settings(&[&urls[0], &urls[1]]);
    settings.metric.insert("latency_p50".to_owned(), MetricSettings { take: Some(Take::P50), ..metric("h") });
    let mut source = source(&settings);
    let first = source.read().await.unwrap();
    assert!(!first.values.contains_key("latency_p50"));
    server.page("/a", &page(90, 90));
    server.page("/b", &page(0, 10));
    let second = source.read().await.unwrap();
    // 90 of 100 lie evenly below 0.1, so the 50th of them at 50/90 of it.
    assert!(is(second.values.get("latency_p50").copied(), 0.1 * 50.0 / 90.0), "{:?}", second.values);
    assert!(is(second.by_instance[&format!("{}/b", server.at)].get("latency_p50").copied(), 0.55));
    let third = source.read().await.unwrap();
    assert!(!third.values.contains_key("latency_p50"), "nothing was observed");
}

#[tokio::test]
async fn what_no_page_has_is_said_once_and_is_no_fault() {
    let server = Server::start().await;
    let url = server.page("/metrics", "# TYPE g gauge\ng 1\n");
    let mut settings = settings(&[&url]);
    settings.metric.insert("typo".to_owned(), metric("htpp_requests_total"));
    settings.metric.insert("wrong".to_owned(), MetricSettings { take: Some(Take::P95), ..metric("g") });
    settings.metric.insert(UP_RATIO.to_owned(), MetricSettings { limit: Some(0.5), ..MetricSettings::default() });
    let mut source = source(&settings);
    let gathered = source.read().await.unwrap();
    assert!(gathered.faults.is_empty());
    assert_eq!(gathered.specs[UP_RATIO].limit, Some(0.5));
    let complaints = source.complaints();
    assert!(complaints[0].contains("no page has the family `htpp_requests_total`"), "{complaints:?}");
    assert!(complaints[1].contains("cannot be taken of `g`"), "{complaints:?}");
}

#[tokio::test]
async fn a_page_of_too_many_families_is_capped_and_stays_so() {
    let server = Server::start().await;
    let page = |skip: usize| (skip..200).map(|i| format!("g{i:03} 1\n")).collect::<String>();
    let url = server.page("/metrics", &page(100));
    let mut source = source(&settings(&[&url]));
    let first: Vec<String> = source.read().await.unwrap().values.into_keys().collect();
    assert_eq!(first.len(), MOST_METRICS + 1);
    server.page("/metrics", &page(0));
    let second: Vec<String> = source.read().await.unwrap().values.into_keys().collect();
    assert_eq!(first, second, "what comes later does not push out what was there");
}

#[tokio::test]
async fn many_great_pages_do_not_add_up_without_bound() {
    let server = Server::start().await;
    let page: String = (0..4).map(|i| format!("a{{l=\"{i}\"}} 1\n")).collect();
    let urls: Vec<String> = (0..5).map(|i| server.page(&format!("/{i}"), &page)).collect();
    let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
    let mut source = source(&settings(&urls));
    source.most_series = 16;
    let gathered = source.read().await.unwrap();
    assert!(is(gathered.values.get(UP_RATIO).copied(), 0.8), "{:?}", gathered.faults);
    assert!(gathered.faults[0].why.contains("more than 16 series together"), "{:?}", gathered.faults);
}

#[test]
fn settings_that_cannot_work_are_refused() {
    for (settings, says) in [
        (settings(&[]), "no page to ask"),
        (settings(&["127.0.0.1:9100"]), "is not an address like"),
        (settings(&["file:///etc/passwd"]), "is not an address like"),
    ] {
        let error = ScrapeSource::new(&settings, LONG).unwrap_err();
        assert!(error.to_string().contains(says), "{error}");
    }
}

#[test]
fn rates_count_each_series_for_itself() {
    let rate = metric("n_total");
    let (before, now) = ("n_total{a=\"1\"} 10\nn_total{a=\"2\"} 900\n", "n_total{a=\"1\"} 30\nn_total{a=\"2\"} 5\n");
    assert!(is(made(&rate, before, now, 5.0), (20.0 + 5.0) / 5.0));
    assert_eq!(made(&rate, "other 1\n", now, 5.0), None, "seen for the first time");
    let filtered = MetricSettings { labels: BTreeMap::from([("a".to_owned(), "[2-9]".to_owned())]), ..rate };
    assert!(is(made(&filtered, before, now, 5.0), 1.0));
}

#[test]
fn no_time_no_rate() {
    let now = families("n_total 5\n");
    let recipe = Recipe::of("m", &metric("n_total")).unwrap();
    assert_eq!(recipe.part(Pages { now: &now, before: None }), Err(Nothing::Yet));
}

#[test]
fn a_ratio_is_of_the_filtered_to_all_and_0_when_nothing_happened() {
    let errors = MetricSettings {
        per: Some("n_total".to_owned()),
        labels: BTreeMap::from([("code".to_owned(), "5*".to_owned())]),
        ..metric("n_total")
    };
    let page = |ok: u32, bad: u32| format!("n_total{{code=\"200\"}} {ok}\nn_total{{code=\"503\"}} {bad}\n");
    assert!(is(made(&errors, &page(10, 0), &page(40, 10), 5.0), 0.25));
    assert!(is(made(&errors, &page(40, 10), &page(40, 10), 5.0), 0.0));
    assert!(is(made(&errors, "n_total{code=\"200\"} 1\n", "n_total{code=\"200\"} 9\n", 5.0), 0.0));
    let lazy = MetricSettings { per: Some("n_total".to_owned()), ..metric("errors_total") };
    assert!(is(made(&lazy, "n_total 1\n", "n_total 9\n", 5.0), 0.0), "no error yet");
}

#[test]
fn a_label_with_braces_is_meant_as_it_stands() {
    let one = MetricSettings { labels: BTreeMap::from([("path".to_owned(), "/u/{id}".to_owned())]), ..metric("g") };
    assert!(is(made(&one, "g 1\n", "g{path=\"/u/{id}\"} 7\ng{path=\"/x\"} 9\n", 1.0), 7.0));
}

#[test]
fn gauges_are_averaged_unless_told_otherwise() {
    let page = "g{x=\"1\"} 2\ng{x=\"2\"} 6\n";
    for (across, expected) in
        [(None, 4.0), (Some(Across::Sum), 8.0), (Some(Across::Max), 6.0), (Some(Across::Min), 2.0)]
    {
        assert!(is(made(&MetricSettings { across, ..metric("g") }, page, page, 1.0), expected), "{across:?}");
    }
}

#[test]
fn summaries_give_their_own_quantiles_and_a_mean() {
    let page = |sum: u32, count: u32| {
        format!(
            "# TYPE s summary\ns{{quantile=\"0.95\"}} 0.4\ns{{quantile=\"0.99\"}} NaN\ns_sum {sum}\ns_count {count}\n"
        )
    };
    let take = |take| MetricSettings { take: Some(take), ..metric("s") };
    assert!(is(made(&take(Take::P95), &page(0, 0), &page(0, 0), 1.0), 0.4));
    assert_eq!(made(&take(Take::P99), &page(0, 0), &page(0, 0), 1.0), None);
    assert!(is(made(&take(Take::Mean), &page(10, 5), &page(22, 9), 1.0), 3.0));
    assert!(is(made(&take(Take::Rate), &page(10, 5), &page(22, 9), 2.0), 2.0));
}

#[test]
fn a_metric_that_was_renamed_keeps_its_unit() {
    let page = families("# TYPE h_seconds histogram\nh_seconds_bucket{le=\"+Inf\"} 1\n# TYPE n counter\nn_total 1\n");
    for (name, from, spoken) in [("latency_p95", "h_seconds", "latency_seconds"), ("hits", "n_total", "hits_rate")] {
        let mut recipe = Recipe::of(name, &metric(from)).unwrap();
        recipe.settle(&page);
        assert_eq!(recipe.spoken_name(), spoken);
    }
}

/// The page of a real exporter, which our own sample service uses too.
#[cfg(feature = "local")]
#[test]
fn the_page_of_a_rust_service_is_read() {
    use prometheus_client::encoding::text::encode;
    use prometheus_client::metrics::counter::Counter;
    use prometheus_client::metrics::family::Family as Labelled;
    use prometheus_client::metrics::histogram::Histogram;

    let mut registry = prometheus_client::registry::Registry::default();
    let requests = Labelled::<Vec<(String, String)>, Counter>::default();
    let latency = Histogram::new([0.1, 1.0]);
    registry.register("http_requests", "Requests, by \"path\"", requests.clone());
    registry.register("http_request_duration_seconds", "Time to answer", latency.clone());
    requests.get_or_create(&vec![("path".to_owned(), "/a\\b/{id}, \"x\"\n".to_owned())]).inc_by(5);
    latency.observe(0.5);
    let mut text = String::new();
    encode(&mut text, &registry).unwrap();
    let mut reader = PageReader::default();
    reader.feed(text.as_bytes()).unwrap();
    let page = Families::of(reader.finish(true, true).unwrap());
    assert!(page.by_name.keys().eq(["http_request_duration_seconds", "http_requests_total"]), "{page:?}");
    let (_, found) = page.find("http_requests").unwrap();
    let family::Family::Scalar { counter: true, series } = &*found else { panic!("{found:?}") };
    assert!(series.keys().eq([&vec![("path".to_owned(), "/a\\b/{id}, \"x\"\n".to_owned())]]));
}
