//! One connection to a Redis server, for one look or one action.
//!
//! A fresh connection each time: then "no connection" means that nothing was sent, credentials are read anew, and a
//! `WATCH` is nobody else's. Must never retry, trust a certificate that is not vouched for, or read a reply without a
//! bound. Called by the server's looks and actions.

use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use ::redis::aio::MultiplexedConnection;
use ::redis::{AsyncConnectionConfig, Cmd, FromRedisValue, Pipeline, RedisConnectionInfo, RedisError};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_util::task::AbortOnDropHandle;

use crate::act::said::said;
use crate::act::{ActError, RedisSettings};

/// The longest reply that is read: a thousand keys of 16 KiB each.
const MOST_REPLY: u64 = 16 * 1024 * 1024;

/// Where a server is, read from its address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Tcp { host: String, port: u16, tls: bool },
    Unix(PathBuf),
}

/// Reads `redis://host:port/db`, `rediss://`, `redis+unix:///path?db=1`, `unix://`.
pub(super) fn parse(address: &str) -> Result<(Place, i64), String> {
    let like = "write `url = \"redis://127.0.0.1:6379/0\"`, `rediss://` for TLS";
    let url = ::redis::parse_redis_url(address).ok_or_else(|| format!("its `url` is no address of a Redis: {like}"))?;
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some_and(|q| q.contains("pass=")) {
        return Err("its `url` has a user or a password in it: write `username` and `password`".to_owned());
    }
    let number = |text: &str| match text {
        "" => Ok(0),
        text => {
            text.parse::<i64>().ok().filter(|n| *n >= 0).ok_or_else(|| format!("its `url` names no database: {like}"))
        }
    };
    if matches!(url.scheme(), "redis+unix" | "valkey+unix" | "unix") {
        let path =
            url.to_file_path().or_else(|()| if url.path().starts_with('/') { Ok(url.path().into()) } else { Err(()) });
        let path = path.map_err(|()| format!("its `url` names no socket: {like}"))?;
        let db =
            url.query_pairs().find(|(key, _)| key == "db").map_or_else(String::new, |(_, value)| value.into_owned());
        return Ok((Place::Unix(path), number(&db)?));
    }
    if url.fragment().is_some() || url.query().is_some() {
        return Err("its `url` has `?` or `#` in it: certificates are always checked, and RESP2 is spoken".to_owned());
    }
    let host = url.host_str().ok_or_else(|| format!("its `url` names no host: {like}"))?;
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let tls = matches!(url.scheme(), "rediss" | "valkeys");
    Ok((Place::Tcp { host, port: url.port().unwrap_or(6379), tls }, number(url.path().trim_matches('/'))?))
}

/// Makes connections to one server.
#[derive(Debug)]
pub(super) struct Linker {
    settings: RedisSettings,
    /// The trusted authorities; reading those of the system takes a while, so once.
    tls: OnceLock<Arc<ClientConfig>>,
}

/// One connection.
pub(super) struct Link {
    connection: MultiplexedConnection,
    allowance: Arc<AtomicU64>,
    /// The task that moves the bytes ends with the link.
    _driver: AbortOnDropHandle<()>,
}

impl Linker {
    pub fn new(settings: RedisSettings) -> Self {
        Self { settings, tls: OnceLock::new() }
    }

    pub fn settings(&self) -> &RedisSettings {
        &self.settings
    }

    /// Connects and signs in.
    ///
    /// # Errors
    /// `Unavailable`, `Denied`; nothing was changed.
    pub async fn link(&self) -> Result<Link, ActError> {
        let target = &self.settings.name;
        let away = |why: String| ActError::Unavailable(target.to_string(), why);
        let (place, db) = parse(&self.settings.url).map_err(away)?;
        let mut info = RedisConnectionInfo::default().set_db(db).set_skip_set_lib_name();
        if let Some(username) = &self.settings.username {
            info = info.set_username(username);
        }
        if let Some(password) = &self.settings.password {
            info = info.set_password(password.resolve(Path::new("")).map_err(away)?.expose());
        }
        let within = self.settings.timeout;
        match timeout(within, self.connect(&place, info)).await {
            Ok(linked) => linked,
            Err(_) => Err(away(format!("no connection within {} ms", within.as_millis()))),
        }
    }

    async fn connect(&self, place: &Place, info: RedisConnectionInfo) -> Result<Link, ActError> {
        let away = |e: io::Error| {
            let why = format!("{}; is Redis running at its `url`?", said(&e.to_string()));
            ActError::Unavailable(self.settings.name.to_string(), why)
        };
        match place {
            Place::Unix(path) => self.greet(UnixStream::connect(path).await.map_err(away)?, info).await,
            Place::Tcp { host, port, tls } => {
                let stream = TcpStream::connect((host.as_str(), *port)).await.map_err(away)?;
                stream.set_nodelay(true).map_err(away)?;
                if !tls {
                    return self.greet(stream, info).await;
                }
                let unsound = |why: String| ActError::Unavailable(self.settings.name.to_string(), why);
                let name = ServerName::try_from(host.clone()).map_err(|e| unsound(e.to_string()))?;
                let connector = TlsConnector::from(self.tls().map_err(unsound)?);
                let stream = connector.connect(name, stream).await.map_err(|e| {
                    unsound(format!(
                        "TLS failed ({}): does it speak TLS, and is its authority in `ca`?",
                        said(&e.to_string())
                    ))
                })?;
                self.greet(stream, info).await
            }
        }
    }

    async fn greet<S>(&self, stream: S, info: RedisConnectionInfo) -> Result<Link, ActError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let allowance = Arc::new(AtomicU64::new(MOST_REPLY));
        let bounded = Bounded { stream, left: allowance.clone() };
        let config = AsyncConnectionConfig::new().set_response_timeout(Some(self.settings.timeout));
        let (connection, driver) = MultiplexedConnection::new_with_config(&info, bounded, config)
            .await
            .map_err(|e| super::fault::of_greeting(&self.settings.name, &e))?;
        Ok(Link { connection, allowance, _driver: AbortOnDropHandle::new(tokio::spawn(driver)) })
    }

    fn tls(&self) -> Result<Arc<ClientConfig>, String> {
        if let Some(config) = self.tls.get() {
            return Ok(config.clone());
        }
        let mut roots = RootCertStore::empty();
        if let Some(ca) = &self.settings.ca {
            let path = ca.display();
            let wrong = |e: rustls::pki_types::pem::Error| format!("the certificates in {path} cannot be read: {e}");
            for certificate in CertificateDer::pem_file_iter(ca).map_err(wrong)? {
                let certificate = certificate.map_err(wrong)?;
                roots.add(certificate).map_err(|e| format!("a certificate in {path} is none: {e}"))?;
            }
        } else {
            // Those that cannot be read are passed over: what they would vouch for is refused.
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        if roots.is_empty() {
            return Err("no authority to trust was found: name a file with its certificate as `ca`".to_owned());
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| e.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(self.tls.get_or_init(|| Arc::new(config)).clone())
    }
}

impl Link {
    /// Sends one command and reads its reply.
    pub async fn ask<T: FromRedisValue>(&mut self, command: &Cmd) -> Result<T, RedisError> {
        self.allowance.store(MOST_REPLY, Ordering::Relaxed);
        command.query_async(&mut self.connection).await
    }

    /// Sends several commands that happen together or not at all.
    pub async fn together<T: FromRedisValue>(&mut self, commands: &Pipeline) -> Result<T, RedisError> {
        self.allowance.store(MOST_REPLY, Ordering::Relaxed);
        commands.query_async(&mut self.connection).await
    }
}

/// A stream that ends in an error when more is read than is allowed.
struct Bounded<S> {
    stream: S,
    left: Arc<AtomicU64>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Bounded<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buffer);
        let read = (buffer.filled().len() - before) as u64;
        let left = self.left.load(Ordering::Relaxed);
        self.left.store(left.saturating_sub(read), Ordering::Relaxed);
        if read > left {
            let why = format!("the reply is longer than {MOST_REPLY} bytes");
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, why)));
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Bounded<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        let tcp = |host: &str, port, tls| Place::Tcp { host: host.to_owned(), port, tls };
        for (address, place, db) in [
            ("redis://127.0.0.1", tcp("127.0.0.1", 6379, false), 0),
            ("redis://cache:6380/3", tcp("cache", 6380, false), 3),
            ("rediss://[::1]:6390", tcp("::1", 6390, true), 0),
            ("redis+unix:///run/redis.sock?db=2", Place::Unix("/run/redis.sock".into()), 2),
            ("unix:///run/redis.sock", Place::Unix("/run/redis.sock".into()), 0),
        ] {
            assert_eq!(parse(address), Ok((place, db)), "{address}");
        }
    }

    #[test]
    fn secrets_and_switches_in_addresses_are_refused_and_not_repeated() {
        for address in [
            "redis://:hunter2@127.0.0.1",
            "redis://me@127.0.0.1",
            "unix:///run/redis.sock?pass=hunter2",
            "rediss://127.0.0.1/#insecure",
            "redis://127.0.0.1/x",
            "redis://127.0.0.1/-1",
            "http://127.0.0.1",
            "redis:",
        ] {
            let error = parse(address).unwrap_err();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
