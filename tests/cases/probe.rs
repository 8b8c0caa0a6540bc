//! The `probe` source, against servers of this test.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use suture::collect::probe::ProbeSource;
use suture::collect::{Gathered, HttpAuth, Making, MetricSettings, ProbeSettings, Source};
use suture::model::{Badness, SecretRef};

fn settings(urls: &[String]) -> ProbeSettings {
    ProbeSettings {
        urls: urls.to_vec(),
        status: Vec::new(),
        body: None,
        headers: [].into(),
        auth: HttpAuth::default(),
        metric: [].into(),
    }
}

fn source(settings: &ProbeSettings, timeout: Duration) -> ProbeSource {
    ProbeSource::new(settings, &Making { timeout, ..Making::default() }).unwrap()
}

async fn read(settings: &ProbeSettings) -> Gathered {
    source(settings, Duration::from_secs(10)).read().await.unwrap()
}

/// A server that gives each connection to `serve`. It ends with the test's process.
fn server(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let serve = Arc::new(serve);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let serve = serve.clone();
            std::thread::spawn(move || serve(stream));
        }
    });
    address
}

/// Reads the head of a request.
fn head(stream: &mut impl std::io::Read) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read_exact(&mut byte).is_ok() {
        head.push(byte[0]);
    }
    String::from_utf8_lossy(&head).to_lowercase()
}

fn answer(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
}

/// `/STATUS` is answered with that status, and the body `all is well`.
fn shop() -> SocketAddr {
    server(|mut stream| {
        let head = head(&mut stream);
        let status = head.split(['/', ' ']).nth(2).unwrap_or("500").to_owned();
        let _ = stream.write_all(answer(&status, "all is well").as_bytes());
    })
}

fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[tokio::test]
async fn each_address_is_an_instance() {
    let (shop, gone) = (shop(), nobody());
    let urls =
        [format!("http://{shop}/200"), format!("http://{shop}/503"), format!("tcp://{shop}"), format!("tcp://{gone}")];
    let mut source = source(&settings(&urls), Duration::from_secs(10));
    let found = source.read().await.unwrap();
    assert!(found.faults.is_empty(), "{:?}", found.faults);
    let value = |instance: &str, metric: &str| found.by_instance[instance].get(metric).copied();
    let [good, bad, open, closed] = [format!("{shop}/200"), format!("{shop}/503"), shop.to_string(), gone.to_string()];
    let success = [&good, &bad, &open, &closed].map(|instance| value(instance, "probe_success_ratio"));
    assert_eq!(success, [Some(1.0), Some(0.0), Some(1.0), Some(0.0)]);
    let has_latency = [&good, &bad, &open, &closed].map(|i| value(i, "probe_latency_seconds").is_some());
    assert_eq!(has_latency, [true, false, true, false]);
    assert_eq!([&good, &bad, &open].map(|i| value(i, "probe_status_ok")), [Some(1.0), Some(0.0), None]);
    assert_eq!((found.values["probe_success_ratio"], found.values["probe_status_ok"]), (0.5, 0.5));
    let [one, two] = [&good, &open].map(|instance| value(instance, "probe_latency_seconds").unwrap());
    assert_eq!(found.values["probe_latency_seconds"], one.max(two));
    let complaints = source.complaints().join("\n");
    assert!(complaints.contains("/503: answered 503, not 200 to 299"), "{complaints}");
    assert!(complaints.contains(&format!("tcp://{gone}: cannot connect")), "{complaints}");
}

#[tokio::test]
async fn specs_say_which_way_is_bad() {
    let urls = [format!("http://{}/200", shop())];
    let own = MetricSettings { limit: Some(0.5), ..MetricSettings::default() };
    let settings = ProbeSettings { metric: [("probe_latency_seconds".to_owned(), own)].into(), ..settings(&urls) };
    let specs = read(&settings).await.specs;
    let told: Vec<_> =
        specs.iter().map(|(name, spec)| (name.as_str(), spec.bad, spec.unit.as_str(), spec.limit)).collect();
    assert_eq!(
        told,
        [
            ("probe_latency_seconds", Badness::High, "s", Some(0.5)),
            ("probe_status_ok", Badness::Low, "ratio", Some(0.9999)),
            ("probe_success_ratio", Badness::Low, "ratio", Some(0.9999)),
        ]
    );
}

#[tokio::test]
async fn statuses_and_bodies_are_those_asked_for() {
    let urls = [format!("http://{}/404", shop())];
    let success = async |settings: ProbeSettings| {
        let found = read(&settings).await;
        (found.values["probe_success_ratio"], found.values.get("probe_body_ok").copied())
    };
    let asked = ProbeSettings { status: vec![200, 404], ..settings(&urls) };
    assert_eq!(success(asked.clone()).await, (1.0, None));
    assert_eq!(success(ProbeSettings { body: Some("^all is".to_owned()), ..asked.clone() }).await, (1.0, Some(1.0)));
    assert_eq!(success(ProbeSettings { body: Some("broken".to_owned()), ..asked }).await, (0.0, Some(0.0)));
}

#[tokio::test]
async fn a_body_without_end_is_looked_at_from_its_beginning_only() {
    let flood = server(|mut stream| {
        head(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        while stream.write_all(&[b'a'; 8192]).is_ok() {}
    });
    let settings = ProbeSettings { body: Some("b$".to_owned()), ..settings(&[format!("http://{flood}/")]) };
    let found = read(&settings).await;
    assert_eq!((found.values["probe_success_ratio"], found.values["probe_body_ok"]), (0.0, 0.0));
}

#[tokio::test]
async fn a_redirect_is_an_answer() {
    let other = shop();
    let moved = server(move |mut stream| {
        head(&mut stream);
        let _ = write!(stream, "HTTP/1.1 302 Found\r\nlocation: http://{other}/200\r\ncontent-length: 0\r\n\r\n");
    });
    let found = read(&settings(&[format!("http://{moved}/")])).await;
    assert_eq!(found.values["probe_success_ratio"], 0.0);
}

#[tokio::test]
async fn one_that_stalls_takes_nobody_elses_time() {
    let silent = server(|mut stream| {
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let mut urls: Vec<String> = (0..20).map(|nth| format!("http://{silent}/{nth}")).collect();
    urls.push(format!("http://{}/200", shop()));
    let mut source = source(&settings(&urls), Duration::from_secs(1));
    let began = Instant::now();
    let found =
        tokio::time::timeout(Duration::from_secs(1), source.read()).await.expect("within the deadline").unwrap();
    assert!(began.elapsed() < Duration::from_secs(1));
    assert!((found.values["probe_success_ratio"] - 1.0 / 21.0).abs() < 1e-9);
    assert!(source.complaints()[0].contains("no answer within 900 ms"), "{:?}", source.complaints());
}

#[tokio::test]
async fn a_service_that_comes_back_is_up_again() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let mut source = source(&settings(&[format!("tcp://{address}")]), Duration::from_secs(5));
    assert_eq!(source.read().await.unwrap().values["probe_success_ratio"], 0.0);
    let _listener = TcpListener::bind(address).unwrap();
    assert_eq!(source.read().await.unwrap().values["probe_success_ratio"], 1.0);
    assert!(source.complaints().is_empty());
}

#[tokio::test]
async fn who_we_are_is_said_and_never_shown() {
    let strict = server(|mut stream| {
        let head = head(&mut stream);
        let known = head.contains("authorization: bearer hunter2\r\n")
            || head.contains("authorization: basic bwu6ahvudgvymg==\r\n");
        let status = if known && head.contains("x-team: shop\r\n") { "200 OK" } else { "401 Unauthorized" };
        let _ = stream.write_all(answer(status, "").as_bytes());
    });
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("secret");
    fs::write(&path, "hunter2").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let secret = Some(SecretRef::File(path.clone()));
    let headers: std::collections::BTreeMap<_, _> = [("X-Team".to_owned(), "shop".to_owned())].into();
    let plain = ProbeSettings { headers, ..settings(&[format!("http://{strict}/")]) };
    assert_eq!(read(&plain).await.values["probe_success_ratio"], 0.0);
    let bearer = HttpAuth { bearer: secret.clone(), ..HttpAuth::default() };
    let basic = HttpAuth { username: Some("me".to_owned()), password: secret, ..HttpAuth::default() };
    for auth in [bearer, basic] {
        let asked = ProbeSettings { auth, ..plain.clone() };
        assert_eq!(read(&asked).await.values["probe_success_ratio"], 1.0);
        let mut source = source(&asked, Duration::from_secs(5));
        assert!(!format!("{source:?}").contains("hunter2"));
        // A secret that is gone is the config's fault, and no word on the service.
        fs::rename(&path, dir.path().join("away")).unwrap();
        let error = source.read().await.unwrap_err();
        assert!(error.why.contains("cannot be read") && !error.to_string().contains("hunter2"), "{error}");
        fs::rename(dir.path().join("away"), &path).unwrap();
    }
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let usual = settings(&["http://127.0.0.1:1/".to_owned()]);
    let making = Making::default();
    for (settings, part) in [
        (settings(&[]), "nothing to probe"),
        (settings(&["ftp://x/".to_owned()]), "no address"),
        (ProbeSettings { body: Some("(".to_owned()), ..usual.clone() }, "regular expression"),
        (ProbeSettings { headers: [("a b".to_owned(), "c".to_owned())].into(), ..usual.clone() }, "no header"),
        (
            ProbeSettings { auth: HttpAuth { ca: Some("/nowhere.pem".into()), ..HttpAuth::default() }, ..usual },
            "nowhere.pem",
        ),
    ] {
        let error = ProbeSource::new(&settings, &making).unwrap_err();
        assert!(error.to_string().contains(part), "{error}");
    }
}

/// An HTTPS server whose certificate ends in so many days from now, the file of what vouches for it, and how often it was
/// connected to.
fn tls_shop(dir: &std::path::Path, days: i64) -> (SocketAddr, std::path::PathBuf, Arc<AtomicUsize>) {
    let mut params = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    // Ten minutes more, so that the days are full ones when the test looks.
    let end = std::time::SystemTime::now() + Duration::from_secs(600);
    params.not_after = if days < 0 {
        (end - Duration::from_secs(days.unsigned_abs() * 86_400)).into()
    } else {
        (end + Duration::from_secs(days.unsigned_abs() * 86_400)).into()
    };
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let ca = dir.join("ca.pem");
    fs::write(&ca, certificate.pem()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )
        .unwrap();
    let config = Arc::new(config);
    let connections = Arc::new(AtomicUsize::new(0));
    let count = connections.clone();
    let address = server(move |mut stream| {
        count.fetch_add(1, Ordering::SeqCst);
        let mut session = rustls::ServerConnection::new(config.clone()).unwrap();
        let mut tls = rustls::Stream::new(&mut session, &mut stream);
        if !head(&mut tls).is_empty() {
            let _ = tls.write_all(answer("200 OK", "well").as_bytes());
        }
    });
    (address, ca, connections)
}

#[tokio::test]
async fn days_of_a_certificate_are_counted_and_not_in_every_round() {
    let dir = tempfile::tempdir().unwrap();
    let (address, ca, connections) = tls_shop(dir.path(), 40);
    let auth = HttpAuth { ca: Some(ca), ..HttpAuth::default() };
    let settings = ProbeSettings { auth, ..settings(&[format!("https://{address}/")]) };
    let mut source = source(&settings, Duration::from_secs(10));
    for _ in 0..3 {
        let found = source.read().await.unwrap();
        assert_eq!(found.values["probe_success_ratio"], 1.0, "{:?}", source.complaints());
        assert!((40.0..40.01).contains(&found.values["probe_tls_days_left"]), "{:?}", found.values);
        assert_eq!(found.specs["probe_tls_days_left"].limit, Some(7.0));
    }
    assert_eq!(connections.load(Ordering::SeqCst), 4, "three checks and one look at the certificate");
}

#[tokio::test]
async fn a_certificate_that_ended_fails_the_check_and_says_since_when() {
    let dir = tempfile::tempdir().unwrap();
    let (address, ca, _) = tls_shop(dir.path(), -3);
    let auth = HttpAuth { ca: Some(ca), ..HttpAuth::default() };
    let settings = ProbeSettings { auth, ..settings(&[format!("https://{address}/")]) };
    let mut source = source(&settings, Duration::from_secs(10));
    let found = source.read().await.unwrap();
    assert_eq!(found.values["probe_success_ratio"], 0.0);
    assert!((-3.0..-2.99).contains(&found.values["probe_tls_days_left"]), "{:?}", found.values);
    assert!(source.complaints()[0].to_lowercase().contains("certificate"), "{:?}", source.complaints());
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_fails_the_check() {
    let dir = tempfile::tempdir().unwrap();
    let (address, _, _) = tls_shop(dir.path(), 40);
    let mut source = source(&settings(&[format!("https://{address}/")]), Duration::from_secs(10));
    let found = source.read().await.unwrap();
    assert_eq!(found.values["probe_success_ratio"], 0.0);
    assert!(found.values.contains_key("probe_tls_days_left") && found.faults.is_empty());
}
