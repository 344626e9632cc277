use shared_events::contract::{LineUnits, OrderFact, OrderHeader};

use super::translate::{lines_in_addition, sums, units};
use crate::domain::{ChangedLine, Details, EditedLines, Event, LineQuantity};

/// The facts of an event about an edit; none for other events.
pub(super) fn facts(order: OrderHeader, details: &Details, event: &Event) -> Vec<OrderFact> {
    match event {
        Event::OrderEditRequested(asked) => vec![OrderFact::EditRequested {
            order,
            edit_id: asked.edit_id,
            lines: wanted(details, &asked.lines),
            answer_by: asked.answer_by,
        }],
        Event::OrderEdited(edited) => {
            let raised: Vec<_> = edited.lines.changed.iter().filter_map(raised_units).collect();
            vec![OrderFact::Edited {
                order,
                edit_id: edited.edit_id,
                raised: units(details, &raised),
                added: lines_in_addition(details, &edited.lines.added),
                cancelled: units(details, &edited.lines.cancelled()),
                backordered: units(details, &edited.backordered),
                totals: sums(details),
            }]
        }
        Event::OrderEditRefused(refused) => vec![OrderFact::EditRefused {
            order,
            edit_id: refused.edit_id,
            cause: refused.cause.state().code().to_owned(),
            skus: refused.skus.clone(),
        }],
        _ => Vec::new(),
    }
}

/// Units that stock must hold in addition: of lines of the order, and of lines that are to come.
fn wanted(details: &Details, lines: &EditedLines) -> Vec<LineUnits> {
    let raised = lines.changed.iter().filter_map(raised_units).collect::<Vec<_>>();
    let added = lines.added.iter().map(|new| LineUnits {
        line: new.line,
        sku: new.sku.clone(),
        quantity: new.quantity,
        title: new.title.clone(),
    });
    units(details, &raised).into_iter().chain(added).collect()
}

fn raised_units(change: &ChangedLine) -> Option<LineQuantity> {
    Some(LineQuantity { line: change.line, quantity: change.added()? })
}
