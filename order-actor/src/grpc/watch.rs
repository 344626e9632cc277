use std::collections::BTreeSet;

use async_trait::async_trait;
use shared_events::contract::{CustomerId, OrderId};
use shared_events::stream::Cursors;
use tonic::Status;

use super::changes::{Change, Changes};
use super::edge::hidden;
use super::proto::{Progress, WatchOrdersResponse, watch_orders_response::Item};
use super::tail::{Batch, MessageSource};
use super::{render, status};
use crate::journal::Journal;

/// Sends the changes that match a filter.
pub(super) struct Watch {
    pub(super) changes: Changes,
    pub(super) order_ids: BTreeSet<OrderId>,
    pub(super) customer_id: Option<CustomerId>,
    /// The journal whose cipher encrypts positions, for customers.
    pub(super) positions: Option<Journal>,
}

impl Watch {
    fn matches(&self, change: &Change) -> bool {
        (self.order_ids.is_empty() || self.order_ids.contains(&change.order_id))
            && self.customer_id.is_none_or(|id| id == change.customer_id)
    }
}

#[async_trait]
impl MessageSource for Watch {
    type Message = WatchOrdersResponse;

    async fn read(&mut self, after: &Cursors) -> Result<Batch<WatchOrdersResponse>, Status> {
        let page = self.changes.after(after).await?;
        let matching = page.changes.iter().filter(|change| self.matches(change));
        let mut messages = Vec::new();
        for Change { shard, position, change, .. } in matching {
            let mut change = change.clone();
            if let (Some(journal), Some(place)) = (&self.positions, change.position) {
                let hidden = hidden(journal, place).await;
                change.position = Some(hidden.map_err(|error| status::journal(&error))?);
                change.event.iter_mut().for_each(render::for_customers);
            }
            let item = Some(Item::Change(change));
            messages.push((*shard, *position, WatchOrdersResponse { item }));
        }
        Ok(Batch { messages, through: page.through.clone() })
    }

    fn progress(progress: Progress) -> WatchOrdersResponse {
        WatchOrdersResponse { item: Some(Item::Progress(progress)) }
    }
}
