//! Lines of the log, written by a thread of their own: a call never waits for whoever reads the log.
//! Lines that cannot be kept are left out, and the next one says how many.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use order_actor::domain::Role;
use shared_events::contract::{OrderId, Reason};
use tokio::time::Instant;
use web_edge::RouteOf;

use super::AccessLog;
use crate::edge::shares::Caller;

/// Lines that wait to be written; each has some 200 bytes.
const WAITING_MAX: usize = 8_192;
/// Lines of refusals in each [`WINDOW`]: a flood of them is no flood of the log.
const REFUSALS_MAX: u32 = 50;
const WINDOW: Duration = Duration::from_secs(1);
/// Digits of a caller's hash.
const SHOWN_DIGITS: usize = 16;

/// What became of a call.
pub(super) struct Line {
    pub(super) method: Arc<str>,
    pub(super) outcome: &'static str,
    /// The route by HTTP, if it came by one.
    pub(super) route: Option<RouteOf>,
    /// The status of HTTP; zero for gRPC.
    pub(super) http: u16,
    pub(super) took: Duration,
    pub(super) caller: Option<Caller>,
    pub(super) trace: Option<String>,
    /// The order that it is about, where that is known.
    pub(super) order: Option<OrderId>,
}

/// Where lines are handed over.
pub(super) struct Lines {
    sender: SyncSender<(Line, u64)>,
    omitted: AtomicU64,
    window: Mutex<Option<(Instant, u32)>>,
}

impl Lines {
    /// Starts the thread; it ends with the last handle.
    pub(super) fn begin() -> anyhow::Result<Self> {
        let (sender, receiver) = sync_channel(WAITING_MAX);
        let thread = std::thread::Builder::new().name("access-log".to_owned());
        thread.spawn(move || write_all(&receiver))?;
        Ok(Self { sender, omitted: AtomicU64::new(0), window: Mutex::default() })
    }

    pub(super) fn write(&self, line: Line, log: AccessLog) {
        if log == AccessLog::Refusals && !self.has_room(Instant::now()) {
            self.omitted.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let omitted = self.omitted.swap(0, Ordering::Relaxed);
        if self.sender.try_send((line, omitted)).is_err() {
            self.omitted.fetch_add(omitted.saturating_add(1), Ordering::Relaxed);
        }
    }

    fn has_room(&self, now: Instant) -> bool {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *window {
            Some((begun, lines)) if now < *begun + WINDOW => {
                *lines = lines.saturating_add(1);
                *lines <= REFUSALS_MAX
            }
            _ => {
                *window = Some((now, 1));
                true
            }
        }
    }
}

fn write_all(receiver: &Receiver<(Line, u64)>) {
    while let Ok((line, omitted)) = receiver.recv() {
        let Line { method, outcome, route, http, took, caller, trace, order } = line;
        let principal = caller.and_then(|caller| shown(&caller));
        let http = (http > 0).then_some(http);
        let omitted = (omitted > 0).then_some(omitted);
        // Milliseconds with a fraction, and no arithmetic of floats.
        let duration_ms = took.saturating_mul(1_000).as_secs_f64();
        let http_route = route.as_ref().map(RouteOf::template);
        let reason = Reason::of(outcome);
        let order_id = order.map(|order| order.to_string());
        macro_rules! call {
            ($level:ident) => {
                tracing::$level!(
                    target: "access",
                    rpc_method = &*method,
                    http_route,
                    status = outcome,
                    reason = reason.map(|reason| reason.code()),
                    http,
                    duration_ms,
                    principal,
                    trace_id = trace,
                    order_id,
                    omitted,
                    "call"
                )
            };
        }
        // A fault of ours is looked for; a refusal is the callers' business.
        match reason.is_some_and(|reason| reason.status().is_fault()) {
            true => call!(warn),
            false => call!(info),
        }
    }
}

/// Who called: the role, and the subject. Of customers a hash, by which one's lines are found without
/// saying who it is.
pub(super) fn shown(caller: &Caller) -> Option<String> {
    let Caller::Known(role, subject) = caller else { return None };
    if *role != Role::Customer {
        return Some(format!("{}:{subject}", Role::code(*role)));
    }
    let mut hash = caller.hash();
    hash.truncate(SHOWN_DIGITS);
    Some(format!("{}:{hash}", Role::code(*role)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line() -> Line {
        Line {
            method: Arc::from("a.B/C"),
            outcome: Reason::NotFound.code(),
            route: None,
            http: 0,
            took: Duration::ZERO,
            caller: None,
            trace: None,
            order: None,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_refusals_is_no_flood_of_the_log() {
        let (sender, receiver) = sync_channel(WAITING_MAX);
        let lines = Lines { sender, omitted: AtomicU64::new(0), window: Mutex::default() };
        for _ in 0..90 {
            lines.write(line(), AccessLog::Refusals);
        }
        assert_eq!(receiver.try_iter().count(), 50);
        tokio::time::advance(WINDOW).await;
        lines.write(line(), AccessLog::Refusals);
        assert_eq!(receiver.try_recv().unwrap().1, 40);
        // Nor does a log that nobody reads hold up a call.
        for _ in 0..WAITING_MAX + 7 {
            lines.write(line(), AccessLog::All);
        }
        assert_eq!(receiver.try_iter().count(), WAITING_MAX);
        lines.write(line(), AccessLog::All);
        assert_eq!(receiver.try_recv().unwrap().1, 7);
    }
}
