//! A resend is a message of its own; the first one stays as it is.

use std::time::Duration;

use notification::Channel;
use notification::ledger::{self, Entry, Resent, State};
use shared_events::contract::{
    Contact, FactBody, NotificationId, OrderFact, ReservationId, ReturnId,
};
use shared_events::stream::Dialect;

use crate::support::{self, Bench, placed};

async fn resend(bench: &Bench, id: NotificationId, by: &str) -> Resent {
    let now = *bench.clock.lock().unwrap();
    let mut tx = bench.database.begin().await.unwrap();
    let again = NotificationId::mint();
    let resent = ledger::resend(&bench.database, &mut tx, id, again, by, now).await.unwrap();
    tx.commit().await.unwrap();
    // Wakes the delivery loop, as the gRPC service does.
    bench.follow(&[]).await;
    resent
}

fn again(resent: Resent) -> Entry {
    let Resent::Queued(entry) = resent else { panic!("{resent:?}") };
    *entry
}

async fn a_resend_is_a_message_of_its_own(dialect: Dialect) {
    let mut bench = Bench::on(dialect, |_| {}).await;
    bench.follow(&[placed(1)]).await;
    let delivered = |count: usize| {
        move |entries: &[Entry]| {
            entries.len() == count && entries.iter().all(|entry| entry.state == State::Delivered)
        }
    };
    let first = bench.entries().await.remove(0);
    assert_eq!(resend(&bench, first.id, "anna").await, Resent::NotFinished);
    assert_eq!(resend(&bench, NotificationId::mint(), "anna").await, Resent::NotFound);
    bench.deliver();
    bench.until(delivered(1)).await;
    let first = bench.entries().await.remove(0);
    assert_eq!((&first.resend_of, &first.asked_by), (&None, &None));

    bench.advance(Duration::from_secs(60));
    let now = *bench.clock.lock().unwrap();
    let second = again(resend(&bench, first.id, "anna").await);
    assert_eq!((second.attempts, second.state, second.asked_at), (0, State::Queued, now));
    assert_eq!((second.resend_of, second.asked_by.as_deref()), (Some(first.id), Some("anna")));
    bench.until(delivered(2)).await;
    // A resend of the second one refers to the first.
    let third = again(resend(&bench, second.id, "ben").await);
    assert_eq!((third.resend_of, third.asked_by.as_deref()), (Some(first.id), Some("ben")));
    bench.until(delivered(3)).await;
    let entries = bench.entries().await;
    assert!(entries[0] == first, "the first message has changed");
    assert_eq!(entries.iter().map(|entry| entry.serial).collect::<Vec<_>>(), [1, 2, 3]);
    for entry in &entries {
        assert_eq!((entry.attempts, &entry.body), (1, &first.body));
        let mail = bench.folder.path().join("mail").join(format!("{}.eml", entry.id));
        let mail = std::fs::read_to_string(mail).unwrap();
        assert!(mail.contains(&format!("Message-ID: <{}@localhost>", entry.id)), "{mail}");
    }
    // Later messages take the next serial.
    bench.follow(&[placed(2)]).await;
    bench.until(delivered(4)).await;
    bench.stop().await;
}

/// A resend goes to the contact as it was corrected since; the first message stays as it is.
async fn a_resend_goes_to_the_newest_known_contact(dialect: Dialect) {
    let bench = Bench::on(dialect, |_| {}).await;
    let received = placed(1);
    // Later facts have another address, and a repeated one is no news.
    let mut corrected = placed(2);
    corrected.subject = received.subject;
    let mut confirmed = placed(3);
    confirmed.subject = received.subject;
    let FactBody::Order(OrderFact::Created { order, .. }) = &received.body else { panic!() };
    let mut order = order.clone();
    order.contact = Contact::new("ada@new.example", "+442071838750", "en").unwrap();
    let fields = vec!["contact.email".to_owned()];
    corrected.body = FactBody::Order(OrderFact::Corrected { order: order.clone(), fields });
    let reservation_id = ReservationId::mint();
    confirmed.body = FactBody::Order(OrderFact::Confirmed {
        order: order.clone(),
        reservation_id,
        backordered: Vec::new(),
        payments: Vec::new(),
    });
    let mut overdue = placed(4);
    overdue.subject = received.subject;
    let return_id = ReturnId::mint();
    overdue.body = FactBody::Order(OrderFact::ReturnOverdue { order: order.clone(), return_id });
    let mut failed = placed(6);
    failed.subject = received.subject;
    failed.body = FactBody::Order(OrderFact::RefundFailed {
        amount: order.total,
        order,
        refund_id: return_id.into(),
        code: "account_closed".to_owned(),
    });
    bench.follow(&[received, corrected, confirmed, overdue, placed(5), failed]).await;
    let now = *bench.clock.lock().unwrap();
    let until = now.plus(Duration::from_secs(180));
    for channel in [Channel::Email, Channel::Sms] {
        let taken = ledger::claim(&bench.database, channel, now, until, 9).await.unwrap();
        support::delivered(&bench.database, &taken, now).await.unwrap();
    }
    let entries = bench.entries().await;
    let of = |kind: &str, channel: Channel| {
        entries.iter().find(|entry| entry.kind == kind && entry.channel == channel).unwrap()
    };
    for (kind, channel, was, goes_to) in [
        ("RECEIVED", Channel::Email, "ada@example.org", "ada@new.example"),
        ("CONFIRMED", Channel::Email, "ada@new.example", "ada@new.example"),
        ("CONFIRMED", Channel::Sms, "+442071838750", "+442071838750"),
        ("RETURN_OVERDUE", Channel::Email, "ops@localhost", "ops@localhost"),
        ("REFUND_FAILED", Channel::Email, "ops@localhost", "ops@localhost"),
    ] {
        let first = of(kind, channel);
        assert_eq!(first.recipient, was);
        let again = again(resend(&bench, first.id, "anna").await);
        assert_eq!((again.recipient.as_str(), again.kind.as_str()), (goes_to, kind));
        let unchanged = ledger::get(bench.database.reader(), first.id).await.unwrap();
        assert_eq!(unchanged.as_ref(), Some(first));
    }
    bench.stop().await;
}

#[tokio::test]
async fn a_resend_goes_to_the_newest_known_contact_on_sqlite() {
    a_resend_goes_to_the_newest_known_contact(Dialect::Sqlite).await;
}

#[tokio::test]
async fn a_resend_goes_to_the_newest_known_contact_on_postgres() {
    a_resend_goes_to_the_newest_known_contact(Dialect::Postgres).await;
}

/// Twenty requests at the same time make one message, while others are composed.
async fn concurrent_resend_requests_make_one_message(dialect: Dialect) {
    let bench = Bench::on(dialect, |_| {}).await;
    bench.follow(&[placed(1)]).await;
    let now = *bench.clock.lock().unwrap();
    let until = now.plus(Duration::from_secs(180));
    let taken = ledger::claim(&bench.database, Channel::Email, now, until, 1).await.unwrap();
    support::delivered(&bench.database, &taken, now).await.unwrap();
    let requests = futures::future::join_all((0..20).map(|_| resend(&bench, taken[0].id, "anna")));
    let others = async {
        for position in 2..=40 {
            bench.follow(&[placed(position)]).await;
        }
    };
    let (resent, ()) = tokio::join!(requests, others);
    let sent = resent.iter().filter(|resent| matches!(resent, Resent::Queued(_))).count();
    assert_eq!(sent, 1, "{resent:?}");
    let serials: Vec<i64> = bench.entries().await.iter().map(|entry| entry.serial).collect();
    assert_eq!(serials, (1..=41).collect::<Vec<_>>());
    bench.stop().await;
}

#[tokio::test]
async fn a_resend_is_a_message_of_its_own_on_sqlite() {
    a_resend_is_a_message_of_its_own(Dialect::Sqlite).await;
}

#[tokio::test]
async fn a_resend_is_a_message_of_its_own_on_postgres() {
    a_resend_is_a_message_of_its_own(Dialect::Postgres).await;
}

#[tokio::test]
async fn concurrent_resend_requests_make_one_message_on_sqlite() {
    concurrent_resend_requests_make_one_message(Dialect::Sqlite).await;
}

#[tokio::test]
async fn concurrent_resend_requests_make_one_message_on_postgres() {
    concurrent_resend_requests_make_one_message(Dialect::Postgres).await;
}
