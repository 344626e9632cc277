use notification::ledger::{self, Filter};

use super::laws;
use super::report::{Law, Report};
use super::stores::{Batch, PAGE, ROWS, Rest, readable};
use crate::engine::services::notifications::{NOTIFICATIONS, SERVICE};

/// Checks these orders.
pub(super) async fn of_orders(report: &mut Report, batch: &Batch<'_>) -> anyhow::Result<()> {
    let database = batch.stores.of(&SERVICE)?;
    let (handled, ids) = batch.handled(&NOTIFICATIONS);
    let mut messages = ledger::of_orders(database, &ids).await?;
    let mut contacts = ledger::corrected_contacts(database, &ids).await?;
    for one in handled {
        let (subject, read_part) = (one.subject.as_str(), one.read_part(&NOTIFICATIONS));
        let found = messages.remove(&one.order_id).unwrap_or_else(|| Ok(Vec::new()));
        if let Some(found) = readable(report, Law::NotificationsOnce, subject, found)? {
            let facts = read_part.facts(&one.followers.fact_ids);
            // Messages sent before the journal was set back were correct then.
            let found = found.into_iter().filter(|entry| !entry.gone && entry.resend_of.is_none());
            let sent = found.map(|entry| (entry.fact_id, entry.route));
            laws::notifications(report, subject, &facts, sent);
        }
        let contact = contacts.remove(&one.order_id);
        laws::contact(report, subject, &read_part, contact.as_ref());
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
