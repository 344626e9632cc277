//! Orders that a restored journal still has, without their last events. What these had moved is not
//! moved a second time, and `verify` names what differs until the order says it again.

use serde_json::{Value, json};

use crate::health::until_health;
use crate::history::{doubt, until_caught_up};
use crate::older_journal::OlderJournal;
use crate::paid_orders::{Shop, gbp};
use crate::support::until;
use crate::vanished_orders::findings;

const ONE_MUG: [&str; 2] = ["--line", "1=1"];

/// The orders of which `verify` says that their money is not what their goods are worth.
fn named(shop: &Shop) -> Vec<String> {
    let found = findings(shop).into_iter().filter(|(law, _)| law == "money_as_goods");
    found.map(|(_, subject)| subject).collect()
}

fn fulfill(shop: &Shop, order: &str, more: &[&str]) {
    shop.engine.ask(&[&["order", "fulfill", order][..], more].concat());
}

/// How many messages of a kind were sent about an order, and stand.
fn messages(shop: &Shop, order: &str, kind: &str) -> usize {
    let listed = shop.engine.ask(&["notification", "list", "--order", order]);
    let all = listed["notifications"].as_array().cloned().unwrap_or_default();
    all.iter().filter(|one| one["kind"] == kind).count()
}

/// Shipped in part, returned, and cancelled after the backup.
struct SetBack {
    shop: Shop,
    shipped: String,
    returned: String,
    cancelled: String,
}

impl SetBack {
    fn of(shop: Shop, journal: &OlderJournal) -> Self {
        let [shipped, returned, cancelled] = [(); 3].map(|()| {
            let order = shop.place("cards");
            shop.attempt(&order, "tok_visa");
            shop.confirmed(&order);
            order
        });
        fulfill(&shop, &returned, &[]);
        shop.until_payment(&returned, "CAPTURED");
        let request = ["return", "request", returned.as_str(), "--reason", "chipped"];
        shop.engine.ask(&[&request[..], &ONE_MUG].concat());
        until_caught_up(&shop.engine);
        let shop = shop.stopped(|shop| journal.keep(shop));

        fulfill(&shop, &shipped, &ONE_MUG);
        assert_eq!(shop.until_payment(&shipped, "PARTIALLY_CAPTURED")["captured"], gbp(10));
        shop.engine.ask(&["return", "approve", &returned]);
        shop.until_payment(&returned, "PARTIALLY_REFUNDED");
        shop.until(&returned, "paid back", is_paid_back);
        shop.engine.ask(&["order", "cancel", &cancelled]);
        shop.until_payment(&cancelled, "VOIDED");
        shop.compensated(&cancelled);
        until_caught_up(&shop.engine);
        let shop = shop.stopped(|shop| journal.restore(shop));
        until("the journal is doubted", || !doubt(&shop.engine).is_empty());
        until_health(&shop.engine, false, "ordinal journal restored");
        shop.engine.ask(&["journal", "restored", "--reason", "a drill"]);
        until_caught_up(&shop.engine);
        Self { shop, shipped, returned, cancelled }
    }
}

fn is_paid_back(order: &Value) -> bool {
    order["payment"]["refunds"][0]["state"] == "REFUND_STATE_SETTLED"
}

fn nothing_is_moved_twice(set_back: SetBack) {
    let SetBack { shop, shipped, returned, cancelled } = set_back;
    // Nothing is sent for money that went back with the lost cancellation.
    let lost = |order: &Value| order["payment"]["status"] == "PAYMENT_STATUS_LOST";
    shop.until(&cancelled, "without its money", lost);
    let refused = shop.engine.refused(1, &["order", "fulfill", &cancelled]);
    assert_eq!(refused["reason"], "PAYMENT_NOT_SECURED");
    until("verify names what differs", || {
        let named = named(&shop);
        [&shipped, &returned].iter().all(|order| named.contains(&format!("order/{order}")))
    });
    assert_eq!(shop.until_payment(&shipped, "PARTIALLY_CAPTURED")["captured"], gbp(10));

    // The parcel that left is noted again, and takes nothing. The next one does.
    fulfill(&shop, &shipped, &ONE_MUG);
    fulfill(&shop, &shipped, &[]);
    assert_eq!(shop.until_payment(&shipped, "CAPTURED")["captured"], gbp(20));
    // So is what came back.
    shop.engine.ask(&["return", "approve", &returned]);
    shop.until(&returned, "paid back", is_paid_back);
    assert_eq!(shop.until_payment(&returned, "PARTIALLY_REFUNDED")["refunded"], gbp(10));
    // The customer of the third pays anew.
    shop.attempt(&cancelled, "tok_visa");
    let secured = |order: &Value| order["payment"]["status"] == "PAYMENT_STATUS_SECURED";
    shop.until(&cancelled, "paid anew", secured);
    fulfill(&shop, &cancelled, &[]);
    assert_eq!(shop.until_payment(&cancelled, "CAPTURED")["captured"], gbp(20));
    until_caught_up(&shop.engine);
    let stock = shop.engine.ask(&["stock", "get", "MUG"])["stock"].take();
    assert_eq!(stock["reserved"], json!(0), "{stock}");
    for (order, kind) in [(&shipped, "RECEIVED"), (&shipped, "CONFIRMED"), (&returned, "RECEIVED")]
    {
        assert_eq!(messages(&shop, order, kind), 1, "{kind} of {order}");
    }
    let letters = shop.engine.ask(&["dead-letter", "list"]);
    assert!(letters["dead_letters"].as_array().is_none_or(Vec::is_empty), "{letters}");
    shop.close();
}

#[test]
fn orders_that_lost_their_last_events_move_nothing_twice_on_sqlite() {
    let (shop, journal) = OlderJournal::on_sqlite();
    nothing_is_moved_twice(SetBack::of(shop, &journal));
}

#[test]
fn orders_that_lost_their_last_events_move_nothing_twice_on_postgres() {
    let (shop, journal) = OlderJournal::on_postgres("--orders-database-url", "");
    nothing_is_moved_twice(SetBack::of(shop, &journal));
}

/// Only the journal is restored: the followers of answers, whose cursors are elsewhere, have read what
/// the order does not know any more.
fn answers_are_heard_again(shop: Shop, journal: &OlderJournal) {
    let order = shop.place("cards");
    shop.asks_for_money(&order);
    until_caught_up(&shop.engine);
    let shop = shop.stopped(|shop| journal.keep(shop));
    shop.attempt(&order, "tok_visa");
    shop.confirmed(&order);
    until_caught_up(&shop.engine);
    let shop = shop.stopped(|shop| journal.restore(shop));
    until("the journal is doubted", || !doubt(&shop.engine).is_empty());
    shop.engine.ask(&["journal", "restored", "--reason", "a drill"]);
    shop.confirmed(&order);
    let secured = shop.engine.ask(&["order", "get", &order])["order"]["payment"]["status"].take();
    assert_eq!(secured, "PAYMENT_STATUS_SECURED");
    fulfill(&shop, &order, &[]);
    assert_eq!(shop.until_payment(&order, "CAPTURED")["captured"], gbp(20));
    until_caught_up(&shop.engine);
    shop.close();
}

#[test]
fn answers_are_heard_again_where_only_the_journal_is_restored_on_sqlite() {
    let (shop, journal) = OlderJournal::on_sqlite();
    answers_are_heard_again(shop, &journal);
}

#[test]
fn answers_are_heard_again_where_only_the_journal_is_restored_on_postgres() {
    let (shop, journal) = OlderJournal::on_postgres("--journal-database", "0-15=");
    answers_are_heard_again(shop, &journal);
}
