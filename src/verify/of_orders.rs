use anyhow::Context as _;
use order_actor::projections::{Deadlines, OrderSummaries, SummaryFilter};
use order_actor::record::{name_of_key, order_of, unique_names};
use shared_events::contract::Timestamp;

use super::laws;
use super::report::{Law, Report};
use super::stores::{One, PAGE, ROWS, Rest, readable};
use crate::engine::services::orders::{DEADLINES, SERVICE, SUMMARIES};

/// Checks one order.
pub(super) async fn of_order(report: &mut Report, one: &One<'_>) -> anyhow::Result<()> {
    let database = one.stores.of(&SERVICE)?;
    names(report, one).await?;
    if one.handled(&SUMMARIES) {
        let found = OrderSummaries::new(database.clone()).of_order(one.order_id).await;
        if let Some(found) = readable(report, Law::SummariesAsReplayed, one.subject, found)? {
            laws::summary(report, one.subject, &one.read_part(&SUMMARIES), found.as_ref());
        }
    }
    if one.handled(&DEADLINES) {
        let found = Deadlines::new(database.clone()).of_order(one.order_id).await;
        if let Some(found) = readable(report, Law::DeadlinesAsReplayed, one.subject, found)? {
            laws::deadlines(report, one.subject, &one.read_part(&DEADLINES), found.as_ref());
        }
    }
    Ok(())
}

/// The names of an order are taken, and by it.
async fn names(report: &mut Report, one: &One<'_>) -> anyhow::Result<()> {
    let details = one.history.now().details();
    let Some(names) = details.and_then(|details| details.terms.names.as_deref()) else {
        return Ok(());
    };
    for key in unique_names(names).context("names")? {
        report.check(Law::NamesAsReplayed);
        let holder = one.stores.journal.holder_of(&key).await.context("journal")?;
        if holder.map(order_of) != Some(one.order_id) {
            let field = name_of_key(key.as_str()).field();
            let detail = match holder {
                Some(other) => format!("its {field} belongs to order/{other}"),
                None => format!("its {field} is free"),
            };
            report.find(Law::NamesAsReplayed, one.subject, detail);
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
