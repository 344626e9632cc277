use serde::{Deserialize, Serialize};

use super::{OrderId, Quantity, ReservationId, Sku};

/// Units of one sku.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockLine {
    /// What it is.
    pub sku: Sku,
    /// How many units.
    pub quantity: Quantity,
}

/// What others may know about stock. One fact per order and step, never one per product.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data")]
#[expect(
    missing_docs,
    reason = "each field is documented on the type it has, or named as on the wire"
)]
pub enum InventoryFact {
    /// `inventory.reserved.v1`: every unit of the order is held.
    #[serde(rename = "inventory.reserved.v1")]
    Reserved { order_id: OrderId, reservation_id: ReservationId, lines: Vec<StockLine> },
    /// `inventory.rejected.v1`: nothing is held; these skus were short.
    #[serde(rename = "inventory.rejected.v1")]
    Rejected { order_id: OrderId, skus: Vec<Sku> },
    /// `inventory.released.v1`: these units are free again.
    #[serde(rename = "inventory.released.v1")]
    Released { order_id: OrderId, lines: Vec<StockLine> },
    /// `inventory.committed.v1`: these units left the warehouse.
    #[serde(rename = "inventory.committed.v1")]
    Committed { order_id: OrderId, lines: Vec<StockLine> },
    /// `inventory.restocked.v1`: these units came back.
    #[serde(rename = "inventory.restocked.v1")]
    Restocked { order_id: OrderId, lines: Vec<StockLine> },
}

impl InventoryFact {
    /// The versioned type name.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Reserved { .. } => "inventory.reserved.v1",
            Self::Rejected { .. } => "inventory.rejected.v1",
            Self::Released { .. } => "inventory.released.v1",
            Self::Committed { .. } => "inventory.committed.v1",
            Self::Restocked { .. } => "inventory.restocked.v1",
        }
    }

    /// The order it is about.
    #[must_use]
    pub const fn order_id(&self) -> OrderId {
        match self {
            Self::Reserved { order_id, .. }
            | Self::Rejected { order_id, .. }
            | Self::Released { order_id, .. }
            | Self::Committed { order_id, .. }
            | Self::Restocked { order_id, .. } => *order_id,
        }
    }
}
