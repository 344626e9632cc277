use anyhow::Context as _;
use order_actor::journal::UniqueKey;
use order_actor::projections::{
    Deadlines, OrderIdentifiers, OrderReturns, OrderSummaries, ReturnFilter, SummaryFilter,
};
use order_actor::record::{name_of_key, order_of, unique_names};
use shared_events::contract::Timestamp;

use super::report::{Law, Report};
use super::stores::{Batch, PAGE, ROWS, Rest, readable};
use super::{laws, plans};
use crate::engine::services::orders::{DEADLINES, IDENTIFIERS, RETURNS, SERVICE, SUMMARIES};

/// Checks these orders.
pub(super) async fn of_orders(report: &mut Report, batch: &Batch<'_>) -> anyhow::Result<()> {
    let database = batch.stores.of(&SERVICE)?;
    names(report, batch).await?;
    batch.orders.iter().for_each(|one| plans::check(report, &one.subject, &one.history));
    let summaries = OrderSummaries::new(database.clone());
    let (handled, ids) = batch.handled(&SUMMARIES);
    let mut found = summaries.of_orders(&ids).await?;
    for one in handled {
        let row = found.remove(&one.order_id).transpose();
        if let Some(row) = readable(report, Law::SummariesAsReplayed, &one.subject, row)? {
            laws::summary(report, &one.subject, &one.read_part(&SUMMARIES), row.as_ref());
        }
    }
    let (handled, ids) = batch.handled(&RETURNS);
    let mut found = OrderReturns::new(database.clone()).of_orders(&ids).await?;
    for one in handled {
        let rows = found.remove(&one.order_id).transpose();
        if let Some(rows) = readable(report, Law::SummariesAsReplayed, &one.subject, rows)? {
            laws::returns(
                report,
                &one.subject,
                &one.read_part(&RETURNS),
                &rows.unwrap_or_default(),
            );
        }
    }
    identifiers(report, batch).await?;
    let (handled, ids) = batch.handled(&DEADLINES);
    let mut found = Deadlines::new(database.clone()).of_orders(&ids).await?;
    for one in handled {
        let row = found.remove(&one.order_id).transpose();
        if let Some(row) = readable(report, Law::DeadlinesAsReplayed, &one.subject, row)? {
            laws::deadlines(report, &one.subject, &one.read_part(&DEADLINES), row.as_ref());
        }
    }
    Ok(())
}

/// What names each order and its parts is what it is looked up by, as far as that has read.
async fn identifiers(report: &mut Report, batch: &Batch<'_>) -> anyhow::Result<()> {
    let (handled, ids) = batch.handled(&IDENTIFIERS);
    if ids.is_empty() {
        return Ok(());
    }
    // As the engine: all databases of a journal share one list.
    let keys = batch.stores.journal.fingerprints(0).await.context("journal")?.clone();
    let model = OrderIdentifiers::new(batch.stores.of(&SERVICE)?.clone()).searched_by([], keys);
    let mut found = model.of_orders(&ids).await?;
    for one in handled {
        let rows = found.remove(&one.order_id).transpose();
        if let Some(rows) = readable(report, Law::SummariesAsReplayed, &one.subject, rows)? {
            let rows = rows.unwrap_or_default();
            if !model.are_of(&rows, one.read_part(&IDENTIFIERS).order()) {
                let detail = "what it is looked up by is not what the replay has";
                report.find(Law::SummariesAsReplayed, &one.subject, detail);
            }
        }
    }
    Ok(())
}

/// The names of each order are taken, and by it.
async fn names(report: &mut Report, batch: &Batch<'_>) -> anyhow::Result<()> {
    let mut named = Vec::new();
    for one in batch.orders {
        let details = one.history.now().details();
        if let Some(names) = details.and_then(|details| details.terms.names.as_deref()) {
            let keys = unique_names(names).context("names")?;
            named.extend(keys.into_iter().map(|key| (one, key)));
        }
    }
    if named.is_empty() {
        return Ok(());
    }
    let keys: Vec<UniqueKey> = named.iter().map(|(_, key)| key.clone()).collect();
    let holders = batch.stores.journal.holders_of(&keys).await.context("journal")?;
    for (one, key) in named {
        report.check(Law::NamesAsReplayed);
        let holder = holders.get(&key).copied();
        if holder.map(order_of) != Some(one.order_id) {
            let field = name_of_key(key.as_str()).field();
            let detail = match holder {
                Some(other) => format!("its {field} belongs to order/{other}"),
                None => format!("its {field} is free"),
            };
            report.find(Law::NamesAsReplayed, &one.subject, detail);
        }
    }
    Ok(())
}

/// Every name belongs to an order.
async fn of_names(report: &mut Report, rest: &Rest<'_>) -> anyhow::Result<()> {
    let mut after = None;
    loop {
        let page = rest.stores.journal.unique_keys(after.as_ref(), PAGE).await?;
        let Some((last, _)) = page.last() else { return Ok(()) };
        after = Some(last.clone());
        // Orders that were placed meanwhile are in the journal by now.
        let unknown = page.iter().map(|(_, holder)| order_of(*holder));
        let unknown: Vec<_> = unknown.filter(|order| !rest.orders.contains(order)).collect();
        let placed = rest.stores.journal.versions(&unknown).await.context("journal")?;
        for (key, holder) in &page {
            report.check(Law::NamesAsReplayed);
            if !placed.contains_key(holder) {
                let field = name_of_key(key.as_str()).field();
                rest.stray(report, Law::NamesAsReplayed, order_of(*holder), field);
            }
        }
    }
}

/// Checks all rows; rows of orders that are not in the journal are findings.
pub(super) async fn of_rows(report: &mut Report, rest: &Rest<'_>) -> anyhow::Result<()> {
    let database = rest.stores.of(&SERVICE)?;
    of_names(report, rest).await?;
    let summaries = OrderSummaries::new(database.clone());
    let mut after = None;
    loop {
        let page = summaries.list(&SummaryFilter::default(), after, PAGE).await;
        let Some(page) = readable(report, Law::SummariesAsReplayed, ROWS, page)? else { break };
        let Some(last) = page.last() else { break };
        after = Some((last.placed_at, last.order_id));
        page.iter().for_each(|row| {
            rest.stray(report, Law::SummariesAsReplayed, row.order_id, "a summary")
        });
    }
    let (returns, filter) = (OrderReturns::new(database.clone()), ReturnFilter::default());
    let mut after = None;
    loop {
        let page = returns.list(&filter, after, PAGE).await;
        let Some(page) = readable(report, Law::SummariesAsReplayed, ROWS, page)? else { break };
        let Some(last) = page.last() else { break };
        after = Some(filter.sort.place(last));
        page.iter()
            .for_each(|row| rest.stray(report, Law::SummariesAsReplayed, row.order_id, "a return"));
    }
    let identifiers = OrderIdentifiers::new(database.clone());
    let mut after = None;
    loop {
        let page = identifiers.orders_after(after, PAGE).await;
        let Some(page) = readable(report, Law::SummariesAsReplayed, ROWS, page)? else { break };
        let Some(last) = page.last() else { break };
        after = Some(*last);
        page.iter().for_each(|order| {
            rest.stray(report, Law::SummariesAsReplayed, *order, "an identifier")
        });
    }
    let deadlines = Deadlines::new(database.clone());
    let mut after = None;
    loop {
        let page = deadlines.due(Timestamp::from_micros(i64::MAX), after, PAGE).await;
        let Some(page) = readable(report, Law::DeadlinesAsReplayed, ROWS, page)? else { break };
        let Some(last) = page.last() else { break };
        after = Some((last.due, last.order_id));
        page.iter().for_each(|row| {
            rest.stray(report, Law::DeadlinesAsReplayed, row.order_id, "a deadline")
        });
    }
    Ok(())
}
