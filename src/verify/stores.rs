use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use futures::StreamExt as _;
use futures::future::BoxFuture;
use indicatif::ProgressBar;
use order_actor::journal::JournalError;
use order_actor::outbox::FactIds;
use order_actor::record::order_of;
use shared_events::contract::{OrderId, Subject};
use shared_events::stream::{Cursors, Database, DatabaseError, DeadLetters};

use super::history::{History, ReadPart};
use super::report::{Law, Report};
use super::{goods_paid, of_ledger, of_messages, of_orders, of_payments, of_stock};
use crate::engine::{Follower, Log, Published, Stores, services};

pub(super) const PAGE: u32 = 500;
/// Orders whose rows are read together, in one statement a table, at most.
const TOGETHER: usize = 256;
/// Their events at most, unless one order alone has more: each is in memory with the order as it was
/// after it.
const EVENTS_TOGETHER: u64 = 4_096;
/// Histories that are read at the same time; the journal on Postgres reads them in one statement.
const HISTORIES: usize = 64;
/// The subject of findings about unreadable rows of a table.
pub(super) const ROWS: &str = "rows";

/// Checks all laws in the databases.
///
/// # Errors
/// If a database cannot be read; a difference is a finding, not an error.
pub async fn check(stores: &Stores, progress: &ProgressBar) -> anyhow::Result<Report> {
    let mut report = Report::default();
    let orders = journal(&mut report, stores).await?;
    let followers = Followers::load(&mut report, stores).await?;
    report.orders = u64::try_from(orders.len()).unwrap_or(u64::MAX);
    progress.set_length(report.orders);
    // By first position: orders near in time are near in the archive's files.
    let mut by_place: Vec<(Met, OrderId)> = orders.iter().map(|(id, met)| (*met, *id)).collect();
    by_place.sort_unstable_by_key(|(met, _)| met.first);
    let mut left = by_place.as_slice();
    while !left.is_empty() {
        let count = read_together(left.iter().map(|(met, _)| met.events));
        let (some, more) = left.split_at(count);
        left = more;
        let some: Vec<OrderId> = some.iter().map(|(_, order_id)| *order_id).collect();
        together(&mut report, stores, &followers, &some).await?;
        progress.inc(u64::try_from(some.len()).unwrap_or(u64::MAX));
    }
    progress.finish_and_clear();
    report.unchecked.extend(stores.not_named.iter().map(|service| {
        format!("{}: no database of it is named (--{}-database-url)", service.keeps, service.name)
    }));
    let orders = known(stores, orders.into_keys().collect()).await?;
    let rest = Rest { stores, orders: &orders };
    for laws in laws_here(stores) {
        (laws.of_rows)(&mut report, &rest).await?;
    }
    Ok(report)
}

/// What the journal has of an order.
#[derive(Clone, Copy)]
struct Met {
    /// Shard and position of its first event.
    first: (u16, u64),
    events: u64,
}

/// How many of the next orders, by their events, are read together; at least one.
fn read_together(events: impl Iterator<Item = u64>) -> usize {
    let mut sum = 0;
    let fits = |events: &u64| {
        sum += events;
        sum <= EVENTS_TOGETHER
    };
    events.take(TOGETHER).take_while(fits).count().max(1)
}

/// Reads the journal from its first event to its last; returns its orders.
async fn journal(report: &mut Report, stores: &Stores) -> anyhow::Result<BTreeMap<OrderId, Met>> {
    let mut orders: BTreeMap<OrderId, Met> = BTreeMap::new();
    let audit = stores
        .journal
        .audit(|stream, shard, position| {
            let place = (shard, position);
            let met = orders.entry(order_of(stream)).or_insert(Met { first: place, events: 0 });
            met.first = place.min(met.first);
            met.events += 1;
        })
        .await
        .context("journal")?;
    report.events = audit.events;
    report.check_many(Law::JournalChain, audit.events);
    for damage in audit.damages {
        let subject = match damage.stream_id {
            Some(order) => format!("order/{order}"),
            None => format!("shard/{}", damage.shard),
        };
        report.find(Law::JournalChain, subject, format!("shard {} {damage}", damage.shard));
    }
    report.heads = audit.ends.into_iter().map(Into::into).collect();
    if audit.files > 0 {
        report.check_many(Law::ArchiveFiles, audit.files);
    }
    for damage in audit.archives {
        report.find(Law::ArchiveFiles, format!("archive/{}", damage.file), damage.detail);
    }
    report.unchecked.extend(audit.unchecked.iter().map(|unchecked| {
        format!("{unchecked}, which --archive reads; archived orders are not compared")
    }));
    Ok(orders)
}

/// These orders and all archived ones, whether or not their files were read.
async fn known(
    stores: &Stores,
    mut orders: BTreeSet<OrderId>,
) -> anyhow::Result<BTreeSet<OrderId>> {
    let mut last = None;
    loop {
        let page = stores.journal.archived_streams(last, PAGE).await.context("journal")?;
        let Some(stream) = page.last() else { return Ok(orders) };
        last = Some(*stream);
        orders.extend(page.into_iter().map(order_of));
    }
}

/// The published facts of the services whose stores are open.
pub(super) fn published(stores: &Stores) -> impl Iterator<Item = Published> {
    stores.databases.iter().filter_map(|(service, _)| service.published)
}

/// The cursors of all followers, and the subjects of their dead letters.
pub(super) struct Followers {
    cursors: BTreeMap<&'static str, Cursors>,
    /// Of a follower that has read nothing.
    none: Cursors,
    dead_letters: BTreeSet<(String, Subject)>,
    // Whether orders have read all of stock's answers. Their snapshot is the older one.
    pub(super) all_answers_read: bool,
    /// Generates fact ids.
    pub(super) fact_ids: FactIds,
}

impl Followers {
    async fn load(report: &mut Report, stores: &Stores) -> anyhow::Result<Self> {
        let journal = stores.journal.heads().await.context("journal")?;
        let mut all = Self {
            cursors: BTreeMap::new(),
            none: Cursors::default(),
            dead_letters: BTreeSet::new(),
            all_answers_read: false,
            fact_ids: FactIds::of(&stores.journal).await.context("journal")?,
        };
        let mut fact_heads = BTreeMap::new();
        for Published { source, log, .. } in published(stores) {
            let heads = log(stores)?.heads().await;
            fact_heads.insert(source, heads.with_context(|| source.uri())?);
        }
        for (Follower { name, follows, .. }, database) in stores.followers() {
            let name: &'static str = name;
            // That of a service whose database is not named is unknown; the report says so.
            let heads = match follows {
                Log::Facts(source) if !follows.is_of_journal() => fact_heads.get(source),
                _ => Some(&journal),
            };
            let cursors = Cursors::load(database, name).await;
            let subject = format!("follower/{name}");
            let cursors = readable(report, Law::CursorsNotAhead, &subject, cursors)?;
            let cursors = cursors.unwrap_or_default();
            if let Some(heads) = heads {
                not_ahead(report, name, &cursors, heads);
                if name == services::orders::STOCK_ANSWERS.name {
                    all.all_answers_read = cursors.covers(heads);
                }
            }
            all.dead_letters.extend(dead_letters(report, name, database).await.context(name)?);
            all.cursors.insert(name, cursors);
        }
        Ok(all)
    }

    fn cursors(&self, name: &str) -> &Cursors {
        self.cursors.get(name).unwrap_or(&self.none)
    }

    /// Whether the follower has no dead letters about this order.
    fn handled(&self, name: &str, order_id: OrderId) -> bool {
        !self.dead_letters.contains(&(name.to_owned(), order_id.into()))
    }
}

/// Checks that a cursor is not ahead of its log, and notes how far it is behind.
fn not_ahead(report: &mut Report, name: &str, cursors: &Cursors, heads: &Cursors) {
    report.check(Law::CursorsNotAhead);
    for (shard, position) in cursors.iter().filter(|(shard, at)| *at > heads.get(*shard)) {
        let head = heads.get(shard);
        let detail = format!("is at {position} of shard {shard}, which ends at {head}");
        report.find(Law::CursorsNotAhead, format!("follower/{name}"), detail);
    }
    report.lag.insert(name.to_owned(), cursors.behind(heads));
}

async fn dead_letters(
    report: &mut Report,
    name: &str,
    database: &Database,
) -> anyhow::Result<Vec<(String, Subject)>> {
    let letters = DeadLetters::new(database.clone());
    let mut after = None;
    let mut subjects = Vec::new();
    report.check(Law::NothingParked);
    loop {
        let place = after.map(|(shard, position, index)| (name, shard, position, index));
        let page = letters.list(Some(name), place, PAGE).await?;
        let Some(last) = page.last() else { return Ok(subjects) };
        after = Some((last.shard, last.position, last.index));
        for letter in page {
            let detail = format!("{name} has a dead letter {}: {}", letter.kind, letter.error);
            report.find(Law::NothingParked, format!("subject/{}", letter.subject), detail);
            subjects.push((name.to_owned(), letter.subject));
        }
    }
}

/// A read result; an impossible row is a finding of its law.
pub(super) fn readable<T>(
    report: &mut Report,
    law: Law,
    subject: &str,
    read: Result<T, DatabaseError>,
) -> anyhow::Result<Option<T>> {
    match read {
        Ok(found) => Ok(Some(found)),
        Err(DatabaseError::Corrupt(what)) => {
            report.find(law, subject, format!("has an impossible {what}"));
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// Checks these orders: of each its history, and then what every service holds of it.
async fn together(
    report: &mut Report,
    stores: &Stores,
    followers: &Followers,
    orders: &[OrderId],
) -> anyhow::Result<()> {
    let mut loaded = futures::stream::iter(orders.iter().copied())
        .map(|order_id| async move { (order_id, stores.journal.load(order_id).await) })
        .buffered(HISTORIES);
    let mut replayed = Vec::with_capacity(orders.len());
    while let Some((order_id, stored)) = loaded.next().await {
        let subject = format!("order/{order_id}");
        report.check(Law::HistoryLegal);
        let history = match stored {
            Ok(stored) => History::replay(&stored),
            Err(JournalError::Broken { detail, .. }) => Err(detail),
            Err(error @ JournalError::StreamArchived { .. }) => {
                report.unchecked.push(format!("{error}, meanwhile"));
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        match history {
            Ok(history) => replayed.push(One { followers, history, order_id, subject }),
            Err(detail) => report.find(Law::HistoryLegal, &subject, detail),
        }
    }
    let batch = Batch { stores, orders: &replayed };
    for laws in laws_here(stores) {
        (laws.of_orders)(report, &batch).await?;
    }
    Ok(())
}

/// An order being checked.
pub(super) struct One<'a> {
    pub(super) followers: &'a Followers,
    pub(super) history: History,
    pub(super) order_id: OrderId,
    pub(super) subject: String,
}

impl One<'_> {
    /// Whether a follower has no dead letters about it.
    pub(super) fn handled(&self, follower: &Follower) -> bool {
        self.followers.handled(follower.name, self.order_id)
    }

    /// The part of its history that a follower has read.
    pub(super) fn read_part(&self, follower: &Follower) -> ReadPart<'_> {
        self.history.read_part(self.followers.cursors(follower.name))
    }
}

/// Orders that are checked together.
pub(super) struct Batch<'a> {
    pub(super) stores: &'a Stores,
    pub(super) orders: &'a [One<'a>],
}

impl<'a> Batch<'a> {
    /// Those about which a follower has no dead letters, and their ids.
    pub(super) fn handled(&self, follower: &Follower) -> (Vec<&'a One<'a>>, Vec<OrderId>) {
        let handled: Vec<&One<'_>> =
            self.orders.iter().filter(|one| one.handled(follower)).collect();
        let ids = handled.iter().map(|one| one.order_id).collect();
        (handled, ids)
    }
}

/// Checks of rows, once the orders are known.
pub(super) struct Rest<'a> {
    pub(super) stores: &'a Stores,
    pub(super) orders: &'a BTreeSet<OrderId>,
}

impl Rest<'_> {
    /// Reports a row of an order that is not in the journal.
    pub(super) fn stray(&self, report: &mut Report, law: Law, order_id: OrderId, what: &str) {
        if !self.orders.contains(&order_id) {
            let detail = format!("{what} of an order that the journal does not hold");
            report.find(law, format!("order/{order_id}"), detail);
        }
    }
}

/// The laws of a service's rows, besides those of its followers' cursors and dead letters.
struct Laws {
    service: &'static str,
    of_orders: for<'a> fn(&'a mut Report, &'a Batch<'a>) -> BoxFuture<'a, anyhow::Result<()>>,
    of_rows: for<'a> fn(&'a mut Report, &'a Rest<'a>) -> BoxFuture<'a, anyhow::Result<()>>,
}

static LAWS: [Laws; 5] = [
    Laws {
        service: services::orders::SERVICE.name,
        of_orders: |report, batch| Box::pin(of_orders::of_orders(report, batch)),
        of_rows: |report, rest| Box::pin(of_orders::of_rows(report, rest)),
    },
    Laws {
        service: services::inventory::SERVICE.name,
        of_orders: |report, batch| Box::pin(of_stock::of_orders(report, batch)),
        of_rows: |report, rest| Box::pin(of_stock::of_rows(report, rest)),
    },
    Laws {
        service: services::notifications::SERVICE.name,
        of_orders: |report, batch| Box::pin(of_messages::of_orders(report, batch)),
        of_rows: |report, rest| Box::pin(of_messages::of_rows(report, rest)),
    },
    Laws {
        service: services::ledger::SERVICE.name,
        // None of its laws is about one order.
        of_orders: |_, _| Box::pin(std::future::ready(Ok(()))),
        of_rows: |report, rest| Box::pin(of_ledger::of_rows(report, rest)),
    },
    Laws {
        service: services::payments::SERVICE.name,
        of_orders: |report, batch| Box::pin(goods_paid::of_orders(report, batch)),
        of_rows: |report, rest| Box::pin(of_payments::of_rows(report, rest)),
    },
];

/// The laws of the services whose stores are open.
fn laws_here(stores: &Stores) -> impl Iterator<Item = &'static Laws> {
    let open = |name| stores.databases.iter().any(|(service, _)| service.name == name);
    LAWS.iter().filter(move |laws| open(laws.service))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_read_together_up_to_a_number_of_events() {
        let of = |events: &[u64]| read_together(events.iter().copied());
        assert_eq!(of(&[3; 1_000]), TOGETHER);
        assert_eq!(of(&[1_000; 10]), 4, "their events count");
        assert_eq!(of(&[10_000, 1]), 1, "one order alone may have more");
        assert_eq!(of(&[4_096, 1]), 1);
    }

    #[test]
    fn every_service_has_its_laws() {
        let with: Vec<&str> = LAWS.iter().map(|laws| laws.service).collect();
        let all: Vec<&str> = services::ALL.iter().map(|service| service.name).collect();
        assert_eq!(with, all);
    }
}
