use notification::ledger::{self, Filter};

use super::laws;
use super::report::{Law, Report};
use super::stores::{One, PAGE, ROWS, Rest, readable};
use crate::engine::services::notifications::{NOTIFICATIONS, SERVICE};

/// Checks one order.
pub(super) async fn of_order(report: &mut Report, one: &One<'_>) -> anyhow::Result<()> {
    let database = one.stores.of(&SERVICE)?;
    if one.handled(&NOTIFICATIONS) {
        let filter = Filter { order_id: Some(one.order_id), ..Filter::default() };
        let found = ledger::list(database, &filter, 0, u32::MAX).await;
        if let Some(found) = readable(report, Law::NotificationsOnce, one.subject, found)? {
            let facts = one.read_part(&NOTIFICATIONS).facts(&one.followers.fact_ids);
            // Messages sent before the journal was set back were correct then.
            let found = found.into_iter().filter(|entry| !entry.gone && entry.resend_of.is_none());
            let sent = found.map(|entry| (entry.fact_id, entry.route));
            laws::notifications(report, one.subject, &facts, sent);
        }
        let found = ledger::corrected_contact(database.reader(), one.order_id).await;
        if let Some(found) = readable(report, Law::ContactsAsOrders, one.subject, found)? {
            laws::contact(report, one.subject, &one.read_part(&NOTIFICATIONS), found.as_ref());
        }
    }
    Ok(())
}

/// Checks all rows; rows of orders that are not in the journal are findings.
pub(super) async fn of_rows(report: &mut Report, rest: &Rest<'_>) -> anyhow::Result<()> {
    let database = rest.stores.of(&SERVICE)?;
    let mut due = ledger::due(database).await?;
    let mut after = 0;
    let all_read = loop {
        let page = ledger::list(database, &Filter::default(), after, PAGE).await;
        let Some(page) = readable(report, Law::NotificationsOnce, ROWS, page)? else { break false };
        let Some(last) = page.last() else { break true };
        after = last.serial;
        for row in &page {
            if !row.gone {
                rest.stray(report, Law::NotificationsOnce, row.order_id, "a message");
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
        let detail = "a missing message is due".to_owned();
        report.find(Law::MessagesDue, format!("message/{serial}"), detail);
    }
    Ok(())
}
