use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use indicatif::ProgressBar;
use inventory_stream::{reconcile, store};
use notification::ledger::{self, Filter};
use order_actor::journal::JournalError;
use order_actor::outbox::FactIds;
use order_actor::projections::{Deadlines, OrderSummaries, SummaryFilter};
use shared_events::contract::{OrderId, Subject, Timestamp};
use shared_events::stream::{Cursors, Database, DatabaseError, DeadLetters, Outbox, Source as _};

use super::history::History;
use super::laws;
use super::report::{Law, Report};
use crate::engine::Stores;
use crate::followers;

const PAGE: u32 = 500;
/// The subject of what was found among all rows of a table.
const ROWS: &str = "rows";

/// Checks every law.
///
/// # Errors
/// Where a database cannot be read; what differs is no error.
pub async fn check(stores: &Stores, progress: &ProgressBar) -> anyhow::Result<Report> {
    let mut report = Report::default();
    let orders = journal(&mut report, stores).await?;
    let followers = Followers::load(&mut report, stores).await?;
    report.orders = u64::try_from(orders.len()).unwrap_or(u64::MAX);
    progress.set_length(report.orders);
    // In the order in which they began: what is near in time is near in the archive's files.
    let mut by_place: Vec<_> = orders.iter().map(|(order_id, place)| (*place, *order_id)).collect();
    by_place.sort_unstable();
    for (_, order_id) in by_place {
        order(&mut report, stores, &followers, order_id).await?;
        progress.inc(1);
    }
    progress.finish_and_clear();
    strays(&mut report, stores, &known(stores, orders.into_keys().collect()).await?).await?;
    let sums = reconcile(&stores.inventory).await;
    let sums = readable(&mut report, Law::StockSums, ROWS, sums)?.unwrap_or_default();
    report.check_many(Law::StockSums, sums.products);
    for difference in sums.discrepancies {
        let detail = format!(
            "{} should be {} and is {}",
            difference.law, difference.expected, difference.found
        );
        report.find(Law::StockSums, difference.subject, detail);
    }
    Ok(report)
}

/// Reads the journal from its first event to its last; the orders that it names, each with the
/// place where it does so first.
async fn journal(
    report: &mut Report,
    stores: &Stores,
) -> anyhow::Result<BTreeMap<OrderId, (u16, u64)>> {
    let mut orders = BTreeMap::new();
    let audit = stores
        .journal
        .audit(|order_id, shard, position| {
            let first = orders.entry(order_id).or_insert((shard, position));
            *first = (shard, position).min(*first);
        })
        .await
        .context("journal")?;
    report.events = audit.events;
    report.check_many(Law::JournalChain, audit.events);
    for damage in audit.damages {
        let subject = match damage.order_id {
            Some(order_id) => format!("order/{order_id}"),
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
        format!("{unchecked}, which --archive reads; orders that have left are not compared")
    }));
    Ok(orders)
}

/// These orders and those that have left, whether or not their files were read.
async fn known(
    stores: &Stores,
    mut orders: BTreeSet<OrderId>,
) -> anyhow::Result<BTreeSet<OrderId>> {
    let mut last = None;
    loop {
        let page = stores.journal.archived_orders(last, PAGE).await.context("journal")?;
        let Some(order_id) = page.last() else { return Ok(orders) };
        last = Some(*order_id);
        orders.extend(page);
    }
}

/// How far each follower got, and of which subjects it has parked something.
struct Followers {
    cursors: BTreeMap<&'static str, Cursors>,
    parked: BTreeSet<(String, Subject)>,
    // The orders' snapshot is the older one: whatever stock has said in its own, orders have heard.
    all_answers_heard: bool,
    /// How facts are named.
    fact_ids: FactIds,
}

impl Followers {
    async fn load(report: &mut Report, stores: &Stores) -> anyhow::Result<Self> {
        let journal = stores.journal.heads().await.context("journal")?;
        let outbox = Outbox::new(stores.inventory.clone()).heads().await.context("inventory")?;
        let mut all = Self {
            cursors: BTreeMap::new(),
            parked: BTreeSet::new(),
            all_answers_heard: false,
            fact_ids: FactIds::of(&stores.journal).await.context("journal")?,
        };
        for (name, database, heads) in [
            (followers::SUMMARIES, &stores.orders, &journal),
            (followers::DEADLINES, &stores.orders, &journal),
            (followers::STOCK, &stores.inventory, &journal),
            (followers::STOCK_ANSWERS, &stores.orders, &outbox),
            (followers::NOTIFICATIONS, &stores.notifications, &journal),
        ] {
            let cursors = Cursors::load(database, name).await;
            let subject = format!("follower/{name}");
            let cursors = readable(report, Law::CursorsNotAhead, &subject, cursors)?;
            let cursors = cursors.unwrap_or_default();
            report.check(Law::CursorsNotAhead);
            for (shard, position) in cursors.iter().filter(|(shard, at)| *at > heads.get(*shard)) {
                let head = heads.get(shard);
                let detail = format!("is at {position} of shard {shard}, which ends at {head}");
                report.find(Law::CursorsNotAhead, &subject, detail);
            }
            report.lag.insert(name.to_owned(), cursors.behind(heads));
            if name == followers::STOCK_ANSWERS {
                all.all_answers_heard = cursors.covers(heads);
            }
            all.parked.extend(parked(report, name, database).await.context(name)?);
            all.cursors.insert(name, cursors);
        }
        Ok(all)
    }

    fn cursors(&self, name: &str) -> Cursors {
        self.cursors.get(name).cloned().unwrap_or_default()
    }

    /// Whether the follower has handled all it saw of this order.
    fn handled(&self, name: &str, order_id: OrderId) -> bool {
        !self.parked.contains(&(name.to_owned(), order_id.into()))
    }
}

async fn parked(
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
            let detail = format!("{name} has parked {}: {}", letter.kind, letter.error);
            report.find(Law::NothingParked, format!("subject/{}", letter.subject), detail);
            subjects.push((name.to_owned(), letter.subject));
        }
    }
}

/// What was read; a row that nobody can have written is a finding of the law it belongs to.
fn readable<T>(
    report: &mut Report,
    law: Law,
    subject: &str,
    read: Result<T, DatabaseError>,
) -> anyhow::Result<Option<T>> {
    match read {
        Ok(found) => Ok(Some(found)),
        Err(DatabaseError::Corrupt(what)) => {
            report.find(law, subject, format!("holds an impossible {what}"));
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

async fn order(
    report: &mut Report,
    stores: &Stores,
    followers: &Followers,
    order_id: OrderId,
) -> anyhow::Result<()> {
    let subject = format!("order/{order_id}");
    report.check(Law::HistoryLegal);
    let replayed = match stores.journal.load(order_id).await {
        Ok(stored) => History::replay(&stored),
        Err(JournalError::Broken { detail, .. }) => Err(detail),
        Err(error @ JournalError::OrderArchived { .. }) => {
            report.unchecked.push(format!("{error}, meanwhile"));
            return Ok(());
        }
        Err(error) => return Err(error.into()),
    };
    let history = match replayed {
        Ok(history) => history,
        Err(detail) => {
            report.find(Law::HistoryLegal, &subject, detail);
            return Ok(());
        }
    };
    let seen = |name: &str| history.seen(&followers.cursors(name));
    if followers.handled(followers::SUMMARIES, order_id) {
        let found = OrderSummaries::new(stores.orders.clone()).of_order(order_id).await;
        if let Some(found) = readable(report, Law::SummariesAsReplayed, &subject, found)? {
            laws::summary(report, &subject, &seen(followers::SUMMARIES), found.as_ref());
        }
    }
    if followers.handled(followers::DEADLINES, order_id) {
        let found = Deadlines::new(stores.orders.clone()).of_order(order_id).await;
        if let Some(found) = readable(report, Law::DeadlinesAsReplayed, &subject, found)? {
            laws::deadlines(report, &subject, &seen(followers::DEADLINES), found.as_ref());
        }
    }
    if followers.handled(followers::STOCK, order_id) {
        let found = store::get_reservation(&stores.inventory, order_id).await;
        if let Some(found) = readable(report, Law::ReservationsAsOrders, &subject, found)? {
            let (seen, confirmed_by) = (seen(followers::STOCK), history.confirmed_by());
            laws::reservation(report, &subject, &seen, confirmed_by, found.as_ref());
            let heard = followers.all_answers_heard
                && followers.handled(followers::STOCK_ANSWERS, order_id);
            laws::answer(report, &subject, heard, history.now(), found.as_ref());
        }
    }
    if followers.handled(followers::NOTIFICATIONS, order_id) {
        let filter = Filter { order_id: Some(order_id), ..Filter::default() };
        let found = ledger::list(&stores.notifications, &filter, 0, u32::MAX).await;
        if let Some(found) = readable(report, Law::NotificationsOnce, &subject, found)? {
            let facts = seen(followers::NOTIFICATIONS).facts(&followers.fact_ids);
            // What left before the journal was set back was true then.
            let found = found.into_iter().filter(|entry| !entry.gone && entry.resend_of.is_none());
            let told = found.map(|entry| (entry.fact_id, entry.channel));
            laws::notifications(report, &subject, &facts, told);
        }
    }
    Ok(())
}

/// Rows about orders that the journal does not name.
async fn strays(
    report: &mut Report,
    stores: &Stores,
    orders: &BTreeSet<OrderId>,
) -> anyhow::Result<()> {
    let stray = |report: &mut Report, law: Law, order_id: OrderId, what: &str| {
        if !orders.contains(&order_id) {
            let detail = format!("{what} of an order that the journal does not hold");
            report.find(law, format!("order/{order_id}"), detail);
        }
    };
    let summaries = OrderSummaries::new(stores.orders.clone());
    let mut after = None;
    loop {
        let page = summaries.list(&SummaryFilter::default(), after, PAGE).await;
        let Some(page) = readable(report, Law::SummariesAsReplayed, ROWS, page)? else { break };
        let Some(last) = page.last() else { break };
        after = Some((last.placed_at, last.order_id));
        page.iter()
            .for_each(|row| stray(report, Law::SummariesAsReplayed, row.order_id, "a summary"));
    }
    let deadlines = Deadlines::new(stores.orders.clone());
    let mut after = None;
    loop {
        let page = deadlines.due(Timestamp::from_micros(i64::MAX), after, PAGE).await;
        let Some(page) = readable(report, Law::DeadlinesAsReplayed, ROWS, page)? else { break };
        let Some(last) = page.last() else { break };
        after = Some((last.due, last.order_id));
        page.iter()
            .for_each(|row| stray(report, Law::DeadlinesAsReplayed, row.order_id, "a deadline"));
    }
    let mut after = String::new();
    loop {
        let page = store::list_reservations(&stores.inventory, &after, PAGE).await;
        let Some(page) = readable(report, Law::ReservationsAsOrders, ROWS, page)? else { break };
        let Some(last) = page.last() else { break };
        after = last.order_id.to_string();
        page.iter()
            .for_each(|row| stray(report, Law::ReservationsAsOrders, row.order_id, "a hold"));
    }
    let mut due = ledger::due(&stores.notifications).await?;
    let mut after = 0;
    let all_read = loop {
        let page = ledger::list(&stores.notifications, &Filter::default(), after, PAGE).await;
        let Some(page) = readable(report, Law::NotificationsOnce, ROWS, page)? else { break false };
        let Some(last) = page.last() else { break true };
        after = last.serial;
        for row in &page {
            if !row.gone {
                stray(report, Law::NotificationsOnce, row.order_id, "a message");
            }
            report.check(Law::MessagesDue);
            let is_due = due.remove(&row.serial);
            if is_due != row.state.is_open() {
                let not = if is_due { "" } else { "not " };
                let detail = format!("message {} is {} and {not}due", row.id, row.state.code());
                report.find(Law::MessagesDue, format!("order/{}", row.order_id), detail);
            }
        }
    };
    for serial in due.into_iter().filter(|_| all_read) {
        let detail = "a message is due that is not there".to_owned();
        report.find(Law::MessagesDue, format!("message/{serial}"), detail);
    }
    Ok(())
}
