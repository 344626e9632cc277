use std::sync::Arc;
use std::time::Duration;

use crate::chance::Chance;

/// The busy share of the cores, in thousandths: 1,000 where all of them work.
pub type Busy = Arc<dyn Fn() -> u32 + Send + Sync>;

/// Up to this share of the cores (in thousandths) the interval does not count.
const FREE: u32 = 500;
/// From this share on it counts whole. Between the two the pause grows evenly, so that the load and
/// the pause come to rest at a value instead of swinging.
const FULL: u32 = 800;

/// The pause of a follower that keeps up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// It begins its batches at this interval. For what nobody waits for: fewer commits, whether or
    /// not the cores have time.
    Every(Duration),
    /// It begins its batches at this interval where the cores are busy, and as soon as it has rested
    /// where they have time. For what an order waits for.
    WhileBusy(Duration),
}

/// A pace, the means to learn how busy the cores are, and a source of random pauses.
#[derive(Clone)]
pub struct Pacing {
    pace: Pace,
    busy: Busy,
    chance: Chance,
}

impl Pacing {
    /// A pace on these cores.
    #[must_use]
    pub fn new(pace: Pace, busy: Busy) -> Self {
        Self { pace, busy, chance: Chance::system() }
    }

    /// Draws the pauses between failures from this source instead of the machine's.
    #[must_use]
    pub fn drawing_from(mut self, chance: Chance) -> Self {
        self.chance = chance;
        self
    }

    /// No pause.
    #[must_use]
    pub fn none() -> Self {
        Self::new(Pace::Every(Duration::ZERO), Arc::new(|| 0))
    }

    /// A random number for the next pause after a failure.
    pub(super) fn number(&self) -> u32 {
        self.chance.number()
    }

    /// How long it rests after a batch that took this long.
    pub(super) fn rest(&self, worked: Duration) -> Duration {
        match self.pace {
            Pace::Every(interval) => of_interval(interval, worked),
            Pace::WhileBusy(interval) => {
                let least = half(interval, worked);
                let over = (self.busy)().clamp(FREE, FULL) - FREE;
                least + (of_interval(interval, worked) - least) * over / (FULL - FREE)
            }
        }
    }
}

/// What is left of the interval, and half of the time in any case.
fn of_interval(interval: Duration, worked: Duration) -> Duration {
    interval.saturating_sub(worked).max(half(interval, worked))
}

/// It works at most half of the time, as long as that delays nothing by more than the interval: under
/// load its batches grow instead, and cost less an item. It is also what protects a slow disk, which
/// leaves the cores idle: all followers commit to the disk that commands wait for.
fn half(interval: Duration, worked: Duration) -> Duration {
    worked.min(interval)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn rest(pace: Pace, busy: u32, worked: u64) -> Duration {
        Pacing::new(pace, Arc::new(move || busy)).rest(ms(worked))
    }

    #[test]
    fn a_steady_pace_does_not_ask_the_cores() {
        for busy in [0, 1_000] {
            assert_eq!(rest(Pace::Every(ms(20)), busy, 5), ms(15));
            assert_eq!(rest(Pace::Every(ms(20)), busy, 12), ms(12), "half of the time");
            assert_eq!(rest(Pace::Every(ms(20)), busy, 500), ms(20), "no more than the interval");
            assert_eq!(rest(Pace::Every(ms(0)), busy, 500), ms(0));
        }
    }

    #[test]
    fn what_an_order_waits_for_keeps_the_interval_only_where_cores_are_busy() {
        let at = |busy| rest(Pace::WhileBusy(ms(20)), busy, 5);
        assert_eq!([at(0), at(300), at(500)], [ms(5); 3], "as long as it worked");
        assert_eq!(at(650), ms(10), "halfway");
        assert_eq!([at(800), at(1_000), at(u32::MAX)], [ms(15); 3]);
        assert_eq!(rest(Pace::WhileBusy(ms(20)), 0, 12), ms(12));
        assert_eq!(rest(Pace::WhileBusy(ms(20)), 0, 500), ms(20), "no more than the interval");
    }
}
