use std::collections::{HashMap, VecDeque};
use std::future::ready;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use prost::Message as _;
use service_edge::Wire;
use shared_events::contract::{OrderId, Reason};
use shared_events::traces;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Request, Status, Streaming};

use super::caller::{CallContext, message_span, seen_by, well_formed};
use super::commands::ParseContext;
use super::parse::Parsed;
use super::proto::execute_commands_request::Command;
use super::proto::execute_commands_response::Outcome;
use super::proto::order_service_client::OrderServiceClient;
use super::tail::Messages;
use super::{
    DEADLINE_DEFAULT, EndsBy, NOT_FOUND_DELAY, OrdersEdge, Refused, Unanswered, commands, proto,
    render, status,
};
use crate::actor::{Executed, Refusal};
use crate::domain::{By, Rejection};
use crate::tasks;

/// Commands of one stream that were read and whose answers are not queued yet. At the limit no
/// further command is read, so that HTTP/2 flow control stops the client.
const IN_FLIGHT_MAX: usize = 256;
/// Bytes of those commands and of answers that are not queued yet. One command may have as many.
const IN_FLIGHT_BYTES_MAX: usize = 1024 * 1024;
/// Answers queued for a slow client; only one if it is large.
const ANSWERS_WAITING_MAX: usize = 64;
/// A larger answer counts as large.
const SMALL_BYTES_MAX: usize = 16 * 1024;

/// How long to keep reading, and discard, what a client sends after the final status.
const DISCARD_WAIT_MAX: Duration = Duration::from_secs(1);

/// Headers that authenticate a caller, and the trace context.
const CALLER_HEADERS: [&str; 5] =
    ["authorization", "ordinal-caller", "ordinal-role", "ordinal-subject", "traceparent"];

/// Executes the commands of a stream, until the stream, its client or the engine ends.
pub(super) fn answers(
    edge: OrdersEdge,
    call: CallContext,
    request: Request<Streaming<proto::ExecuteCommandsRequest>>,
) -> Messages<proto::ExecuteCommandsResponse> {
    let (sender, receiver) = mpsc::channel(ANSWERS_WAITING_MAX);
    let mut headers = MetadataMap::new();
    for name in CALLER_HEADERS {
        if let Some(value) = request.metadata().get(name) {
            headers.insert(name, value.clone());
        }
    }
    let unanswered = request.extensions().get::<Unanswered>().cloned().unwrap_or_default();
    let ends = request.extensions().get::<EndsBy>().cloned();
    let mut commands = request.into_inner();
    let context = Arc::new(StreamContext { edge, call, headers });
    let stream = CommandStream {
        context,
        lanes: HashMap::new(),
        waiting: 0,
        ready: VecDeque::new(),
        bytes: 0,
        unanswered,
    };
    tasks::spawn(async move {
        if let Err(status) = stream.run(&mut commands, (&sender, ends)).await {
            // Fails if the client has disconnected; then there is nobody to notify.
            let _ = sender.send(Err(status)).await;
            drop(sender);
            // A request stream that is dropped is reset, and the reset may overtake the status.
            let discard = async { while matches!(commands.next().await, Some(Ok(_))) {} };
            let _ = timeout(DISCARD_WAIT_MAX, discard).await;
        }
    });
    ReceiverStream::new(receiver)
}

/// A well-formed command.
struct Work {
    tag: u64,
    brief: bool,
    bytes: usize,
    parsed: Parsed,
    /// The original message, if it may have to be forwarded.
    original: Option<proto::ExecuteCommandsRequest>,
}

/// A finished command.
struct Answered {
    /// The order whose next command may start.
    order_id: Option<OrderId>,
    /// The bytes of the command.
    bytes: usize,
    answer: proto::ExecuteCommandsResponse,
}

/// What all commands of a stream share: the edge and the caller.
struct StreamContext {
    edge: OrdersEdge,
    call: CallContext,
    headers: MetadataMap,
}

struct CommandStream {
    context: Arc<StreamContext>,
    /// Orders with a command in flight, each with the commands queued behind it.
    lanes: HashMap<OrderId, VecDeque<Work>>,
    /// Commands in all lanes.
    waiting: usize,
    /// Answers that are not queued yet, each with its bytes.
    ready: VecDeque<(usize, proto::ExecuteCommandsResponse)>,
    /// Bytes of commands without an answer and of answers in `ready`.
    bytes: usize,
    unanswered: Unanswered,
}

type Answers = mpsc::Sender<Result<proto::ExecuteCommandsResponse, Status>>;

impl CommandStream {
    async fn run(
        mut self,
        commands: &mut Streaming<proto::ExecuteCommandsRequest>,
        (answers, ends): (&Answers, Option<EndsBy>),
    ) -> Result<(), Status> {
        let stop = self.context.edge.stop.clone();
        let mut stopping = pin!(EndsBy::stopped(&stop, ends.as_ref()));
        let mut gone = pin!(answers.closed());
        let mut in_flight: FuturesUnordered<BoxFuture<'static, Answered>> = FuturesUnordered::new();
        // The final status, sent once every command that was read is answered.
        let mut end = None;
        while end.is_none() || !in_flight.is_empty() || !self.ready.is_empty() {
            self.unanswered.set(self.bytes);
            let count = in_flight.len() + self.waiting + self.ready.len();
            let reads = end.is_none() && count < IN_FLIGHT_MAX && self.bytes < IN_FLIGHT_BYTES_MAX;
            // Commands in flight are polled whatever the client does: each holds a slot that other
            // callers wait for, until it is done.
            tokio::select! {
                biased;
                // Commands already sent to their orders still complete.
                () = &mut gone => return Ok(()),
                Ok(mut permits) = answers.reserve_many(self.capacity()), if !self.ready.is_empty() => {
                    if let (Some(permit), Some((bytes, answer))) =
                        (permits.next(), self.ready.pop_front())
                    {
                        self.bytes -= bytes;
                        permit.send(Ok(answer));
                    }
                }
                Some(Answered { order_id, bytes, answer }) = in_flight.next() => {
                    self.bytes -= bytes;
                    in_flight.extend(order_id.and_then(|order_id| self.next_of(order_id)));
                    self.deliver(answer, answers);
                }
                command = commands.next(), if reads => match command {
                    Some(Ok(command)) => in_flight.extend(self.take(command)),
                    Some(Err(status)) => end = Some(Err(status::explained(status))),
                    None => end = Some(Ok(())),
                },
                status = &mut stopping, if end.is_none() => end = Some(Err(status)),
            }
        }
        end.unwrap_or(Ok(()))
    }

    /// Queues an answer for the client, or appends it to `ready` behind earlier ones.
    fn deliver(&mut self, answer: proto::ExecuteCommandsResponse, answers: &Answers) {
        let bytes = answer.encoded_len();
        if self.ready.is_empty()
            && bytes <= SMALL_BYTES_MAX
            && let Ok(permit) = answers.try_reserve()
        {
            permit.send(Ok(answer));
            return;
        }
        self.bytes += bytes;
        self.ready.push_back((bytes, answer));
    }

    /// Queue capacity that the next answer needs. A large one needs an empty queue.
    fn capacity(&self) -> usize {
        match self.ready.front() {
            Some((bytes, _)) if *bytes > SMALL_BYTES_MAX => ANSWERS_WAITING_MAX,
            _ => 1,
        }
    }

    /// Starts a command, or queues it behind an earlier one for the same order.
    fn take(
        &mut self,
        request: proto::ExecuteCommandsRequest,
    ) -> Option<BoxFuture<'static, Answered>> {
        let (tag, brief, bytes) = (request.tag, request.brief, request.encoded_len());
        self.bytes += bytes;
        let original = self.context.edge.nodes.as_ref().map(|_| request.clone());
        let parsed = match self.context.parse(request.command) {
            Ok(parsed) => parsed,
            Err(status) => {
                let answer = refused(tag, &status);
                return Some(Box::pin(ready(Answered { order_id: None, bytes, answer })));
            }
        };
        let work = Work { tag, brief, bytes, parsed, original };
        if let Some(lane) = self.lanes.get_mut(&work.parsed.order_id) {
            self.waiting += 1;
            lane.push_back(work);
            return None;
        }
        self.lanes.insert(work.parsed.order_id, VecDeque::new());
        Some(self.begin(work))
    }

    fn next_of(&mut self, order_id: OrderId) -> Option<BoxFuture<'static, Answered>> {
        if let Some(work) = self.lanes.get_mut(&order_id).and_then(VecDeque::pop_front) {
            self.waiting -= 1;
            return Some(self.begin(work));
        }
        self.lanes.remove(&order_id);
        None
    }

    fn begin(&self, work: Work) -> BoxFuture<'static, Answered> {
        let context = Arc::clone(&self.context);
        Box::pin(async move {
            let (order_id, bytes) = (Some(work.parsed.order_id), work.bytes);
            Answered { order_id, bytes, answer: context.answer(work).await }
        })
    }
}

impl StreamContext {
    fn parse(&self, command: Option<Command>) -> Result<Parsed, Status> {
        let context = ParseContext { by: &self.call.by, ids: &self.edge };
        well_formed(commands::parse(command, &context))
    }

    async fn answer(&self, work: Work) -> proto::ExecuteCommandsResponse {
        let Work { tag, brief, parsed, original, .. } = work;
        // The deadline starts with execution: the commands queued before it are the client's own.
        let slot = match &self.edge.slots {
            Some(slots) => match slots.slot(&self.call.by, self.call.forwarded).await {
                Ok(slot) => Some(slot),
                Err(status) => return refused(tag, &status),
            },
            None => None,
        };
        let began = Instant::now();
        let deadline = began + DEADLINE_DEFAULT;
        if let Err(status) = self.edge.can_pay(&self.call, &parsed, deadline).await {
            return refused(tag, &status);
        }
        let (order_id, validate_only) = (parsed.order_id, parsed.options.validate_only);
        let mut call = self.call.clone();
        let _span = message_span(&mut call);
        let trace = (call.traceparent.clone(), call.tracestate.clone());
        let refusal = match self.edge.execute_command(call, parsed, deadline).await {
            Ok(executed) => {
                let mut outcome = outcome(brief, order_id, &executed, validate_only);
                seen_by(&self.call.by, outcome.order.as_deref_mut(), &mut outcome.events);
                outcome.position = self.edge.position_for(&self.call.by, outcome.position).await;
                let outcome = Some(Outcome::Done(outcome));
                return proto::ExecuteCommandsResponse { tag, outcome };
            }
            Err(refusal) => refusal,
        };
        if let (Refusal::NotOwner { owner: Some(owner), .. }, Some(command), false) =
            (&refusal, original, self.call.forwarded)
            && let Some(wire) = self.edge.nodes.as_ref().and_then(|nodes| nodes.wire(owner))
        {
            // The other node takes its own slot. Holding ours could deadlock two nodes.
            drop(slot);
            return self.forward((owner, wire), command, trace, deadline).await;
        }
        if let (Refusal::Rejected(Rejection::NotFound), By::Customer(_)) = (&refusal, &self.call.by)
        {
            drop(slot);
            sleep_until(began + NOT_FOUND_DELAY).await;
        }
        refused(tag, &status::refused_to(&self.call.by, &refusal))
    }

    /// Forwards the command to the order's owner, at most one hop.
    async fn forward(
        &self,
        (owner, wire): (&str, Wire),
        command: proto::ExecuteCommandsRequest,
        (traceparent, tracestate): (Option<String>, Option<String>),
        deadline: Instant,
    ) -> proto::ExecuteCommandsResponse {
        let tag = command.tag;
        let mut request = Request::new(tokio_stream::once(command));
        *request.metadata_mut() = self.headers.clone();
        if let Some(Ok(stated)) = tracestate.as_deref().map(str::parse) {
            request.metadata_mut().insert("tracestate", stated);
        }
        match traceparent.as_deref().map(str::parse) {
            Some(Ok(own)) => {
                request.metadata_mut().insert("traceparent", own);
            }
            _ if traces::is_on() => {
                request.metadata_mut().insert(traces::UNRECORDED, MetadataValue::from_static("1"));
            }
            _ => {}
        }
        if let Some(Ok(named)) = self.call.log_trace.as_deref().map(str::parse) {
            request.metadata_mut().insert(traces::LOG_TRACE, named);
        }
        request.metadata_mut().insert(status::FORWARDED_HEADER, MetadataValue::from_static("1"));
        let answer = async {
            let mut client = OrderServiceClient::new(wire);
            client.execute_commands(request).await?.into_inner().message().await
        };
        match timeout_at(deadline, answer).await {
            Ok(Ok(Some(answer))) => answer,
            Ok(Err(status)) if was_not_started(&status) => refused(tag, &status),
            other => {
                tracing::warn!(?other, owner, "a command could not be forwarded to its node");
                // It may have arrived.
                refused(tag, &status::refused(&Refusal::OutcomeUnknown(owner.to_owned())))
            }
        }
    }
}

/// Whether a node reports that it refused a command before it started. A broken stream may have
/// the same code; then the outcome is unknown. The stream of a forwarded command does not end with
/// its caller's token: one that has expired was refused at admission.
fn was_not_started(status: &Status) -> bool {
    matches!(
        service_edge::reason_of(status),
        Some(
            Reason::Overloaded
                | Reason::RateLimited
                | Reason::Unauthenticated
                | Reason::TokenExpired
                | Reason::KeysUnavailable
                | Reason::NotForwarded
        )
    )
}

fn outcome(
    brief: bool,
    order_id: OrderId,
    executed: &Executed,
    validate_only: bool,
) -> proto::CommandOutcome {
    let outcome = if brief {
        proto::CommandOutcome {
            version: render::version(executed, validate_only),
            position: Some(render::place(executed.shard, executed.position, None)),
            replayed: executed.replayed,
            ..proto::CommandOutcome::default()
        }
    } else {
        let render::CommandResponse { order, events, position, replayed } =
            render::command(executed, validate_only);
        let version = order.as_ref().map_or(0, |order| order.version);
        proto::CommandOutcome { version, position, replayed, order, events, ..Default::default() }
    };
    proto::CommandOutcome { order_id: order_id.to_string(), ..outcome }
}

/// The status that a single call would have returned. A tonic status with details contains it
/// completely.
fn refused(tag: u64, status: &Status) -> proto::ExecuteCommandsResponse {
    let refused = Refused::decode(status.details()).unwrap_or_default();
    proto::ExecuteCommandsResponse { tag, outcome: Some(Outcome::Refused(refused)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_refusal_at_admission_means_that_a_command_was_not_started() {
        assert!(was_not_started(&status::refused(&Refusal::Overloaded)));
        let refused = |reason| service_edge::Refused::new(reason).say("x");
        assert!(was_not_started(&refused(Reason::TokenExpired)));
        assert!(was_not_started(&refused(Reason::Unauthenticated)));
        assert!(!was_not_started(&refused(Reason::OutcomeUnknown)));
        assert!(!was_not_started(&refused(Reason::DeadlineExceeded)));
        assert!(!was_not_started(&Status::unauthenticated("of nobody here")));
        // As tonic makes it of a stream that h2 ends with ENHANCE_YOUR_CALM.
        assert!(!was_not_started(&Status::resource_exhausted("h2 protocol error")));
        assert!(!was_not_started(&service_edge::Refused::reader_too_slow()));
        assert!(!was_not_started(&service_edge::Refused::stopping()));
    }
}
