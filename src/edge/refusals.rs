//! How soon a connection hears that calls of it are refused before they are read. The first refusals are
//! told at once; one that asks again and again hears the others a moment later. Meanwhile they take of
//! the calls that the connection may have at a time, and of nobody else's. Told at once, thousands of
//! them would be asked for again in the same moment, and take the time of everybody.
//! Never here: who is refused.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Refusals of a connection that are told at once, of each [`WINDOW`].
const AT_ONCE: u32 = 16;
/// As long as refused callers are told to wait before they ask again.
const WINDOW: Duration = service_edge::OVERLOADED_DELAY;

/// The refusals of one connection. Their calls are bounded by those that it may have at a time.
#[derive(Default)]
pub(super) struct Refusals(Mutex<Option<(Instant, u32)>>);

impl Refusals {
    /// One more, now: when it is to be told, unless at once.
    pub(super) fn one_more(&self, now: Instant) -> Option<Instant> {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *window {
            Some((begun, refused)) if now < *begun + WINDOW => {
                *refused = refused.saturating_add(1);
                (*refused > AT_ONCE).then_some(*begun + WINDOW)
            }
            _ => {
                *window = Some((now, 1));
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_are_told_at_once_and_the_others_when_they_may_ask_again() {
        let (refusals, begun) = (Refusals::default(), Instant::now());
        for _ in 0..AT_ONCE {
            assert_eq!(refusals.one_more(begun), None);
        }
        let just_before = begun + WINDOW - Duration::from_millis(1);
        for now in [begun, just_before] {
            assert_eq!(refusals.one_more(now), Some(begun + WINDOW));
        }
        // Then it begins anew.
        let next = begun + WINDOW;
        for _ in 0..AT_ONCE {
            assert_eq!(refusals.one_more(next), None);
        }
        assert_eq!(refusals.one_more(next), Some(next + WINDOW));
    }
}
