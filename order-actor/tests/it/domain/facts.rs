//! What facts carry of an order beside what changed.

use order_actor::domain::{Event, Order, replay};
use order_actor::outbox::translate;
use shared_events::contract::OrderFact;

use super::support::*;

/// The facts of the last event of a history.
fn facts_of_last(events: &[Event]) -> Vec<OrderFact> {
    let after: Order = replay(events).expect("the history is possible");
    translate(&after, events.last().expect("an event"))
}

/// The first line has a title and an attribute.
fn titled() -> Event {
    let mut event = placed();
    if let Event::OrderPlaced { lines, .. } = &mut event {
        lines[0].title = "Mug, blue".to_owned();
        lines[0].attributes.insert("size".to_owned(), "L".to_owned());
    }
    event
}

#[test]
fn lines_have_the_titles_that_the_shop_gave() {
    let history = |further: &[Event]| [&[titled()], further].concat();
    let approved = return_approved(1, ALL, 0, 30);
    let delivered = order_fulfilled(1, ALL, 10);
    let requested = return_requested(1, ALL, 20);
    for further in [
        vec![],
        vec![confirmed(), delivered.clone()],
        vec![confirmed(), delivered.clone(), requested.clone()],
        vec![confirmed(), delivered, requested, approved],
    ] {
        let facts = facts_of_last(&history(&further));
        let titles: Vec<&str> = match &facts[0] {
            OrderFact::Created { lines, .. } => lines.iter().map(|one| &*one.title).collect(),
            OrderFact::Fulfilled { lines, .. } | OrderFact::ReturnRequested { lines, .. } => {
                lines.iter().map(|one| &*one.title).collect()
            }
            OrderFact::Returned { lines, .. } => lines.iter().map(|one| &*one.title).collect(),
            other => panic!("{other:?}"),
        };
        assert_eq!(titles, ["Mug, blue", ""], "{}", facts[0].kind());
    }
    let facts = facts_of_last(&history(&[]));
    let OrderFact::Created { lines, .. } = &facts[0] else { panic!("{facts:?}") };
    assert_eq!(lines[0].attributes["size"], "L");
}

/// Where the shop said nothing of its lines, their facts have the same bytes as before.
#[test]
fn plain_lines_add_nothing_to_a_fact() {
    for history in [vec![placed()], delivered()] {
        let json = serde_json::to_string(&facts_of_last(&history)[0]).unwrap();
        assert!(!json.contains("title") && !json.contains("attributes"), "{json}");
    }
}
