//! The server: TLS, connections, and what stands around each request: faults, records, the shape of answers.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap};
use hyper::service::service_fn;
use hyper::{Request as HttpRequest, Response};
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::refusal::Refusal;
use super::verbs::{self, Answer, Asked};
use super::weather::{Fault, meanwhile};
use super::{Request, Shared, watch};

/// The most that a request may carry, as with the real server.
const MOST: usize = 3 * 1024 * 1024;
/// A client that does not finish its handshake is let go.
const HANDSHAKE: Duration = Duration::from_secs(10);

pub type Body = UnsyncBoxBody<Bytes, io::Error>;

/// Ends the connection without an answer.
#[derive(Debug)]
pub struct Cut;

impl std::fmt::Display for Cut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the connection is cut by order of the test")
    }
}

impl std::error::Error for Cut {}

/// Serves until it is dropped.
pub async fn run(listener: TcpListener, tls: Arc<ServerConfig>, shared: Arc<Shared>) {
    let acceptor = TlsAcceptor::from(tls);
    let mut connections = JoinSet::new();
    let mut changed = shared.changed.subscribe();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                // While it is down a connection ends before a word of TLS is said.
                if !shared.read(|state| state.weather.down) {
                    connections.spawn(connection(stream, acceptor.clone(), Arc::clone(&shared)));
                }
            }
            _ = changed.changed() => {
                if shared.read(|state| state.weather.down) {
                    connections.abort_all();
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(stream: TcpStream, acceptor: TlsAcceptor, shared: Arc<Shared>) {
    let _ = stream.set_nodelay(true);
    let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await else { return };
    let service = service_fn(move |request| answer(Arc::clone(&shared), request));
    // How a connection ends is the client's business, or the test's.
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(shared: Arc<Shared>, request: HttpRequest<Incoming>) -> Result<Response<Body>, Cut> {
    let (head, body) = request.into_parts();
    let body = Limited::new(body, MOST).collect().await.map(|body| body.to_bytes());
    let token = header(&head.headers, AUTHORIZATION.as_str());
    let token = token.strip_prefix("Bearer ").unwrap_or_default();
    let mut asked = Asked {
        method: head.method.to_string(),
        verb: "",
        path: head.uri.path().to_owned(),
        query: query(head.uri.query().unwrap_or_default()),
        user: shared.read(|state| state.access.who(token)),
        content_type: header(&head.headers, CONTENT_TYPE.as_str()),
        accept: header(&head.headers, ACCEPT.as_str()),
        body: Vec::new(),
    };
    asked.verb = verbs::verb(&asked);
    let mut refusal = None;
    match body {
        Ok(body) => asked.body = body.to_vec(),
        Err(_) => refusal = Some(Refusal::too_large("Request entity too large: limit is 3145728")),
    }

    let faults = shared.change(|state| state.weather.strike(&asked.method, asked.verb, &asked.path));
    for fault in &faults {
        match fault {
            Fault::Slow(wait) => tokio::time::sleep(*wait).await,
            Fault::Meanwhile { path, patch } => shared.change(|state| meanwhile(state, path, patch)),
            Fault::Hang => {
                record(&shared, &asked, 0, None);
                return std::future::pending().await;
            }
            Fault::Drop => {
                record(&shared, &asked, 0, None);
                return Err(Cut);
            }
            Fault::Status(code) => refusal = Some(Refusal::trouble(*code)),
            Fault::Throttle(seconds) => {
                refusal = Some(Refusal::throttled("too many requests, please try again later.", Some(*seconds)));
            }
            Fault::AfterEffect(_) | Fault::DropAfterEffect | Fault::HangAfterEffect | Fault::ExpireWatch => {}
        }
    }
    let mut outcome = match refusal {
        Some(refusal) => Err(refusal),
        None => shared.change(|state| verbs::act(state, &asked)),
    };
    for fault in &faults {
        match fault {
            Fault::AfterEffect(code) => outcome = Err(Refusal::trouble(*code)),
            Fault::DropAfterEffect => {
                record(&shared, &asked, 0, None);
                return Err(Cut);
            }
            Fault::HangAfterEffect => {
                record(&shared, &asked, 0, None);
                return std::future::pending().await;
            }
            Fault::ExpireWatch => {
                if let Ok(Answer::Watch(watched)) = &mut outcome {
                    watched.expire_at_once = true;
                }
            }
            _ => {}
        }
    }
    let response = match outcome {
        Ok(Answer::Json(code, value)) => {
            record(&shared, &asked, code, None);
            json(code, &value, None)
        }
        Ok(Answer::Watch(watched)) => {
            record(&shared, &asked, 200, None);
            watch::response(shared, *watched)
        }
        Err(refusal) => {
            record(&shared, &asked, refusal.code, Some(&refusal));
            if refusal.plain {
                plain(refusal.code, &refusal.message)
            } else {
                json(refusal.code, &refusal.body(), refusal.retry_after)
            }
        }
    };
    Ok(response)
}

fn record(shared: &Shared, asked: &Asked, status: u16, refusal: Option<&Refusal>) {
    let request = Request {
        method: asked.method.clone(),
        verb: asked.verb.to_owned(),
        path: asked.path.clone(),
        query: asked.query.clone(),
        user: asked.user.clone(),
        content_type: asked.content_type.clone(),
        body: serde_json::from_slice(&asked.body).unwrap_or(Value::Null),
        status,
    };
    shared.change(|state| {
        if let Some(refusal) = refusal.filter(|refusal| refusal.never_right) {
            let refused = format!("{} {}: {} {}", asked.method, asked.path, refusal.code, refusal.message);
            state.refused.push(refused);
        }
        state.requests.push(request);
    });
}

fn header(headers: &HeaderMap, name: &str) -> String {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
}

fn json(code: u16, value: &Value, retry_after: Option<u64>) -> Response<Body> {
    let mut response = Response::builder().status(code).header(CONTENT_TYPE, "application/json");
    if let Some(seconds) = retry_after {
        response = response.header("Retry-After", seconds);
    }
    response.body(whole(value.to_string())).expect("a response")
}

fn plain(code: u16, text: &str) -> Response<Body> {
    let response = Response::builder().status(code).header(CONTENT_TYPE, "text/plain; charset=utf-8");
    response.body(whole(format!("{text}\n"))).expect("a response")
}

fn whole(text: String) -> Body {
    Full::new(Bytes::from(text)).map_err(|never: Infallible| match never {}).boxed_unsync()
}

/// The pairs of a query, decoded.
fn query(text: &str) -> Vec<(String, String)> {
    text.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(key, value)| (decode(key), decode(value)))
        .collect()
}

/// Undoes the encoding of a form: `+` and `%41`.
fn decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || rest.next().and_then(|byte| char::from(byte).to_digit(16)).unwrap_or(0);
                u8::try_from(digit() * 16 + digit()).unwrap_or(b'?')
            }
            byte => byte,
        });
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
