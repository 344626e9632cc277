//! Messages that wait, or are sent again, go to the contact as it was corrected.

use notification::ledger::{self, CorrectedContact, Entry, Resent, State};
use shared_events::contract::{Contact, Fact, FactBody, NotificationId, OrderFact};
use shared_events::stream::{Cursors, Dialect, Handler as _};

use crate::support::{Bench, fact, placed};

/// A correction of the order of another fact, at this position.
fn corrected(of: &Fact, position: u64, email: &str) -> Fact {
    let FactBody::Order(order) = &of.body else { unreachable!() };
    let mut order = order.order().clone();
    order.contact = Contact::new(email, "", "en").unwrap();
    let fields = vec!["contact.email".to_owned()];
    fact(position, |_| OrderFact::Corrected { order, fields })
}

async fn resend(bench: &Bench, id: NotificationId) -> Resent {
    let now = *bench.clock.lock().unwrap();
    let mut tx = bench.database.begin().await.unwrap();
    let again = NotificationId::mint();
    let resent = ledger::resend(&bench.database, &mut tx, id, again, "anna", now).await.unwrap();
    tx.commit().await.unwrap();
    bench.follow(&[]).await;
    resent
}

async fn contact(bench: &Bench, entry: &Entry) -> Option<CorrectedContact> {
    ledger::corrected_contact(bench.database.reader(), entry.order_id).await.unwrap()
}

async fn a_resend_goes_to_the_latest_contact(dialect: Dialect) {
    let mut bench = Bench::on(dialect, |_| {}).await;
    let order = placed(1);
    bench.follow(&[order.clone(), placed(2)]).await;
    bench.deliver();
    let sent = |count: usize| {
        move |entries: &[Entry]| {
            entries.len() == count && entries.iter().all(|entry| entry.state == State::Delivered)
        }
    };
    bench.until(sent(2)).await;
    let first = bench.entries().await.remove(0);
    assert_eq!(contact(&bench, &first).await, None);
    // A correction makes no message, also where it is read twice.
    let correction = corrected(&order, 3, "ada@example.com");
    bench.follow(std::slice::from_ref(&correction)).await;
    bench.follow(&[correction]).await;
    bench.follow(&[corrected(&order, 4, "ada@example.net")]).await;
    assert_eq!(bench.entries().await.len(), 2);
    let Resent::Queued(again) = resend(&bench, first.id).await else { panic!() };
    assert_eq!(again.recipient, "ada@example.net");
    assert_eq!((&again.body, again.resend_of), (&first.body, Some(first.id)));
    bench.until(sent(3)).await;
    let entries = bench.entries().await;
    assert!(entries[0] == first, "the first message has changed");
    // Another order's stays.
    let Resent::Queued(other) = resend(&bench, entries[1].id).await else { panic!() };
    assert_eq!(other.recipient, "ada@example.org");
    bench.until(sent(4)).await;
    // The journal is set back: the correction before counts again.
    let mut follower = bench.service.follower();
    let mut tx = bench.database.begin().await.unwrap();
    let from: Cursors = [(0, 4)].into_iter().collect();
    let to: Cursors = [(0, 3)].into_iter().collect();
    follower.set_back(&mut tx, &from, &to).await.unwrap();
    tx.commit().await.unwrap();
    let known = contact(&bench, &first).await.unwrap();
    assert_eq!((known.email.as_str(), known.phone.as_str()), ("ada@example.com", ""));
    assert!(!format!("{known:?}").contains("ada"));
    // Without an address nothing is sent.
    bench.follow(&[corrected(&order, 4, "")]).await;
    assert_eq!(resend(&bench, first.id).await, Resent::NoRecipient);
    bench.stop().await;
}

async fn what_waits_goes_to_the_corrected_contact(dialect: Dialect) {
    let mut bench = Bench::on(dialect, |_| {}).await;
    let order = placed(1);
    bench.follow(&[order.clone(), placed(2)]).await;
    let recipients = |entries: &[Entry]| -> Vec<String> {
        entries.iter().map(|entry| entry.recipient.clone()).collect()
    };
    bench.follow(&[corrected(&order, 3, "ada@example.com")]).await;
    let expected = ["ada@example.com", "ada@example.org"];
    assert_eq!(recipients(&bench.entries().await), expected);
    // Without an address it stays where it was.
    bench.follow(&[corrected(&order, 4, "")]).await;
    assert_eq!(recipients(&bench.entries().await), expected);
    bench.deliver();
    let is_sent = |entry: &Entry| entry.state == State::Delivered;
    bench.until(|entries| entries.iter().all(is_sent)).await;
    // What was sent is not said to have gone elsewhere.
    bench.follow(&[corrected(&order, 5, "ada@example.net")]).await;
    assert_eq!(recipients(&bench.entries().await), expected);
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_goes_to_the_corrected_contact_on_sqlite() {
    what_waits_goes_to_the_corrected_contact(Dialect::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_goes_to_the_corrected_contact_on_postgres() {
    what_waits_goes_to_the_corrected_contact(Dialect::Postgres).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resend_goes_to_the_latest_contact_on_sqlite() {
    a_resend_goes_to_the_latest_contact(Dialect::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resend_goes_to_the_latest_contact_on_postgres() {
    a_resend_goes_to_the_latest_contact(Dialect::Postgres).await;
}
