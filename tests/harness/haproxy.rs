//! A real HAProxy in front of servers that hold every connection until they are told to let go.

use std::fs::{self, File};
use std::io::Read as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Far more than it takes to start on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// A HAProxy of this test. Dropped, it is killed.
pub struct Haproxy {
    child: Child,
    dir: TempDir,
    /// Where its frontend listens; it leads to the first backend.
    pub front: SocketAddr,
    /// Its runtime API over TCP.
    pub control: SocketAddr,
}

impl Haproxy {
    /// Starts one with these `backend` sections; `{dead}` stands for a port where nobody listens.
    #[track_caller]
    pub fn start(backends: &str) -> Self {
        // Another process may take a port between our look and its start.
        for _ in 0..3 {
            if let Some(started) = Self::try_start(backends) {
                return started;
            }
        }
        panic!("HAProxy did not start three times: its own words are above");
    }

    fn try_start(backends: &str) -> Option<Self> {
        // A folder with a short name: socket paths below it must stay under 108 bytes.
        let dir = tempfile::Builder::new().prefix("su").rand_bytes(6).tempdir().unwrap();
        let (front, control, dead) = (free(), free(), free());
        let first = backends.split_whitespace().nth(1).expect("a backend section");
        let path = dir.path().display();
        let config = format!(
            "global\n  stats socket {path}/admin.sock mode 600 level admin\n  \
             stats socket {path}/user.sock mode 600 level user\n  stats socket {control} level admin\n\
             defaults\n  mode tcp\n  timeout connect 2s\n  timeout client 60s\n  timeout server 60s\n\
             frontend front\n  bind {front}\n  default_backend {first}\n{}\n",
            backends.replace("{dead}", &dead.port().to_string())
        );
        fs::write(dir.path().join("haproxy.cfg"), config).unwrap();
        let words = dir.path().join("said");
        let out = File::create(&words).unwrap();
        let child = Command::new("haproxy")
            .args(["-db", "-f", "haproxy.cfg"])
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .stdout(out.try_clone().unwrap())
            .stderr(out)
            .spawn()
            .expect("no haproxy on this machine: apt-get install haproxy");
        let mut started = Self { child, dir, front, control };
        let until = Instant::now() + PATIENCE;
        while UnixStream::connect(started.socket()).is_err() || TcpStream::connect(front).is_err() {
            if started.child.try_wait().unwrap().is_some() || Instant::now() > until {
                eprintln!("{}", fs::read_to_string(&words).unwrap_or_default());
                return None;
            }
            std::thread::sleep(Duration::from_millis(15));
        }
        Some(started)
    }

    /// The runtime socket with level admin.
    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("admin.sock")
    }

    /// The runtime socket with level user.
    pub fn user_socket(&self) -> PathBuf {
        self.dir.path().join("user.sock")
    }

    /// Ends it at once.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Haproxy {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A port where nobody listens, for now.
pub fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A server that says one byte, its mark, to whoever connects, and then holds the connection until the other side ends it.
pub fn holding_server(mark: u8) -> SocketAddr {
    use std::io::Write as _;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    // Ends with the test's process: there is nothing in it that could be left behind.
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let _ = stream.write_all(&[mark]);
                let _ = stream.read_to_end(&mut Vec::new());
            });
        }
    });
    address
}

/// Connects through the frontend and says whose mark came.
#[track_caller]
pub fn connect(front: SocketAddr) -> (u8, TcpStream) {
    let mut stream = TcpStream::connect(front).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut mark = [0];
    stream.read_exact(&mut mark).unwrap();
    (mark[0], stream)
}
