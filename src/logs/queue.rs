use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

use super::{is_json, json};

/// Lines that wait to be written; most have some 200 bytes.
const WAITING_MAX: usize = 8_192;
/// How long the end of the program waits for those that wait.
const FLUSH_WITHIN: Duration = Duration::from_secs(1);

/// Lines on their way to stderr, which a thread writes. Nobody waits for it: a line that finds no
/// place is left out, and the next one says how many were. Clones share it.
#[derive(Clone)]
pub(super) struct Queue {
    sender: SyncSender<Job>,
    omitted: Arc<AtomicU64>,
}

enum Job {
    Line(Vec<u8>),
    /// Answers once all before it is written.
    Flush(SyncSender<()>),
}

impl Queue {
    /// Starts the thread. Where the machine has none to give, each line is left out.
    pub(super) fn begin() -> Self {
        Self::to(io::stderr())
    }

    /// As [`Self::begin`], to somewhere else.
    pub(super) fn to(mut to: impl Write + Send + 'static) -> Self {
        let (queue, receiver) = Self::new();
        let omitted = Arc::clone(&queue.omitted);
        let thread = std::thread::Builder::new().name("log".to_owned());
        let started = thread.spawn(move || write_all(&receiver, &omitted, &mut to));
        if let Err(error) = started {
            let _ = writeln!(io::stderr(), "no log is written: {error}");
        }
        queue
    }

    fn new() -> (Self, Receiver<Job>) {
        let (sender, receiver) = sync_channel(WAITING_MAX);
        (Self { sender, omitted: Arc::default() }, receiver)
    }

    /// Waits briefly until all lines are written.
    pub(super) fn flush(&self) {
        let (done, written) = sync_channel(1);
        if self.sender.try_send(Job::Flush(done)).is_ok() {
            let _ = written.recv_timeout(FLUSH_WITHIN);
        }
    }
}

/// Writes lines until the last queue is gone. A line that cannot be written is lost: where else
/// would it be told?
fn write_all(receiver: &Receiver<Job>, omitted: &AtomicU64, to: &mut impl Write) {
    while let Ok(job) = receiver.recv() {
        let left_out = omitted.swap(0, Ordering::Relaxed);
        if left_out > 0 {
            let _ = to.write_all(told(left_out).as_bytes());
        }
        match job {
            Job::Line(line) => {
                let _ = to.write_all(&line);
            }
            Job::Flush(done) => {
                let _ = done.try_send(());
            }
        }
    }
}

fn told(left_out: u64) -> String {
    match is_json() {
        true => json::omitted(left_out),
        false => format!(" WARN {}: log lines were left out omitted={left_out}\n", module_path!()),
    }
}

impl Write for Queue {
    /// One call is one line.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.sender.try_send(Job::Line(line.to_vec())).is_err() {
            self.omitted.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Queue {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_nobody_reads_holds_nobody_up_and_tells_what_is_missing() {
        let (mut queue, receiver) = Queue::new();
        for _ in 0..WAITING_MAX + 7 {
            queue.write_all(b"a line\n").unwrap();
        }
        let omitted = Arc::clone(&queue.omitted);
        drop(queue);
        let mut written = Vec::new();
        write_all(&receiver, &omitted, &mut written);
        let written = String::from_utf8(written).unwrap();
        let mut lines = written.lines();
        assert!(lines.next().unwrap().ends_with("log lines were left out omitted=7"));
        assert_eq!(lines.filter(|line| *line == "a line").count(), WAITING_MAX);
    }
}
