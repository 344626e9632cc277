//! Ports that a test has to name before anything listens on them.

use std::fs::{self, File};
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

/// Below those that the system gives away by itself, to connections as well: one that was only free
/// a moment ago may be somebody's by the time a test listens on it.
const FIRST: u32 = 15_000;
const COUNT: u32 = 15_000;

/// A port of this process alone, for as long as it lives.
pub fn free_port() -> u16 {
    static ASKED: AtomicU32 = AtomicU32::new(0);
    let begin = std::process::id().wrapping_mul(101);
    for _ in 0..COUNT {
        let next = begin.wrapping_add(ASKED.fetch_add(1, Ordering::Relaxed));
        let port = u16::try_from(FIRST + next % COUNT).unwrap();
        if claim(port) {
            return port;
        }
    }
    panic!("no port is free");
}

/// Whether a port is now this process's: no test beside it has it, and nobody listens on it.
pub fn claim(port: u16) -> bool {
    static CLAIMED: Mutex<Vec<File>> = Mutex::new(Vec::new());
    let file = File::options().create(true).append(true).open(locks().join(port.to_string()));
    let file = file.unwrap();
    let claimed = file.try_lock().is_ok() && TcpListener::bind(("127.0.0.1", port)).is_ok();
    if claimed {
        // The lock is given back when the process ends, however it does.
        CLAIMED.lock().unwrap().push(file);
    }
    claimed
}

/// Where the locks of this user's tests are.
fn locks() -> PathBuf {
    let user = fs::metadata("/proc/self").unwrap().uid();
    let folder = std::env::temp_dir().join(format!("ordinal-test-ports-{user}"));
    fs::create_dir_all(&folder).unwrap();
    folder
}
