use std::collections::BTreeMap;

use serde::Serialize;
use shared_events::contract::{Disposition, Money};

use super::{Decide, DecisionContext, ReturnLineDisposition};
use crate::domain::counts;
use crate::domain::guards::{
    Decision, covers_charges, kept_units, leaves_room, leaves_room_to_end, not_over, reason_given,
    same_or_exists,
};
use crate::domain::returns::pays_otherwise;
use crate::domain::{
    By, ChargeRefund, CommandKind, Details, Event, Existing, Order, ParcelName, ParcelState,
    Rejection, Restitution, Role, Shipment, ShipmentFound, ShipmentUndone, UndoCause, Undone,
    bounds,
};

/// A parcel was lost, or came back to the sender: its units count as returned, and are paid back; or
/// they are open again, where they came back and are to be shipped anew. Or it was lost, and came
/// back after all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UndoShipment {
    /// The parcel.
    pub parcel: ParcelName,
    /// Whether it was lost or came back.
    pub cause: UndoCause,
    /// What to do with units that came back; lines that are not named are restocked. Units that were
    /// lost are written off.
    pub dispositions: Vec<ReturnLineDisposition>,
    /// The refund; the value of the units with `charges`, or what is left of the total, if absent.
    /// Never more.
    pub refund: Option<Money>,
    /// What of the refund is for charges: it is part of `refund` where that is given, and on top of
    /// the value of the units where not.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub charges: Vec<ChargeRefund>,
    /// Why, 1 to [`TEXT_MAX`](crate::domain::bounds::TEXT_MAX) characters.
    pub reason: String,
    /// Whether its units are open again instead of returned.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub open_again: bool,
    /// Whether it was said to be lost before, and came back after all. Then nothing is paid back,
    /// and `open_again` says nothing.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub found: bool,
}

impl Decide for UndoShipment {
    fn kind(&self) -> CommandKind {
        CommandKind::UndoShipment
    }

    fn allows(&self, by: &By) -> bool {
        matches!(by.role(), Role::Service | Role::Ops)
    }

    fn on_existing(
        &self,
        order: &Order,
        details: &Details,
        context: &DecisionContext<'_>,
    ) -> Decision {
        let parcel = self.parcel.find(details)?;
        if self.found {
            return self.found(order, details, parcel, context);
        }
        if let Some(undone) = &parcel.undone {
            return self.repeated(parcel, undone);
        }
        not_over(order, context.now, "UndoShipment")?;
        let is = parcel.state();
        if is != ParcelState::Shipped {
            return Err(Rejection::InvalidParcelState { is, call: "UndoShipment" });
        }
        reason_given(&self.reason)?;
        let lines = self.restitutions(parcel)?;
        kept_units(details, &parcel.lines).map_err(|rejection| match rejection {
            Rejection::InvalidReturnLines { line, .. } => Rejection::InvalidReturnLines {
                line,
                at: "shipment_id".to_owned(),
                detail: "units of the line came back or are in a return already",
            },
            other => other,
        })?;
        if self.open_again {
            return self.open_again(details, parcel, lines, context);
        }
        let charges = details.paid_back_of_charges(&self.charges)?;
        let default = details.parcel_refund(&parcel.lines, charges);
        let refund = self.refund.unwrap_or(default);
        if refund.minor < 0 || refund.currency != default.currency {
            return Err(Rejection::InvalidRefund);
        }
        let too_large = Rejection::ParcelRefundTooLarge { most: default };
        covers_charges(self.refund, refund, charges, too_large)?;
        if refund.minor > default.minor {
            return Err(Rejection::ParcelRefundTooLarge { most: default });
        }
        // With the answer about its refund.
        leaves_room(order, details, 1 + u64::from(details.payment.is_some()))?;
        Ok(vec![Event::ShipmentUndone(ShipmentUndone {
            shipment_id: parcel.shipment_id,
            cause: self.cause,
            lines,
            refund,
            reason: self.reason.clone(),
            open_again: false,
            charges: self.charges.clone(),
            at: context.now,
        })])
    }
}

impl UndoShipment {
    /// The decision where the units are to be open again: all of them are there.
    fn open_again(
        &self,
        details: &Details,
        parcel: &Shipment,
        lines: Vec<Restitution>,
        context: &DecisionContext<'_>,
    ) -> Decision {
        let wrong = |at, detail| Err(Rejection::InvalidField { at, detail });
        if self.cause != UndoCause::ReturnedToSender {
            return wrong("outcome", "units that were lost cannot be shipped again");
        }
        if lines.iter().any(|units| units.disposition != Disposition::Restock) {
            return wrong("dispositions", "units that are open again are all restocked");
        }
        if self.refund.is_some_and(|refund| refund.minor != 0) {
            return wrong("refund", "units that are open again are not paid back");
        }
        if !self.charges.is_empty() {
            return wrong("charges", "nothing is paid back for units that are open again");
        }
        let mut after = details.clone();
        if counts::open_again(&mut after, &parcel.lines).is_err() || after.is_overpaid() {
            let detail = "more was paid back than the parcels cost that stay: units that are open \
                          again may be cancelled, and are then not paid for";
            return wrong("outcome", detail);
        }
        leaves_room_to_end(details)?;
        Ok(vec![Event::ShipmentUndone(ShipmentUndone {
            shipment_id: parcel.shipment_id,
            cause: self.cause,
            lines,
            refund: Money::zero(details.totals.total.currency),
            reason: self.reason.clone(),
            open_again: true,
            charges: Vec::new(),
            at: context.now,
        })])
    }

    /// The decision for a parcel that was lost and came back after all, whenever that is: the order
    /// may be over. Its units were given back when it was lost; what is left to say is what became
    /// of them.
    fn found(
        &self,
        order: &Order,
        details: &Details,
        parcel: &Shipment,
        context: &DecisionContext<'_>,
    ) -> Decision {
        let pays = self.refund.is_some_and(|refund| refund.minor != 0);
        if let Some(found) = parcel.found() {
            let other = [
                ("cause", self.cause != UndoCause::ReturnedToSender),
                ("dispositions", self.restitutions(parcel)? != found.lines),
                ("refund", pays),
                ("charges", !self.charges.is_empty()),
                ("reason", self.reason != found.reason),
            ];
            return same_or_exists(Existing::UndoneShipment, &other);
        }
        let is = parcel.state();
        if is != ParcelState::Lost {
            return Err(Rejection::InvalidParcelState { is, call: "UndoShipment" });
        }
        reason_given(&self.reason)?;
        let wrong = |at, detail| Err(Rejection::InvalidField { at, detail });
        if self.cause != UndoCause::ReturnedToSender {
            return wrong("cause", "a parcel that is found came back to the sender");
        }
        let paid = "nothing more is paid back for a parcel that is found";
        if pays {
            return wrong("refund", paid);
        }
        if !self.charges.is_empty() {
            return wrong("charges", paid);
        }
        let lines = self.restitutions(parcel)?;
        leaves_room(order, details, 1)?;
        Ok(vec![Event::ShipmentFound(ShipmentFound {
            shipment_id: parcel.shipment_id,
            lines,
            reason: self.reason.clone(),
            at: context.now,
        })])
    }

    /// The answer if the parcel was undone before.
    fn repeated(&self, parcel: &Shipment, undone: &Undone) -> Decision {
        let Undone { event, default, .. } = undone;
        let other_lines = self.cause == event.cause && self.restitutions(parcel)? != event.lines;
        // What is open again is not paid back.
        let default = if event.open_again { event.refund } else { *default };
        let other = [
            ("outcome", self.open_again != event.open_again),
            ("cause", self.cause != event.cause),
            ("dispositions", other_lines),
            ("refund", self.refund.unwrap_or(default) != event.refund),
            ("charges", pays_otherwise(&self.charges, &event.charges)),
            ("reason", self.reason != event.reason),
        ];
        same_or_exists(Existing::UndoneShipment, &other)
    }

    /// The units of the parcel with their dispositions.
    fn restitutions(&self, parcel: &Shipment) -> Result<Vec<Restitution>, Rejection> {
        let default = match self.cause {
            UndoCause::Lost => Disposition::WriteOff,
            UndoCause::ReturnedToSender => Disposition::Restock,
        };
        let mut chosen: BTreeMap<u32, Disposition> = BTreeMap::new();
        for (index, ReturnLineDisposition { line, disposition }) in
            self.dispositions.iter().enumerate()
        {
            let wrong = |detail| {
                let at = format!("dispositions[{index}].line");
                Err(Rejection::InvalidReturnLines { line: *line, at, detail })
            };
            if !parcel.lines.iter().any(|units| units.line == *line) {
                return wrong("not a line of the parcel");
            }
            if self.cause == UndoCause::Lost && *disposition == Disposition::Restock {
                return wrong("units that were lost cannot be restocked");
            }
            if chosen.insert(*line, *disposition).is_some() {
                return wrong(bounds::NAMED_TWICE);
            }
        }
        let restitution = |units: &crate::domain::LineQuantity| Restitution {
            line: units.line,
            quantity: units.quantity,
            disposition: chosen.get(&units.line).copied().unwrap_or(default),
        };
        Ok(parcel.lines.iter().map(restitution).collect())
    }
}
