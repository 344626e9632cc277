//! Parcels after they were shipped: their tracking is corrected, they arrive, or they are lost.
//! Never here: how a parcel is shipped (`commands/fulfill`, `counts`).

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use shared_events::contract::{Disposition, LocationName, Money, ShipmentId, Timestamp};

use super::evolve::{Evolved, WRONG_STATE};
use super::return_events::refund_charges;
use super::returns::sum_of;
use super::{
    ChargeRefund, Confirmed, Details, Fulfilled, LineQuantity, Order, Rejection, Restitution,
    ReturnRequested, counts,
};

/// A shipped parcel, as recorded, so that a repeated id with other content is detected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shipment {
    /// Its id.
    pub shipment_id: ShipmentId,
    /// The warehouse's own id of it; may be empty.
    pub reference: String,
    /// Its units.
    pub lines: Vec<LineQuantity>,
    /// Whether they were all open units.
    pub took_all_open: bool,
    /// The carrier, as it was shipped.
    pub carrier: String,
    /// The carrier's tracking number, as it was shipped.
    pub tracking: String,
    /// The location of stock that it left, if one was named.
    pub location: Option<LocationName>,
    /// When it was shipped.
    pub shipped_at: Timestamp,
    /// Its tracking since then, where that was corrected.
    pub corrected: Option<Tracking>,
    /// When it was delivered, if that was recorded.
    pub delivered_at: Option<Timestamp>,
    /// How it came to nothing, if it did.
    pub undone: Option<Undone>,
}

/// How a parcel is tracked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tracking {
    /// The carrier.
    pub carrier: String,
    /// The carrier's tracking number.
    pub tracking: String,
}

/// A parcel that was undone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undone {
    /// The event.
    pub event: Arc<ShipmentUndone>,
    /// What would have been paid back if nothing else had been said.
    pub default: Money,
    /// That it came back after all, where it had been lost.
    pub found: Option<Arc<ShipmentFound>>,
}

impl Undone {
    /// The state of the parcel.
    fn state(&self) -> ParcelState {
        match self.found {
            Some(_) => ParcelState::ReturnedToSender,
            None => self.event.cause.state(),
        }
    }
}

/// The state of a parcel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ParcelState {
    /// It is on its way, as far as is known.
    Shipped,
    /// It was delivered.
    Delivered,
    /// It was lost.
    Lost,
    /// It came back.
    ReturnedToSender,
}

impl ParcelState {
    /// The stable name, such as `RETURNED_TO_SENDER`.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Shipped => "SHIPPED",
            Self::Delivered => "DELIVERED",
            Self::Lost => "LOST",
            Self::ReturnedToSender => "RETURNED_TO_SENDER",
        }
    }
}

impl Shipment {
    /// Its state.
    #[must_use]
    pub fn state(&self) -> ParcelState {
        match (&self.undone, self.delivered_at) {
            (Some(undone), _) => undone.state(),
            (None, Some(_)) => ParcelState::Delivered,
            (None, None) => ParcelState::Shipped,
        }
    }

    /// That it came back after all, where it had been lost.
    #[must_use]
    pub fn found(&self) -> Option<&ShipmentFound> {
        self.undone.as_ref()?.found.as_deref()
    }

    /// The carrier, as it is known now.
    #[must_use]
    pub fn carrier(&self) -> &str {
        self.corrected.as_ref().map_or(&self.carrier, |now| &now.carrier)
    }

    /// The tracking number, as it is known now.
    #[must_use]
    pub fn tracking(&self) -> &str {
        self.corrected.as_ref().map_or(&self.tracking, |now| &now.tracking)
    }
}

/// A parcel as commands name it: by its id, by the warehouse's own, or by both.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ParcelName {
    /// Its id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shipment_id: Option<ShipmentId>,
    /// The warehouse's own id; empty if it is not given.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reference: String,
}

impl ParcelName {
    /// The parcel.
    pub(super) fn find<'a>(&self, details: &'a Details) -> Result<&'a Shipment, Rejection> {
        let mut parcels = details.shipments.iter().map(Arc::as_ref);
        let is_named = |parcel: &&Shipment| {
            self.shipment_id.is_none_or(|id| id == parcel.shipment_id)
                && (self.reference.is_empty() || self.reference == parcel.reference)
        };
        let named = self.shipment_id.is_some() || !self.reference.is_empty();
        parcels.find(is_named).filter(|_| named).ok_or(Rejection::NoSuchParcel)
    }
}

/// Why a parcel came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum UndoCause {
    /// It was lost.
    Lost,
    /// It came back to the sender.
    ReturnedToSender,
}

impl UndoCause {
    /// The state of the parcel.
    #[must_use]
    pub const fn state(self) -> ParcelState {
        match self {
            Self::Lost => ParcelState::Lost,
            Self::ReturnedToSender => ParcelState::ReturnedToSender,
        }
    }
}

/// See [`Event::ShipmentCorrected`](super::Event::ShipmentCorrected).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShipmentCorrected {
    /// The parcel.
    pub shipment_id: ShipmentId,
    /// The carrier from now on.
    pub carrier: String,
    /// The carrier's tracking number from now on.
    pub tracking: String,
    /// When.
    pub at: Timestamp,
}

/// See [`Event::ShipmentDelivered`](super::Event::ShipmentDelivered).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShipmentDelivered {
    /// The parcel.
    pub shipment_id: ShipmentId,
    /// When it was delivered.
    pub delivered_at: Timestamp,
    /// Until when a return may be requested now, if that is later than it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub return_until: Option<Timestamp>,
    /// When it was recorded.
    pub at: Timestamp,
}

/// See [`Event::ShipmentUndone`](super::Event::ShipmentUndone).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShipmentUndone {
    /// The parcel.
    pub shipment_id: ShipmentId,
    /// Why.
    pub cause: UndoCause,
    /// All its units and their dispositions.
    pub lines: Vec<Restitution>,
    /// What is paid back, for them and for charges; may be zero.
    pub refund: Money,
    /// Words for it.
    pub reason: String,
    /// Whether its units are open again, to be shipped anew, instead of returned.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub open_again: bool,
    /// What of the refund is for charges.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub charges: Vec<ChargeRefund>,
    /// When.
    pub at: Timestamp,
}

/// See [`Event::ShipmentFound`](super::Event::ShipmentFound).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShipmentFound {
    /// The parcel.
    pub shipment_id: ShipmentId,
    /// All its units and their dispositions, in place of those with which it was lost.
    pub lines: Vec<Restitution>,
    /// Words for it.
    pub reason: String,
    /// When.
    pub at: Timestamp,
}

impl Details {
    /// When the return window of an order begins whose last parcel was shipped then: at its last
    /// delivery, where that was recorded and is later.
    pub(super) fn window_begins(&self, shipped_at: Timestamp) -> Timestamp {
        let delivered = self.shipments.iter().filter_map(|parcel| parcel.delivered_at);
        delivered.fold(shipped_at, Ord::max)
    }

    /// When the last parcel was shipped, without those whose units are open again.
    fn last_shipped_at(&self) -> Option<Timestamp> {
        let counts = |parcel: &&Arc<Shipment>| {
            parcel.undone.as_ref().is_none_or(|undone| !undone.event.open_again)
        };
        self.shipments.iter().filter(counts).map(|parcel| parcel.shipped_at).max()
    }

    fn parcel_mut(&mut self, id: ShipmentId) -> Result<&mut Shipment, &'static str> {
        let parcel = self.shipments.iter_mut().find(|parcel| parcel.shipment_id == id);
        let parcel = parcel.ok_or("no such parcel")?;
        if parcel.state() == ParcelState::Shipped {
            Ok(Arc::make_mut(parcel))
        } else {
            Err("the parcel is not on its way")
        }
    }

    /// What is paid back for the units of a parcel if nothing else is said, with these refunds of
    /// charges.
    pub(super) fn parcel_refund(&self, units: &[LineQuantity], charges: Money) -> Money {
        self.default_refund(self.value_of(units), charges)
    }
}

/// The data of an order that is not over.
fn unended(order: &mut Order) -> Result<&mut Details, &'static str> {
    if order.is_ended() { Err(WRONG_STATE) } else { order.details_mut().ok_or(WRONG_STATE) }
}

/// The order with other tracking of a parcel.
pub(super) fn corrected(mut order: Order, event: &ShipmentCorrected) -> Evolved {
    let parcel = unended(&mut order)?.parcel_mut(event.shipment_id)?;
    let (carrier, tracking) = (event.carrier.clone(), event.tracking.clone());
    parcel.corrected = Some(Tracking { carrier, tracking });
    Ok(order)
}

/// The order with a parcel delivered.
pub(super) fn delivered(mut order: Order, event: &ShipmentDelivered) -> Evolved {
    let parcel = unended(&mut order)?.parcel_mut(event.shipment_id)?;
    if event.delivered_at < parcel.shipped_at {
        return Err("delivered before it was shipped");
    }
    parcel.delivered_at = Some(event.delivered_at);
    if let Some(return_until) = event.return_until {
        let fulfilled = order.fulfilled_mut().ok_or("there is no return window")?;
        if return_until <= fulfilled.return_until {
            return Err("the return window ends earlier than it did");
        }
        fulfilled.return_until = return_until;
    }
    Ok(order)
}

/// The order without what a parcel delivered.
pub(super) fn undone(mut order: Order, event: &ShipmentUndone) -> Evolved {
    let details = unended(&mut order)?;
    let lines = details.parcel_mut(event.shipment_id)?.lines.clone();
    are_its_units(&lines, &event.lines)?;
    let default = details.parcel_refund(&lines, sum_of(&event.charges, event.refund));
    if event.open_again {
        let restocked = |units: &Restitution| units.disposition == Disposition::Restock;
        if event.refund.minor != 0 || !event.lines.iter().all(restocked) {
            return Err("units that are open again are neither paid back nor written off");
        }
        counts::open_again(details, &lines)?;
        if details.is_overpaid() {
            return Err("more was paid back than what stays delivered costs");
        }
    } else {
        counts::give_back(details, &lines)?;
    }
    counts::pay_back(details, event.refund)?;
    refund_charges(details, &event.charges, event.refund)?;
    let undone = Undone { event: Arc::new(event.clone()), default, found: None };
    details.parcel_mut(event.shipment_id)?.undone = Some(undone);
    Ok(if event.open_again { reopened(order) } else { order.after_returns() })
}

/// Whether these are all units of a parcel, line by line.
fn are_its_units(shipped: &[LineQuantity], units: &[Restitution]) -> Result<(), &'static str> {
    let same = shipped.len() == units.len()
        && shipped.iter().zip(units).all(|(shipped, units)| {
            (shipped.line, shipped.quantity) == (units.line, units.quantity)
        });
    if same { Ok(()) } else { Err("not the units of the parcel") }
}

/// The order with a lost parcel that came back. Its units were given back when it was lost, and
/// stay so: that it is over, or which state it has, does not change.
pub(super) fn found(mut order: Order, event: &ShipmentFound) -> Evolved {
    let details = order.details_mut().ok_or(WRONG_STATE)?;
    let mut parcels = details.shipments.iter_mut();
    let parcel = parcels.find(|parcel| parcel.shipment_id == event.shipment_id);
    let parcel = parcel.ok_or("no such parcel")?;
    if parcel.state() != ParcelState::Lost {
        return Err("the parcel is not lost");
    }
    are_its_units(&parcel.lines, &event.lines)?;
    let undone = Arc::make_mut(parcel).undone.as_mut().ok_or("the parcel is not lost")?;
    undone.found = Some(Arc::new(event.clone()));
    Ok(order)
}

/// The order with units that are open again; the window for returns begins with the last parcel of
/// the others.
fn reopened(order: Order) -> Order {
    let mut confirmed = match order {
        Order::Confirmed(confirmed) => confirmed,
        Order::Fulfilled(fulfilled) | Order::ReturnRequested(ReturnRequested { fulfilled }) => {
            let Fulfilled { details, reservation_id, .. } = fulfilled;
            Confirmed { details, reservation_id, shipped_at: None }
        }
        other => return other,
    };
    confirmed.shipped_at = confirmed.details.last_shipped_at();
    Order::Confirmed(confirmed)
}
