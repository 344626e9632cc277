use std::collections::{HashMap, VecDeque};
use std::future::ready;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use prost::Message as _;
use shared_events::contract::OrderId;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::transport::Channel;
use tonic::{Code, Request, Status, Streaming};

use super::caller::{Asked, well_formed};
use super::parse::Wish;
use super::proto::execute_commands_request::Command;
use super::proto::execute_commands_response::Outcome;
use super::proto::order_service_client::OrderServiceClient;
use super::tail::Messages;
use super::{DEADLINE_DEFAULT, OrdersEdge, Refused, parse, proto, render, status};
use crate::actor::{Executed, Refusal};

/// Commands of one stream that were read and not answered; the next one is read when one is
/// answered, so that HTTP/2 tells the client to wait.
const UNDER_WAY_MAX: usize = 256;
/// Answers that wait for a slow client; nothing more is read meanwhile.
const ANSWERS_WAITING_MAX: usize = 64;

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
    let mut commands = request.into_inner();
    let caller = Arc::new(Caller { edge, asked, headers });
    let stream = CommandStream { caller, lanes: HashMap::new(), waiting: 0 };
    tokio::spawn(async move {
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
    wish: Wish,
    /// As it came, where another node may have to be asked.
    original: Option<proto::ExecuteCommandsRequest>,
}

/// An answer, and the order that is free for its next command.
type Answered = (Option<OrderId>, proto::ExecuteCommandsResponse);

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
}

impl CommandStream {
    async fn run(
        mut self,
        commands: &mut Streaming<proto::ExecuteCommandsRequest>,
        answers: &mpsc::Sender<Result<proto::ExecuteCommandsResponse, Status>>,
    ) -> Result<(), Status> {
        let stop = self.caller.edge.stop.clone();
        let mut stopping = pin!(stop.cancelled());
        let mut gone = pin!(answers.closed());
        let mut under_way: FuturesUnordered<BoxFuture<'static, Answered>> = FuturesUnordered::new();
        // How the stream ends once everything that was read is answered.
        let mut end = None;
        while end.is_none() || !under_way.is_empty() {
            let reads = end.is_none() && under_way.len() + self.waiting < UNDER_WAY_MAX;
            tokio::select! {
                biased;
                () = &mut gone => return Ok(()),
                Some((order_id, answer)) = under_way.next() => {
                    under_way.extend(order_id.and_then(|order_id| self.next_of(order_id)));
                    if answers.send(Ok(answer)).await.is_err() {
                        // What is under way goes on without anybody to tell.
                        return Ok(());
                    }
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

    /// Begins a command, or lets it wait for an earlier one to the same order.
    fn take(
        &mut self,
        request: proto::ExecuteCommandsRequest,
    ) -> Option<BoxFuture<'static, Answered>> {
        let (tag, brief) = (request.tag, request.brief);
        let original = self.caller.edge.nodes.as_ref().map(|_| request.clone());
        let wish = match self.caller.parse(request) {
            Ok(wish) => wish,
            Err(status) => return Some(Box::pin(ready((None, refused(tag, &status))))),
        };
        let work = Work { tag, brief, wish, original };
        if let Some(lane) = self.lanes.get_mut(&work.wish.order_id) {
            self.waiting += 1;
            lane.push_back(work);
            return None;
        }
        self.lanes.insert(work.wish.order_id, VecDeque::new());
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
        Box::pin(async move { (Some(work.wish.order_id), caller.answer(work).await) })
    }
}

impl Caller {
    fn parse(&self, request: proto::ExecuteCommandsRequest) -> Result<Wish, Status> {
        let parsed = match request.command {
            Some(Command::PlaceOrder(mut command)) => {
                self.edge.name(&mut command);
                parse::place_order(command, &self.asked.by)
            }
            Some(Command::CancelOrder(command)) => parse::cancel_order(command, &self.asked.by),
            Some(Command::FulfillOrder(command)) => parse::fulfill_order(command),
            Some(Command::RequestReturn(command)) => parse::request_return(command),
            Some(Command::ApproveReturn(command)) => parse::approve_return(command),
            Some(Command::RejectReturn(command)) => parse::reject_return(command),
            None => Err(parse::Violations::one(
                "command",
                parse::Violations::INVALID_FIELD,
                "one of the commands is required",
            )),
        };
        well_formed(parsed)
    }

    async fn answer(&self, work: Work) -> proto::ExecuteCommandsResponse {
        let Work { tag, brief, wish, original } = work;
        // Its time begins when it is carried out: those that wait before it are its client's own.
        let _turn = match &self.edge.turns {
            Some(turns) => Some(turns.turn(&self.asked.by).await),
            None => None,
        };
        let deadline = Instant::now() + DEADLINE_DEFAULT;
        let (order_id, validate_only) = (wish.order_id, wish.options.validate_only);
        let refusal = match self.edge.carry_out(self.asked.clone(), wish, deadline).await {
            Ok(executed) => return done(tag, brief, order_id, &executed, validate_only),
            Err(refusal) => refusal,
        };
        if let (Refusal::NotOwner { owner: Some(owner), .. }, Some(command), false) =
            (&refusal, original, self.asked.forwarded)
            && let Some(channel) = self.edge.nodes.as_ref().and_then(|nodes| nodes.channel(owner))
        {
            return self.ask(owner, channel, command, deadline).await;
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
            // It was not begun with.
            Ok(Err(status)) if status.code() == Code::ResourceExhausted => refused(tag, &status),
            other => {
                tracing::warn!(?other, owner, "a command could not be carried to its node");
                // It may have arrived; nobody knows.
                refused(tag, &status::refused(&Refusal::OutcomeUnknown(owner.to_owned())))
            }
        }
    }
}

fn done(
    tag: u64,
    brief: bool,
    order_id: OrderId,
    executed: &Executed,
    validate_only: bool,
) -> proto::ExecuteCommandsResponse {
    let outcome = if brief {
        proto::CommandOutcome {
            version: render::version(executed, validate_only),
            position: Some(render::place(executed.shard, executed.position, None)),
            replayed: executed.replayed,
            ..proto::CommandOutcome::default()
        }
    } else {
        let render::Outcome { order, events, position, replayed } =
            render::outcome(executed, validate_only);
        let version = order.as_ref().map_or(0, |order| order.version);
        proto::CommandOutcome { version, position, replayed, order, events, ..Default::default() }
    };
    let outcome = proto::CommandOutcome { order_id: order_id.to_string(), ..outcome };
    proto::ExecuteCommandsResponse { tag, outcome: Some(Outcome::Done(outcome)) }
}

/// The status as it would have ended a call of its own. A tonic status with details carries it
/// whole.
fn refused(tag: u64, status: &Status) -> proto::ExecuteCommandsResponse {
    let refused = Refused::decode(status.details()).unwrap_or_default();
    proto::ExecuteCommandsResponse { tag, outcome: Some(Outcome::Refused(refused)) }
}
