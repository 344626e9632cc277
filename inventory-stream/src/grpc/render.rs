use service_edge::time::timestamp;
use shared_events::contract::{LocationName, Sku};

use super::proto;
use crate::domain::{LinePart, Reservation, ReservationState, ReservedLine};
use crate::movements::{Cause, MovementKind, StockMovement};
use crate::store::{Location, Loser, Stock};

pub(super) fn rendered_movement(movement: StockMovement) -> proto::Movement {
    use proto::MovementCause as Shown;
    let cause = match (movement.cause, movement.fact.as_ref().map(|fact| fact.kind)) {
        (_, Some(MovementKind::Reserved)) => Shown::Reserved,
        (_, Some(MovementKind::Released)) => Shown::Released,
        (_, Some(MovementKind::Committed)) => Shown::Committed,
        (_, Some(MovementKind::Restocked)) => Shown::Restocked,
        (_, Some(MovementKind::Allocated)) => Shown::Allocated,
        (Cause::Set, None) => Shown::Set,
        (Cause::Backorder, None) => Shown::Backorder,
        (Cause::Adjusted, None) => Shown::Adjusted,
        (Cause::SetBack, None) => Shown::SetBack,
        (Cause::Earlier, None) => Shown::Earlier,
        (Cause::Orders, None) => Shown::Unspecified,
    };
    let after = movement.after.unzip();
    let (order_id, fact_id, fact_shard, fact_position) =
        movement.fact.map_or_else(Default::default, |fact| {
            (fact.order_id, fact.id, u32::from(fact.shard), fact.position)
        });
    proto::Movement {
        number: movement.position.number,
        index: movement.position.index,
        at: Some(timestamp(movement.at)),
        cause: cause.into(),
        on_hand_change: movement.on_hand_change,
        reserved_change: movement.reserved_change,
        on_hand: after.0,
        reserved: after.1,
        order_id,
        fact_id,
        fact_shard,
        fact_position,
        reason: movement.reason,
        asked_by: movement.asked_by,
        request_id: movement.request_id,
        allocated: movement.allocated,
        location: named(&movement.location),
    }
}

/// Empty for `main`.
fn named(location: &LocationName) -> String {
    if location.is_main() { String::new() } else { location.to_string() }
}

pub(super) fn rendered_location(location: &Location) -> proto::Location {
    let priority = i32::try_from(location.priority).unwrap_or(i32::MAX);
    proto::Location { name: location.name.to_string(), priority }
}

pub(super) fn rendered(stock: &Stock) -> proto::Stock {
    proto::Stock {
        sku: stock.sku.to_string(),
        on_hand: stock.level.on_hand,
        reserved: stock.level.reserved,
        available: stock.level.available(),
        backordered: stock.level.backordered,
        backorder_limit: stock.level.backorder.limit,
        backorder_until: stock.level.backorder.until.map(timestamp),
        locations: rendered_places(stock),
    }
}

/// Where the units are; nothing where that is only `main`.
fn rendered_places(stock: &Stock) -> Vec<proto::LocationStock> {
    if stock.elsewhere.is_empty() {
        return Vec::new();
    }
    let place = |location: &LocationName, on_hand: i64, held: i64| proto::LocationStock {
        location: location.to_string(),
        on_hand,
        held,
        free: on_hand - held,
    };
    let sum = stock
        .elsewhere
        .values()
        .fold((0, 0), |(on_hand, held), place| (on_hand + place.on_hand, held + place.held));
    let (on_hand, held) = (stock.level.on_hand - sum.0, stock.level.held() - sum.1);
    let main = place(&LocationName::main(), on_hand, held);
    let others = stock.elsewhere.iter().map(|(name, level)| place(name, level.on_hand, level.held));
    std::iter::once(main).chain(others).collect()
}

/// Where a line's units are; nothing where that is only `main`.
fn rendered_parts(line: &ReservedLine, holds: bool) -> Vec<proto::LinePart> {
    if line.parts.is_empty() {
        return Vec::new();
    }
    let main = LocationName::main();
    let all = std::iter::once(&main).chain(line.parts.keys());
    let parts = all.map(|location| {
        let LinePart { held, committed, restocked } = line.part(location);
        let held = if holds { held } else { 0 };
        proto::LinePart { location: location.to_string(), held, committed, restocked }
    });
    parts.collect()
}

pub(super) fn rendered_reservation(found: &Reservation) -> proto::Reservation {
    let state = match found.state {
        ReservationState::Waiting => proto::ReservationState::Waiting,
        ReservationState::Reserved => proto::ReservationState::Reserved,
        ReservationState::Rejected => proto::ReservationState::Rejected,
        ReservationState::Released => proto::ReservationState::Released,
    };
    let holds = found.state == ReservationState::Reserved;
    proto::Reservation {
        order_id: found.order_id.to_string(),
        reservation_id: found.reservation_id.to_string(),
        state: state.into(),
        lines: found.lines.iter().map(|line| rendered_line(line, holds)).collect(),
        missing_skus: found.missing.iter().map(Sku::to_string).collect(),
        edit: found.edit.as_ref().map(|edit| proto::EditReservation {
            edit_id: edit.edit_id.to_string(),
            lines: edit.lines.iter().map(|line| rendered_line(line, true)).collect(),
        }),
    }
}

fn rendered_line(line: &ReservedLine, holds: bool) -> proto::ReservationLine {
    proto::ReservationLine {
        line: line.line,
        sku: line.sku.to_string(),
        quantity: line.quantity,
        held: if holds { line.open() } else { 0 },
        released: line.released,
        committed: line.committed,
        restocked: line.restocked,
        backordered: if holds { line.backordered } else { 0 },
        locations: rendered_parts(line, holds),
    }
}

pub(super) fn rendered_holder(found: &Reservation, sku: &Sku) -> proto::StockHolder {
    proto::StockHolder {
        order_id: found.order_id.to_string(),
        units: found.held_of(sku),
        placed_at: found.placed_at.map(timestamp),
        partly_shipped: found.has_shipped(),
        backordered: found.backordered_of(sku),
    }
}

pub(super) fn rendered_loser(loser: &Loser) -> proto::StockHolder {
    proto::StockHolder {
        order_id: loser.reservation.order_id.to_string(),
        units: loser.units,
        placed_at: loser.reservation.placed_at.map(timestamp),
        partly_shipped: false,
        // Those it waited for are not among them any more.
        backordered: 0,
    }
}
