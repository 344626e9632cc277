//! What operators see and may do over gRPC: followers, dead letters, read models, quarantine.
//! Never here: who is an operator; `access` has answered that before a call arrives.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use order_actor::grpc::Nodes as _;
use order_actor::grpc::status::FORWARDED_HEADER;
use order_actor::journal::{Chronicle, Incarnation, Journal, JournalError, Node, ShardState};
use order_actor::projections::{Deadlines, OrderSummaries, RebuildError};
use service_edge::page::{PageSize, foreign_token};
use service_edge::time::{self, timestamp};
use shared_events::contract::{Fact, OrderId, ParseIdError, Reason, Subject, TextRule, Timestamp};
use shared_events::stream::{
    AskedBy, Cursors, Database, DeadLetter, DeadLetterError, DeadLetterState, DeadLetters,
    OperatorAction, Pause, Verb,
};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tonic::metadata::MetadataValue;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

use crate::actions::{Page, asked_by};
use crate::engine::{Believed, FollowerEntry, Health};
use crate::followers as names;
use crate::forward::NodeChannels;
use crate::refusal::{away, refused, violation};

/// The generated messages, server and client.
pub mod proto {
    #![allow(
        missing_docs,
        unreachable_pub,
        clippy::all,
        clippy::pedantic,
        reason = "generated; the proto is documented"
    )]
    tonic::include_proto!("ordinal.admin.v1");
}

use proto::admin_service_client::AdminServiceClient;
use proto::admin_service_server::{AdminService, AdminServiceServer};

/// The service's descriptors, for reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] =
    include_bytes!(concat!(env!("OUT_DIR"), "/admin_descriptor.bin"));

const REASON_LEN_MAX: usize = 500;
/// Who takes longer counts as away.
const PEER_ANSWERS_WITHIN: Duration = Duration::from_secs(5);
/// The same of one who is asked for others: what it may take must fit into what who asked us waits.
const ASKED_FOR_OTHERS_WITHIN: Duration = Duration::from_secs(3);
/// A follower of which its stores tell no more by then is shown as it knows itself.
const FOLLOWER_TOLD_WITHIN: Duration = Duration::from_secs(2);
/// What may be said besides is not waited for.
const NOTES_WITHIN: Duration = Duration::from_secs(1);

/// What the service looks at.
pub struct AdminParts {
    /// Every follower of this process.
    pub followers: Vec<FollowerEntry>,
    /// The dead letters by follower; each looks into that follower's own database.
    pub letters: BTreeMap<String, DeadLetters>,
    /// What happened to orders, where that is here.
    pub journal: Option<Journal>,
    /// Every database of this process, by the name of its service.
    pub databases: Vec<(&'static str, Database)>,
    /// The order service's read models, where they are here.
    pub orders: Option<Database>,
    /// What time it is.
    pub now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    /// What takes long ends, with `UNAVAILABLE` and reason `STOPPING`, when this token says so.
    pub stop: CancellationToken,
    /// Followers of other processes, and where to ask about them.
    pub peers: BTreeMap<&'static str, Channel>,
    /// To the other order nodes.
    pub nodes: NodeChannels,
    /// An order node, where orders are in other processes.
    pub orders_at: Option<Channel>,
    /// What other processes call this one.
    pub node: Node,
    /// Whether this process can serve.
    pub health: Health,
    /// Whether its clock is believed, where there are timers.
    pub clock: Option<Arc<Believed>>,
}

/// The admin service.
#[derive(Clone)]
pub struct AdminEdge {
    parts: Arc<AdminParts>,
}

fn set_back(shard: u16) -> String {
    format!("stands where its log has nothing any more (shard {shard}): the log was set back")
}

/// Followers whose positions are those of the journal.
fn follows_journal(name: &str) -> bool {
    ![names::STOCK_ANSWERS, names::INVENTORY_RELAY, names::NOTIFICATIONS_RELAY].contains(&name)
}

impl AdminEdge {
    /// Over these parts.
    #[must_use]
    pub fn new(parts: AdminParts) -> Self {
        Self { parts: Arc::new(parts) }
    }

    /// As tonic serves it.
    #[must_use]
    pub fn into_service(self) -> AdminServiceServer<Self> {
        AdminServiceServer::new(self)
    }

    async fn follower(&self, entry: &FollowerEntry) -> proto::Follower {
        let status = &entry.status;
        let until = Instant::now() + FOLLOWER_TOLD_WITHIN;
        // Where its database does not answer, what it remembers itself, of an end that is not known.
        let stored = timeout_at(until, (entry.cursors)()).await.ok().flatten();
        let heads = match stored.is_some() {
            true => timeout_at(until, (entry.heads)()).await.ok().flatten(),
            false => None,
        };
        let cursors = stored.unwrap_or_else(|| status.cursors());
        // Who stands where its log has nothing is not level: it has yet to learn that it goes back.
        let beyond = heads.as_ref().and_then(|heads| cursors.beyond(heads));
        let lag = heads.as_ref().map_or(0, |heads| cursors.behind(heads));
        let lag = lag.max(u64::from(beyond.is_some()));
        let oldest_waiting_since = if lag > 0 && follows_journal(status.name()) {
            timeout_at(until, self.oldest_waiting(&cursors)).await.ok().flatten()
        } else {
            None
        };
        let paused = match &entry.database {
            Some(database) => {
                let paused = timeout_at(until, Pause::of(database, status.name())).await;
                paused.ok().and_then(Result::ok).flatten()
            }
            None => None,
        };
        let letters = match &entry.database {
            Some(database) => {
                let letters = DeadLetters::new(database.clone());
                let waiting = timeout_at(until, letters.waiting(status.name())).await;
                waiting.ok().and_then(Result::ok).flatten()
            }
            None => None,
        };
        proto::Follower {
            dead_letters: letters.map_or(0, |waiting| waiting.letters),
            name: status.name().to_owned(),
            node: self.parts.node.name.clone(),
            cursors: positions(&cursors),
            head_known: heads.is_some(),
            heads: heads.as_ref().map(positions).unwrap_or_default(),
            lag,
            oldest_waiting_since: oldest_waiting_since.map(timestamp),
            still_for: status.still_for().try_into().ok(),
            error: status.error().or_else(|| beyond.map(set_back)).unwrap_or_default(),
            stopped: status.is_stopped(),
            paused: paused.map(|pause| pause.reason).unwrap_or_default(),
        }
    }

    /// When the oldest event after the cursors was recorded.
    async fn oldest_waiting(&self, cursors: &Cursors) -> Option<Timestamp> {
        let journal = self.parts.journal.as_ref()?;
        let per_shard = usize::from(journal.shards());
        let waiting = journal.read_after(cursors, per_shard).await.ok()?;
        waiting.iter().map(|event| event.recorded_at).min()
    }

    /// The dead letters of a follower of this process.
    fn letters_of(&self, follower: &str) -> Result<&DeadLetters, Status> {
        self.parts.letters.get(follower).ok_or_else(|| {
            let here = self.parts.letters.keys().map(String::as_str);
            let known: Vec<&str> = here.chain(self.parts.peers.keys().copied()).collect();
            violation(
                "follower",
                &format!("no follower has this name; there are {}", known.join(", ")),
            )
        })
    }

    /// The database of a follower of this process.
    fn database_of(&self, follower: &str) -> Result<&Database, Status> {
        self.letters_of(follower)?;
        let mut entries = self.parts.followers.iter();
        let entry = entries.find(|entry| entry.status.name() == follower);
        entry.and_then(|entry| entry.database.as_ref()).ok_or_else(|| {
            violation("follower", "this follower keeps nothing in a database and cannot be paused")
        })
    }

    /// The process that knows of a follower, if it is another one that may be asked. A call that
    /// another process carried here is answered from what is here.
    fn peer<T>(&self, follower: &str, request: &Request<T>) -> Option<Peer> {
        let carried = request.metadata().contains_key(FORWARDED_HEADER);
        let channel = self.parts.peers.get(follower).filter(|_| !carried)?;
        Some(AdminServiceClient::new(channel.clone()))
    }

    /// The other order nodes, by name, unless the call was carried here by one.
    async fn nodes<T>(&self, request: &Request<T>) -> Vec<(String, Peer)> {
        let carried = request.metadata().contains_key(FORWARDED_HEADER);
        let Some(journal) = self.parts.journal.as_ref().filter(|_| !carried) else {
            return Vec::new();
        };
        // One that has the journal to itself has no others; a database that is away names none.
        let nodes = timeout(NOTES_WITHIN, journal.nodes()).await;
        let nodes = nodes.ok().and_then(Result::ok).unwrap_or_default();
        let others = nodes.into_iter().filter(|node| *node != self.parts.node);
        let peer = |node: Node| {
            let channel = self.parts.nodes.channel(&node.address)?;
            Some((node.name, AdminServiceClient::new(channel)))
        };
        others.filter_map(peer).collect()
    }

    /// Every other process that may be asked, once.
    fn peers<T>(&self, request: &Request<T>) -> Vec<(&'static str, Peer)> {
        let names = self.parts.peers.keys();
        names.filter_map(|name| Some((*name, self.peer(name, request)?))).collect()
    }

    /// The journal and the read models of orders.
    fn orders(&self) -> Result<(&Journal, &Database), Status> {
        let (journal, orders) = (self.parts.journal.as_ref(), self.parts.orders.as_ref());
        journal.zip(orders).ok_or_else(|| {
            let message = "orders are not in this process; ask an order node";
            refused(Reason::NotInThisRole, message)
        })
    }

    /// That whoever asks does this now, to be written with its effect.
    fn action<T>(
        &self,
        request: &Request<T>,
        verb: Verb,
        target: &str,
        reason: &str,
    ) -> OperatorAction {
        OperatorAction::new(&asked_by(request), verb, target, reason, (self.parts.now)())
    }

    async fn rebuild(&self, name: &str, action: OperatorAction) -> Result<u64, Status> {
        let (journal, orders) = self.orders()?;
        let (journal, orders) = (journal.clone(), orders.clone());
        let rebuilt = match name {
            OrderSummaries::FOLLOWER => OrderSummaries::new(orders).rebuild(journal, action).await,
            Deadlines::FOLLOWER => Deadlines::new(orders).rebuild(journal, action).await,
            _ => return Err(violation("name", "order-summaries or deadlines")),
        };
        let events = rebuilt.map_err(rebuild_refused)?;
        tracing::info!(read_model = name, events, "read model rebuilt");
        Ok(events)
    }
}

/// Another process's admin service.
type Peer = AdminServiceClient<Channel>;

/// A request to another process in the name of who asked here.
fn carried<T, U>(asked: &Request<T>, message: U) -> Request<U> {
    let mut request = Request::new(message);
    for name in ["authorization", "ordinal-role", "ordinal-subject"] {
        if let Some(value) = asked.metadata().get(name) {
            request.metadata_mut().insert(name, value.clone());
        }
    }
    request.metadata_mut().insert(FORWARDED_HEADER, MetadataValue::from_static("1"));
    request.set_timeout(PEER_ANSWERS_WITHIN);
    request
}

#[tonic::async_trait]
impl AdminService for AdminEdge {
    async fn list_followers(
        &self,
        request: Request<proto::ListFollowersRequest>,
    ) -> Result<Response<proto::ListFollowersResponse>, Status> {
        let mut away = Vec::new();
        // Order nodes know everybody.
        if let Some(orders) = &self.parts.orders_at
            && !request.metadata().contains_key(FORWARDED_HEADER)
        {
            let mut asked = carried(&request, proto::ListFollowersRequest {});
            asked.metadata_mut().remove(FORWARDED_HEADER);
            match AdminServiceClient::new(orders.clone()).list_followers(asked).await {
                Ok(told) => return Ok(told),
                Err(status) => {
                    tracing::debug!(%status, "no order node answered");
                    away.push("orders".to_owned());
                }
            }
        }
        let here = self.parts.followers.iter().map(|entry| self.follower(entry));
        let mut followers = join_all(here).await;
        let others = self.peers(&request).into_iter().map(|(name, peer)| (name.to_owned(), peer));
        let others = others.chain(self.nodes(&request).await);
        let asked = join_all(others.map(|(name, mut peer)| {
            let mut asked = carried(&request, proto::ListFollowersRequest {});
            asked.set_timeout(ASKED_FOR_OTHERS_WITHIN);
            async move { (name, peer.list_followers(asked).await) }
        }));
        for (name, told) in asked.await {
            match told {
                Ok(told) => followers.extend(told.into_inner().followers),
                Err(status) => {
                    tracing::debug!(name, %status, "its process did not answer");
                    away.push(name);
                }
            }
        }
        followers.sort_by(|a, b| (&a.name, &a.node).cmp(&(&b.name, &b.node)));
        Ok(Response::new(proto::ListFollowersResponse { followers, away }))
    }

    async fn pause_follower(
        &self,
        request: Request<proto::PauseFollowerRequest>,
    ) -> Result<Response<proto::PauseFollowerResponse>, Status> {
        if let Some(mut peer) = self.peer(&request.get_ref().follower, &request) {
            let asked = carried(&request, request.get_ref().clone());
            return peer.pause_follower(asked).await;
        }
        let proto::PauseFollowerRequest { follower, reason } = request.get_ref();
        let database = self.database_of(follower)?;
        let reason = operators_reason(reason)?;
        let action = self.action(&request, Verb::PauseFollower, follower, reason);
        Pause::begin(database, follower, action).await.map_err(unavailable)?;
        tracing::warn!(follower, reason, "follower paused by an operator");
        Ok(Response::new(proto::PauseFollowerResponse {}))
    }

    async fn resume_follower(
        &self,
        request: Request<proto::ResumeFollowerRequest>,
    ) -> Result<Response<proto::ResumeFollowerResponse>, Status> {
        if let Some(mut peer) = self.peer(&request.get_ref().follower, &request) {
            let asked = carried(&request, request.get_ref().clone());
            return peer.resume_follower(asked).await;
        }
        let proto::ResumeFollowerRequest { follower, reason } = request.get_ref();
        let database = self.database_of(follower)?;
        let reason = optional_reason(reason)?;
        let action = self.action(&request, Verb::ResumeFollower, follower, reason);
        let resumed = Pause::end(database, follower, action).await;
        if resumed.map_err(unavailable)? {
            tracing::warn!(follower, "follower resumed by an operator");
        }
        Ok(Response::new(proto::ResumeFollowerResponse {}))
    }

    async fn list_dead_letters(
        &self,
        request: Request<proto::ListDeadLettersRequest>,
    ) -> Result<Response<proto::ListDeadLettersResponse>, Status> {
        if let Some(mut peer) = self.peer(&request.get_ref().follower, &request) {
            let asked = carried(&request, request.get_ref().clone());
            return peer.list_dead_letters(asked).await;
        }
        let peers =
            if request.get_ref().follower.is_empty() { self.peers(&request) } else { Vec::new() };
        let mut elsewhere = Vec::new();
        for (_, mut peer) in peers {
            let asked = carried(&request, request.get_ref().clone());
            elsewhere.push(peer.list_dead_letters(asked).await?.into_inner());
        }
        let request = request.into_inner();
        let size = PageSize::LIST.of(request.page_size);
        let after = PageToken::parse(&request.page_token)?;
        if !request.follower.is_empty() {
            self.letters_of(&request.follower)?;
        }
        // One more than fits tells whether there is a next page.
        let wanted = usize::try_from(size).unwrap_or(usize::MAX);
        let mut found: Vec<DeadLetter> = Vec::new();
        for (name, letters) in &self.parts.letters {
            let passed = after.as_ref().is_some_and(|after| name < &after.follower);
            let asked = request.follower.is_empty() || &request.follower == name;
            if passed || !asked || found.len() > wanted {
                continue;
            }
            let place = after.as_ref().filter(|after| &after.follower == name);
            let place =
                place.map(|place| (name.as_str(), place.shard, place.position, place.index));
            let page = letters
                .list(Some(name), place, size.saturating_add(1))
                .await
                .map_err(unavailable)?;
            found.extend(page);
        }
        // Each process gave its own first ones, in the same order; together they are the first ones.
        let mut more = found.len() > wanted;
        let mut dead_letters: Vec<proto::DeadLetter> =
            found.into_iter().map(|letter| message(letter, false)).collect();
        for told in elsewhere {
            more |= !told.next_page_token.is_empty();
            dead_letters.extend(told.dead_letters);
        }
        dead_letters.sort_by_key(|letter| PageToken::of(letter).sorted());
        more |= dead_letters.len() > wanted;
        dead_letters.truncate(wanted);
        let next_page_token = match dead_letters.last() {
            Some(last) if more => PageToken::of(last).to_string(),
            _ => String::new(),
        };
        Ok(Response::new(proto::ListDeadLettersResponse { dead_letters, next_page_token }))
    }

    async fn get_dead_letter(
        &self,
        request: Request<proto::GetDeadLetterRequest>,
    ) -> Result<Response<proto::GetDeadLetterResponse>, Status> {
        if let Some(mut peer) = self.peer(&request.get_ref().follower, &request) {
            let asked = carried(&request, request.get_ref().clone());
            return peer.get_dead_letter(asked).await;
        }
        let request = request.into_inner();
        let letters = self.letters_of(&request.follower)?;
        let subject = subject(&request.subject)?;
        let found = letters.of_subject(&request.follower, subject).await.map_err(unavailable)?;
        if found.is_empty() {
            return Err(letter_refused(DeadLetterError::NotFound));
        }
        let dead_letters = found.into_iter().map(|letter| message(letter, true)).collect();
        Ok(Response::new(proto::GetDeadLetterResponse { dead_letters }))
    }

    async fn put_back_dead_letters(
        &self,
        request: Request<proto::PutBackDeadLettersRequest>,
    ) -> Result<Response<proto::PutBackDeadLettersResponse>, Status> {
        if let Some(mut peer) = self.peer(&request.get_ref().follower, &request) {
            let asked = carried(&request, request.get_ref().clone());
            return peer.put_back_dead_letters(asked).await;
        }
        let proto::PutBackDeadLettersRequest { follower, subject: about, reason } =
            request.get_ref();
        let letters = self.letters_of(follower)?;
        let subject = subject(about)?;
        let reason = optional_reason(reason)?;
        let target = letters_target(follower, subject);
        let action = self.action(&request, Verb::PutBackDeadLetters, &target, reason);
        let put_back = letters.put_back(follower, subject, action).await.map_err(letter_refused)?;
        tracing::info!(follower, %subject, put_back, "dead letters put back");
        Ok(Response::new(proto::PutBackDeadLettersResponse { put_back }))
    }

    async fn drop_dead_letter(
        &self,
        request: Request<proto::DropDeadLetterRequest>,
    ) -> Result<Response<proto::DropDeadLetterResponse>, Status> {
        if let Some(mut peer) = self.peer(&request.get_ref().follower, &request) {
            let asked = carried(&request, request.get_ref().clone());
            return peer.drop_dead_letter(asked).await;
        }
        let proto::DropDeadLetterRequest { follower, subject: about, reason } = request.get_ref();
        let letters = self.letters_of(follower)?;
        let subject = subject(about)?;
        let reason = operators_reason(reason)?;
        let target = letters_target(follower, subject);
        let action = self.action(&request, Verb::DropDeadLetter, &target, reason);
        let dropped =
            letters.drop_first(follower, subject, action).await.map_err(letter_refused)?;
        tracing::warn!(
            follower = dropped.follower, %subject, kind = dropped.kind,
            shard = dropped.shard, position = dropped.position, reason, "dead letter dropped"
        );
        let dropped = Some(message(dropped, true));
        Ok(Response::new(proto::DropDeadLetterResponse { dropped }))
    }

    async fn rebuild_read_model(
        &self,
        request: Request<proto::RebuildReadModelRequest>,
    ) -> Result<Response<proto::RebuildReadModelResponse>, Status> {
        let reason = optional_reason(&request.get_ref().reason)?;
        let name = &request.get_ref().name;
        let action = self.action(&request, Verb::RebuildReadModel, name, reason);
        let name = request.into_inner().name;
        // It takes long; a caller who goes away need not ask again.
        let edge = self.clone();
        let rebuilding = tokio::spawn(async move {
            tokio::select! {
                rebuilt = edge.rebuild(&name, action) => rebuilt,
                () = edge.parts.stop.cancelled() => Err(away(Reason::Stopping, "the engine is stopping")),
            }
        });
        let events = rebuilding.await.map_err(unavailable)??;
        Ok(Response::new(proto::RebuildReadModelResponse { events }))
    }

    async fn list_quarantined(
        &self,
        _: Request<proto::ListQuarantinedRequest>,
    ) -> Result<Response<proto::ListQuarantinedResponse>, Status> {
        let (journal, _) = self.orders()?;
        let mut quarantined = journal.quarantined().await.map_err(unavailable)?;
        quarantined.sort_by_key(|order| order.order_id);
        let quarantined = quarantined
            .into_iter()
            .map(|order| proto::Quarantined {
                order_id: order.order_id.to_string(),
                reason: order.reason,
                since: Some(timestamp(order.since)),
            })
            .collect();
        Ok(Response::new(proto::ListQuarantinedResponse { quarantined }))
    }

    async fn list_shards(
        &self,
        _: Request<proto::ListShardsRequest>,
    ) -> Result<Response<proto::ListShardsResponse>, Status> {
        let states = self.orders()?.0.shard_states().await.map_err(shards_refused)?;
        let shards = states.into_iter().map(shard_message).collect();
        Ok(Response::new(proto::ListShardsResponse { shards }))
    }

    async fn move_shard(
        &self,
        request: Request<proto::MoveShardRequest>,
    ) -> Result<Response<proto::MoveShardResponse>, Status> {
        let proto::MoveShardRequest { shard, node, reason } = request.get_ref();
        let (journal, _) = self.orders()?;
        written("node", node)?;
        let reason = optional_reason(reason)?;
        let node = Some(node.as_str()).filter(|node| !node.is_empty());
        if let Some(node) = node {
            let nodes = journal.nodes().await.map_err(shards_refused)?;
            if !nodes.iter().any(|known| known.name == node) {
                let names: Vec<String> = nodes.into_iter().map(|node| node.name).collect();
                let message = format!("there is no such node; there are {}", names.join(", "));
                return Err(refused(Reason::NodeUnknown, &message));
            }
        }
        let action = self.action(&request, Verb::MoveShard, &shard.to_string(), reason);
        let moved = journal.pin(shard_number(*shard)?, node, &action).await;
        found(moved.map_err(shards_refused)?)?;
        tracing::info!(shard, node, "shard moved by an operator");
        Ok(Response::new(proto::MoveShardResponse {}))
    }

    async fn freeze_shard(
        &self,
        request: Request<proto::FreezeShardRequest>,
    ) -> Result<Response<proto::FreezeShardResponse>, Status> {
        let proto::FreezeShardRequest { shard, reason } = request.get_ref();
        let reason = operators_reason(reason)?;
        let action = self.action(&request, Verb::FreezeShard, &shard.to_string(), reason);
        let journal = self.orders()?.0;
        let frozen = journal.freeze(shard_number(*shard)?, Some(reason), &action).await;
        found(frozen.map_err(shards_refused)?)?;
        tracing::warn!(shard, reason, "shard frozen by an operator");
        Ok(Response::new(proto::FreezeShardResponse {}))
    }

    async fn get_journal(
        &self,
        _: Request<proto::GetJournalRequest>,
    ) -> Result<Response<proto::GetJournalResponse>, Status> {
        let journal = self.orders()?.0;
        let history = history_of(journal).await.map_err(|error| away_journal(&error))?;
        Ok(Response::new(proto::GetJournalResponse { history }))
    }

    async fn accept_journal(
        &self,
        request: Request<proto::AcceptJournalRequest>,
    ) -> Result<Response<proto::AcceptJournalResponse>, Status> {
        let by = asked_by(&request);
        let said_by = by.to_string();
        let reason = operators_reason(&request.get_ref().reason)?;
        let journal = self.orders()?.0;
        let action = self.action(&request, Verb::AcceptJournal, "", reason);
        let accepted = journal.accept(reason, &said_by, Some(action)).await;
        let accepted = accepted.map_err(|error| away_journal(&error))?;
        // The journal has been accepted, whatever becomes of letters: they can be dropped one by one.
        let dropped = self.drop_letters_of_nobody(journal, &by, reason).await;
        let letters_dropped = dropped.unwrap_or_else(|error| {
            tracing::warn!(%error, "dead letters of orders that are gone were not dropped");
            0
        });
        let history = history_of(journal).await.ok().flatten();
        let history = history.or_else(|| Some(journal_history(accepted, Vec::new())));
        Ok(Response::new(proto::AcceptJournalResponse { history, letters_dropped }))
    }

    async fn unfreeze_shard(
        &self,
        request: Request<proto::UnfreezeShardRequest>,
    ) -> Result<Response<proto::UnfreezeShardResponse>, Status> {
        let proto::UnfreezeShardRequest { shard, reason } = request.get_ref();
        let reason = optional_reason(reason)?;
        let action = self.action(&request, Verb::UnfreezeShard, &shard.to_string(), reason);
        let opened = self.orders()?.0.freeze(shard_number(*shard)?, None, &action).await;
        found(opened.map_err(shards_refused)?)?;
        tracing::warn!(shard, "shard opened by an operator");
        Ok(Response::new(proto::UnfreezeShardResponse {}))
    }

    async fn list_operator_actions(
        &self,
        request: Request<proto::ListOperatorActionsRequest>,
    ) -> Result<Response<proto::ListOperatorActionsResponse>, Status> {
        let page = Page::parse(request.get_ref())?;
        let mut away = Vec::new();
        // Order nodes know everybody.
        if let Some(orders) = &self.parts.orders_at
            && !request.metadata().contains_key(FORWARDED_HEADER)
        {
            let mut asked = carried(&request, request.get_ref().clone());
            asked.metadata_mut().remove(FORWARDED_HEADER);
            match AdminServiceClient::new(orders.clone()).list_operator_actions(asked).await {
                Ok(told) => return Ok(told),
                Err(status) => {
                    tracing::debug!(%status, "no order node answered");
                    away.push("orders".to_owned());
                }
            }
        }
        let (databases, journal) = (&self.parts.databases, self.parts.journal.as_ref());
        let (mut found, silent) = page.here(databases, journal).await;
        away.extend(silent);
        let asked = join_all(self.peers(&request).into_iter().map(|(name, mut peer)| {
            let mut asked = carried(&request, request.get_ref().clone());
            asked.set_timeout(ASKED_FOR_OTHERS_WITHIN);
            async move { (name, peer.list_operator_actions(asked).await) }
        }));
        for (name, told) in asked.await {
            match told {
                Ok(told) => {
                    let told = told.into_inner();
                    found.extend(told.actions);
                    away.extend(told.away);
                }
                Err(status) => {
                    tracing::debug!(name, %status, "its process did not answer");
                    away.push(name.to_owned());
                }
            }
        }
        Ok(Response::new(page.of(found, away)))
    }

    async fn get_health(
        &self,
        _: Request<proto::GetHealthRequest>,
    ) -> Result<Response<proto::GetHealthResponse>, Status> {
        let serving = *self.parts.health.serving().borrow();
        let reasons = self.parts.health.reasons().into_iter();
        let reasons = reasons.map(|(part, why)| proto::HealthReason {
            part,
            reason: why.text,
            since: Some(timestamp(why.since)),
        });
        let (reasons, mut notes): (_, Vec<_>) = (reasons.collect(), self.notes().await);
        notes.extend(self.parts.health.alarms().into_iter().map(|(part, why)| {
            proto::HealthReason { part, reason: why.text, since: Some(timestamp(why.since)) }
        }));
        Ok(Response::new(proto::GetHealthResponse { serving, reasons, notes }))
    }

    async fn resume_timers(
        &self,
        request: Request<proto::ResumeTimersRequest>,
    ) -> Result<Response<proto::ResumeTimersResponse>, Status> {
        let database = self.orders()?.1;
        let reason = operators_reason(&request.get_ref().reason)?;
        // Clocks are in processes: what is meant is written down first, by the node that was asked.
        if !request.metadata().contains_key(FORWARDED_HEADER) {
            let held = self.parts.clock.as_ref().is_some_and(|clock| *clock.held().borrow());
            let before = if held { "timers of this node wait" } else { "timers of this node run" };
            let action = self.action(&request, Verb::ResumeTimers, "all order nodes", reason);
            let action = action.changing(before, "timers run on every node that answers");
            let mut tx = database.begin().await.map_err(unavailable)?;
            action.write(&mut tx).await.map_err(unavailable)?;
            tx.commit().await.map_err(unavailable)?;
        }
        tracing::warn!(reason, "timers resumed by an operator");
        let away = self.resume_timers(&request).await;
        Ok(Response::new(proto::ResumeTimersResponse { away }))
    }
}

impl AdminEdge {
    /// Has the order nodes that can be reached believe their clocks; those that cannot.
    async fn resume_timers(&self, request: &Request<proto::ResumeTimersRequest>) -> Vec<String> {
        if let Some(clock) = &self.parts.clock {
            clock.believe();
        }
        let others = self.nodes(request).await.into_iter();
        let asked = join_all(others.map(|(name, mut peer)| {
            let asked = carried(request, request.get_ref().clone());
            async move { peer.resume_timers(asked).await.is_err().then_some(name) }
        }));
        asked.await.into_iter().flatten().collect()
    }
}

impl AdminEdge {
    /// How the journal last went on from an earlier place, where it has and says so at once.
    async fn notes(&self) -> Vec<proto::HealthReason> {
        let Some(journal) = &self.parts.journal else { return Vec::new() };
        let told = timeout(NOTES_WITHIN, journal.incarnations()).await;
        let last = told.ok().and_then(Result::ok).and_then(|mut all| all.pop());
        let note = last.map(|Incarnation { number, began_at, reason, said_by, .. }| {
            let reason = format!("incarnation {number}, said by {said_by}: {reason}");
            proto::HealthReason {
                part: "journal".to_owned(),
                reason,
                since: Some(timestamp(began_at)),
            }
        });
        note.into_iter().collect()
    }

    /// Drops dead letters of orders that the journal does not hold; how many.
    async fn drop_letters_of_nobody(
        &self,
        journal: &Journal,
        by: &AskedBy,
        reason: &str,
    ) -> anyhow::Result<u64> {
        let mut dropped = 0;
        for (follower, letters) in &self.parts.letters {
            let all = letters.all(Some(follower)).await?;
            let orders: BTreeSet<OrderId> = all.iter().filter_map(order_of).collect();
            let asked: Vec<OrderId> = orders.iter().copied().collect();
            let there = journal.versions(&asked).await?;
            let gone = orders.into_iter().filter(|id| !there.contains_key(id));
            let gone = gone.map(Subject::from).collect();
            let verb = Verb::DropLettersOfLostOrders;
            let action = OperatorAction::new(by, verb, follower, reason, (self.parts.now)());
            let gone = letters.drop_of(follower, &gone, action).await?;
            if gone > 0 {
                tracing::warn!(
                    follower,
                    letters = gone,
                    by = %by,
                    "dead letters of orders that are gone were dropped"
                );
            }
            dropped += gone;
        }
        Ok(dropped)
    }
}

/// The order that a dead letter is about; none of a fact about something else.
fn order_of(letter: &DeadLetter) -> Option<OrderId> {
    match Fact::from_json(&letter.item) {
        Ok(fact) => fact.body.order_id(),
        // An event of the journal, or what this program cannot read.
        Err(_) => Some(OrderId::from_uuid(letter.subject.uuid())),
    }
}

fn away_journal(error: &JournalError) -> Status {
    let reason = Reason::of(error.code()).unwrap_or(Reason::JournalUnavailable);
    away(reason, &error.to_string())
}

/// Which history the journal tells; none of one that is forgotten with its process.
async fn history_of(journal: &Journal) -> Result<Option<proto::JournalHistory>, JournalError> {
    let Some(chronicle) = journal.chronicle().await? else { return Ok(None) };
    Ok(Some(journal_history(chronicle, journal.incarnations().await?)))
}

fn journal_history(chronicle: Chronicle, past: Vec<Incarnation>) -> proto::JournalHistory {
    let incarnation = |past: Incarnation| proto::JournalIncarnation {
        number: past.number,
        began_at: Some(timestamp(past.began_at)),
        reason: past.reason,
        said_by: past.said_by,
        heads: positions(&past.heads),
    };
    proto::JournalHistory {
        journal: chronicle.journal.to_string(),
        incarnation: chronicle.incarnation,
        doubt: chronicle.doubted.unwrap_or_default(),
        incarnations: past.into_iter().map(incarnation).collect(),
    }
}

/// What an operator says for the log and for others.
fn operators_reason(text: &str) -> Result<&str, Status> {
    let reason = text.trim();
    if reason.is_empty() {
        return Err(violation("reason", &format!("required: 1 to {REASON_LEN_MAX} characters")));
    }
    written("reason", reason)?;
    Ok(reason)
}

/// What an operator may say besides.
fn optional_reason(text: &str) -> Result<&str, Status> {
    let reason = text.trim();
    written("reason", reason)?;
    Ok(reason)
}

/// A follower's dead letters of a subject, as operators name them.
fn letters_target(follower: &str, subject: Subject) -> String {
    format!("{follower} {subject}")
}

/// Whether a text can be shown to operators and kept on every database.
fn written(field: &str, text: &str) -> Result<(), Status> {
    let rule = TextRule::line(REASON_LEN_MAX);
    rule.check(text).map_err(|error| violation(field, &error.to_string()))
}

fn shard_number(shard: u32) -> Result<u16, Status> {
    u16::try_from(shard).or(Err(violation("shard", "a shard has a number from 0 to 1023")))
}

fn found(found: bool) -> Result<(), Status> {
    let none = || refused(Reason::NotFound, "there is no such shard");
    found.then_some(()).ok_or_else(none)
}

fn shards_refused(error: JournalError) -> Status {
    match error {
        JournalError::Invalid(message) => refused(Reason::OneWriter, &message),
        error => unavailable(error),
    }
}

fn shard_message(state: ShardState) -> proto::Shard {
    let (node, address) = state.node.map(|node| (node.name, node.address)).unwrap_or_default();
    proto::Shard {
        shard: u32::from(state.shard),
        epoch: state.epoch,
        position: state.position,
        node,
        address,
        moved_to: state.pinned.unwrap_or_default(),
        frozen: state.frozen.unwrap_or_default(),
    }
}

fn positions(cursors: &Cursors) -> Vec<proto::ShardPosition> {
    time::positions(cursors)
        .map(|(shard, position, _)| proto::ShardPosition { shard, position })
        .collect()
}

fn message(letter: DeadLetter, with_item: bool) -> proto::DeadLetter {
    use proto::dead_letter::State;
    let state = match letter.state {
        DeadLetterState::Poison => State::Poison,
        DeadLetterState::Behind => State::Behind,
        DeadLetterState::Retry => State::Retry,
    };
    proto::DeadLetter {
        follower: letter.follower,
        subject: letter.subject.to_string(),
        state: state.into(),
        kind: letter.kind,
        shard: u32::from(letter.shard),
        position: letter.position,
        index: u32::from(letter.index),
        error: letter.error,
        attempts: letter.attempts,
        parked_at: Some(timestamp(letter.parked_at)),
        item: if with_item { letter.item } else { String::new() },
    }
}

/// A place in the list of dead letters, as its page tokens carry it.
#[derive(Debug, PartialEq, Eq)]
struct PageToken {
    follower: String,
    shard: u16,
    position: u64,
    index: u16,
}

impl PageToken {
    fn of(letter: &proto::DeadLetter) -> Self {
        Self {
            follower: letter.follower.clone(),
            shard: u16::try_from(letter.shard).unwrap_or(u16::MAX),
            position: letter.position,
            index: u16::try_from(letter.index).unwrap_or(u16::MAX),
        }
    }

    fn sorted(self) -> (String, u16, u64, u16) {
        (self.follower, self.shard, self.position, self.index)
    }

    fn parse(text: &str) -> Result<Option<Self>, Status> {
        if text.is_empty() {
            return Ok(None);
        }
        let token = || {
            let mut parts = text.splitn(4, '.');
            let shard = parts.next()?.parse().ok()?;
            let position = parts.next()?.parse().ok()?;
            let index = parts.next()?.parse().ok()?;
            let follower = parts.next()?.to_owned();
            Some(Self { follower, shard, position, index })
        };
        token().map(Some).ok_or_else(foreign_token)
    }
}

impl std::fmt::Display for PageToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}.{}", self.shard, self.position, self.index, self.follower)
    }
}

fn subject(text: &str) -> Result<Subject, Status> {
    text.parse().map_err(|error: ParseIdError| match text {
        "" => violation("subject", "required: a UUID"),
        _ => violation("subject", &error.to_string()),
    })
}

fn unavailable(error: impl std::fmt::Display) -> Status {
    tracing::warn!(%error, "admin call failed");
    away(Reason::Unavailable, "a store did not answer; try again")
}

fn rebuild_refused(error: RebuildError) -> Status {
    let why = format!("nothing was changed: {error}");
    match error {
        RebuildError::Away(error) => unavailable(error),
        RebuildError::Archived(_) => {
            refused(Reason::Archived, &format!("{why}; serve reads it with --archive"))
        }
        RebuildError::Impossible { .. } => refused(Reason::ImpossibleHistory, &why),
        RebuildError::Superseded => refused(Reason::Superseded, &why),
        RebuildError::InUse => away(Reason::InUse, &why),
    }
}

fn letter_refused(error: DeadLetterError) -> Status {
    match error {
        DeadLetterError::NotFound => {
            refused(Reason::NotFound, "that follower has no dead letter of that subject")
        }
        DeadLetterError::Database(error) => unavailable(error),
    }
}

#[cfg(test)]
mod tests {
    use tonic::Code;
    use tonic_types::StatusExt as _;

    use super::*;

    #[test]
    fn a_page_token_comes_back_as_it_was_given_out() {
        let token = PageToken { follower: "stock".to_owned(), shard: 3, position: 17, index: 2 };
        assert_eq!(PageToken::parse(&token.to_string()).unwrap(), Some(token));
        assert_eq!(PageToken::parse("").unwrap(), None);
    }

    #[test]
    fn a_foreign_page_token_is_refused_with_its_field() {
        for text in ["x", "1.2.3", "99999.1.1.stock", "-1.1.1.stock"] {
            let status = PageToken::parse(text).unwrap_err();
            assert_eq!(status.code(), Code::InvalidArgument, "{text}");
            let violations = status.get_details_bad_request().unwrap().field_violations;
            assert_eq!(violations[0].field, "page_token");
        }
    }
}
