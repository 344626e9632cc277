//! Edits on the wire: every field that is invalid is named, and what is shown of them.

use order_actor::domain::{Command, Event, replay};
use order_actor::grpc::{proto, render};
use shared_events::contract::Timestamp;

use crate::domain::golden;
use crate::grpc_parse::{ID, OTHER_ID, each, money, ops, options, parsed};

fn edit() -> proto::EditOrderRequest {
    proto::EditOrderRequest {
        order_id: ID.to_owned(),
        edit_id: OTHER_ID.to_owned(),
        changes: vec![proto::LineChange {
            line: 2,
            quantity: 0,
            discounts: vec![proto::Discount {
                label: "SALE".to_owned(),
                amount: Some(money(1, 0, "GBP")),
            }],
            taxes: vec![proto::Tax {
                name: "VAT".to_owned(),
                rate_percent: "20".to_owned(),
                amount: Some(money(1, 0, "GBP")),
            }],
        }],
        lines: vec![proto::NewLine {
            sku: "PAN".to_owned(),
            quantity: 2,
            unit_price: Some(money(7, 0, "GBP")),
            ..proto::NewLine::default()
        }],
        expected: Some(proto::Totals {
            total: Some(money(49, 0, "GBP")),
            ..proto::Totals::default()
        }),
        reason: "she called".to_owned(),
        options: options(),
    }
}

#[test]
fn edits_refuse_each_field_by_name() {
    each(
        edit,
        |request| parsed(request, &ops()),
        &[
            ("order_id", "INVALID_FIELD", |r| r.order_id = "x".into()),
            ("edit_id", "INVALID_FIELD", |r| r.edit_id = "x".into()),
            ("changes[0].line", "INVALID_LINES", |r| r.changes[0].line = 0),
            ("changes[1].line", "INVALID_LINES", |r| r.changes.push(r.changes[0].clone())),
            ("changes[0].quantity", "INVALID_LINES", |r| r.changes[0].quantity = u32::MAX),
            ("changes", "INVALID_LINES", |r| r.changes = vec![r.changes[0].clone(); 2_001]),
            ("changes[0].discounts[0].label", "INVALID_FIELD", |r| {
                r.changes[0].discounts[0].label.clear();
            }),
            ("changes[0].taxes[0].amount", "INVALID_AMOUNT", |r| {
                r.changes[0].taxes[0].amount = Some(money(-1, 0, "GBP"));
            }),
            ("changes", "INVALID_FIELD", |r| {
                r.changes.clear();
                r.lines.clear();
            }),
            ("lines[0].sku", "INVALID_LINE", |r| r.lines[0].sku.clear()),
            ("lines[0].quantity", "INVALID_LINE", |r| r.lines[0].quantity = 0),
            ("lines", "TOO_MANY_LINES", |r| r.lines = vec![r.lines[0].clone(); 2_001]),
            ("expected.total.nanos", "INVALID_AMOUNT", |r| {
                r.expected.as_mut().unwrap().total = Some(money(1, 1, "GBP"));
            }),
            ("reason", "REASON_REQUIRED", |r| r.reason = " ".into()),
            ("reason", "TEXT_TOO_LONG", |r| r.reason = "r".repeat(501)),
        ],
    );
    let Command::EditOrder(edit) = parsed(edit(), &ops()).unwrap().command else { panic!() };
    assert_eq!((edit.changes[0].line, edit.changes[0].quantity, edit.added.len()), (2, 0, 1));
    assert_eq!(edit.edit_id.to_string(), OTHER_ID);
}

#[test]
fn the_id_of_an_edit_follows_from_the_request() {
    let unnamed = || proto::EditOrderRequest { edit_id: String::new(), ..edit() };
    let id = |request| match parsed(request, &ops()).unwrap().command {
        Command::EditOrder(edit) => edit.edit_id,
        other => panic!("{other:?}"),
    };
    assert_eq!(id(unnamed()), id(unnamed()));
    let elsewhere = proto::EditOrderRequest { order_id: OTHER_ID.to_owned(), ..unnamed() };
    assert_ne!(id(unnamed()), id(elsewhere));
}

#[test]
fn customers_do_not_see_why_lines_were_edited() {
    use proto::event::Kind;
    let samples = golden::samples().into_iter().filter(|(name, _)| name.starts_with("OrderEdit"));
    for (name, event) in samples {
        let mut shown = [render::event(&event, 3)];
        let reason = |event: &proto::Event| match event.kind.as_ref().unwrap() {
            Kind::OrderEditRequested(asked) => asked.reason.clone(),
            Kind::OrderEdited(edited) => edited.reason.clone(),
            _ => String::new(),
        };
        let refused = matches!(event, Event::OrderEditRefused(_));
        assert_eq!(reason(&shown[0]).is_empty(), refused, "{name}");
        render::for_customer(None, &mut shown);
        assert_eq!(reason(&shown[0]), "", "{name}");
    }
    let history = crate::domain::edit::edit_waits();
    let order = replay(&history).unwrap();
    let mut order = render::order(&order, 3, Timestamp::from_micros(1)).unwrap();
    assert_eq!(order.edits[0].reason, "she called");
    assert_eq!(order.edits[0].state(), proto::EditState::Waiting);
    assert!(order.edits[0].answer_by.is_some());
    render::for_customer(Some(&mut order), &mut []);
    assert_eq!(order.edits[0].reason, "");
}
