use std::time::Duration;

use shared_events::contract::OrderId;
use shared_events::stream::{Cursors, Place};
use tokio::time::Instant;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::caller::{Asked, well_formed};
use super::commands::{Asking, CommandRequest, Ids};
use super::deadline::{deadline, within};
use super::parse::Parsed;
use super::render::CommandResponse;
use super::{OrdersEdge, page, render, status};
use crate::actor::{Context, Executed, Refusal};

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
    pub(super) async fn settled(&self, order_id: OrderId, forwarded: bool, deadline: Instant) {
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
    pub(super) async fn command<T: CommandRequest>(
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
