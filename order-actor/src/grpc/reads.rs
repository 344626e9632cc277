use std::time::Duration;

use service_edge::page::cut;
use shared_events::contract::Mark;
use shared_events::stream::{Cursors, Place};
use tokio::time::Instant;
use tonic::{Request, Response, Status};

use super::caller::{about, caller, forwarded, seen_by, visible, well_formed};
use super::deadline::{deadline, within};
use super::parse::AsOf;
use super::tail::{Messages, StreamRange, tail};
use super::watch::Watch;
use super::{OrdersEdge, history, page, parse, proto, render, status};
use crate::domain::{By, Rejection, Role};

/// Reserved at the end of a wait, so that the answer reaches the caller before its deadline.
const ANSWER_TIME: Duration = Duration::from_millis(100);

/// Until when a list may wait, so that its answer is in time.
fn answer_by(deadline: Instant) -> Instant {
    deadline.checked_sub(ANSWER_TIME).unwrap_or(deadline)
}

impl OrdersEdge {
    /// `GetOrder`: one order, current or at an earlier version.
    pub(super) async fn show(
        &self,
        request: Request<proto::GetOrderRequest>,
    ) -> Result<Response<proto::GetOrderResponse>, Status> {
        let by = caller(&request)?;
        let deadline = deadline(&request)?;
        let (order, as_of) = well_formed(parse::get_order(request.get_ref()))?;
        let order_id = self.order_named(&by, order, deadline).await?;
        about(&request).set(order_id);
        if as_of == AsOf::Now {
            self.settled(order_id, forwarded(&request), deadline).await;
            let view = within(deadline, self.registry.view(order_id, &by)).await?;
            let view = match view {
                Err(refusal) => {
                    Err(self.unreadable_for(&by, order_id, refusal, Rejection::NotFound).await)
                }
                view => view,
            };
            let view = view.map_err(|refusal| status::refused_to(&by, &refusal))?;
            let mut shown = render::view(&view);
            seen_by(&by, shown.order.as_mut(), &mut []);
            let position = self.position_for(&by, shown.position).await;
            return Ok(Response::new(proto::GetOrderResponse { position, ..shown }));
        }
        let entries = history::entries(self, order_id, &by, deadline).await?;
        let events = history::readable(entries)?;
        let mut shown = history::as_of(&events, as_of)?;
        seen_by(&by, shown.order.as_mut(), &mut []);
        let position = self.position_for(&by, shown.position).await;
        Ok(Response::new(proto::GetOrderResponse { position, ..shown }))
    }

    /// `ListOrders`.
    pub(super) async fn list(
        &self,
        request: Request<proto::ListOrdersRequest>,
    ) -> Result<Response<proto::ListOrdersResponse>, Status> {
        let by = caller(&request)?;
        let deadline = deadline(&request)?;
        let shards = self.journal.shards();
        let mut listing = well_formed(parse::list_orders(request.into_inner(), shards))?;
        listing.filter.customer_id = visible(&by, listing.filter.customer_id)?;
        if let Some(word) = listing.filter.words.iter().find(|word| !self.summaries.has(word)) {
            return Err(status::filter_off(word.kind()));
        }
        if !listing.order_number.is_empty() {
            let number = std::mem::take(&mut listing.order_number);
            listing.filter.order_ids = Some(self.orders_numbered(&by, &number, deadline).await?);
        }
        let query = page::orders_query(&listing.filter);
        let after = well_formed(page::after_in_orders(query, &listing.token))?;
        let history = self.history_id(&listing.token, deadline).await?;
        if let Some((shard, position)) = self.awaited(&by, listing.at_least, deadline).await?
            && !self.summaries.includes(shard, position, answer_by(deadline)).await
        {
            return Err(status::behind());
        }
        // One more than requested shows whether there is a next page.
        let read = self.summaries.list(&listing.filter, after, listing.size.saturating_add(1));
        let mut summaries =
            within(deadline, read).await?.map_err(|error| status::read_model(&error))?;
        let size = usize::try_from(listing.size).unwrap_or(usize::MAX);
        let more = summaries.len() > size;
        summaries.truncate(size);
        let next_page_token = summaries
            .last()
            .filter(|_| more)
            .map(|last| {
                let at = listing.filter.sort.instant(last);
                page::token_of_orders(query, history, at, last.order_id)
            })
            .unwrap_or_default();
        let orders = summaries.iter().map(render::summary).collect();
        Ok(Response::new(proto::ListOrdersResponse { orders, next_page_token }))
    }

    /// `ListReturns`.
    pub(super) async fn list_of_returns(
        &self,
        request: Request<proto::ListReturnsRequest>,
    ) -> Result<Response<proto::ListReturnsResponse>, Status> {
        let by = caller(&request)?;
        let deadline = deadline(&request)?;
        let shards = self.journal.shards();
        let mut listing = well_formed(parse::list_returns(request.into_inner(), shards))?;
        listing.filter.customer_id = visible(&by, listing.filter.customer_id)?;
        let query = page::returns_query(&listing.filter);
        let after = well_formed(page::after_in_returns(query, &listing.token))?;
        let history = self.history_id(&listing.token, deadline).await?;
        let returns = &self.returns;
        if let Some((shard, position)) = self.awaited(&by, listing.at_least, deadline).await?
            && !returns.includes(shard, position, answer_by(deadline)).await
        {
            return Err(status::behind());
        }
        // One more than requested shows whether there is a next page.
        let read = returns.list(&listing.filter, after, listing.size.saturating_add(1));
        let mut found =
            within(deadline, read).await?.map_err(|error| status::read_model(&error))?;
        let more = cut(&mut found, listing.size);
        let next_page_token = found
            .last()
            .filter(|_| more)
            .map(|last| page::token_of_returns(query, history, listing.filter.sort.place(last)))
            .unwrap_or_default();
        let returns = found.iter().map(render::return_summary).collect();
        Ok(Response::new(proto::ListReturnsResponse { returns, next_page_token }))
    }

    /// The position of the journal that a list is to include, if one was named; refused where the
    /// journal does not hold it.
    async fn awaited(
        &self,
        by: &By,
        at_least: Option<(u16, u64, Option<Mark>)>,
        deadline: Instant,
    ) -> Result<Option<(u16, u64)>, Status> {
        let Some((shard, position, mark)) = at_least else { return Ok(None) };
        let position = self.position_of(by, shard, position).await?;
        if let Some(mark) = mark {
            let place: Cursors = [Place { shard, position, mark }].into_iter().collect();
            self.ensure_held(&place, deadline).await?;
        }
        Ok(Some((shard, position)))
    }

    /// `WatchOrders`.
    pub(super) async fn watch(
        &self,
        request: Request<proto::WatchOrdersRequest>,
    ) -> Result<Response<Messages<proto::WatchOrdersResponse>>, Status> {
        let by = caller(&request)?;
        let deadline = deadline(&request)?;
        let shards = self.journal.shards();
        let watching = well_formed(parse::watch_orders(request.get_ref(), shards))?;
        let customer_id = visible(&by, watching.customer_id)?;
        let mut after = Cursors::default();
        for (shard, position) in watching.after.iter() {
            let position = self.position_of(&by, shard, position).await?;
            after.advance_to(shard, position, watching.after.mark(shard));
        }
        self.ensure_held(&after, deadline).await?;
        let heads = within(deadline, self.journal.heads()).await?;
        let heads = heads.map_err(|error| status::journal(&error))?;
        for (shard, head) in heads.iter() {
            if !watching.from_beginning && !watching.named.contains(&shard) {
                after.advance_to(shard, head, heads.mark(shard));
            }
        }
        // Shards that cannot hold a requested order are excluded.
        let homes: Vec<u16> =
            watching.order_ids.iter().map(|order_id| self.journal.shard_of(*order_id)).collect();
        let excluded =
            (0..shards).filter(|shard| !homes.is_empty() && !homes.contains(shard)).collect();
        let journal = self.journal.clone();
        let positions = (by.role() == Role::Customer).then(|| self.journal.clone());
        let (changes, order_ids) = (self.changes.clone(), watching.order_ids);
        let watch = Watch { changes, order_ids, customer_id, positions };
        let range = well_formed(StreamRange::new(after, excluded, &heads))?;
        let range = StreamRange { hidden: by.role() == Role::Customer, ..range };
        Ok(Response::new(tail(watch, range, journal, self.stop.clone())))
    }
}
