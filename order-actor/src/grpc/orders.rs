use std::time::Duration;

use shared_events::contract::OrderId;
use shared_events::stream::{Cursors, Place};
use tokio::time::Instant;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::caller::{CallContext, about, seen_by, well_formed};
use super::commands::{CommandRequest, Ids, ParseContext};
use super::deadline::{deadline, within};
use super::parse::Parsed;
use super::render::CommandResponse;
use super::{OrdersEdge, page, render, status};
use crate::actor::{Context, Executed, Refusal};

/// How long a call waits for a shard that changes owner. A handover takes some milliseconds.
const HANDOVER_WAIT_MAX: Duration = Duration::from_secs(1);
/// How long a forwarded call waits for a shard that this node does not own. After that it is
/// refused and returns to the node that forwarded it.
const FORWARDED_WAIT_MAX: Duration = Duration::from_millis(100);

/// Tries to draw an id in a shard of this node; enough where it owns one shard in a thousand.
const DRAWS_MAX: usize = 10_000;

impl Ids for OrdersEdge {
    /// An id in a shard of this node, so that a call without an id need not be forwarded: another
    /// node would draw another id.
    fn order_id(&self) -> OrderId {
        let drawn = || OrderId::from_uuid(self.chance.uuid());
        let mut drawn_here = std::iter::repeat_with(drawn).take(DRAWS_MAX);
        drawn_here.find(|order_id| self.registry.is_here(*order_id)).unwrap_or_else(drawn)
    }

    fn uuid(&self) -> Uuid {
        self.chance.uuid()
    }
}

impl OrdersEdge {
    /// Waits briefly for a shard that changes owner; a forwarded call, until this node owns it.
    pub(super) async fn settled(&self, order_id: OrderId, forwarded: bool, deadline: Instant) {
        let shard = self.journal.shard_of(order_id);
        let patience = if forwarded { FORWARDED_WAIT_MAX } else { HANDOVER_WAIT_MAX };
        let until = deadline.min(Instant::now() + patience);
        self.journal.settled(shard, forwarded, until).await;
    }

    /// Refuses positions that the journal does not hold: it was set back since they were read.
    pub(super) async fn ensure_held(
        &self,
        read: &Cursors,
        deadline: Instant,
    ) -> Result<(), Status> {
        let places: Vec<Place> = read.places().collect();
        let held = within(deadline, self.journal.holds(&places)).await?;
        match held.map_err(|error| status::journal(&error))? {
            true => Ok(()),
            false => Err(status::forked()),
        }
    }

    /// The history for the next page token; refuses a token of another history.
    pub(super) async fn history_id(
        &self,
        token: &str,
        deadline: Instant,
    ) -> Result<page::HistoryId, Status> {
        let now = page::history_id(self.journal.history());
        if page::is_of_history(token, now) {
            return Ok(now);
        }
        // Another node may have observed a later history already.
        let chronicle = within(deadline, self.journal.chronicle()).await?;
        let chronicle = chronicle.map_err(|error| status::journal(&error))?;
        let now = page::history_id(chronicle.map(|chronicle| chronicle.history()));
        if page::is_of_history(token, now) { Ok(now) } else { Err(status::forked()) }
    }

    /// The path of every command: parse, execute, render.
    pub(super) async fn command<T: CommandRequest>(
        &self,
        request: Request<T>,
    ) -> Result<Response<T::Response>, Status> {
        let call = CallContext::of(&request)?;
        let deadline = deadline(&request)?;
        let context = ParseContext { by: &call.by, ids: self };
        let about = about(&request);
        let parsed = well_formed(request.into_inner().parse(&context))?;
        about.set(parsed.order_id);
        self.can_pay(&call, &parsed, deadline).await?;
        let (by, validate_only) = (call.by.clone(), parsed.options.validate_only);
        let executed = self.execute_command(call, parsed, deadline).await;
        let executed = executed.map_err(|refusal| status::refused_to(&by, &refusal))?;
        let mut response = render::command(&executed, validate_only);
        seen_by(&by, response.order.as_deref_mut(), &mut response.events);
        let position = self.position_for(&by, response.position).await;
        Ok(Response::new(CommandResponse { position, ..response }.into()))
    }

    /// Executes the command once no handover of its shard is in progress.
    pub(super) async fn execute_command(
        &self,
        call: CallContext,
        parsed: Parsed,
        deadline: Instant,
    ) -> Result<Executed, Refusal> {
        let Parsed { order_id, command, options } = parsed;
        self.settled(order_id, call.forwarded, deadline).await;
        let hidden = command.hidden();
        let by = call.by.clone();
        let context = Context {
            request_id: options.request_id,
            expected_version: options.expected_version,
            validate_only: options.validate_only,
            traceparent: call.traceparent,
            tracestate: call.tracestate,
            log_trace: call.log_trace,
            ..Context::new(call.by, deadline)
        };
        match self.registry.execute(order_id, command, context).await {
            Err(refusal) => Err(self.unreadable_for(&by, order_id, refusal, hidden).await),
            answer => answer,
        }
    }
}
