//! `ordinal journal archive`: moves old events from the journal's table to files.
//!
//! It decides which orders are over, and checks that every follower has read them; the journal
//! crate archives them. It can run beside working nodes.
//! Never here: how that is done safely (see `journal/archive`).

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use order_actor::clock::{Clock as _, SystemClock};
use order_actor::domain::{Order, evolve};
use order_actor::journal::{ArchivedCounts, ArchivingError, Manifest, Selection, StoredEvent};
use order_actor::record::{decode, order_of};
use serde::Serialize;
use shared_events::contract::{OrderId, Timestamp};
use shared_events::stream::redis::{Redis, Relay};
use shared_events::stream::{Cursors, DeadLetters, OperatorAction, Sink as _, Verb};

use crate::client::{Connection, Failure, Output};
use crate::engine::databases::DatabaseArgs;
use crate::engine::streams::RedisArgs;
use crate::engine::{self, Backend, Databases, Log, Published, Role, Stores};

/// An order counts as over only after this margin, in case a node's clock is wrong.
const CLOCKS_DIFFER_AT_MOST: Duration = Duration::from_secs(24 * 60 * 60);

/// Characters of a month such as 2026-08.
const MONTH: usize = 7;

/// Flags of `ordinal journal archive`.
#[derive(Debug, clap::Args)]
pub struct ArchiveArgs {
    /// Archive events recorded before this month (UTC), such as 2026-08; the current one at the
    /// latest.
    #[arg(long, value_name = "MONTH", value_parser = month)]
    before: Timestamp,
    /// Write files to this directory (created if absent); always use the same one.
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    /// Only show what would be archived.
    #[arg(long)]
    dry_run: bool,
    /// Why; it is recorded.
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    reason: String,
    #[command(flatten)]
    databases: DatabaseArgs,
    /// With facts through Redis: the relay must have published all events to be archived.
    #[command(flatten)]
    redis: RedisArgs,
}

/// The first instant of a month.
fn month(text: &str) -> Result<Timestamp, String> {
    let wrong = || format!("{text:?} is not a month such as 2026-08");
    if text.len() != MONTH {
        return Err(wrong());
    }
    format!("{text}-01T00:00:00Z").parse().map_err(|_| wrong())
}

/// What was archived, or would be.
#[derive(Debug, Default, Serialize)]
struct Report {
    dry_run: bool,
    /// Files written, by month.
    months: BTreeMap<String, Month>,
    /// Events newly in files.
    archived_events: u64,
    /// Orders removed from the table.
    orders: u64,
    /// Their events.
    events: u64,
    /// Archived events that also stay in the table, because their orders are not over.
    staying: u64,
    #[serde(flatten)]
    table: Option<Table>,
}

#[derive(Debug, Default, Serialize)]
struct Month {
    files: u64,
    events: u64,
    bytes: u64,
}

#[derive(Debug, Default, Serialize)]
struct Table {
    remaining: u64,
    bytes_before: u64,
    bytes_after: u64,
    appends_waited_ms: u128,
}

/// Archives old events.
///
/// # Errors
/// `NEEDS_POSTGRES`, `MONTH_NOT_OVER`, `FOLLOWER_BEHIND`, and those of [`ArchivingError`].
pub async fn run(
    args: ArchiveArgs,
    connection: &Connection,
    out: &Output,
) -> Result<ExitCode, Failure> {
    let now = SystemClock.now();
    let (by, reason) = connection.operator(&args.reason)?;
    if args.before > month_of(now)? {
        let message = "only past months can be archived";
        return Err(refused("MONTH_NOT_OVER", message));
    }
    let Some(databases) = args.databases.databases(Role::All)? else {
        let message = "only a journal on Postgres can be archived; --database-url names it";
        return Err(refused("NEEDS_POSTGRES", message));
    };
    let redis = args.redis.options()?;
    let redis = redis.map(|options| Redis::new(&options)).transpose();
    let redis = redis.map_err(anyhow::Error::from)?;
    let mut runs = Vec::new();
    let mut all = Cursors::default();
    for mut archiving in engine::archiving(&databases).await.map_err(failed)? {
        let reach = archiving.reach(args.before).await.map_err(failed)?;
        all.merge(&reach);
        runs.push((archiving, reach));
    }
    let set_aside = orders_to_keep(&databases, redis, &all).await?;
    let over = |history: &[StoredEvent]| {
        history.first().is_some_and(|first| !set_aside.contains(&order_of(first.stream_id)))
            && is_over(history, now)
    };
    let mut report = Report { dry_run: args.dry_run, ..Report::default() };
    for (mut archiving, reach) in runs {
        let leaving = archiving.select(&reach, over).await.map_err(failed)?;
        report.selected(&leaving);
        if args.dry_run || leaving.streams == 0 {
            archiving.close().await;
            continue;
        }
        let written = archiving.write(&reach, &args.to).await.map_err(failed)?;
        let month: String = args.before.to_string().chars().take(MONTH).collect();
        let action = OperatorAction::new(&by, Verb::ArchiveJournal, "", &reason, SystemClock.now());
        let action = action.changing("", &moved(&leaving, &month, &args.to));
        let left = archiving.remove_archived(&written, &leaving, &action).await.map_err(failed)?;
        report.archived(&written, left);
    }
    show(&report, out);
    Ok(ExitCode::SUCCESS)
}

/// What became of the journal, as it is recorded.
fn moved(leaving: &Selection, month: &str, to: &Path) -> String {
    let Selection { streams, events, .. } = leaving;
    format!("{streams} orders with {events} events before {month} moved to {}", to.display())
}

fn refused(reason: &str, message: impl ToString) -> Failure {
    Failure::Refused { reason: reason.to_owned(), message: message.to_string() }
}

fn failed(error: ArchivingError) -> Failure {
    refused(error.code(), error)
}

/// The first instant of the month of an instant.
fn month_of(instant: Timestamp) -> anyhow::Result<Timestamp> {
    let instant = jiff::Timestamp::from_microsecond(instant.micros())?;
    let first = instant.to_zoned(jiff::tz::TimeZone::UTC).first_of_month()?.start_of_day()?;
    Ok(Timestamp::from_micros(first.timestamp().as_microsecond()))
}

fn is_over(history: &[StoredEvent], now: Timestamp) -> bool {
    let replayed = history.iter().try_fold(Order::Absent, |order, stored| {
        let recorded = decode(stored).ok()?;
        evolve(order, &recorded.event).ok()
    });
    // An unreadable order stays in the table, where operators can see it.
    let earlier =
        now.micros().saturating_sub(i64::try_from(CLOCKS_DIFFER_AT_MOST.as_micros()).unwrap_or(0));
    replayed.is_some_and(|order| order.is_over(Timestamp::from_micros(earlier)))
}

/// Checks that every follower has read what is to be archived; returns the orders with dead
/// letters.
async fn orders_to_keep(
    databases: &Databases,
    redis: Option<Redis>,
    reach: &Cursors,
) -> Result<HashSet<OrderId>, Failure> {
    let stores = Stores::snapshot(&Backend::Postgres(databases.clone()), None).await?;
    let checked = check_followers(&stores, redis, reach).await;
    stores.close().await;
    checked
}

pub(super) async fn check_followers(
    stores: &Stores,
    redis: Option<Redis>,
    reach: &Cursors,
) -> Result<HashSet<OrderId>, Failure> {
    let mut cursors = Vec::new();
    // Every follower of the journal is in its service's row, so none is missed.
    for (follower, database) in stores.followers() {
        if follower.follows.is_of_journal() {
            let name = follower.name;
            cursors.push((name, Cursors::load(database, name).await.context(name)?));
        }
    }
    let published = stores.databases.iter().filter_map(|(service, _)| service.published);
    for Published { source, relay: name, log } in published {
        if let Some(redis) = redis.clone().filter(|_| Log::Facts(source).is_of_journal()) {
            let mut relay = Relay::new(redis, source, log(stores)?, 0);
            let at = relay.cursors().await;
            cursors.push((name, at.map_err(|blame| anyhow::anyhow!("{name}: {blame}"))?));
        }
    }
    for (name, cursors) in cursors {
        if let Some((shard, end)) = reach.iter().find(|(shard, end)| cursors.get(*shard) < *end) {
            let at = cursors.get(shard);
            let message = format!("{name} is at {at} of shard {shard} and must reach {end} first");
            return Err(refused("FOLLOWER_BEHIND", message));
        }
    }
    let mut orders = HashSet::new();
    for (_, database) in &stores.databases {
        let letters = DeadLetters::new(database.clone()).all(None).await.context("dead letters")?;
        orders.extend(letters.iter().map(|letter| OrderId::from_uuid(letter.subject.uuid())));
    }
    Ok(orders)
}

impl Report {
    fn selected(&mut self, leaving: &Selection) {
        self.orders += leaving.streams;
        self.events += leaving.events;
        self.staying += leaving.retained;
    }

    /// Adds what was archived from one of the journal's databases.
    fn archived(&mut self, written: &[Manifest], left: ArchivedCounts) {
        for manifest in written {
            let month = self.months.entry(manifest.month.clone()).or_default();
            month.files += 1;
            month.events += manifest.events;
            month.bytes += manifest.bytes;
            self.archived_events += manifest.events;
        }
        let table = self.table.get_or_insert_default();
        table.remaining += left.remaining;
        table.bytes_before += left.bytes_before;
        table.bytes_after += left.bytes_after;
        table.appends_waited_ms = table.appends_waited_ms.max(left.locked.as_millis());
    }
}

fn show(report: &Report, out: &Output) {
    if out.json {
        return out.value(report);
    }
    let Report { orders, events, staying, .. } = report;
    if *orders == 0 {
        return out.line("Nothing to archive: no order of that time is over.");
    }
    if report.dry_run {
        out.line(format!("{orders} orders with {events} events would be removed from the table."));
        return out.line(format!("{staying} events would be archived and also stay in the table."));
    }
    let rows = report.months.iter().map(|(name, month)| {
        let Month { files, events, bytes } = month;
        vec![name.clone(), files.to_string(), events.to_string(), megabytes(*bytes)]
    });
    out.table(&["month", "files", "events", "size"], rows);
    out.line(format!("{orders} orders with {events} events were removed from the table."));
    out.line(format!("{staying} archived events stay in the table: their orders are not over."));
    if let Some(table) = &report.table {
        let (before, after) = (megabytes(table.bytes_before), megabytes(table.bytes_after));
        let (remaining, waited) = (table.remaining, table.appends_waited_ms);
        out.line(format!(
            "The table has {remaining} events, {after} instead of {before}; appends waited {waited} ms."
        ));
    }
}

fn megabytes(bytes: u64) -> String {
    format!("{}.{} MB", bytes / 1_000_000, bytes % 1_000_000 / 100_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_is_its_first_instant() {
        assert_eq!(month("2026-08").unwrap().to_string(), "2026-08-01T00:00:00.000000Z");
        for wrong in ["2026", "2026-13", "2026-8", "08-2026", "2026-08-01"] {
            assert!(month(wrong).is_err(), "{wrong}");
        }
        let instant = "2026-08-31T23:59:59.999999Z".parse().unwrap();
        assert_eq!(month_of(instant).unwrap(), month("2026-08").unwrap());
    }
}
