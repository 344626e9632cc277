use serde::{Deserialize, Serialize};

use super::body::facts;
use super::{EditId, LineUnits, LocationName, OrderId, Quantity, ReservationId, Sku};

/// Units of one sku.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockLine {
    /// The product.
    pub sku: Sku,
    /// How many units.
    pub quantity: Quantity,
    /// Where they are; left out for `main`. Units of one product at two locations are two lines.
    #[serde(default, skip_serializing_if = "LocationName::is_main")]
    pub location: LocationName,
}

facts! {
    /// Facts about stock. One fact per order and step, never one per product.
    InventoryFact {
        /// `inventory.reserved.v1`: every unit of the order is reserved.
        "inventory.reserved.v1" => Reserved {
            order_id: OrderId,
            reservation_id: ReservationId,
            lines: Vec<StockLine>,
            /// Units of those that are not on hand: they wait for stock.
            #[serde(default, skip_serializing_if = "Vec::is_empty")]
            backordered: Vec<LineUnits>,
        }
        /// `inventory.rejected.v1`: nothing is reserved; these skus were short.
        "inventory.rejected.v1" => Rejected {
            order_id: OrderId,
            skus: Vec<Sku>,
            /// The reservation that is withdrawn, where the units had been held: a stock-take found
            /// fewer than were reserved.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            reservation_id: Option<ReservationId>,
        }
        /// `inventory.released.v1`: these units are free again.
        "inventory.released.v1" => Released { order_id: OrderId, lines: Vec<StockLine> }
        /// `inventory.committed.v1`: these units were shipped.
        "inventory.committed.v1" => Committed { order_id: OrderId, lines: Vec<StockLine> }
        /// `inventory.restocked.v1`: these units were returned to stock.
        "inventory.restocked.v1" => Restocked { order_id: OrderId, lines: Vec<StockLine> }
        /// `inventory.allocated.v1`: stock came for these units, which were backordered.
        "inventory.allocated.v1" => Allocated {
            order_id: OrderId,
            reservation_id: ReservationId,
            lines: Vec<LineUnits>,
            /// Units of those that are elsewhere than at `main`.
            #[serde(default, skip_serializing_if = "Vec::is_empty")]
            elsewhere: Vec<StockLine>,
        }
        /// `inventory.edit.reserved.v1`: every unit that an edit of the order adds is reserved.
        "inventory.edit.reserved.v1" => EditReserved {
            order_id: OrderId,
            edit_id: EditId,
            lines: Vec<StockLine>,
            /// Units of those that are not on hand: they wait for stock.
            #[serde(default, skip_serializing_if = "Vec::is_empty")]
            backordered: Vec<LineUnits>,
        }
        /// `inventory.edit.rejected.v1`: nothing is reserved for the edit; these skus were short.
        "inventory.edit.rejected.v1" => EditRejected {
            order_id: OrderId,
            edit_id: EditId,
            skus: Vec<Sku>,
        }
    }
}

impl InventoryFact {
    /// The order it is about.
    #[must_use]
    pub const fn order_id(&self) -> OrderId {
        match self {
            Self::Reserved { order_id, .. }
            | Self::Rejected { order_id, .. }
            | Self::Released { order_id, .. }
            | Self::Committed { order_id, .. }
            | Self::Restocked { order_id, .. }
            | Self::Allocated { order_id, .. }
            | Self::EditReserved { order_id, .. }
            | Self::EditRejected { order_id, .. } => *order_id,
        }
    }
}
