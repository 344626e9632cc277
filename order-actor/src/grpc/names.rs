use shared_events::contract::{OrderId, OrderNumber};
use tokio::time::Instant;
use tonic::Status;
use uuid::Uuid;

use super::deadline::within;
use super::parse::OrderRef;
use super::{OrdersEdge, status};
use crate::domain::{By, Rejection};
use crate::journal::{JournalError, UniqueKey};
use crate::record::{external_key, number_key, order_of};

/// Namespace of ids that no order has.
const NOBODY: Uuid = Uuid::from_u128(0x6f72_6469_6e61_6c2e_8000_6e6f_626f_6479);

impl OrdersEdge {
    /// The id of the order that a caller names.
    pub(super) async fn order_named(
        &self,
        by: &By,
        order: OrderRef,
        deadline: Instant,
    ) -> Result<OrderId, Status> {
        let found = match &order {
            OrderRef::Id(order_id) => return Ok(*order_id),
            OrderRef::Number(number) => self.orders_numbered(by, number, deadline).await?,
            OrderRef::External { shop, external_id } => {
                let key = external_key(shop, external_id);
                self.holder(key, deadline).await?.into_iter().collect()
            }
        };
        match found[..] {
            [order_id] => Ok(order_id),
            // Read like an order of another customer, so that the time does not tell them apart.
            [] if by.only_customer().is_some() => {
                let text = format!("{order:?}");
                Ok(OrderId::from_uuid(Uuid::new_v5(&NOBODY, text.as_bytes())))
            }
            [] => Err(status::refused(&Rejection::NotFound.into())),
            _ => Err(status::number_ambiguous(&found)),
        }
    }

    /// The orders with this number that the caller may know of: the one to which a client gave it,
    /// or else those whose ids have it.
    pub(super) async fn orders_numbered(
        &self,
        by: &By,
        number: &str,
        deadline: Instant,
    ) -> Result<Vec<OrderId>, Status> {
        if let Some(order_id) = self.holder(number_key(number), deadline).await? {
            return Ok(vec![order_id]);
        }
        let Ok(number) = number.parse::<OrderNumber>() else { return Ok(Vec::new()) };
        let found = within(deadline, self.summaries.numbered(number)).await?;
        let found = found.map_err(|error| status::read_model(&error))?;
        let visible = found.into_iter().filter(|known| by.owns_orders_of(known.customer_id));
        Ok(visible.map(|known| known.order_id).collect())
    }

    async fn holder(
        &self,
        key: Result<UniqueKey, JournalError>,
        deadline: Instant,
    ) -> Result<Option<OrderId>, Status> {
        // No order has what is no key.
        let Ok(key) = key else { return Ok(None) };
        let holder = within(deadline, self.journal.holder_of(&key)).await?;
        Ok(holder.map_err(|error| status::journal(&error))?.map(order_of))
    }
}
