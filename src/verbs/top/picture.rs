//! What `top` shows, as data: rates between two readings, and what is now.

use std::collections::{BTreeMap, VecDeque};

use serde::Serialize;
use shared_events::contract::StatusCode;

use super::reading::{ONE, Reading, number};

/// Rates that the line of the past shows.
const PAST_MAX: usize = 120;

/// A rate in tenths a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Rate {
    pub(super) tenths_per_second: u64,
}

impl std::fmt::Display for Rate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.tenths_per_second / 10, self.tenths_per_second % 10)
    }
}

/// Everything.
#[derive(Debug, Default, Serialize)]
pub(super) struct Picture {
    pub(super) calls: Rate,
    pub(super) faults: Rate,
    pub(super) commands: Rate,
    pub(super) refused: Rate,
    pub(super) events: Rate,
    /// The bound of the bucket in which the slowest command of a hundred is, in microseconds.
    pub(super) command_p99_micros: Option<u64>,
    pub(super) append_p99_micros: Option<u64>,
    pub(super) orders: BTreeMap<String, u64>,
    pub(super) processes: Vec<Process>,
    pub(super) followers: BTreeMap<String, Follower>,
    pub(super) shards: u64,
}

/// A process.
#[derive(Debug, Default, Serialize)]
pub(super) struct Process {
    pub(super) address: String,
    pub(super) role: String,
    /// Why its metrics cannot be read.
    pub(super) error: Option<String>,
    pub(super) serving: bool,
    pub(super) calls: Rate,
    pub(super) awake: Option<u64>,
    /// The shards that it owns.
    pub(super) owns: Vec<u64>,
    pub(super) lease_millis: Option<u64>,
    pub(super) memory_bytes: u64,
    pub(super) connections: u64,
}

/// A follower, as far as it is known.
#[derive(Debug, Default, Serialize)]
pub(super) struct Follower {
    pub(super) lag: Option<u64>,
    pub(super) lag_millis: Option<u64>,
    pub(super) items: Rate,
    pub(super) dead_letters: Option<u64>,
    pub(super) stopped: bool,
}

/// The last two readings of each process, and rates of the past.
pub(super) struct Sights {
    seen: Vec<Seen>,
    past: VecDeque<u64>,
}

struct Seen {
    before: Option<Reading>,
    now: Result<Option<Reading>, String>,
}

impl Sights {
    /// Of so many processes.
    pub(super) fn new(processes: usize) -> Self {
        let seen = (0..processes).map(|_| Seen { before: None, now: Ok(None) });
        Self { seen: seen.collect(), past: VecDeque::new() }
    }

    /// Adds a reading of each process.
    pub(super) fn add(&mut self, pages: Vec<Result<Reading, String>>) {
        for (seen, page) in self.seen.iter_mut().zip(pages) {
            let last = std::mem::replace(&mut seen.now, page.map(Some));
            seen.before = last.ok().flatten();
        }
        if self.seen.iter().any(|seen| seen.before.is_some()) {
            let events = self.rate("ordinal_journal_events_total", &[]);
            self.past.push_back(events.tenths_per_second / 10);
            if self.past.len() > PAST_MAX {
                self.past.pop_front();
            }
        }
    }

    /// Why nothing at all could be read, if so.
    pub(super) fn nothing(&self) -> Option<&str> {
        let mut errors = self.seen.iter().map(|seen| seen.now.as_ref().err());
        errors
            .clone()
            .all(|error| error.is_some())
            .then(|| errors.next().flatten())?
            .map(|it| &**it)
    }

    /// Events a second in the past, the latest last.
    pub(super) fn history(&self) -> &VecDeque<u64> {
        &self.past
    }

    fn rate(&self, name: &str, with: &[(&str, &[&str])]) -> Rate {
        sum(self.seen.iter().map(|seen| seen.rate(name, with)))
    }

    /// What is to be shown.
    pub(super) fn picture(&self, addresses: &[String]) -> Picture {
        let calls = "rpc_server_call_duration_seconds_count";
        let commands = "ordinal_commands_total";
        let faults = StatusCode::FAULTS.map(StatusCode::name);
        let mut picture = Picture {
            calls: self.rate(calls, &[]),
            faults: self.rate(calls, &[("rpc_response_status_code", &faults)]),
            commands: self.rate(commands, &[("outcome", &["applied", "unchanged"])]),
            refused: self.rate(commands, &[("outcome", &["refused"])]),
            events: self.rate("ordinal_journal_events_total", &[]),
            command_p99_micros: self.p99("ordinal_command_duration_seconds_bucket"),
            append_p99_micros: self.p99("ordinal_journal_append_duration_seconds_bucket"),
            processes: addresses.iter().zip(&self.seen).map(|it| it.1.process(it.0)).collect(),
            ..Picture::default()
        };
        for seen in &self.seen {
            let Ok(Some(now)) = &seen.now else { continue };
            for (labels, value) in now.all("ordinal_orders") {
                let status = labels.get("status").cloned().unwrap_or_default();
                let known = picture.orders.entry(status).or_default();
                *known = whole(*value).max(*known);
            }
            let shards = now.sum("ordinal_journal_shards", &[]).map(whole);
            picture.shards = picture.shards.max(shards.unwrap_or_default());
            for (labels, _) in now.all("ordinal_follower_still_seconds") {
                let Some(name) = labels.get("follower") else { continue };
                let follower = picture.followers.entry(name.clone()).or_default();
                seen.follow(now, name, follower);
            }
        }
        picture
    }

    /// The bound of the bucket in which the 99th of a hundred is, over all processes.
    fn p99(&self, name: &str) -> Option<u64> {
        let mut buckets: BTreeMap<u128, u128> = BTreeMap::new();
        for seen in &self.seen {
            let (Some(before), Ok(Some(now))) = (&seen.before, &seen.now) else { continue };
            for (bound, count) in by_bound(now, name) {
                let earlier = by_bound(before, name).get(&bound).copied().unwrap_or_default();
                *buckets.entry(bound).or_default() += count.saturating_sub(earlier);
            }
        }
        let all = buckets.last_key_value().map(|(_, count)| *count).filter(|all| *all > 0)?;
        let found = buckets.iter().find(|(_, count)| **count * 100 >= all * 99)?;
        // The last bucket has no bound.
        Some(u64::try_from(*found.0 / 1_000).unwrap_or(u64::MAX))
    }
}

/// Cumulated counts by the bound of their bucket, in nanoseconds; the last bound is none.
fn by_bound(reading: &Reading, name: &str) -> BTreeMap<u128, u128> {
    let mut counts: BTreeMap<u128, u128> = BTreeMap::new();
    for (labels, count) in reading.all(name) {
        let bound = labels.get("le").and_then(|bound| number(bound)).unwrap_or(u128::MAX);
        *counts.entry(bound).or_default() += count / ONE;
    }
    counts
}

fn whole(value: u128) -> u64 {
    u64::try_from(value / ONE).unwrap_or(u64::MAX)
}

fn millis(value: u128) -> u64 {
    u64::try_from(value / 1_000_000).unwrap_or(u64::MAX)
}

fn sum(rates: impl Iterator<Item = Rate>) -> Rate {
    Rate { tenths_per_second: rates.map(|rate| rate.tenths_per_second).sum() }
}

impl Seen {
    /// How fast a counter grew.
    fn rate(&self, name: &str, with: &[(&str, &[&str])]) -> Rate {
        let (Some(before), Ok(Some(now))) = (&self.before, &self.now) else {
            return Rate::default();
        };
        let (earlier, later) = (before.sum(name, with), now.sum(name, with));
        // One that has become less belongs to a process that was started anew.
        let later = later.unwrap_or_default();
        let grown = later.checked_sub(earlier.unwrap_or_default()).unwrap_or(later);
        let micros = now.at.duration_since(before.at).as_micros().max(1);
        let tenths = (grown / ONE).saturating_mul(10_000_000) / micros;
        Rate { tenths_per_second: u64::try_from(tenths).unwrap_or(u64::MAX) }
    }

    fn process(&self, address: &str) -> Process {
        let address = address.to_owned();
        let now = match &self.now {
            Ok(Some(now)) => now,
            Ok(None) => return Process { address, ..Process::default() },
            Err(why) => return Process { address, error: Some(why.clone()), ..Process::default() },
        };
        let value = |name| now.sum(name, &[]);
        let owned = now.all("ordinal_shard_owned").filter(|(_, value)| *value > 0);
        let owned = owned.filter_map(|(labels, _)| labels.get("shard")?.parse().ok());
        let mut owns: Vec<u64> = owned.collect();
        owns.sort_unstable();
        Process {
            address,
            role: now.label("ordinal_build_info", "role"),
            error: None,
            serving: value("ordinal_serving").is_some_and(|serving| serving > 0),
            calls: self.rate("rpc_server_call_duration_seconds_count", &[]),
            awake: value("ordinal_orders_awake").map(whole),
            owns,
            lease_millis: value("ordinal_lease_age_seconds").map(millis),
            memory_bytes: value("process_resident_memory_bytes").map(whole).unwrap_or_default(),
            connections: now
                .sum("ordinal_live_connections", &[("kind", &["tcp"])])
                .map(whole)
                .unwrap_or_default(),
        }
    }

    /// Adds what this process knows of a follower.
    fn follow(&self, now: &Reading, name: &str, follower: &mut Follower) {
        let own: &[(&str, &[&str])] = &[("follower", &[name])];
        let value = |metric| now.sum(metric, own);
        follower.lag = follower.lag.max(value("ordinal_follower_lag_positions").map(whole));
        let behind = value("ordinal_follower_lag_seconds").map(millis);
        follower.lag_millis = follower.lag_millis.max(behind);
        let letters = value("ordinal_dead_letters").map(whole);
        follower.dead_letters = follower.dead_letters.max(letters);
        follower.stopped |= value("ordinal_follower_stopped").is_some_and(|stopped| stopped > 0);
        let read: &[(&str, &[&str])] = &[("follower", &[name]), ("outcome", &["read"])];
        let items = self.rate("ordinal_follower_facts_total", read);
        follower.items = sum([follower.items, items].into_iter());
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::*;

    /// Two processes, read twice within two seconds; a third is away.
    pub(in super::super) fn sights() -> (Sights, Vec<String>) {
        let page = |role: &str, applied: u64, shard: u64| {
            format!(
                "ordinal_build_info{{version=\"0.1.0\",role=\"{role}\",backend=\"postgres\"}} 1\n\
                 ordinal_serving 1\nordinal_orders_awake 12\nordinal_journal_shards 2\n\
                 ordinal_shard_owned{{shard=\"{shard}\"}} 1\n\
                 ordinal_commands_total{{command=\"Place\",outcome=\"applied\",reason=\"\"}} {applied}\n\
                 ordinal_journal_events_total{{event=\"OrderPlaced\"}} {applied}\n\
                 ordinal_command_duration_seconds_bucket{{command=\"Place\",le=\"0.005\"}} {applied}\n\
                 ordinal_command_duration_seconds_bucket{{command=\"Place\",le=\"+Inf\"}} {applied}\n\
                 ordinal_orders{{status=\"PENDING\"}} 3\n\
                 ordinal_follower_still_seconds{{follower=\"stock\"}} 0.25\n\
                 ordinal_follower_lag_positions{{follower=\"stock\"}} {shard}\n\
                 ordinal_lease_age_seconds 0.75\nprocess_resident_memory_bytes 52428800\n"
            )
        };
        let begun = Instant::now();
        let read = |role, applied, shard, after| {
            Ok(Reading::parsed(&page(role, applied, shard), begun + Duration::from_secs(after)))
        };
        let mut sights = Sights::new(3);
        let away = || Err("Connection refused".to_owned());
        sights.add(vec![read("orders", 0, 0, 0), read("orders", 0, 1, 0), away()]);
        sights.add(vec![read("orders", 5, 0, 2), read("orders", 20, 1, 2), away()]);
        let addresses = ["a:9400", "b:9400", "c:9400"].map(str::to_owned);
        (sights, addresses.into())
    }

    #[test]
    fn rates_add_up_over_processes_and_state_does_not() {
        let (sights, addresses) = sights();
        let picture = sights.picture(&addresses);
        assert_eq!(
            (picture.commands.to_string(), picture.events.to_string()),
            ("12.5".into(), "12.5".into())
        );
        assert_eq!(picture.command_p99_micros, Some(5_000));
        assert_eq!(picture.orders["PENDING"], 3);
        assert_eq!(picture.followers["stock"].lag, Some(1));
        assert_eq!(picture.followers["stock"].lag_millis, None);
        assert_eq!(picture.processes[0].owns, [0]);
        assert_eq!(picture.processes[2].error.as_deref(), Some("Connection refused"));
        assert_eq!(sights.nothing(), None);
        assert_eq!(sights.history().iter().copied().collect::<Vec<_>>(), [12]);
    }

    #[test]
    fn a_counter_of_a_process_that_began_anew_is_not_negative() {
        let at = Instant::now();
        let read = |count: u64, after| {
            let page = format!("ordinal_journal_events_total{{event=\"A\"}} {count}\n");
            Ok(Reading::parsed(&page, at + Duration::from_secs(after)))
        };
        let mut sights = Sights::new(1);
        sights.add(vec![read(100, 0)]);
        sights.add(vec![read(7, 1)]);
        assert_eq!(sights.picture(&["a:1".to_owned()]).events.to_string(), "7.0");
    }
}
