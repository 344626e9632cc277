//! The orders of all benchmarks: the same content for every contender.

use order_actor::domain::{By, Command, Confirm, Place};
use order_actor::grpc::commands::{CommandRequest as _, ParseContext};
use order_actor::grpc::proto;
use shared_events::chance::Chance;
use shared_events::contract::{OrderId, ReservationId};
use uuid::Uuid;

/// The caller.
pub fn shop() -> By {
    By::service("shop")
}

/// An order of two lines, as a client sends it.
pub fn request(order_id: OrderId, skus: [&str; 2]) -> proto::PlaceOrderRequest {
    let line = |sku: &str, quantity, units, nanos| proto::NewLine {
        sku: sku.to_owned(),
        quantity,
        unit_price: Some(proto::Money { currency_code: "GBP".to_owned(), units, nanos }),
        ..proto::NewLine::default()
    };
    proto::PlaceOrderRequest {
        order_id: order_id.to_string(),
        customer_id: Uuid::from_u128(0x5eed).to_string(),
        lines: vec![line(skus[0], 6, 2, 550_000_000), line(skus[1], 1, 16, 950_000_000)],
        address: Some(Box::new(proto::Address {
            street: "221b Baker Street".to_owned(),
            city: "London".to_owned(),
            postal_code: "NW1 6XE".to_owned(),
            country: "GB".to_owned(),
            ..proto::Address::default()
        })),
        contact: Some(proto::Contact {
            email: "customer@example.com".to_owned(),
            phone: String::new(),
            locale: "en-GB".to_owned(),
        }),
        ..proto::PlaceOrderRequest::default()
    }
}

/// Commands that differ only in their order.
#[derive(Clone)]
pub struct Template(Place);

impl Template {
    /// Of two lines; parsed once, as the edge does for each.
    ///
    /// # Errors
    /// Never: the order is valid.
    pub fn new() -> anyhow::Result<Self> {
        Self::of(request(OrderId::mint(), ["85123A", "22423"]))
    }

    /// Of this request.
    ///
    /// # Errors
    /// Where it is invalid.
    pub fn of(request: proto::PlaceOrderRequest) -> anyhow::Result<Self> {
        let context = ParseContext { by: &shop(), ids: &Chance::system() };
        match request.parse(&context).map(|parsed| parsed.command) {
            Ok(Command::Place(place)) => Ok(Self(*place)),
            other => anyhow::bail!("{other:?}"),
        }
    }

    /// Places this order.
    pub fn place(&self, order_id: OrderId) -> Command {
        Command::from(Place { order_id, ..self.0.clone() })
    }

    /// Confirms an order, as stock does.
    pub fn confirm() -> Command {
        Command::Confirm(Confirm { reservation_id: ReservationId::mint(), backordered: Vec::new() })
    }
}
