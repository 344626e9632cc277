use order_actor::projections::{Deadlines, OrderSummaries, SummaryFilter};
use shared_events::contract::Timestamp;

use super::laws;
use super::report::{Law, Report};
use super::stores::{One, PAGE, ROWS, Rest, readable};
use crate::engine::services::orders::{DEADLINES, SERVICE, SUMMARIES};

/// Checks one order.
pub(super) async fn of_order(report: &mut Report, one: &One<'_>) -> anyhow::Result<()> {
    let database = one.stores.of(&SERVICE)?;
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

/// Checks all rows; rows of orders that are not in the journal are findings.
pub(super) async fn of_rows(report: &mut Report, rest: &Rest<'_>) -> anyhow::Result<()> {
    let database = rest.stores.of(&SERVICE)?;
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
