//! When a connection is answered whose calls are refused before they are read. The first refusals
//! are answered immediately; a connection that keeps calling gets the others a moment later.
//! Meanwhile they count against that connection's own limit of calls. Answered immediately,
//! thousands of them would be retried in the same moment and take time from all callers.
//! Never here: which calls are refused.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{Request, Response};
use tokio::time::{Instant, sleep_until};
use tonic::Status;
use tonic::body::Body;

use super::body::ReadProgress;
use super::connections::Connection;

/// Refusals of a connection that are answered immediately, in each [`WINDOW`].
const IMMEDIATE: u32 = 16;
/// The delay that refused callers are asked to wait before a retry.
const WINDOW: Duration = service_edge::OVERLOADED_DELAY;

/// The refusals of one connection. Delayed ones are bounded by the connection's limit of calls.
#[derive(Default)]
pub(super) struct Refusals(Mutex<Option<(Instant, u32)>>);

impl Refusals {
    /// Counts a refusal; returns when to answer it, unless immediately.
    pub(super) fn one_more(&self, now: Instant) -> Option<Instant> {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *window {
            Some((begun, refused)) if now < *begun + WINDOW => {
                *refused = refused.saturating_add(1);
                (*refused > IMMEDIATE).then_some(*begun + WINDOW)
            }
            _ => {
                *window = Some((now, 1));
                None
            }
        }
    }
}

/// Answers a refused call: now, or a moment later where its connection has many.
pub(super) fn refuse(
    request: Request<Body>,
    status: Status,
) -> impl Future<Output = Result<Response<Body>, Infallible>> + Send + 'static {
    if let Some(progress) = request.extensions().get::<Arc<ReadProgress>>() {
        progress.refuse();
    }
    let connection = request.extensions().get::<Arc<Connection>>();
    let now = Instant::now();
    let answer_at = connection.and_then(|from| from.refusals.one_more(now));
    // Before the client's deadline, so that it learns the reason.
    let left = order_actor::grpc::timeout(request.headers());
    let answer_at = answer_at.map(|at| left.map_or(at, |left| at.min(now + left / 2)));
    // The rest of its body is not kept meanwhile.
    drop(request);
    async move {
        if let Some(answer_at) = answer_at {
            sleep_until(answer_at).await;
        }
        Ok(status.into_http())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_refusals_are_immediate_and_later_ones_wait_for_the_window() {
        let (refusals, begun) = (Refusals::default(), Instant::now());
        for _ in 0..IMMEDIATE {
            assert_eq!(refusals.one_more(begun), None);
        }
        let just_before = begun + WINDOW - Duration::from_millis(1);
        for now in [begun, just_before] {
            assert_eq!(refusals.one_more(now), Some(begun + WINDOW));
        }
        // Then the next window begins.
        let next = begun + WINDOW;
        for _ in 0..IMMEDIATE {
            assert_eq!(refusals.one_more(next), None);
        }
        assert_eq!(refusals.one_more(next), Some(next + WINDOW));
    }
}
