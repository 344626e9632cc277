//! The admin service, for operators: followers, dead letters, read models, shards, timers, what an
//! identifier belongs to; and who a caller is, for everybody.
//! Never here: authorization; `access` has checked it before a call arrives.

mod actions; // lists operators' actions
mod dead_letters; // lists, retries and drops dead letters
mod followers; // lists, pauses and resumes followers
mod health; // why this process cannot serve
mod journal; // the journal's history, and accepting one that was set back
mod lookup; // what an identifier belongs to
mod me; // who the caller is
mod observe; // what operators are told, as metrics
mod overview; // what there is and what waits, at a glance
mod peers; // calls to the admin service of other processes
mod read_models; // rebuilds read models; lists quarantined orders
mod shards; // lists, moves and freezes shards
mod timers; // holds timers until the clock is trusted
mod tokens; // signs tokens for customers
mod values; // parses and renders common fields

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use order_actor::journal::{Journal, Node};
use order_actor::projections::{OrderIdentifiers, OrderReturns, OrderSummaries};
use shared_events::chance::Chance;
use shared_events::contract::{Reason, Timestamp};
use shared_events::stream::{Cursors, Database, DeadLetters, FollowStatus, OperatorAction, Verb};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use super::account::Accounts;
use super::calls::Rpc;
use super::forward::NodeChannels;
use super::health::Health;
use super::refusal::refused;
use super::tokens::OwnTokens;
use super::upstream::Upstream;

pub(crate) use actions::recorded_caller;
pub(crate) use lookup::{Find, Found, FoundBy, Sought, Thing};
pub(crate) use timers::Timers;

use actions::asked_by;

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

use proto::admin_service_server::{AdminService, AdminServiceServer};

/// The service's descriptors, for reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] =
    include_bytes!(concat!(env!("OUT_DIR"), "/admin_descriptor.bin"));

/// For operators, but for a method or two.
pub(crate) const RPC: Rpc =
    Rpc { name: "ordinal.admin.v1.AdminService", message_bytes_max: 64 * 1024 };

/// A process's own health.
pub(crate) const GET_HEALTH: &str = "/ordinal.admin.v1.AdminService/GetHealth";
/// Who the caller is to this process.
pub(crate) const GET_ME: &str = "/ordinal.admin.v1.AdminService/GetMe";
/// Signs a token with the key of this process.
pub(crate) const ISSUE_TOKEN: &str = "/ordinal.admin.v1.AdminService/IssueToken";

/// Optional parts of an answer are not waited for longer than this.
const NOTES_WITHIN: Duration = Duration::from_secs(1);

/// Reads positions; none if the store does not answer. Who asks says how long to wait.
pub(crate) type ReadCursors = Arc<dyn Fn() -> BoxFuture<'static, Option<Cursors>> + Send + Sync>;

/// Reads when the oldest item after these positions happened; none if there is none, or if the log
/// does not answer. Who asks says how long to wait.
pub(crate) type ReadOldest =
    Arc<dyn Fn(Cursors) -> BoxFuture<'static, Option<Timestamp>> + Send + Sync>;

/// A follower as operators see it.
#[derive(Clone)]
pub(crate) struct FollowerEntry {
    /// Its own status.
    pub(crate) status: FollowStatus,
    /// Its stored cursors, whichever process follows.
    pub(crate) cursors: ReadCursors,
    /// The head of each shard of its log.
    pub(crate) heads: ReadCursors,
    /// When the oldest item of its log after some cursors happened.
    pub(crate) oldest: ReadOldest,
    /// The database with its dead letters, if it can have any.
    pub(crate) database: Option<Database>,
}

/// What the service works on.
pub struct AdminParts {
    /// Every follower of this process.
    pub followers: Vec<FollowerEntry>,
    /// The dead letters by follower, each in that follower's own database.
    pub letters: BTreeMap<String, DeadLetters>,
    /// The journal, if this process has it.
    pub journal: Option<Journal>,
    /// Every database of this process, by the name of its service.
    pub databases: Vec<(&'static str, Database)>,
    /// The database of the order service's read models, if this process has it.
    pub orders: Option<Database>,
    /// The list of orders, with what it is searched by, if this process has it.
    pub summaries: Option<OrderSummaries>,
    /// The list of returns, if this process has it.
    pub returns: Option<OrderReturns>,
    /// Which order an identifier belongs to, if this process has that.
    pub identifiers: Option<OrderIdentifiers>,
    /// What the services of this process find by an identifier, each by its name.
    pub(crate) finders: Vec<(&'static str, Find)>,
    /// The clock.
    pub now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    /// Where ids of issued tokens come from.
    pub chance: Chance,
    /// Ends long calls, with `UNAVAILABLE` and reason `STOPPING`.
    pub stop: CancellationToken,
    /// Services of other processes, by the name of their first follower.
    pub peers: BTreeMap<&'static str, Elsewhere>,
    /// Channels to the other order nodes.
    pub nodes: NodeChannels,
    /// The way to an order node, if orders are in other processes.
    pub(crate) orders_at: Option<Upstream>,
    /// This process's name and address to others.
    pub node: Node,
    /// The health of this process.
    pub health: Health,
    /// What became of its calls.
    pub accounts: Accounts,
    /// Its timers, if it has any.
    pub timers: Option<Timers>,
    /// Our own issuer of tokens, if there is one.
    pub own_tokens: Option<Arc<OwnTokens>>,
}

/// A service of another process.
pub struct Elsewhere {
    /// Its followers.
    pub followers: Vec<&'static str>,
    /// The way to its process.
    pub(crate) at: Upstream,
}

/// The admin service.
#[derive(Clone)]
pub struct AdminEdge {
    parts: Arc<AdminParts>,
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

    /// The journal and the read models of orders.
    fn orders(&self) -> Result<(&Journal, &Database), Status> {
        let (journal, orders) = (self.parts.journal.as_ref(), self.parts.orders.as_ref());
        journal.zip(orders).ok_or_else(|| {
            let message = "orders are not in this process; ask an order node";
            refused(Reason::NotInThisRole, message)
        })
    }

    /// An action of the caller, now, to be written with its effect.
    fn action<T>(
        &self,
        request: &Request<T>,
        verb: Verb,
        target: &str,
        reason: &str,
    ) -> OperatorAction {
        OperatorAction::new(&asked_by(request), verb, target, reason, (self.parts.now)())
    }
}

#[tonic::async_trait]
impl AdminService for AdminEdge {
    async fn list_followers(
        &self,
        request: Request<proto::ListFollowersRequest>,
    ) -> Result<Response<proto::ListFollowersResponse>, Status> {
        Self::list_followers(self, request).await
    }

    async fn pause_follower(
        &self,
        request: Request<proto::PauseFollowerRequest>,
    ) -> Result<Response<proto::PauseFollowerResponse>, Status> {
        Self::pause_follower(self, request).await
    }

    async fn resume_follower(
        &self,
        request: Request<proto::ResumeFollowerRequest>,
    ) -> Result<Response<proto::ResumeFollowerResponse>, Status> {
        Self::resume_follower(self, request).await
    }

    async fn list_dead_letters(
        &self,
        request: Request<proto::ListDeadLettersRequest>,
    ) -> Result<Response<proto::ListDeadLettersResponse>, Status> {
        Self::list_dead_letters(self, request).await
    }

    async fn get_dead_letter(
        &self,
        request: Request<proto::GetDeadLetterRequest>,
    ) -> Result<Response<proto::GetDeadLetterResponse>, Status> {
        Self::get_dead_letter(self, request).await
    }

    async fn put_back_dead_letters(
        &self,
        request: Request<proto::PutBackDeadLettersRequest>,
    ) -> Result<Response<proto::PutBackDeadLettersResponse>, Status> {
        Self::put_back_dead_letters(self, request).await
    }

    async fn drop_dead_letter(
        &self,
        request: Request<proto::DropDeadLetterRequest>,
    ) -> Result<Response<proto::DropDeadLetterResponse>, Status> {
        Self::drop_dead_letter(self, request).await
    }

    async fn rebuild_read_model(
        &self,
        request: Request<proto::RebuildReadModelRequest>,
    ) -> Result<Response<proto::RebuildReadModelResponse>, Status> {
        Self::rebuild_read_model(self, request).await
    }

    async fn list_quarantined(
        &self,
        request: Request<proto::ListQuarantinedRequest>,
    ) -> Result<Response<proto::ListQuarantinedResponse>, Status> {
        Self::list_quarantined(self, request).await
    }

    async fn list_shards(
        &self,
        request: Request<proto::ListShardsRequest>,
    ) -> Result<Response<proto::ListShardsResponse>, Status> {
        Self::list_shards(self, request).await
    }

    async fn move_shard(
        &self,
        request: Request<proto::MoveShardRequest>,
    ) -> Result<Response<proto::MoveShardResponse>, Status> {
        Self::move_shard(self, request).await
    }

    async fn freeze_shard(
        &self,
        request: Request<proto::FreezeShardRequest>,
    ) -> Result<Response<proto::FreezeShardResponse>, Status> {
        Self::freeze_shard(self, request).await
    }

    async fn unfreeze_shard(
        &self,
        request: Request<proto::UnfreezeShardRequest>,
    ) -> Result<Response<proto::UnfreezeShardResponse>, Status> {
        Self::unfreeze_shard(self, request).await
    }

    async fn get_journal(
        &self,
        request: Request<proto::GetJournalRequest>,
    ) -> Result<Response<proto::GetJournalResponse>, Status> {
        Self::get_journal(self, request).await
    }

    async fn accept_journal(
        &self,
        request: Request<proto::AcceptJournalRequest>,
    ) -> Result<Response<proto::AcceptJournalResponse>, Status> {
        Self::accept_journal(self, request).await
    }

    async fn list_operator_actions(
        &self,
        request: Request<proto::ListOperatorActionsRequest>,
    ) -> Result<Response<proto::ListOperatorActionsResponse>, Status> {
        Self::list_operator_actions(self, request).await
    }

    async fn get_health(
        &self,
        request: Request<proto::GetHealthRequest>,
    ) -> Result<Response<proto::GetHealthResponse>, Status> {
        Self::get_health(self, request).await
    }

    async fn get_overview(
        &self,
        request: Request<proto::GetOverviewRequest>,
    ) -> Result<Response<proto::GetOverviewResponse>, Status> {
        Self::get_overview(self, request).await
    }

    async fn lookup(
        &self,
        request: Request<proto::LookupRequest>,
    ) -> Result<Response<proto::LookupResponse>, Status> {
        Self::lookup(self, request).await
    }

    async fn resume_timers(
        &self,
        request: Request<proto::ResumeTimersRequest>,
    ) -> Result<Response<proto::ResumeTimersResponse>, Status> {
        Self::resume_timers(self, request).await
    }

    async fn issue_token(
        &self,
        request: Request<proto::IssueTokenRequest>,
    ) -> Result<Response<proto::IssueTokenResponse>, Status> {
        Self::issue_token(self, request).await
    }

    async fn get_me(
        &self,
        request: Request<proto::GetMeRequest>,
    ) -> Result<Response<proto::GetMeResponse>, Status> {
        Self::who_calls(&request)
    }
}
