use std::time::Duration;

use shared_events::contract::OrderId;
use shared_events::stream::{Cursors, Place};
use tokio::time::Instant;
use tonic::{Request, Response, Status, Streaming};
use uuid::Uuid;

use super::caller::{Asked, caller, forwarded, visible, well_formed};
use super::commands::{Asking, CommandRequest, Ids};
use super::deadline::{deadline, within};
use super::parse::{AsOf, Parsed};
use super::proto::order_service_server::OrderService;
use super::render::CommandResponse;
use super::tail::{Messages, Stretch, tail};
use super::watch::Watch;
use super::{OrdersEdge, execute, history, page, parse, proto, render, status};
use crate::actor::{Context, Executed, Refusal};
use crate::domain::{Rejection, Role};

/// Kept back from a wait, so that the answer still reaches a caller who stops waiting then.
const ANSWER_TIME: Duration = Duration::from_millis(100);

/// A hand-over takes some milliseconds; who waited longer is told to come again.
const SETTLES_WITHIN: Duration = Duration::from_secs(1);
/// For so long a call waits here that another node carried to us, and whose shard we have not, or
/// have no more: it may be ours in a moment, or go back to who asks.
const ARRIVES_WITHIN: Duration = Duration::from_millis(100);

/// Ids drawn before it is given up to find one for here; with one shard in a thousand it is found.
const DRAWN_MAX: usize = 10_000;

impl Ids for OrdersEdge {
    /// An id of an order that is answered for here. Whoever lets us choose need not wait for another
    /// node, which would choose again.
    fn order_id(&self) -> OrderId {
        let drawn = || OrderId::from_uuid(self.chance.uuid());
        let mut drawn_here = std::iter::repeat_with(drawn).take(DRAWN_MAX);
        drawn_here.find(|order_id| self.registry.is_here(*order_id)).unwrap_or_else(drawn)
    }

    fn uuid(&self) -> Uuid {
        self.chance.uuid()
    }
}

impl OrdersEdge {
    /// Waits a moment for a shard that is changing hands; a call that another node carried here
    /// waits until we have it.
    async fn settled(&self, order_id: OrderId, forwarded: bool, deadline: Instant) {
        let shard = self.journal.shard_of(order_id);
        let patience = if forwarded { ARRIVES_WITHIN } else { SETTLES_WITHIN };
        let until = deadline.min(Instant::now() + patience);
        self.journal.settled(shard, forwarded, until).await;
    }

    /// Refuses places of another history: the journal was set back since it told them.
    pub(super) async fn has_what_was_told(
        &self,
        told: &Cursors,
        deadline: Instant,
    ) -> Result<(), Status> {
        let places: Vec<Place> = told.places().collect();
        let there = within(deadline, self.journal.holds(&places)).await?;
        match there.map_err(|error| status::journal(&error))? {
            true => Ok(()),
            false => Err(status::forked()),
        }
    }

    /// By which history the next page token is made; refuses a token of another.
    pub(super) async fn told_by(
        &self,
        token: &str,
        deadline: Instant,
    ) -> Result<page::ToldBy, Status> {
        let now = page::told_by(self.journal.history());
        if page::is_told_by(token, now) {
            return Ok(now);
        }
        // Another node may have learnt of a later one sooner.
        let seen = within(deadline, self.journal.chronicle()).await?;
        let seen = seen.map_err(|error| status::journal(&error))?;
        let now = page::told_by(seen.map(|chronicle| chronicle.history()));
        if page::is_told_by(token, now) { Ok(now) } else { Err(status::forked()) }
    }

    /// Takes apart → asks the order → renders: what every command does.
    async fn command<T: CommandRequest>(
        &self,
        request: Request<T>,
    ) -> Result<Response<T::Response>, Status> {
        let asked = Asked::of(&request)?;
        let deadline = deadline(&request)?;
        let asking = Asking { by: &asked.by, ids: self };
        let parsed = well_formed(request.into_inner().parse(&asking))?;
        let (by, validate_only) = (asked.by.clone(), parsed.options.validate_only);
        let executed = self.carry_out(asked, parsed, deadline).await;
        let executed = executed.map_err(|refusal| status::refused(&refusal))?;
        let response = render::command(&executed, validate_only);
        let position = self.place_for(&by, response.position).await;
        Ok(Response::new(CommandResponse { position, ..response }.into()))
    }

    /// Asks the order, once its shard is settled.
    pub(super) async fn carry_out(
        &self,
        asked: Asked,
        parsed: Parsed,
        deadline: Instant,
    ) -> Result<Executed, Refusal> {
        let Parsed { order_id, command, options } = parsed;
        self.settled(order_id, asked.forwarded, deadline).await;
        let hidden = command.hidden();
        let by = asked.by.clone();
        let context = Context {
            request_id: options.request_id,
            expected_version: options.expected_version,
            validate_only: options.validate_only,
            traceparent: asked.traceparent,
            ..Context::new(asked.by, deadline)
        };
        match self.registry.execute(order_id, command, context).await {
            Err(refusal) => Err(self.unreadable_for(&by, order_id, refusal, hidden).await),
            answer => answer,
        }
    }
}

#[tonic::async_trait]
impl OrderService for OrdersEdge {
    async fn place_order(
        &self,
        request: Request<proto::PlaceOrderRequest>,
    ) -> Result<Response<proto::PlaceOrderResponse>, Status> {
        self.command(request).await
    }

    async fn get_order(
        &self,
        request: Request<proto::GetOrderRequest>,
    ) -> Result<Response<proto::GetOrderResponse>, Status> {
        let by = caller(&request)?;
        let deadline = deadline(&request)?;
        let (order_id, as_of) = well_formed(parse::get_order(request.get_ref()))?;
        if as_of == AsOf::Now {
            self.settled(order_id, forwarded(&request), deadline).await;
            let view = within(deadline, self.registry.view(order_id, &by)).await?;
            let view = match view {
                Err(refusal) => {
                    Err(self.unreadable_for(&by, order_id, refusal, Rejection::NotFound).await)
                }
                view => view,
            };
            let view = view.map_err(|refusal| status::refused(&refusal))?;
            let shown = render::view(&view);
            let position = self.place_for(&by, shown.position).await;
            return Ok(Response::new(proto::GetOrderResponse { position, ..shown }));
        }
        let entries = history::entries(self, order_id, &by, deadline).await?;
        let events = history::readable(entries)?;
        let shown = history::as_of(&events, as_of)?;
        let position = self.place_for(&by, shown.position).await;
        Ok(Response::new(proto::GetOrderResponse { position, ..shown }))
    }

    async fn list_orders(
        &self,
        request: Request<proto::ListOrdersRequest>,
    ) -> Result<Response<proto::ListOrdersResponse>, Status> {
        let by = caller(&request)?;
        let deadline = deadline(&request)?;
        let shards = self.journal.shards();
        let mut wish = well_formed(parse::list_orders(request.into_inner(), shards))?;
        wish.filter.customer_id = visible(&by, wish.filter.customer_id)?;
        let asked = page::asked_for_orders(&wish.filter);
        let after = well_formed(page::after_in_orders(asked, &wish.token))?;
        let told = self.told_by(&wish.token, deadline).await?;
        let answer_by = deadline.checked_sub(ANSWER_TIME).unwrap_or(deadline);
        if let Some((shard, position, _)) = &mut wish.at_least {
            *position = self.position_of(&by, *shard, *position).await?;
        }
        if let Some((shard, position, Some(mark))) = wish.at_least {
            let place: Cursors = [Place { shard, position, mark }].into_iter().collect();
            self.has_what_was_told(&place, deadline).await?;
        }
        if let Some((shard, position, _)) = wish.at_least
            && !self.summaries.includes(shard, position, answer_by).await
        {
            return Err(status::behind());
        }
        // One more than asked for tells whether there is a next page.
        let read = self.summaries.list(&wish.filter, after, wish.size.saturating_add(1));
        let mut summaries =
            within(deadline, read).await?.map_err(|error| status::read_model(&error))?;
        let size = usize::try_from(wish.size).unwrap_or(usize::MAX);
        let more = summaries.len() > size;
        summaries.truncate(size);
        let next_page_token = summaries
            .last()
            .filter(|_| more)
            .map(|last| page::token_of_orders(asked, told, last.placed_at, last.order_id))
            .unwrap_or_default();
        let orders = summaries.iter().map(render::summary).collect();
        Ok(Response::new(proto::ListOrdersResponse { orders, next_page_token }))
    }

    async fn cancel_order(
        &self,
        request: Request<proto::CancelOrderRequest>,
    ) -> Result<Response<proto::CancelOrderResponse>, Status> {
        self.command(request).await
    }

    async fn fulfill_order(
        &self,
        request: Request<proto::FulfillOrderRequest>,
    ) -> Result<Response<proto::FulfillOrderResponse>, Status> {
        self.command(request).await
    }

    async fn request_return(
        &self,
        request: Request<proto::RequestReturnRequest>,
    ) -> Result<Response<proto::RequestReturnResponse>, Status> {
        self.command(request).await
    }

    async fn approve_return(
        &self,
        request: Request<proto::ApproveReturnRequest>,
    ) -> Result<Response<proto::ApproveReturnResponse>, Status> {
        self.command(request).await
    }

    async fn reject_return(
        &self,
        request: Request<proto::RejectReturnRequest>,
    ) -> Result<Response<proto::RejectReturnResponse>, Status> {
        self.command(request).await
    }

    type ExecuteCommandsStream = Messages<proto::ExecuteCommandsResponse>;

    async fn execute_commands(
        &self,
        request: Request<Streaming<proto::ExecuteCommandsRequest>>,
    ) -> Result<Response<Self::ExecuteCommandsStream>, Status> {
        let asked = Asked::of(&request)?;
        Ok(Response::new(execute::answers(self.clone(), asked, request)))
    }

    type WatchOrdersStream = Messages<proto::WatchOrdersResponse>;

    async fn watch_orders(
        &self,
        request: Request<proto::WatchOrdersRequest>,
    ) -> Result<Response<Self::WatchOrdersStream>, Status> {
        let by = caller(&request)?;
        let deadline = deadline(&request)?;
        let shards = self.journal.shards();
        let wish = well_formed(parse::watch_orders(request.get_ref(), shards))?;
        let customer_id = visible(&by, wish.customer_id)?;
        let mut after = Cursors::default();
        for (shard, position) in wish.after.iter() {
            let position = self.position_of(&by, shard, position).await?;
            after.advance_to(shard, position, wish.after.mark(shard));
        }
        self.has_what_was_told(&after, deadline).await?;
        let heads = within(deadline, self.journal.heads()).await?;
        let heads = heads.map_err(|error| status::journal(&error))?;
        for (shard, head) in heads.iter() {
            if !wish.from_beginning && !wish.named.contains(&shard) {
                after.advance_to(shard, head, heads.mark(shard));
            }
        }
        // Shards without an order that could fit are left out.
        let homes: Vec<u16> =
            wish.order_ids.iter().map(|order_id| self.journal.shard_of(*order_id)).collect();
        let without =
            (0..shards).filter(|shard| !homes.is_empty() && !homes.contains(shard)).collect();
        let journal = self.journal.clone();
        let veil = (by.role() == Role::Customer).then(|| self.journal.clone());
        let (changes, order_ids) = (self.changes.clone(), wish.order_ids);
        let watch = Watch { changes, order_ids, customer_id, veil };
        let stretch = well_formed(Stretch::new(after, without, &heads))?;
        let stretch = Stretch { veiled: by.role() == Role::Customer, ..stretch };
        Ok(Response::new(tail(watch, stretch, journal, self.stop.clone())))
    }
}
