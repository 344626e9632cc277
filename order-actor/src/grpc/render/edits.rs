use super::amounts::{discounts, taxes};
use super::event::placed_line;
use super::{money, texts, time, units};
use crate::domain::{ChangedLine, Edit, EditState, Event};
use crate::grpc::proto;
use crate::grpc::proto::event::Kind;

const fn state(state: EditState) -> proto::EditState {
    match state {
        EditState::Waiting => proto::EditState::Waiting,
        EditState::Applied => proto::EditState::Applied,
        EditState::OutOfStock => proto::EditState::OutOfStock,
        EditState::Expired => proto::EditState::Expired,
        EditState::Voided => proto::EditState::Voided,
    }
}

/// An edit of an order.
pub(super) fn edit(edit: &Edit) -> proto::Edit {
    let waits = edit.state == EditState::Waiting;
    proto::Edit {
        edit_id: edit.edit_id.to_string(),
        state: state(edit.state).into(),
        reason: edit.reason.clone(),
        asked_at: Some(time(edit.asked_at)),
        answer_by: edit.answer_by.filter(|_| waits).map(time),
        missing_skus: texts(&edit.skus),
    }
}

fn changed(line: &ChangedLine) -> proto::ChangedLine {
    proto::ChangedLine {
        line: line.line,
        before: line.from,
        after: line.to,
        discounts: discounts(&line.discounts),
        taxes: taxes(&line.taxes),
    }
}

/// An event of an edit; none for other events.
pub(super) fn kind(event: &Event) -> Option<Kind> {
    Some(match event {
        Event::OrderEditRequested(asked) => Kind::OrderEditRequested(proto::OrderEditRequested {
            edit_id: asked.edit_id.to_string(),
            changed: asked.lines.changed.iter().map(changed).collect(),
            added: asked.lines.added.iter().map(placed_line).collect(),
            reason: asked.reason.clone(),
            answer_by: Some(time(asked.answer_by)),
        }),
        Event::OrderEdited(edited) => Kind::OrderEdited(proto::OrderEdited {
            edit_id: edited.edit_id.to_string(),
            changed: edited.lines.changed.iter().map(changed).collect(),
            added: edited.lines.added.iter().map(placed_line).collect(),
            total: Some(money(edited.total)),
            reason: edited.reason.clone(),
            backordered: units(&edited.backordered),
        }),
        Event::OrderEditRefused(refused) => Kind::OrderEditRefused(proto::OrderEditRefused {
            edit_id: refused.edit_id.to_string(),
            state: state(refused.cause.state()).into(),
            missing_skus: texts(&refused.skus),
        }),
        _ => return None,
    })
}
