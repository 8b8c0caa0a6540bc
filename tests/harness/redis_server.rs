//! A real Redis server of this test.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Far more than it takes to start on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// A server. Dropped, it is killed.
pub struct RedisServer {
    child: Child,
    dir: TempDir,
    pub address: SocketAddr,
}

impl RedisServer {
    /// Starts one with these lines in its config; `{dir}` stands for its folder, `{port}` for another free port.
    #[track_caller]
    pub fn start(config: &str) -> Self {
        let dir = tempfile::Builder::new().prefix("su").rand_bytes(6).tempdir().unwrap();
        Self::start_in(dir, config)
    }

    /// The same, in a folder in which there are files already.
    #[track_caller]
    pub fn start_in(dir: TempDir, config: &str) -> Self {
        let mut dir = Some(dir);
        // Another process may take a port between our look and its start.
        for _ in 0..3 {
            match Self::try_start(dir.take().unwrap(), config) {
                Ok(started) => return started,
                Err(again) => dir = Some(again),
            }
        }
        panic!("Redis did not start three times: its own words are above");
    }

    fn try_start(dir: TempDir, config: &str) -> Result<Self, TempDir> {
        let address = free();
        let path = dir.path().display().to_string();
        let config = config.replace("{dir}", &path).replace("{port}", &free().port().to_string());
        let config = format!(
            "bind 127.0.0.1\nport {}\ndir {path}\nsave \"\"\nappendonly no\nunixsocket {path}/redis.sock\n{config}\n",
            address.port()
        );
        fs::write(dir.path().join("redis.conf"), config).unwrap();
        let words = dir.path().join("said");
        let out = File::create(&words).unwrap();
        let child = Command::new("redis-server")
            .arg("redis.conf")
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .stdout(out.try_clone().unwrap())
            .stderr(out)
            .spawn()
            .expect("no redis-server on this machine: apt-get install redis-server");
        let mut started = Self { child, dir, address };
        let until = Instant::now() + PATIENCE;
        while !started.answers() {
            if started.child.try_wait().unwrap().is_some() || Instant::now() > until {
                eprintln!("{}", fs::read_to_string(&words).unwrap_or_default());
                started.kill();
                let dir = tempfile::Builder::new().prefix("su").rand_bytes(6).tempdir().unwrap();
                return Err(std::mem::replace(&mut started.dir, dir));
            }
            std::thread::sleep(Duration::from_millis(15));
        }
        Ok(started)
    }

    fn answers(&self) -> bool {
        // Whatever it says to somebody who did not sign in, it is there.
        let told = Command::new("redis-cli").args(["-s", &self.socket().display().to_string(), "PING"]).output();
        let told = told.expect("no redis-cli on this machine: apt-get install redis-tools");
        let words = String::from_utf8_lossy(&told.stdout).into_owned();
        words.contains("PONG") || words.contains("NOAUTH")
    }

    /// `redis://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    /// Its unix socket.
    pub fn socket(&self) -> PathBuf {
        self.dir().join("redis.sock")
    }

    /// Its folder.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Its config file, as it was started with.
    pub fn config(&self) -> String {
        fs::read_to_string(self.dir().join("redis.conf")).unwrap()
    }

    /// Says something to it as the user that nobody has to sign in as, and gives the answer.
    #[track_caller]
    pub fn cli(&self, words: &[&str]) -> String {
        let told = Command::new("redis-cli").arg("-s").arg(self.socket()).args(words).output().unwrap();
        assert!(told.status.success(), "{words:?}: {}", String::from_utf8_lossy(&told.stderr));
        String::from_utf8(told.stdout).unwrap().trim_end().to_owned()
    }

    /// Stores `n` entries under keys that begin with `prefix`.
    #[track_caller]
    pub fn fill(&self, prefix: &str, n: usize) {
        let script = "for i = 1, tonumber(ARGV[2]) do redis.call('SET', ARGV[1] .. i, i) end";
        self.cli(&["EVAL", script, "0", prefix, &n.to_string()]);
    }

    /// Ends it at once.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}

fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}
