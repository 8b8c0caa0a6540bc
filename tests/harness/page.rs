//! A /metrics page that says what a case wants, also when that is 50 MB, rubbish, or nothing at all.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// What the page gives.
#[derive(Clone, Debug)]
pub enum Gives {
    /// This.
    Text(String),
    /// These.
    Bytes(Vec<u8>),
    /// So many bytes of samples, without saying how many.
    Endless(usize),
    /// Takes the connection and says nothing until it is to give something else.
    Nothing,
}

/// The page's server. It ends when this is dropped.
pub struct Page {
    addr: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    gives: Mutex<Gives>,
    changed: Condvar,
    over: AtomicBool,
    served: AtomicUsize,
}

impl Page {
    pub fn serve(gives: Gives) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            gives: Mutex::new(gives),
            changed: Condvar::new(),
            over: AtomicBool::new(false),
            served: AtomicUsize::new(0),
        });
        let for_thread = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if for_thread.over.load(Ordering::Relaxed) {
                    return;
                }
                let shared = Arc::clone(&for_thread);
                std::thread::spawn(move || answer(stream, &shared));
            }
        });
        Self { addr, shared }
    }

    pub fn url(&self) -> String {
        format!("http://{}/metrics", self.addr)
    }

    /// How many times it was fetched so far.
    pub fn served(&self) -> usize {
        self.shared.served.load(Ordering::SeqCst)
    }

    pub fn give(&self, gives: Gives) {
        *self.shared.gives.lock().unwrap() = gives;
        self.shared.changed.notify_all();
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
        self.give(Gives::Text(String::new()));
        // Wakes the thread that waits for connections.
        let _ = TcpStream::connect(self.addr);
    }
}

fn answer(mut stream: TcpStream, shared: &Shared) {
    let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
    let mut asked: Vec<u8> = Vec::new();
    let mut chunk = [0; 1024];
    while !asked.windows(4).any(|w| w == b"\r\n\r\n") {
        match stream.read(&mut chunk) {
            Ok(n) if n > 0 && asked.len() < 65_536 => asked.extend(&chunk[..n]),
            _ => return,
        }
    }
    let mut gives = shared.gives.lock().unwrap();
    while matches!(*gives, Gives::Nothing) {
        gives = shared.changed.wait(gives).unwrap();
    }
    let gives = gives.clone();
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/plain; version=0.0.4\r\nconnection: close\r\n\r\n";
    if stream.write_all(head.as_bytes()).is_err() {
        return;
    }
    // Whoever asked may have had enough: that is what some cases are about.
    let _ = match gives {
        Gives::Text(text) => stream.write_all(text.as_bytes()),
        Gives::Bytes(bytes) => stream.write_all(&bytes),
        Gives::Endless(bytes) => {
            let line = b"shop_pool_waiters{instance=\"one of very many\"} 1\n".repeat(1000);
            (0..bytes / line.len()).try_for_each(|_| stream.write_all(&line))
        }
        Gives::Nothing => Ok(()),
    };
    shared.served.fetch_add(1, Ordering::SeqCst);
}
