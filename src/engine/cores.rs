use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::time::Instant;

/// Counters are read again when they are asked for after this time: long enough to say something,
/// short enough to notice a burst of orders.
const LOOKED_EVERY: Duration = Duration::from_millis(100);

/// How busy the cores are that this process may use, by counters of the system. They are only read
/// where somebody asks; an idle engine reads nothing.
pub(super) struct Cores {
    known: Mutex<Known>,
}

struct Known {
    at: Instant,
    counters: Counters,
    busy: u32,
}

/// Times since some beginning.
#[derive(Clone, Copy)]
struct Counters {
    /// Of all cores of the machine, in clock ticks: working, and in all. None where the system does
    /// not say.
    machine: Option<(u64, u64)>,
    /// Of this process: the time its threads worked.
    own: Duration,
}

impl Cores {
    pub(super) fn new() -> Self {
        let known = Known { at: Instant::now(), counters: Counters::now(), busy: 0 };
        Self { known: Mutex::new(known) }
    }

    /// The busy share of the cores in thousandths. The larger of two: what all processes use of the
    /// machine (the database is often beside the engine), and what this process uses of the cores
    /// that it is allowed (a container may have fewer than the machine).
    pub(super) fn busy(&self) -> u32 {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let passed = known.at.elapsed();
        if passed < LOOKED_EVERY {
            return known.busy;
        }
        let counters = Counters::now();
        let allowed = std::thread::available_parallelism().map_or(1, usize::from);
        known.busy = share(&known.counters, &counters, passed, allowed);
        known.counters = counters;
        known.at = Instant::now();
        known.busy
    }
}

impl Counters {
    fn now() -> Self {
        let machine = std::fs::read_to_string("/proc/stat").ok();
        let time = clock_gettime(ClockId::ProcessCPUTime);
        Self {
            machine: machine.as_deref().and_then(parse_stat),
            own: Duration::try_from(time).unwrap_or_default(),
        }
    }
}

/// The first line of `/proc/stat` (proc_stat(5)): `cpu` and the ticks in user, nice, system, idle,
/// iowait, irq, softirq and steal. What guests used is part of user already.
fn parse_stat(text: &str) -> Option<(u64, u64)> {
    let ticks = text.lines().next()?.strip_prefix("cpu ")?.split_whitespace().take(8);
    let ticks = ticks.map(|ticks| ticks.parse().ok()).collect::<Option<Vec<u64>>>()?;
    let [_, _, _, idle, waits, ..] = *ticks.as_slice() else { return None };
    let all: u64 = ticks.iter().sum();
    Some((all - idle - waits, all))
}

fn share(before: &Counters, after: &Counters, passed: Duration, allowed: usize) -> u32 {
    let machine = before.machine.zip(after.machine).and_then(|(before, after)| {
        // A counter of waiting may go back (proc_stat(5)).
        let all = after.1.checked_sub(before.1)?;
        thousandths(u128::from(after.0.saturating_sub(before.0)), u128::from(all))
    });
    let own = after.own.saturating_sub(before.own).as_micros();
    let own = thousandths(own, passed.as_micros() * allowed as u128);
    machine.max(own).unwrap_or_default()
}

fn thousandths(part: u128, of: u128) -> Option<u32> {
    let share = (part * 1_000).checked_div(of)?;
    Some(u32::try_from(share).unwrap_or(u32::MAX).min(1_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(machine: Option<(u64, u64)>, own_ms: u64) -> Counters {
        Counters { machine, own: Duration::from_millis(own_ms) }
    }

    #[test]
    fn the_machines_line_is_read_without_guests() {
        let stat = "cpu  10 2 30 400 50 6 7 8 9 9\ncpu0 1 1 1 1 1 1 1 1 0 0\nintr 5\n";
        assert_eq!(parse_stat(stat), Some((63, 513)));
        for other in ["", "cpu", "cpu  1 2 3", "cpu  1 2 x 4 5 6 7 8", "btime 5"] {
            assert_eq!(parse_stat(other), None, "{other:?}");
        }
    }

    #[test]
    fn the_busier_of_machine_and_allowance_counts() {
        let before = at(Some((100, 1_000)), 0);
        assert_eq!(share(&before, &at(Some((150, 1_200)), 100), SECOND, 2), 250, "the machine");
        assert_eq!(share(&before, &at(Some((150, 1_200)), 1_800), SECOND, 2), 900, "its own cores");
        assert_eq!(share(&before, &at(None, 500), SECOND, 2), 250, "a system that says nothing");
        assert_eq!(share(&before, &at(Some((90, 990)), 500), SECOND, 2), 250, "counters went back");
        assert_eq!(share(&before, &at(Some((100, 1_000)), 9_000), SECOND, 2), 1_000);
    }

    #[tokio::test(start_paused = true)]
    async fn work_of_this_process_is_noticed() {
        let cores = Cores::new();
        assert_eq!(cores.busy(), 0, "nothing was read yet");
        let work: u64 = (0..20_000_000).map(std::hint::black_box).sum();
        assert!(work > 0);
        tokio::time::advance(LOOKED_EVERY).await;
        assert!(cores.busy() > 0);
    }
}
