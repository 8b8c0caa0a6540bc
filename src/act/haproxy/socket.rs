//! One command on HAProxy's runtime API: one connection, one line, one bounded reply.
//!
//! It tells apart what an action needs to know: nothing was sent, no answer in time, broken after sending. Must never
//! send more than one command, retry, or read more than [`MOST_REPLY`]. Called by the backend.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, timeout_at};

/// The longest reply that is read: the statistics of a thousand servers have some 600 KB.
const MOST_REPLY: u64 = 1024 * 1024;

/// Where the runtime API is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A socket in the file system.
    Unix(PathBuf),
    /// A port of this machine.
    Tcp(SocketAddr),
    /// The config names neither, or both.
    Nowhere,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "{}", path.display()),
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Nowhere => f.write_str("nowhere"),
        }
    }
}

/// Why there is no reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum AskError {
    /// No connection: nothing was sent.
    NoConnection(String),
    /// The file system does not let us open the socket: nothing was sent.
    Forbidden(String),
    /// Sent, and no whole reply in time.
    TimedOut,
    /// Sent, and the reply broke off.
    Broken(String),
}

/// Sends one command and reads the whole reply, both within `within`.
pub(super) async fn ask(place: &Place, command: &str, within: Duration) -> Result<String, AskError> {
    if command.contains(['\n', '\r', ';', '\\']) {
        return Err(AskError::NoConnection("a command is one line without `;` or `\\`".to_owned()));
    }
    let until = Instant::now() + within;
    let slow = |_| AskError::NoConnection(format!("no connection within {} ms", within.as_millis()));
    match place {
        Place::Unix(path) => {
            let stream = timeout_at(until, UnixStream::connect(path)).await.map_err(slow)?.map_err(refused)?;
            exchange(stream, command, until).await
        }
        Place::Tcp(address) => {
            let stream = timeout_at(until, TcpStream::connect(address)).await.map_err(slow)?.map_err(refused)?;
            exchange(stream, command, until).await
        }
        Place::Nowhere => Err(AskError::NoConnection("write `socket` or `address` in its table".to_owned())),
    }
}

fn refused(error: std::io::Error) -> AskError {
    match error.kind() {
        ErrorKind::PermissionDenied => AskError::Forbidden(error.to_string()),
        _ => AskError::NoConnection(error.to_string()),
    }
}

async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    command: &str,
    until: Instant,
) -> Result<String, AskError> {
    let broken = |e: std::io::Error| AskError::Broken(e.to_string());
    let talk = async {
        stream.write_all(format!("{command}\n").as_bytes()).await.map_err(broken)?;
        let mut reply = Vec::new();
        // Without a prompt, HAProxy hangs up after one reply.
        (&mut stream).take(MOST_REPLY + 1).read_to_end(&mut reply).await.map_err(broken)?;
        if reply.len() as u64 > MOST_REPLY {
            return Err(AskError::Broken(format!("the reply is longer than {MOST_REPLY} bytes")));
        }
        // Even the reply to a silent success is an empty line: no byte at all is no reply.
        if reply.is_empty() {
            return Err(AskError::Broken("it hung up without a reply".to_owned()));
        }
        String::from_utf8(reply).map_err(|_| AskError::Broken("the reply is not text".to_owned()))
    };
    timeout_at(until, talk).await.unwrap_or(Err(AskError::TimedOut))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    async fn server(reply: Option<Vec<u8>>) -> Place {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let place = Place::Tcp(listener.local_addr().unwrap());
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut line = [0; 64];
            let _ = stream.read(&mut line).await;
            match reply {
                Some(reply) => drop(stream.write_all(&reply).await),
                None => std::future::pending().await,
            }
        });
        place
    }

    const SOON: Duration = Duration::from_millis(300);

    #[tokio::test]
    async fn a_reply_is_read_to_its_end() {
        assert_eq!(ask(&server(Some(b"admin\n\n".to_vec())).await, "show cli level", SOON).await.unwrap(), "admin\n\n");
    }

    #[tokio::test]
    async fn silence_noise_and_floods_are_told_apart() {
        assert_eq!(ask(&server(None).await, "x", SOON).await, Err(AskError::TimedOut));
        assert!(matches!(ask(&server(Some(vec![])).await, "x", SOON).await, Err(AskError::Broken(_))));
        assert!(matches!(ask(&server(Some(vec![0xff])).await, "x", SOON).await, Err(AskError::Broken(_))));
        let flood = vec![b'a'; 2 * 1024 * 1024];
        let long = Duration::from_secs(10);
        assert!(matches!(ask(&server(Some(flood)).await, "x", long).await, Err(AskError::Broken(_))));
    }

    #[tokio::test]
    async fn a_second_command_is_not_sent() {
        let place = server(Some(b"\n".to_vec())).await;
        for command in ["a;b", "a\nb", "a\\;b"] {
            assert!(matches!(ask(&place, command, SOON).await, Err(AskError::NoConnection(_))), "{command}");
        }
    }
}
