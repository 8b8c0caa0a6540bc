//! One HTTP/1 exchange with a process on this machine, over a unix socket or loopback.
//!
//! It tells apart what a general client blurs and what an action needs to know: *nothing was sent*, *no answer in
//! time*, *broken after sending*. Never retries, never follows redirects, never reads more than [`MAX_REPLY`].

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use futures::future;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::{Method, Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, timeout_at};

/// The longest reply that is read: a state report of many workers is a few kilobytes.
const MAX_REPLY: usize = 1024 * 1024;

/// Who is called.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Peer<'a> {
    /// A control socket.
    Unix(&'a Path),
    /// A worker.
    Tcp(SocketAddr),
}

/// What came back.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    /// HTTP status.
    pub status: StatusCode,
    /// The whole body.
    pub body: Bytes,
}

/// Why nothing came back.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CallError {
    /// No connection: the request was not sent.
    #[error("{0}")]
    Connect(String),
    /// Sent, and no whole answer within this time.
    #[error("no answer within {} ms", .0.as_millis())]
    TimedOut(Duration),
    /// Sent, and the connection broke.
    #[error("the connection broke: {0}")]
    Broken(String),
}

/// Sends one request and reads the whole reply, both within `within`.
///
/// # Errors
/// [`CallError`]; only `Connect` says that the request was not sent.
pub(crate) async fn call(
    peer: Peer<'_>,
    method: Method,
    path: &str,
    body: Option<Vec<u8>>,
    within: Duration,
) -> Result<Reply, CallError> {
    let deadline = Instant::now() + within;
    let slow = |_| CallError::Connect(format!("no connection within {} ms", within.as_millis()));
    let refused = |e: std::io::Error| CallError::Connect(e.to_string());
    let mut request = Request::builder().method(method).uri(path).header(header::CONNECTION, "close");
    request = match peer {
        Peer::Unix(_) => request.header(header::HOST, "suture"),
        Peer::Tcp(addr) => request.header(header::HOST, addr.to_string()),
    };
    if body.is_some() {
        request = request.header(header::CONTENT_TYPE, "application/json");
    }
    let request = request
        .body(Full::new(Bytes::from(body.unwrap_or_default())))
        .map_err(|e| CallError::Connect(e.to_string()))?;
    match peer {
        Peer::Unix(path) => {
            let stream = timeout_at(deadline, UnixStream::connect(path)).await.map_err(slow)?.map_err(refused)?;
            exchange(stream, request, deadline, within).await
        }
        Peer::Tcp(addr) => {
            let stream = timeout_at(deadline, TcpStream::connect(addr)).await.map_err(slow)?.map_err(refused)?;
            exchange(stream, request, deadline, within).await
        }
    }
}

async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    request: Request<Full<Bytes>>,
    deadline: Instant,
    within: Duration,
) -> Result<Reply, CallError> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|e| CallError::Connect(e.to_string()))?;
    let talk = async move {
        let response = sender.send_request(request).await.map_err(|e| match e.is_canceled() {
            true => CallError::Connect(e.to_string()),
            false => CallError::Broken(e.to_string()),
        })?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_REPLY).collect().await;
        let body = body.map_err(|e| CallError::Broken(e.to_string()))?.to_bytes();
        Ok(Reply { status, body })
    };
    // Both halves run in this task: when the caller gives up, the connection goes with it.
    let both = future::join(talk, connection);
    let (answer, _) = timeout_at(deadline, both).await.map_err(|_| CallError::TimedOut(within))?;
    answer
}
