use std::collections::{HashMap, VecDeque};
use std::future::ready;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use prost::Message as _;
use shared_events::contract::{OrderId, Reason};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::transport::Channel;
use tonic::{Code, Request, Status, Streaming};

use super::caller::{Asked, well_formed};
use super::commands::Asking;
use super::parse::Parsed;
use super::proto::execute_commands_request::Command;
use super::proto::execute_commands_response::Outcome;
use super::proto::order_service_client::OrderServiceClient;
use super::tail::Messages;
use super::{
    DEADLINE_DEFAULT, HIDDEN_UNTIL, OrdersEdge, Refused, Unanswered, commands, proto, render,
    status,
};
use crate::actor::{Executed, Refusal};
use crate::domain::{By, Rejection};
use crate::tasks;

/// Commands of one stream that were read and whose answers have not been handed over; the next one
/// is read when one is, so that HTTP/2 tells the client to wait.
const UNDER_WAY_MAX: usize = 256;
/// The bytes of those commands, and of answers that wait to be handed over. One command may have as
/// many.
const UNDER_WAY_BYTES_MAX: usize = 1024 * 1024;
/// Answers that were handed over and that a slow client has not taken; of large ones only one.
const ANSWERS_WAITING_MAX: usize = 64;
/// A large answer has more bytes.
const SMALL_BYTES_MAX: usize = 16 * 1024;

/// A client that was told that its stream has ended may go on sending for so long; that is thrown
/// away.
const ENDS_WITHIN: Duration = Duration::from_secs(1);

/// Headers by which a caller proves who they are, and their trace.
const CALLER_HEADERS: [&str; 4] =
    ["authorization", "ordinal-role", "ordinal-subject", "traceparent"];

/// Carries out the commands of a stream, until it ends, or its client or the engine.
pub(super) fn answers(
    edge: OrdersEdge,
    asked: Asked,
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
    let mut commands = request.into_inner();
    let caller = Arc::new(Caller { edge, asked, headers });
    let stream = CommandStream {
        caller,
        lanes: HashMap::new(),
        waiting: 0,
        ready: VecDeque::new(),
        bytes: 0,
        unanswered,
    };
    tasks::spawn(async move {
        if let Err(status) = stream.run(&mut commands, &sender).await {
            // The client may have gone meanwhile; nobody is left to tell.
            let _ = sender.send(Err(status)).await;
            drop(sender);
            // A request stream that is dropped is reset, and the reset may overtake the status.
            let rest = async { while matches!(commands.next().await, Some(Ok(_))) {} };
            let _ = timeout(ENDS_WITHIN, rest).await;
        }
    });
    ReceiverStream::new(receiver)
}

/// A command that was read and makes sense.
struct Work {
    tag: u64,
    brief: bool,
    bytes: usize,
    parsed: Parsed,
    /// As it came, where another node may have to be asked.
    original: Option<proto::ExecuteCommandsRequest>,
}

/// A command that is done.
struct Answered {
    /// The order that is free for its next command.
    order_id: Option<OrderId>,
    /// What the command had.
    bytes: usize,
    answer: proto::ExecuteCommandsResponse,
}

/// Who sends the commands, and whom they are asked of: the same for all of a stream.
struct Caller {
    edge: OrdersEdge,
    asked: Asked,
    headers: MetadataMap,
}

struct CommandStream {
    caller: Arc<Caller>,
    /// Orders with a command under way, each with those that wait for it.
    lanes: HashMap<OrderId, VecDeque<Work>>,
    /// Commands in all lanes.
    waiting: usize,
    /// Answers that wait to be handed over, each with its bytes.
    ready: VecDeque<(usize, proto::ExecuteCommandsResponse)>,
    /// Of commands that are not answered, and of answers that wait to be handed over.
    bytes: usize,
    unanswered: Unanswered,
}

type Answers = mpsc::Sender<Result<proto::ExecuteCommandsResponse, Status>>;

impl CommandStream {
    async fn run(
        mut self,
        commands: &mut Streaming<proto::ExecuteCommandsRequest>,
        answers: &Answers,
    ) -> Result<(), Status> {
        let stop = self.caller.edge.stop.clone();
        let mut stopping = pin!(stop.cancelled());
        let mut gone = pin!(answers.closed());
        let mut under_way: FuturesUnordered<BoxFuture<'static, Answered>> = FuturesUnordered::new();
        // How the stream ends once everything that was read is answered.
        let mut end = None;
        while end.is_none() || !under_way.is_empty() || !self.ready.is_empty() {
            self.unanswered.are(self.bytes);
            let count = under_way.len() + self.waiting + self.ready.len();
            let reads = end.is_none() && count < UNDER_WAY_MAX && self.bytes < UNDER_WAY_BYTES_MAX;
            // What is under way is polled whatever its client does: each has a slot that others
            // wait for, and gives it back when it is done.
            tokio::select! {
                biased;
                // What is under way goes on without anybody to tell.
                () = &mut gone => return Ok(()),
                Ok(mut places) = answers.reserve_many(self.places()), if !self.ready.is_empty() => {
                    if let (Some(place), Some((bytes, answer))) =
                        (places.next(), self.ready.pop_front())
                    {
                        self.bytes -= bytes;
                        place.send(Ok(answer));
                    }
                }
                Some(Answered { order_id, bytes, answer }) = under_way.next() => {
                    self.bytes -= bytes;
                    under_way.extend(order_id.and_then(|order_id| self.next_of(order_id)));
                    self.tell(answer, answers);
                }
                command = commands.next(), if reads => match command {
                    Some(Ok(command)) => under_way.extend(self.take(command)),
                    Some(Err(status)) => end = Some(Err(status::explained(status))),
                    None => end = Some(Ok(())),
                },
                () = &mut stopping, if end.is_none() => end = Some(Err(status::stopping())),
            }
        }
        end.unwrap_or(Ok(()))
    }

    /// Hands an answer over, or lets it wait for its client behind those that wait already.
    fn tell(&mut self, answer: proto::ExecuteCommandsResponse, answers: &Answers) {
        let bytes = answer.encoded_len();
        if self.ready.is_empty()
            && bytes <= SMALL_BYTES_MAX
            && let Ok(place) = answers.try_reserve()
        {
            place.send(Ok(answer));
            return;
        }
        self.bytes += bytes;
        self.ready.push_back((bytes, answer));
    }

    /// Places that the next answer needs to be handed over: of large ones nothing else waits yet.
    fn places(&self) -> usize {
        match self.ready.front() {
            Some((bytes, _)) if *bytes > SMALL_BYTES_MAX => ANSWERS_WAITING_MAX,
            _ => 1,
        }
    }

    /// Begins a command, or lets it wait for an earlier one to the same order.
    fn take(
        &mut self,
        request: proto::ExecuteCommandsRequest,
    ) -> Option<BoxFuture<'static, Answered>> {
        let (tag, brief, bytes) = (request.tag, request.brief, request.encoded_len());
        self.bytes += bytes;
        let original = self.caller.edge.nodes.as_ref().map(|_| request.clone());
        let parsed = match self.caller.parse(request.command) {
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
        let caller = Arc::clone(&self.caller);
        Box::pin(async move {
            let (order_id, bytes) = (Some(work.parsed.order_id), work.bytes);
            Answered { order_id, bytes, answer: caller.answer(work).await }
        })
    }
}

impl Caller {
    fn parse(&self, command: Option<Command>) -> Result<Parsed, Status> {
        let asking = Asking { by: &self.asked.by, ids: &self.edge };
        well_formed(commands::parse(command, &asking))
    }

    async fn answer(&self, work: Work) -> proto::ExecuteCommandsResponse {
        let Work { tag, brief, parsed, original, .. } = work;
        // Its time begins when it is carried out: those that wait before it are its client's own.
        let slot = match &self.edge.slots {
            Some(slots) => Some(slots.slot(&self.asked.by).await),
            None => None,
        };
        let began = Instant::now();
        let deadline = began + DEADLINE_DEFAULT;
        let (order_id, validate_only) = (parsed.order_id, parsed.options.validate_only);
        let refusal = match self.edge.carry_out(self.asked.clone(), parsed, deadline).await {
            Ok(executed) => {
                let mut outcome = outcome(brief, order_id, &executed, validate_only);
                outcome.position = self.edge.place_for(&self.asked.by, outcome.position).await;
                let outcome = Some(Outcome::Done(outcome));
                return proto::ExecuteCommandsResponse { tag, outcome };
            }
            Err(refusal) => refusal,
        };
        if let (Refusal::NotOwner { owner: Some(owner), .. }, Some(command), false) =
            (&refusal, original, self.asked.forwarded)
            && let Some(channel) = self.edge.nodes.as_ref().and_then(|nodes| nodes.channel(owner))
        {
            // It waits for a slot there. Two nodes that wait for each other hold none.
            drop(slot);
            return self.ask(owner, channel, command, deadline).await;
        }
        if let (Refusal::Rejected(Rejection::NotFound), By::Customer(_)) =
            (&refusal, &self.asked.by)
        {
            drop(slot);
            sleep_until(began + HIDDEN_UNTIL).await;
        }
        refused(tag, &status::refused(&refusal))
    }

    /// Asks the node that has the order, once.
    async fn ask(
        &self,
        owner: &str,
        channel: Channel,
        command: proto::ExecuteCommandsRequest,
        deadline: Instant,
    ) -> proto::ExecuteCommandsResponse {
        let tag = command.tag;
        let mut request = Request::new(tokio_stream::once(command));
        *request.metadata_mut() = self.headers.clone();
        request.metadata_mut().insert(status::FORWARDED_HEADER, MetadataValue::from_static("1"));
        let answer = async {
            let mut client = OrderServiceClient::new(channel);
            client.execute_commands(request).await?.into_inner().message().await
        };
        match timeout_at(deadline, answer).await {
            Ok(Ok(Some(answer))) => answer,
            Ok(Err(status)) if was_not_begun(&status) => refused(tag, &status),
            other => {
                tracing::warn!(?other, owner, "a command could not be carried to its node");
                // It may have arrived; nobody knows.
                refused(tag, &status::refused(&Refusal::OutcomeUnknown(owner.to_owned())))
            }
        }
    }
}

/// Whether a node says that it refused a command before it did anything. A stream that broke may
/// have the same code, and nobody knows what became of its command.
fn was_not_begun(status: &Status) -> bool {
    status.code() == Code::ResourceExhausted
        && service_edge::reason_of(status) == Some(Reason::Overloaded)
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

/// The status as it would have ended a call of its own. A tonic status with details carries it
/// whole.
fn refused(tag: u64, status: &Status) -> proto::ExecuteCommandsResponse {
    let refused = Refused::decode(status.details()).unwrap_or_default();
    proto::ExecuteCommandsResponse { tag, outcome: Some(Outcome::Refused(refused)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_node_that_says_so_has_not_begun_with_a_command() {
        assert!(was_not_begun(&status::refused(&Refusal::Overloaded)));
        // As tonic makes it of a stream that h2 ends with ENHANCE_YOUR_CALM.
        assert!(!was_not_begun(&Status::resource_exhausted("h2 protocol error")));
        assert!(!was_not_begun(&service_edge::Refused::reader_too_slow()));
        assert!(!was_not_begun(&status::stopping()));
    }
}
