use inventory_stream::{reconcile, store};

use super::laws;
use super::report::{Law, Report};
use super::stores::{Batch, PAGE, ROWS, Rest, readable};
use crate::engine::services::inventory::{SERVICE, STOCK};
use crate::engine::services::orders::STOCK_ANSWERS;

/// Checks these orders.
pub(super) async fn of_orders(report: &mut Report, batch: &Batch<'_>) -> anyhow::Result<()> {
    let (handled, ids) = batch.handled(&STOCK);
    let mut found = store::get_reservations(batch.stores.of(&SERVICE)?, &ids).await?;
    for one in handled {
        let row = found.remove(&one.order_id).transpose();
        let subject = one.subject.as_str();
        if let Some(row) = readable(report, Law::ReservationsAsOrders, subject, row)? {
            let (read_part, confirmed_by) = (one.read_part(&STOCK), one.history.confirmed_by());
            laws::reservation(report, subject, &read_part, confirmed_by, row.as_ref());
            let answers_read = one.followers.all_answers_read && one.handled(&STOCK_ANSWERS);
            let (read, now) = (read_part.order(), one.history.now());
            laws::answer(report, subject, answers_read, (read, now), row.as_ref());
            laws::backorders(report, subject, answers_read, (read, now), row.as_ref());
        }
    }
    Ok(())
}

/// Checks all rows; rows of orders that are not in the journal are findings.
pub(super) async fn of_rows(report: &mut Report, rest: &Rest<'_>) -> anyhow::Result<()> {
    let database = rest.stores.of(&SERVICE)?;
    let mut after = String::new();
    loop {
        let page = store::list_reservations(database, &after, PAGE).await;
        let Some(page) = readable(report, Law::ReservationsAsOrders, ROWS, page)? else { break };
        let Some(last) = page.last() else { break };
        after = last.order_id.to_string();
        page.iter().for_each(|row| {
            rest.stray(report, Law::ReservationsAsOrders, row.order_id, "a reservation")
        });
    }
    let sums = reconcile(database).await;
    let sums = readable(report, Law::StockSums, ROWS, sums)?.unwrap_or_default();
    report.check_many(Law::StockSums, sums.products);
    for difference in sums.discrepancies {
        let detail = format!(
            "{} should be {} and is {}",
            difference.law, difference.expected, difference.found
        );
        report.find(Law::StockSums, difference.subject, detail);
    }
    Ok(())
}
