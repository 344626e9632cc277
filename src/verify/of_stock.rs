use inventory_stream::{reconcile, store};

use super::laws;
use super::report::{Law, Report};
use super::stores::{One, PAGE, ROWS, Rest, readable};
use crate::engine::services::inventory::{SERVICE, STOCK};
use crate::engine::services::orders::STOCK_ANSWERS;

/// Checks one order.
pub(super) async fn of_order(report: &mut Report, one: &One<'_>) -> anyhow::Result<()> {
    let database = one.stores.of(&SERVICE)?;
    if one.handled(&STOCK) {
        let found = store::get_reservation(database, one.order_id).await;
        if let Some(found) = readable(report, Law::ReservationsAsOrders, one.subject, found)? {
            let (read_part, confirmed_by) = (one.read_part(&STOCK), one.history.confirmed_by());
            laws::reservation(report, one.subject, &read_part, confirmed_by, found.as_ref());
            let answers_read = one.followers.all_answers_read && one.handled(&STOCK_ANSWERS);
            let (read, now) = (read_part.order(), one.history.now());
            laws::answer(report, one.subject, answers_read, (read, now), found.as_ref());
            laws::backorders(report, one.subject, answers_read, (read, now), found.as_ref());
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
