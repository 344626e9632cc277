//! A line to a provider that loses what is asked, or keeps what is answered, as long as a test says.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// What becomes of what is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// It arrives.
    Passes,
    /// Requests never arrive.
    LosesRequests,
    /// Requests arrive, and answers wait.
    KeepsAnswers,
}

struct State {
    manner: Manner,
    /// Parts of requests that never arrived.
    lost: usize,
    /// Parts of answers that arrived.
    answered: usize,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

pub struct Line {
    pub url: String,
    shared: Arc<Shared>,
}

impl Line {
    /// To a server, whose URL has no path.
    pub fn to(url: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let own = format!("http://{}", listener.local_addr().unwrap());
        let state = State { manner: Manner::Passes, lost: 0, answered: 0 };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
        let (server, all) = (url.strip_prefix("http://").unwrap().to_owned(), Arc::clone(&shared));
        std::thread::spawn(move || {
            for client in listener.incoming().take(10_000).flatten() {
                let Ok(server) = TcpStream::connect(&server) else { continue };
                all.join(client, server);
            }
        });
        Self { url: own, shared }
    }

    pub fn does(&self, manner: Manner) {
        self.shared.state.lock().unwrap().manner = manner;
        self.shared.changed.notify_all();
    }

    /// Waits until a request is lost that was sent after the last look.
    pub fn until_lost(&self, patience: Duration) {
        self.shared
            .until(patience, "nothing was lost", |state| std::mem::take(&mut state.lost) > 0);
    }

    /// Forgets the answers so far, so that the next one can be waited for.
    pub fn forget_answers(&self) {
        self.shared.state.lock().unwrap().answered = 0;
    }

    pub fn until_answered(&self, patience: Duration) {
        self.shared.until(patience, "nothing was answered", |state| state.answered > 0);
    }
}

impl Shared {
    fn until(&self, patience: Duration, otherwise: &str, mut is: impl FnMut(&mut State) -> bool) {
        let end = Instant::now() + patience;
        let mut state = self.state.lock().unwrap();
        while !is(&mut state) {
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{otherwise}");
            (state, _) = self.changed.wait_timeout(state, left).unwrap();
        }
    }

    fn join(self: &Arc<Self>, client: TcpStream, server: TcpStream) {
        let ends = (client.try_clone().unwrap(), server.try_clone().unwrap());
        let shared = Arc::clone(self);
        std::thread::spawn(move || shared.requests(ends.0, ends.1));
        let shared = Arc::clone(self);
        std::thread::spawn(move || shared.answers(server, client));
    }

    fn requests(&self, mut client: TcpStream, mut server: TcpStream) {
        let mut part = [0; 16_384];
        while let Ok(count @ 1..) = client.read(&mut part) {
            let mut state = self.state.lock().unwrap();
            if state.manner == Manner::LosesRequests {
                state.lost += 1;
                self.changed.notify_all();
                continue;
            }
            drop(state);
            if server.write_all(&part[..count]).is_err() {
                break;
            }
        }
        let _ = server.shutdown(Shutdown::Both);
    }

    fn answers(&self, mut server: TcpStream, mut client: TcpStream) {
        let mut part = [0; 16_384];
        while let Ok(count @ 1..) = server.read(&mut part) {
            let mut state = self.state.lock().unwrap();
            while state.manner == Manner::KeepsAnswers {
                state = self.changed.wait(state).unwrap();
            }
            drop(state);
            if client.write_all(&part[..count]).is_err() {
                break;
            }
            self.state.lock().unwrap().answered += 1;
            self.changed.notify_all();
        }
        let _ = client.shutdown(Shutdown::Both);
    }
}
