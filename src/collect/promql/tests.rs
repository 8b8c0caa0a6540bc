//! The source against servers that misbehave in every way we know, and what services share.

use std::sync::Mutex;

use reqwest::Url;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::collect::Pool;
use crate::model::Badness;

/// What a query is answered with.
#[derive(Clone)]
enum Reply {
    /// 200 and this.
    Json(String),
    /// These bytes, head included.
    Raw(String),
    /// Nothing, ever.
    Silence,
    /// A valid answer that goes on for so many bytes.
    Huge(usize),
}

/// A request as the server got it.
#[derive(Clone, Debug)]
struct Asked {
    /// In small letters.
    head: String,
    form: BTreeMap<String, String>,
}

impl Asked {
    fn query(&self) -> &str {
        self.form.get("query").map_or("", String::as_str)
    }
}

type Script = Arc<dyn Fn(&Asked) -> Reply + Send + Sync>;

/// A server on loopback that answers as a script says.
struct Server {
    at: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    script: Arc<Mutex<Script>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    async fn start(script: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = format!("http://{}", listener.local_addr().unwrap());
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let script: Arc<Mutex<Script>> = Arc::new(Mutex::new(Arc::new(script)));
        let (heard, says) = (Arc::clone(&asked), Arc::clone(&script));
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, Arc::clone(&heard), Arc::clone(&says)));
            }
        });
        Self { at, asked, script, task }
    }

    fn says(&self, script: impl Fn(&Asked) -> Reply + Send + Sync + 'static) {
        *self.script.lock().unwrap() = Arc::new(script);
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// What was asked since the last look.
    fn take(&self) -> Vec<Asked> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }
}

/// Any number of requests on one connection.
async fn serve(mut stream: TcpStream, heard: Arc<Mutex<Vec<Asked>>>, says: Arc<Mutex<Script>>) {
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let Ok(byte) = stream.read_u8().await else { return };
            head.push(byte);
        }
        let head = String::from_utf8(head).unwrap();
        let small = head.to_lowercase();
        let length =
            small.lines().find_map(|line| line.strip_prefix("content-length: ")).map_or(0, |n| n.parse().unwrap());
        let mut body = vec![0; length];
        if stream.read_exact(&mut body).await.is_err() {
            return;
        }
        let form = Url::parse(&format!("http://x/?{}", String::from_utf8(body).unwrap())).unwrap();
        let form = form.query_pairs().map(|(k, v)| (k.into_owned(), v.into_owned())).collect();
        let asked = Asked { head, form };
        heard.lock().unwrap().push(asked.clone());
        let script = Arc::clone(&says.lock().unwrap());
        let done = match script(&asked) {
            Reply::Json(json) => {
                let date = jiff::fmt::rfc2822::DateTimePrinter::new()
                    .timestamp_to_rfc9110_string(&jiff::Timestamp::from_second(NOW).unwrap())
                    .unwrap();
                let head = format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ndate: {date}\r\ncontent-length: {}\r\n\r\n",
                    json.len()
                );
                stream.write_all((head + &json).as_bytes()).await
            }
            Reply::Raw(raw) => {
                let _ = stream.write_all(raw.as_bytes()).await;
                return;
            }
            Reply::Silence => std::future::pending().await,
            Reply::Huge(bytes) => huge(&mut stream, bytes).await,
        };
        if done.is_err() {
            return;
        }
    }
}

async fn huge(stream: &mut TcpStream, bytes: usize) -> std::io::Result<()> {
    let begin = r#"{"status":"success","data":{"result":["#;
    let series = r#"{"metric":{"a":"b"},"value":[1,"1"]},"#.repeat(10_000);
    let blocks = bytes / series.len();
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{begin}", begin.len() + blocks * series.len());
    stream.write_all(head.as_bytes()).await?;
    for _ in 0..blocks {
        stream.write_all(series.as_bytes()).await?;
    }
    Ok(())
}

/// The server's clock, in seconds.
const NOW: i64 = 1_800_000_000;

fn vector(series: &[(&str, f64)]) -> Reply {
    let one = |(labels, value): &(&str, f64)| format!(r#"{{"metric":{{{labels}}},"value":[{NOW},"{value}"]}}"#);
    let series: Vec<String> = series.iter().map(one).collect();
    Reply::Json(format!(r#"{{"status":"success","data":{{"resultType":"vector","result":[{}]}}}}"#, series.join(",")))
}

/// HAProxy backends `be0`, `be1`, ... with two servers each, scraped every 15 s.
fn backends(n: usize, age: f64) -> impl Fn(&Asked) -> Reply {
    move |asked| {
        let query = asked.query();
        #[allow(clippy::cast_precision_loss)]
        let value = match () {
            () if query.contains("count_over_time") => 20.0,
            () if query.contains("timestamp(") => NOW as f64 - age,
            () if query.contains("5xx") => 1.0,
            () => 4.0,
        };
        let servers: &[&str] = if query.contains("proxy, server") { &["s1", "s2"] } else { &[""] };
        let series: Vec<String> = (0..n)
            .flat_map(|i| servers.iter().map(move |server| format!(r#""proxy":"be{i}","server":"{server}""#)))
            .collect();
        vector(&series.iter().map(|labels| (labels.as_str(), value)).collect::<Vec<_>>())
    }
}

fn making() -> Making {
    Making { timeout: Duration::from_secs(4), interval: Duration::from_secs(10), pool: Pool::default() }
}

fn settings(text: &str) -> PromqlSettings {
    toml::from_str(text).unwrap()
}

fn backend(server: &Server, i: usize, making: &Making) -> PromqlSource {
    PromqlSource::new(&settings(&format!("url = '{}'\nwatch = 'haproxy:be{i}'", server.at)), making).unwrap()
}

/// A source with one query of its own.
fn own(server: &Server, more: &str) -> PromqlSource {
    let text = format!("url = '{}'\n[metric.m]\nquery = 'some(thing)'\n{more}", server.at);
    PromqlSource::new(&settings(&text), &making()).unwrap()
}

fn is(found: Option<&f64>, expected: f64) -> bool {
    found.is_some_and(|found| (found - expected).abs() < 1e-9)
}

#[tokio::test]
async fn a_query_of_ones_own_gives_a_value_or_one_for_each_instance() {
    let server = Server::start(|_| vector(&[(r#""pod":"a""#, 1.0), (r#""pod":"b""#, 3.0)])).await;
    let gathered = own(&server, "instance = 'pod'\nbad = 'low'\nlimit = 9.0").read().await.unwrap();
    assert!(is(gathered.values.get("m"), 2.0) && is(gathered.by_instance["b"].get("m"), 3.0), "{gathered:?}");
    assert_eq!((gathered.specs["m"].bad, gathered.specs["m"].limit), (Badness::Low, Some(9.0)));
    let summed = own(&server, "instance = 'pod'\nacross = 'sum'").read().await.unwrap();
    assert!(is(summed.values.get("m"), 4.0));

    let several = own(&server, "").read().await.unwrap_err();
    assert!(several.why.contains("gives 2 series: aggregate them"), "{several}");

    server.says(|_| {
        Reply::Json(format!(r#"{{"status":"success","data":{{"resultType":"scalar","result":[{NOW},"7"]}}}}"#))
    });
    assert!(is(own(&server, "").read().await.unwrap().values.get("m"), 7.0));

    server.says(|_| vector(&[]));
    let mut nothing = own(&server, "");
    assert!(nothing.read().await.unwrap_err().why.contains("gives nothing"));
    assert!(nothing.complaints()[0].contains("metric `m`: its query gives nothing"));

    let old = NOW - 61;
    server.says(move |_| {
        Reply::Json(format!(r#"{{"status":"success","data":{{"result":[{{"metric":{{}},"value":[{old},"7"]}}]}}}}"#))
    });
    assert!(own(&server, "").read().await.is_err(), "a value of a minute ago is none");
}

#[tokio::test]
async fn what_is_sent_says_who_we_are_and_is_never_shown() {
    let dir = tempfile::tempdir().unwrap();
    let secret = |name: &str, text: &str| {
        use std::os::unix::fs::PermissionsExt as _;
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path
    };
    let (token, password) = (secret("token", "first-token"), secret("password", "open-sesame"));
    let server = Server::start(|_| vector(&[("", 1.0)])).await;
    let bearer = format!("[auth]\nbearer = 'file:{}'\ntenant = 'east'", token.display());
    let mut source = own(&server, &bearer);
    source.read().await.unwrap();
    let head = server.take()[0].head.clone();
    assert!(head.contains("Bearer first-token") && head.to_lowercase().contains("x-scope-orgid: east"), "{head}");
    assert!(head.starts_with("POST /api/v1/query "), "{head}");

    // The token is another one now, and the old one is refused.
    secret("token", "second-token");
    server.says(|asked| {
        if asked.head.contains("second-token") {
            vector(&[("", 2.0)])
        } else {
            Reply::Raw("HTTP/1.1 401 No\r\ncontent-length: 0\r\n\r\n".to_owned())
        }
    });
    assert!(is(source.read().await.unwrap().values.get("m"), 2.0));

    let basic = format!("[auth]\nusername = 'me'\npassword = 'file:{}'", password.display());
    let mut source = own(&server, &basic);
    server.says(|_| Reply::Raw("HTTP/1.1 401 No\r\ncontent-length: 0\r\n\r\n".to_owned()));
    let error = source.read().await.unwrap_err().to_string();
    assert!(error.contains("is `auth` right?"), "{error}");
    // base64 of me:open-sesame
    assert!(server.asked().last().unwrap().head.contains("Basic bWU6b3Blbi1zZXNhbWU="));
    let debug = format!("{source:?}{error}");
    assert!(!debug.contains("sesame") && !debug.contains("-token") && !debug.contains("bWU6"), "{debug}");
}

#[tokio::test]
async fn a_hostile_or_broken_server_is_an_error_in_words() {
    let raw = |text: &str| Reply::Raw(text.to_owned());
    let json = |text: &str| Reply::Json(text.to_owned());
    let with = |status: &str, body: &str| {
        raw(&format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        ))
    };
    let api = |kind: &str| format!(r#"{{"status":"error","errorType":"{kind}","error":"1:3: \u001b[31mparse"}}"#);
    for (reply, says) in [
        (with("400 Bad Request", &api("bad_data")), "parse (bad_data); is the query right?"),
        (with("422 Unprocessable", &api("execution")), "have the labels of the other"),
        (with("503 Unavailable", &api("timeout")), "too much for the server"),
        (with("503 Unavailable", "Service Unavailable"), "answered 503"),
        (with("500 Oops", ""), "answered 500"),
        (with("404 Not Found", "404 page not found"), "does `url` need a path"),
        (with("403 Forbidden", "{}"), "answered 403: we may not query it"),
        (raw("HTTP/1.1 429 Slow\r\nretry-after: 30\r\ncontent-length: 0\r\n\r\n"), "asks us to wait"),
        (
            raw("HTTP/1.1 302 Found\r\nlocation: https://sso.example/login?token=abc\r\n\r\n"),
            "on to https://sso.example/login;",
        ),
        (raw("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\n{}"), "encoding `gzip`"),
        (raw("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"status\""), "broke off"),
        (raw("SSH-2.0-OpenSSH\r\n"), "failed"),
        (json("<html>sign in</html>"), "cannot be read"),
        (json(r#"{"status":"success","data":{"result":[{"metric":7}]}}"#), "cannot be read"),
        (json(r#"{"status":"success","isPartial":true,"data":{"result":[]}}"#), "the answer is partial"),
        (Reply::Huge(70 * 1024 * 1024), "longer than 64 MB"),
        (Reply::Huge(20 * 1024 * 1024), "more than 200000 series"),
    ] {
        let server = Server::start(move |_| reply.clone()).await;
        let text = format!("url = '{}'\n[metric.m]\nquery = 'x'", server.at);
        let patient = Making { timeout: Duration::from_secs(60), ..making() };
        let error = PromqlSource::new(&settings(&text), &patient).unwrap().read().await.unwrap_err().to_string();
        assert!(error.contains(says), "{error} should say {says}");
        assert!(!error.contains('\u{1b}') && !error.contains("token=") && error.len() < 500, "{error}");
    }
}

#[tokio::test]
async fn a_server_that_is_down_is_left_alone_and_others_are_not_held_up() {
    let down = Server::start(|_| Reply::Raw("HTTP/1.1 502 Bad\r\ncontent-length: 0\r\n\r\n".to_owned())).await;
    let well = Server::start(backends(1, 1.0)).await;
    let making = making();
    let (mut sick, mut fine) = (backend(&down, 0, &making), backend(&well, 0, &making));
    for _ in 0..3 {
        let (sick, fine) = futures::future::join(sick.read(), fine.read()).await;
        let error = sick.unwrap_err();
        assert!(error.why.contains("answered 502"), "{error}");
        assert!(is(fine.unwrap().values.get("backend_queue"), 4.0));
    }
    assert_eq!(down.asked().len(), 1);
    let stats = making.pool.promql.stats();
    assert!(stats.iter().any(|s| s.url == down.at && s.failures == 1 && s.resting.is_some()), "{stats:?}");
    assert!(stats.iter().any(|s| s.url == well.at && s.failures == 0 && s.last_success.is_some()), "{stats:?}");
}

#[tokio::test]
async fn a_server_that_says_nothing_costs_its_own_reads_their_time_and_no_more() {
    let server = Server::start(|_| Reply::Silence).await;
    let making = Making { timeout: Duration::from_millis(400), ..making() };
    let mut source = backend(&server, 0, &making);
    let began = Instant::now();
    let error = source.read().await.unwrap_err();
    assert!(error.why.contains("no whole answer within"), "{error}");
    assert!(began.elapsed() < Duration::from_millis(1500));
    let again = source.read().await.unwrap_err();
    assert!(again.why.contains("asked again in"), "{again}");
}

#[tokio::test]
async fn services_of_a_kind_share_their_queries() {
    let server = Server::start(backends(60, 1.0)).await;
    let making = making();
    let mut sources: Vec<PromqlSource> = (0..60).map(|i| backend(&server, i, &making)).collect();
    let read = futures::future::join_all(sources.iter_mut().map(PromqlSource::read)).await;
    let parts = templates::of_target(&"haproxy:x".parse().unwrap()).unwrap()[0].parts;
    let each_round = parts[0].series.len() + 1;
    for gathered in read {
        let gathered = gathered.unwrap();
        assert!(is(gathered.values.get("backend_error_ratio"), 0.25), "{gathered:?}");
        assert!(is(gathered.values.get("backend_requests_rate"), 4.0));
        assert_eq!(gathered.by_instance.keys().collect::<Vec<_>>(), ["s1", "s2"]);
        assert_eq!(gathered.specs["backend_requests_rate"].bad, Badness::Never);
        assert_eq!(gathered.values.len(), parts[0].rows.len());
        assert!(gathered.faults.is_empty());
    }
    let asked = server.take();
    assert_eq!(asked.len(), each_round + 1, "one query a series, one for their age and one for how they are scraped");
    assert!(asked.iter().all(|a| !a.query().contains("proxy=")), "60 names are more than a query holds");
    assert!(asked.iter().any(|a| a.query().contains("[60s]")), "four scrapes of 15 s");

    // The next round of all, in any order.
    let read = futures::future::join_all(sources.iter_mut().rev().map(PromqlSource::read)).await;
    assert!(read.iter().all(Result::is_ok));
    assert_eq!(server.take().len(), each_round);

    // Whoever joins now waits for a round that has it in it, and so do many at once.
    let mut late: Vec<PromqlSource> = (0..5).map(|_| backend(&server, 7, &making)).collect();
    let read = futures::future::join_all(late.iter_mut().map(PromqlSource::read)).await;
    assert!(read.iter().all(Result::is_ok));
    assert_eq!(server.take().len(), 0, "a service that another source watches already is in the last round");
    assert_eq!(making.pool.promql.stats()[0].groups, 1);
    drop((sources, late));
    assert!(making.pool.promql.stats().is_empty());
}

#[tokio::test]
async fn many_that_join_after_each_other_share_a_round_or_a_few() {
    let server = Server::start(backends(100, 1.0)).await;
    let making = Making { interval: Duration::from_millis(500), ..making() };
    let mut sources: Vec<PromqlSource> = Vec::new();
    for i in 0..100 {
        let mut source = backend(&server, i, &making);
        if i < 3 {
            source.read().await.unwrap();
        }
        sources.push(source);
    }
    let read = futures::future::join_all(sources.iter_mut().map(PromqlSource::read)).await;
    assert!(read.iter().all(Result::is_ok));
    let rounds = server.asked().iter().filter(|a| a.query().contains("timestamp(")).count();
    assert!(rounds <= 4, "{rounds} rounds");
}

#[tokio::test]
async fn few_services_are_asked_for_by_name() {
    let server = Server::start(backends(9, 1.0)).await;
    let making = making();
    let mut sources = [backend(&server, 3, &making), backend(&server, 5, &making)];
    futures::future::join_all(sources.iter_mut().map(PromqlSource::read)).await;
    assert!(server.asked().iter().all(|a| a.query().contains(r#"proxy=~"be3|be5""#)));
}

#[tokio::test]
async fn a_read_that_is_cut_off_takes_the_round_from_nobody() {
    let server = Server::start(backends(2, 1.0)).await;
    let making = making();
    let (mut first, mut second) = (backend(&server, 0, &making), backend(&server, 1, &making));
    // Begun, and dropped at its first wait.
    {
        let read = first.read();
        futures::pin_mut!(read);
        assert!(futures::poll!(read.as_mut()).is_pending());
    }
    assert!(second.read().await.is_ok());
    assert!(first.read().await.is_ok());
    let settles = server.asked().iter().filter(|a| a.query().contains("count_over_time")).count();
    assert_eq!(settles, 1, "one round for both");
}

#[tokio::test]
async fn one_query_that_fails_costs_its_metrics_and_no_others() {
    let server = Server::start(|asked| {
        if asked.query().contains("current_queue") {
            Reply::Raw("HTTP/1.1 422 No\r\ncontent-length: 66\r\n\r\n{\"status\":\"error\",\"errorType\":\"execution\",\"error\":\"too many samples\"}".to_owned())
        } else {
            backends(1, 1.0)(asked)
        }
    })
    .await;
    let mut source = backend(&server, 0, &making());
    let gathered = source.read().await.unwrap();
    assert!(!gathered.values.contains_key("backend_queue") && gathered.values.contains_key("backend_sessions"));
    assert_eq!(gathered.faults.len(), 1);
    assert!(gathered.faults[0].why.starts_with("backend_queue: "), "{:?}", gathered.faults);
    assert!(source.complaints().is_empty(), "it is not missing: it could not be asked");
}

#[tokio::test]
async fn what_nobody_measures_any_more_is_missing() {
    let server = Server::start(backends(1, 200.0)).await;
    let error = backend(&server, 0, &making()).read().await.unwrap_err();
    assert!(error.why.contains("the newest sample is 200 s old"), "{error}");
}

#[tokio::test]
async fn what_the_server_has_no_series_of_is_said() {
    let server = Server::start(backends(1, 1.0)).await;
    let mut source = backend(&server, 5, &making());
    let error = source.read().await.unwrap_err();
    assert!(
        error.why.contains("no series `haproxy_backend_active_servers` for haproxy:be5: is the backend's name right"),
        "{error}"
    );
    assert_eq!(source.complaints(), [error.why]);

    let red = format!("url = '{}'\ntemplates = ['http-red']\nlabels = {{ job = 'shop' }}", server.at);
    server.says(|_| vector(&[]));
    server.take();
    let mut source = PromqlSource::new(&settings(&red), &making()).unwrap();
    let error = source.read().await.unwrap_err();
    assert!(error.why.contains("none of http_requests_total, http_server_request_duration_seconds_count"), "{error}");
    assert_eq!(server.take().len(), 3, "what is not there is looked for once");
    assert!(source.read().await.is_err());
    assert_eq!(server.take().len(), 0, "and then not for a while");
}

#[tokio::test]
async fn history_is_asked_for_one_service_and_comes_oldest_first() {
    let server = Server::start(|asked| {
        if asked.head.starts_with("POST /api/v1/query ") {
            return backends(3, 1.0)(asked);
        }
        let time = |name: &str| asked.form[name].parse::<f64>().unwrap();
        let (mut at, until, step) = (time("start"), time("end"), time("step"));
        let mut points = Vec::new();
        while at <= until {
            // The exporter was away for the second point.
            let age = if points.len() == 1 { 500.0 } else { 1.0 };
            let value = if asked.query().contains("timestamp(") { at - age } else { 2.0 };
            points.push(format!(r#"[{at},"{value}"]"#));
            at += step;
        }
        let points = points.join(",");
        Reply::Json(format!(
            r#"{{"status":"success","data":{{"resultType":"matrix","result":[{{"metric":{{"proxy":"be1"}},"values":[{points}]}}]}}}}"#
        ))
    })
    .await;
    let text = format!("url = '{}'\nwatch = 'haproxy:be1'\nbackfill = '1m'\n[metric.m]\nquery = 'x'", server.at);
    let mut source = PromqlSource::new(&settings(&text), &making()).unwrap();
    let until = Timestamp(NOW * 1000 + 3_000);
    let past = source.history(Timestamp(0), until).await.unwrap();
    let times: Vec<i64> = past.iter().map(|(at, _)| (at.0 - NOW * 1000) / 1000).collect();
    assert_eq!(times, [-50, -40, -30, -20, -10, 0], "a minute, in whole intervals");
    assert!(past.iter().all(|(_, g)| is(g.values.get("m"), 2.0)));
    assert!(is(past[0].1.values.get("backend_sessions"), 2.0) && past[0].1.specs.contains_key("m"));
    assert!(!past[1].1.values.contains_key("backend_sessions"), "nobody measured it then");
    let ranges = server.asked().into_iter().filter(|a| a.head.starts_with("POST /api/v1/query_range "));
    assert!(ranges.filter(|a| a.query() != "x").all(|a| a.query().contains(r#"proxy="be1""#)));
}

#[tokio::test]
async fn settings_that_cannot_work_are_refused() {
    for (text, says) in [
        ("url = 'prometheus:9090'\nwatch = 'haproxy:x'", "is not an address like"),
        ("url = 'http://p'\nwatch = 'asg:web'", "no template watches `asg:` targets"),
        ("url = 'http://p'\ntemplates = ['spring']", "there is no template `spring`: there are istio"),
        ("url = 'http://p'\ntemplates = ['node']", "needs `labels`"),
        ("url = 'http://p'\nwatch = 'haproxy:x'\n[metric.backend_que]\nlimit = 3.0", "backend_queue"),
        ("url = 'http://p'\n[metric.m]\nlimit = 3.0", "no template here makes it"),
        ("url = 'http://p'", "asks for nothing"),
        ("url = 'http://p'\nwatch = 'haproxy:x'\n[auth]\nbearer = 'env:SUTURE_NO_SUCH'", "is not set"),
    ] {
        let error = PromqlSource::new(&settings(text), &making()).unwrap_err().to_string();
        assert!(error.contains(says), "{error} should say {says}");
    }
    let asg = "url = 'http://p'\nwatch = 'asg:web'\ntemplates = ['http-red']\nlabels = { job = 'web' }";
    assert_eq!(PromqlSource::new(&settings(asg), &making()).unwrap().name(), "promql http://p (asg:web)");
}
