//! Which messages a fact leads to, and their texts.

use std::path::PathBuf;

use notification::{Channel, Config, Mail, Shop, compose, compose_all};
use shared_events::contract::{
    CancelReason, ChargeFact, Contact, Disposition, Fact, FactBody, KeptUnits, LineUnits, Money,
    OrderFact, OrderLineFact, OrderNames, Quantity, ReservationId, ReturnId, ReturnedUnits, Sku,
    TotalsFact,
};

use crate::support::{fact, hook, placed};

fn config() -> Config {
    Config::to_directory(PathBuf::from("unused"))
}

fn kinds(facts: &shared_events::contract::Fact) -> Vec<(Channel, &'static str)> {
    compose(facts, &config()).iter().map(|message| (message.channel, message.kind)).collect()
}

#[test]
fn a_placed_order_is_acknowledged_not_confirmed() {
    let messages = compose(&placed(1), &config());
    assert_eq!(messages.len(), 1);
    assert_eq!((messages[0].channel, messages[0].kind), (Channel::Email, "RECEIVED"));
    assert_eq!(messages[0].recipient, "ada@example.org");
    assert!(messages[0].subject.ends_with("we have received it"));
    assert!(messages[0].body.contains("Total: 15.30 GBP"));
    assert!(!messages[0].body.contains("confirmed"));
}

#[test]
fn a_confirmation_goes_by_mail_and_sms() {
    let confirmed = fact(1, |order| OrderFact::Confirmed {
        order,
        reservation_id: ReservationId::mint(),
        backordered: Vec::new(),
        payments: Vec::new(),
    });
    assert_eq!(kinds(&confirmed), [(Channel::Email, "CONFIRMED"), (Channel::Sms, "CONFIRMED")]);
}

#[test]
fn a_confirmation_names_the_units_that_wait() {
    let mail = |lines: u32| {
        let units = |line| LineUnits {
            line,
            sku: "MUG".parse().unwrap(),
            quantity: Quantity::new(2).unwrap(),
            title: String::new(),
        };
        let confirmed = fact(1, |order| OrderFact::Confirmed {
            order,
            reservation_id: ReservationId::mint(),
            backordered: (1..=lines).map(units).collect(),
            payments: Vec::new(),
        });
        compose(&confirmed, &config()).remove(0).body
    };
    assert!(!mail(0).contains("To follow"));
    assert!(mail(1).contains("\nTo follow when they are in stock:\n2 x MUG\n"), "{}", mail(1));
    assert!(mail(103).contains("2 x MUG\n… 3 more lines\n"), "{}", mail(103));
}

#[test]
fn customers_are_told_which_units_came_and_which_still_wait() {
    let units = |sku: &str, quantity| LineUnits {
        line: 1,
        sku: sku.parse().unwrap(),
        quantity: Quantity::new(quantity).unwrap(),
        title: String::new(),
    };
    let came = |waiting: Vec<LineUnits>| {
        fact(1, |order| OrderFact::LinesAllocated {
            order,
            lines: vec![units("MUG", 2)],
            backordered: waiting,
        })
    };
    assert_eq!(kinds(&came(Vec::new())), [(Channel::Email, "ALLOCATED")]);
    let mail = compose(&came(vec![units("CUP", 3)]), &config()).remove(0);
    assert!(mail.subject.ends_with("units that you waited for are in stock"), "{}", mail.subject);
    let (came_now, waits) = mail.body.split_once("To follow when they are in stock:").unwrap();
    assert!(came_now.contains("2 x MUG\n") && waits.contains("3 x CUP\n"), "{}", mail.body);
    let mail = compose(&came(Vec::new()), &config()).remove(0);
    assert!(!mail.body.contains("To follow"), "{}", mail.body);
}

#[test]
fn each_cancellation_reason_has_its_own_message() {
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
            text: String::new(),
            refund_id: None,
            payments: Vec::new(),
        });
        assert_eq!(kinds(&cancelled), [(Channel::Email, kind)]);
    }
}

#[test]
fn an_approved_return_is_one_message_with_its_refund() {
    let return_id = ReturnId::mint();
    assert_eq!(kinds(&returned(return_id)), []);
    let messages = compose(&refund(return_id, 250), &config());
    assert_eq!(messages[0].kind, "REFUND");
    assert!(messages[0].body.contains("2.50 GBP"));
}

fn mug() -> (Sku, Quantity) {
    ("MUG".parse().unwrap(), Quantity::new(2).unwrap())
}

fn returned(return_id: ReturnId) -> Fact {
    let (sku, quantity) = mug();
    let lines = vec![ReturnedUnits {
        line: 1,
        sku,
        quantity,
        disposition: Disposition::Restock,
        title: "Mug, blue".to_owned(),
    }];
    fact(1, |order| OrderFact::Returned {
        order,
        return_id,
        lines,
        return_reference: String::new(),
        kept: Vec::new(),
        rejected_reason: String::new(),
        location: None,
    })
}

fn refund(return_id: ReturnId, minor: i64) -> Fact {
    let refund = Money::new(minor, "GBP".parse().unwrap());
    let refund = fact(1, |order| OrderFact::RefundRequested {
        order,
        return_id,
        refund,
        return_reference: String::new(),
        kept: Vec::new(),
        rejected_reason: String::new(),
        payments: Vec::new(),
    });
    Fact { index: 1, ..refund }
}

#[test]
fn a_refund_of_zero_is_not_announced() {
    let return_id = ReturnId::mint();
    let kinds = |facts: &[Fact]| -> Vec<&str> {
        compose_all(facts, &config()).iter().map(|message| message.kind).collect()
    };
    // As facts are published now, and as earlier versions did.
    for facts in [&[returned(return_id)][..], &[returned(return_id), refund(return_id, 0)]] {
        let messages = compose_all(facts, &config());
        assert_eq!(messages.len(), 1, "{messages:?}");
        assert_eq!(messages[0].kind, "RETURNED");
        for text in [&messages[0].subject, &messages[0].body] {
            assert!(text.contains("your return is accepted"), "{text}");
            assert!(!text.contains("refund") && !text.contains("GBP"), "{text}");
        }
    }
    assert!(
        compose_all(&[returned(return_id)], &config())[0].body.contains("2 x Mug, blue (MUG)\n")
    );
    // A refund covers its own return only.
    assert_eq!(kinds(&[returned(return_id), refund(return_id, 250)]), ["REFUND"]);
    let other = Fact { position: 2, ..refund(return_id, 250) };
    assert_eq!(kinds(&[returned(return_id), other]), ["RETURNED", "REFUND"]);
}

#[test]
fn messages_of_a_return_say_what_stays_with_the_customer() {
    let return_id = ReturnId::mint();
    let (sku, quantity) = mug();
    let lines = vec![LineUnits { line: 1, sku: sku.clone(), quantity, title: String::new() }];
    let kept = |outcome: &str| {
        let (sku, outcome) = ("PLATE".parse().unwrap(), outcome.to_owned());
        vec![KeptUnits { line: 2, sku, quantity, outcome }]
    };
    let approved = fact(1, |order| OrderFact::ReturnApproved {
        order,
        return_id,
        lines,
        return_reference: "RMA 7".to_owned(),
        kept: kept("REJECTED"),
        rejected_reason: "used".to_owned(),
        refund: Money::new(250, "GBP".parse().unwrap()),
    });
    let messages = compose(&approved, &config());
    assert_eq!(messages[0].kind, "RETURN_APPROVED");
    for text in ["2.50 GBP", "2 x MUG", "2 x PLATE", "used", "RMA 7"] {
        assert!(messages[0].body.contains(text), "{text} is not in {}", messages[0].body);
    }
    let mut refunded = refund(return_id, 250);
    if let FactBody::Order(OrderFact::RefundRequested { kept: units, .. }) = &mut refunded.body {
        *units = kept("NOT_ARRIVED");
    }
    let messages = compose(&refunded, &config());
    assert!(messages[0].body.contains("2 x PLATE (did not arrive)"), "{}", messages[0].body);
}

/// The fact, with another contact of the customer.
fn with_contact(mut fact: Fact, contact: &Contact) -> Fact {
    let FactBody::Order(order) = &mut fact.body else { panic!("a fact of an order") };
    match order {
        OrderFact::Created { order, .. }
        | OrderFact::Confirmed { order, .. }
        | OrderFact::Cancelled { order, .. } => order.contact = contact.clone(),
        _ => panic!("another fact"),
    }
    fact
}

#[test]
fn a_phone_gets_sms_only_where_sms_can_be_sent() {
    let cancelled = fact(1, |order| OrderFact::Cancelled {
        order,
        reason: CancelReason::InsufficientStock,
        was_confirmed: false,
        skus: vec![mug().0],
        text: String::new(),
        refund_id: None,
        payments: Vec::new(),
    });
    let confirmed = fact(2, |order| OrderFact::Confirmed {
        order,
        reservation_id: ReservationId::mint(),
        backordered: Vec::new(),
        payments: Vec::new(),
    });
    let facts = [placed(3), confirmed, cancelled];
    let both = Contact::new("ada@example.org", "+442071838750", "en").unwrap();
    let phone = Contact::new("", "+442071838750", "en").unwrap();
    let composed = |contact: &Contact, config: &Config| -> Vec<(Channel, &str)> {
        let facts: Vec<Fact> =
            facts.iter().map(|fact| with_contact(fact.clone(), contact)).collect();
        let messages = compose_all(&facts, config);
        messages.iter().map(|message| (message.channel, message.kind)).collect()
    };
    let files = config();
    let smtp = Config { mail: Mail::Smtp("smtp://localhost".to_owned()), ..config() };
    use Channel::{Email, Sms};
    let mails = [(Email, "RECEIVED"), (Email, "CONFIRMED"), (Email, "OUT_OF_STOCK")];
    assert_eq!(composed(&both, &smtp), mails);
    assert_eq!(composed(&both, &files), [mails[0], mails[1], (Sms, "CONFIRMED"), mails[2]]);
    assert_eq!(
        composed(&phone, &files),
        [(Sms, "RECEIVED"), (Sms, "CONFIRMED"), (Sms, "OUT_OF_STOCK")]
    );
    assert_eq!(composed(&phone, &smtp), []);
}

#[test]
fn mails_name_lines_totals_and_reasons() {
    let (sku, quantity) = mug();
    let price = |minor| Money::new(minor, "GBP".parse().unwrap());
    let line = |line| OrderLineFact {
        line,
        sku: sku.clone(),
        quantity,
        unit_price: price(i64::from(line) * 450),
        title: String::new(),
        image_url: String::new(),
        attributes: <_>::default(),
        total: None,
    };
    let bought = |lines: u32, locale: &str| {
        let mut bought = placed(1);
        let FactBody::Order(OrderFact::Created { order, lines: of, .. }) = &mut bought.body else {
            panic!("a placed order")
        };
        order.contact = Contact::new("ada@example.org", "", locale).unwrap();
        *of = (1..=lines).map(line).collect();
        let shop = Shop { name: Some("Caf\u{e9} Ada".to_owned()), ..Shop::default() };
        compose(&bought, &Config { shop, ..config() }).remove(0).body
    };
    let text = bought(2, "en");
    let listed = "2 x MUG, 4.50 GBP each: 9.00 GBP\n2 x MUG, 9.00 GBP each: 18.00 GBP\n\n\
                  Total: 15.30 GBP\n\nCaf\u{e9} Ada\n";
    assert!(text.ends_with(listed), "{text}");
    let text = bought(1, "de_AT");
    assert!(text.contains("2 x MUG, je 4,50 GBP: 9,00 GBP\n\nSumme: 15,30 GBP"), "{text}");
    let text = bought(2_000, "en");
    assert!(text.contains("1900 more lines") && text.len() < 10_000, "{text}");

    let composed = |fact: &Fact| compose(fact, &config()).remove(0);
    for (reason, words) in [
        (CancelReason::CustomerRequest, "it is cancelled, as you asked"),
        (CancelReason::Ops, "it is cancelled, because we cannot deliver it"),
        (CancelReason::InsufficientStock, "Out of stock:\nMUG\n"),
    ] {
        let missing = reason == CancelReason::InsufficientStock;
        let skus = if missing { vec![sku.clone()] } else { Vec::new() };
        let (text, was_confirmed) = ("A pallet fell over.".to_owned(), false);
        let cancelled = fact(1, |order| OrderFact::Cancelled {
            order,
            reason,
            was_confirmed,
            skus,
            text,
            refund_id: None,
            payments: Vec::new(),
        });
        let body = composed(&cancelled).body;
        assert!(body.contains(words) && body.contains(".\n\nA pallet fell over.\n"), "{body}");
    }
    for (reason, words) in [
        (CancelReason::CustomerRequest, "these units are cancelled, as you asked"),
        (CancelReason::Ops, "these units will not be delivered"),
    ] {
        let title = String::new();
        let lines = vec![LineUnits { line: 1, sku: sku.clone(), quantity, title }];
        let text = "One broke.".to_owned();
        let cancelled = fact(1, |order| OrderFact::LinesCancelled {
            order,
            lines,
            reason,
            text,
            refund_id: None,
            payments: Vec::new(),
        });
        let body = composed(&cancelled).body;
        assert!(body.contains(words) && body.ends_with("2 x MUG\n\nOne broke.\n"), "{body}");
    }
}

/// An order with all that a shop says of one: titles, attributes, a charge, a discount and taxes.
fn of_a_shop(locale: &str) -> Fact {
    let gbp = |minor| Money::new(minor, "GBP".parse().unwrap());
    let (sku, quantity) = mug();
    let mut bought = placed(1);
    let FactBody::Order(OrderFact::Created { order, lines, charges, totals, .. }) =
        &mut bought.body
    else {
        panic!("a placed order")
    };
    order.contact = Contact::new("ada@example.org", "", locale).unwrap();
    order.total = gbp(1_399);
    let attributes = [("engraving", "Ada"), ("size", "L")];
    let attributes = attributes.map(|(name, value)| (name.to_owned(), value.to_owned()));
    lines.push(OrderLineFact {
        line: 1,
        sku,
        quantity,
        unit_price: gbp(450),
        title: "Mug, blue".to_owned(),
        attributes: attributes.into(),
        image_url: String::new(),
        total: Some(gbp(800)),
    });
    let charge = |kind: &str, label: &str, minor| ChargeFact {
        kind: kind.to_owned(),
        label: label.to_owned(),
        total: gbp(minor),
    };
    charges.extend([charge("SHIPPING", "Royal Mail", 499), charge("OTHER", "", 100)]);
    *totals = Some(Box::new(TotalsFact {
        goods: gbp(900),
        discounts: gbp(100),
        charges: gbp(499),
        tax: gbp(233),
        total: gbp(1_399),
    }));
    bought
}

#[test]
fn a_mail_lists_what_a_shop_says_of_an_order() {
    for (locale, expected) in [
        (
            "en",
            "2 x Mug, blue (MUG), 4.50 GBP each: 8.00 GBP\n  engraving: Ada\n  size: L\n\
             Shipping (Royal Mail): 4.99 GBP\nOther charges: 1.00 GBP\n\n\
             Discounts: 1.00 GBP (already taken off)\nTax: 2.33 GBP (included)\n\
             Total: 13.99 GBP\n",
        ),
        (
            "de",
            "2 x Mug, blue (MUG), je 4,50 GBP: 8,00 GBP\n  engraving: Ada\n  size: L\n\
             Versand (Royal Mail): 4,99 GBP\nSonstiges: 1,00 GBP\n\n\
             Rabatte: 1,00 GBP (schon abgezogen)\nSteuern: 2,33 GBP (enthalten)\n\
             Summe: 13,99 GBP\n",
        ),
    ] {
        let body = compose(&of_a_shop(locale), &config()).remove(0).body;
        let (_, listed) = body.split_once("\n\n").unwrap();
        assert_eq!(listed, expected);
    }
    // Of each line at most 20 attributes, and at most 100 lines.
    let mut long = of_a_shop("en");
    let FactBody::Order(OrderFact::Created { lines, .. }) = &mut long.body else {
        panic!("a placed order")
    };
    lines[0].attributes = (0..50).map(|n| (format!("key {n:02}"), "x".repeat(500))).collect();
    *lines = (1..=2_000).map(|line| OrderLineFact { line, ..lines[0].clone() }).collect();
    let body = compose(&long, &config()).remove(0).body;
    assert_eq!(body.matches("key 19").count(), 100);
    assert!(!body.contains("key 20") && body.contains("1900 more lines"), "{}", body.len());
    assert!(body.ends_with("Total: 13.99 GBP\n"));
}

#[test]
fn an_overdue_return_is_mailed_to_operators_only() {
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

/// Of zero nothing is said; what failed is for operators.
#[test]
fn money_is_told_to_customers_and_its_failures_to_operators() {
    let gbp = |minor| Money::new(minor, "GBP".parse().unwrap());
    let secured = |minor| fact(1, |order| OrderFact::PaymentSecured { order, amount: gbp(minor) });
    let settled = |minor| {
        let refund_id = ReturnId::mint().into();
        fact(2, |order| OrderFact::RefundSettled { order, refund_id, amount: gbp(minor) })
    };
    for (fact, kind, text) in [
        (secured(1_530), "PAID", "your payment is secured.\n\n15.30 GBP\n"),
        (settled(250), "REFUNDED", "your refund was paid.\n\n2.50 GBP\n"),
    ] {
        assert_eq!(kinds(&fact), [(Channel::Email, kind)]);
        let mail = compose(&fact, &config()).remove(0);
        assert!(mail.body.contains(text), "{}", mail.body);
        assert_eq!(mail.recipient, "ada@example.org");
    }
    assert_eq!((kinds(&secured(0)), kinds(&settled(0))), (Vec::new(), Vec::new()));
    let failed = fact(3, |order| OrderFact::RefundFailed {
        order,
        refund_id: ReturnId::mint().into(),
        amount: gbp(250),
        code: "account_closed".to_owned(),
    });
    let mails = compose(&failed, &config());
    assert_eq!((mails.len(), mails[0].kind), (1, "REFUND_FAILED"));
    assert_eq!(mails[0].recipient, "ops@localhost");
    assert!(mails[0].body.contains("account_closed.\n\n2.50 GBP\n"), "{}", mails[0].body);
    assert!(compose(&failed, &Config { ops: None, ..config() }).is_empty());
}

#[test]
fn messages_are_in_the_customers_language_or_english() {
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
fn messages_name_an_order_by_its_number() {
    let confirmed = |order_number: &str| {
        let order_number = order_number.to_owned();
        fact(1, |mut order| {
            order.names = Some(Box::new(OrderNames { order_number, ..OrderNames::default() }));
            OrderFact::Confirmed {
                order,
                reservation_id: ReservationId::mint(),
                backordered: Vec::new(),
                payments: Vec::new(),
            }
        })
    };
    let given = compose(&confirmed("#1001"), &config());
    assert_eq!(given[0].subject, "Order #1001: it is confirmed");
    assert!(given[0].body.contains("Order #1001: it is confirmed."), "{}", given[0].body);
    assert_eq!(given[1].body, "Order #1001: it is confirmed");
    let without = confirmed("");
    let FactBody::Order(fact) = &without.body else { panic!("of an order") };
    let number = fact.order().order_number();
    assert_eq!(compose(&without, &config())[0].subject, format!("Order {number}: it is confirmed"));
    // All others do, too, in each language.
    let templates = concat!(env!("CARGO_MANIFEST_DIR"), "/templates");
    let mut mails = 0;
    for language in std::fs::read_dir(templates).unwrap() {
        for file in std::fs::read_dir(language.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            assert!(!text.contains("order.id"), "{}", path.display());
            if path.to_string_lossy().ends_with(".email.txt") {
                assert!(text.contains("{{ order.number }}"), "{}", path.display());
                mails += 1;
            }
        }
    }
    assert!(mails >= 33, "{mails}");
}

#[test]
fn an_order_without_contact_reaches_only_the_webhook() {
    let mut nobody = placed(1);
    if let shared_events::contract::FactBody::Order(OrderFact::Created { order, .. }) =
        &mut nobody.body
    {
        order.contact = Contact::default();
    }
    assert!(compose(&nobody, &config()).is_empty());
    let config = Config { webhooks: vec![hook("http://localhost/".to_owned())], ..config() };
    let messages = compose(&nobody, &config);
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0].subject, "order.created.v1");
    assert_eq!(messages[0].body, nobody.to_json().unwrap());
}

#[test]
fn composing_is_deterministic_and_debug_hides_the_text() {
    let fact = placed(1);
    let (once, again) = (compose(&fact, &config()), compose(&fact, &config()));
    assert!(once == again);
    let shown = format!("{once:?} {:?}", config());
    assert!(!shown.contains("ada@example.org") && !shown.contains("Total"), "{shown}");
}
