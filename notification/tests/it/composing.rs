//! What is said of which fact: pure, and silent where it should be.

use std::path::PathBuf;

use notification::{Channel, Config, Webhook, compose};
use shared_events::contract::{CancelReason, Contact, Money, OrderFact, ReservationId, ReturnId};

use crate::support::{fact, placed};

fn config() -> Config {
    Config::to_directory(PathBuf::from("unused"))
}

fn kinds(facts: &shared_events::contract::Fact) -> Vec<(Channel, &'static str)> {
    compose(facts, &config()).iter().map(|message| (message.channel, message.kind)).collect()
}

#[test]
fn a_placed_order_is_received_and_not_yet_confirmed() {
    let messages = compose(&placed(1), &config());
    assert_eq!(messages.len(), 1);
    assert_eq!((messages[0].channel, messages[0].kind), (Channel::Email, "RECEIVED"));
    assert_eq!(messages[0].recipient, "ada@example.org");
    assert!(messages[0].subject.ends_with("we have received it"));
    assert!(messages[0].body.contains("Total: 15.30 GBP"));
    assert!(!messages[0].body.contains("confirmed"));
}

#[test]
fn a_confirmed_order_is_told_by_mail_and_to_the_phone() {
    let confirmed =
        fact(1, |order| OrderFact::Confirmed { order, reservation_id: ReservationId::mint() });
    assert_eq!(kinds(&confirmed), [(Channel::Email, "CONFIRMED"), (Channel::Sms, "CONFIRMED")]);
}

#[test]
fn a_cancellation_is_told_by_its_reason() {
    for (reason, kind) in [
        (CancelReason::CustomerRequest, "CANCELLED"),
        (CancelReason::Ops, "CANCELLED"),
        (CancelReason::InsufficientStock, "OUT_OF_STOCK"),
        (CancelReason::SlaTimeout, "EXPIRED"),
        (CancelReason::PaymentFailed, "PAYMENT_FAILED"),
    ] {
        let cancelled = fact(1, |order| OrderFact::Cancelled {
            order,
            reason,
            was_confirmed: false,
            skus: Vec::new(),
        });
        assert_eq!(kinds(&cancelled), [(Channel::Email, kind)]);
    }
}

#[test]
fn an_approved_return_is_told_once_with_its_refund() {
    let return_id = ReturnId::mint();
    let returned = fact(1, |order| OrderFact::Returned { order, return_id, lines: Vec::new() });
    assert_eq!(kinds(&returned), []);
    let refund = Money::new(250, "GBP".parse().unwrap());
    let refunded = fact(1, |order| OrderFact::RefundRequested { order, return_id, refund });
    let messages = compose(&refunded, &config());
    assert_eq!(messages[0].kind, "REFUND");
    assert!(messages[0].body.contains("2.50 GBP"));
}

#[test]
fn operators_are_reminded_and_the_customer_is_not() {
    let overdue = fact(1, |order| OrderFact::ReturnOverdue { order, return_id: ReturnId::mint() });
    let messages = compose(&overdue, &config());
    assert_eq!(messages.len(), 1);
    assert_eq!(
        (messages[0].kind, messages[0].recipient.as_str()),
        ("RETURN_OVERDUE", "ops@localhost")
    );
    let silent = Config { ops: None, ..config() };
    assert!(compose(&overdue, &silent).is_empty());
}

#[test]
fn the_customers_language_is_spoken_where_it_is_known() {
    let mut german = placed(1);
    let mut swahili = placed(1);
    for (fact, locale) in [(&mut german, "de-AT"), (&mut swahili, "sw")] {
        let shared_events::contract::FactBody::Order(OrderFact::Created { order, .. }) =
            &mut fact.body
        else {
            panic!("a placed order")
        };
        order.contact = Contact::new("ada@example.org", "", locale).unwrap();
    }
    assert!(compose(&german, &config())[0].subject.contains("wir haben sie erhalten"));
    assert!(compose(&swahili, &config())[0].subject.contains("we have received it"));
}

#[test]
fn nobody_to_tell_is_silence_but_the_webhook_hears_all() {
    let mut nobody = placed(1);
    if let shared_events::contract::FactBody::Order(OrderFact::Created { order, .. }) =
        &mut nobody.body
    {
        order.contact = Contact::default();
    }
    assert!(compose(&nobody, &config()).is_empty());
    let webhook = Webhook {
        url: "http://localhost/".to_owned(),
        secret: "s".repeat(32),
        authorities: Vec::new(),
    };
    let config = Config { webhook: Some(webhook), ..config() };
    let messages = compose(&nobody, &config);
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0].subject, "order.created.v1");
    assert_eq!(messages[0].body, nobody.to_json().unwrap());
}

#[test]
fn the_same_fact_says_the_same_and_shows_nothing_by_debug() {
    let fact = placed(1);
    let (once, again) = (compose(&fact, &config()), compose(&fact, &config()));
    assert!(once == again);
    let shown = format!("{once:?} {:?}", config());
    assert!(!shown.contains("ada@example.org") && !shown.contains("Total"), "{shown}");
}
