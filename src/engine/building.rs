//! What a process is built of, while its services open: databases, logs, followers, routes.
//! Never here: which services there are.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use order_actor::record::RecordedEvent;
use shared_events::contract::{Fact, Origin, Timestamp};
use shared_events::stream::redis::{Redis, RedisSource};
use shared_events::stream::{Candidacy, Database, Handler, Item, Scope, Source};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::service::{Routes, RoutesBuilder};
use tonic::transport::Channel;

use super::Orders;
use super::followers::Followers;
use super::health::Alarm;
use super::service::{Follower, Log, Promise, Runs, Service};
use super::services::Services;
use super::settings::Settings;
use super::stores;
use crate::edge::Slots;
use crate::edge::forward::NodeChannels;
use crate::edge::peers;
use service_edge::feed::{self, RemoteFacts};

/// What time it is.
pub(super) type Now = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// A process of the engine that is being built.
pub struct Building {
    pub(super) settings: Settings,
    pub(super) address: SocketAddr,
    pub(super) now: Now,
    pub(super) channels: Channels,
    pub(super) redis: Option<Redis>,
    pub(super) followers: Followers,
    pub(super) databases: Vec<(&'static str, Database)>,
    pub(super) logs: BTreeMap<&'static str, (Origin, feed::Log)>,
    pub(super) alarms: Vec<Alarm>,
    pub(super) routes: RoutesBuilder,
    pub(super) slots: Slots,
    /// The other order nodes, where there may be any.
    pub(super) nodes: NodeChannels,
    /// The order service, where it is here.
    pub(super) orders: Option<Orders>,
    pub(super) stop_edge: CancellationToken,
}

/// To the processes of the services that are not here, by their names.
pub(super) struct Channels(BTreeMap<&'static str, Channel>);

impl Channels {
    pub(super) fn new(settings: &Settings) -> anyhow::Result<Self> {
        let mut channels = BTreeMap::new();
        for service in elsewhere(settings) {
            let channel = peers::channel(settings.peers.at(service.name))?;
            channels.extend(channel.map(|channel| (service.name, channel)));
        }
        Ok(Self(channels))
    }

    pub(super) fn to(&self, service: &Service) -> Option<Channel> {
        self.0.get(service.name).cloned()
    }
}

/// The services that other processes run.
pub(super) fn elsewhere(settings: &Settings) -> impl Iterator<Item = &'static Service> {
    let role = settings.role;
    settings.services.iter().copied().filter(move |service| !role.runs(service))
}

/// The one of these services that promises the facts of a source.
pub(super) fn promising(services: Services, source: Origin) -> Option<&'static Service> {
    let promises = |service: &Service| service.promises.is_some_and(|all| all.source == source);
    services.iter().copied().find(|service| promises(service))
}

impl Building {
    pub(super) fn new(
        settings: Settings,
        address: SocketAddr,
        now: Now,
        stop_edge: CancellationToken,
        stop_followers: CancellationToken,
    ) -> anyhow::Result<Self> {
        let redis = match &settings.streams {
            Some(streams) => Some(Redis::new(&streams.redis)?),
            None => None,
        };
        Ok(Self {
            channels: Channels::new(&settings)?,
            followers: Followers::new(stop_followers, Arc::clone(&now)),
            settings,
            address,
            now,
            redis,
            databases: Vec::new(),
            logs: BTreeMap::new(),
            alarms: Vec::new(),
            routes: Routes::builder(),
            slots: Slots::default(),
            nodes: NodeChannels::default(),
            orders: None,
            stop_edge,
        })
    }

    /// Opens the database of a service, its tables up to date.
    pub(crate) async fn database(&mut self, service: &'static Service) -> anyhow::Result<Database> {
        let Settings { backend, database_connections, .. } = &self.settings;
        let database = stores::database(backend, service, *database_connections).await?;
        self.databases.push((service.name, database.clone()));
        Ok(database)
    }

    /// Others may read from here on what a service promises; it goes into the streams, if there are
    /// any, in the shards of the scope.
    pub(crate) fn promise(
        &mut self,
        promise: Promise,
        log: feed::Log,
        scope: watch::Receiver<Scope>,
    ) {
        let Promise { source, relay, .. } = promise;
        if let (Some(redis), Some(streams)) = (&self.redis, &self.settings.streams) {
            self.followers.relay(relay, source, log(), scope, redis, streams.keep);
        }
        self.logs.insert(source.uri(), (source, log));
    }

    /// The same, of a service that tells out of its own database: one of its processes at a time puts
    /// it into the streams.
    pub(crate) fn promise_once(&mut self, promise: Promise, log: feed::Log, database: &Database) {
        let (candidacy, scope) = Candidacy::new(database.clone(), promise.relay);
        if self.redis.is_some() {
            self.followers.run(|stop| candidacy.run(stop));
        }
        self.promise(promise, log, scope);
    }

    /// What a service promises: from its log, where that is here, or from its process.
    pub(crate) fn facts(
        &self,
        source: Origin,
        reader: &str,
    ) -> anyhow::Result<Arc<dyn Source<Fact>>> {
        if let Some((_, log)) = self.logs.get(source.uri()) {
            return Ok(log());
        }
        let channel = promising(self.settings.services, source)
            .and_then(|service| self.channels.to(service))
            .with_context(|| format!("nobody is known who tells {}", source.uri()))?;
        let identity = self.settings.peers.identity.clone();
        let remote: Arc<dyn Source<Fact>> = Arc::new(RemoteFacts::new(source, channel, identity));
        Ok(match &self.redis {
            Some(redis) => {
                let now = Arc::clone(&self.now);
                Arc::new(RedisSource::new(redis.clone(), source, remote, reader, now))
            }
            None => remote,
        })
    }

    /// Follows the events of the journal, as a follower's row says; where it runs is what comes back.
    ///
    /// # Errors
    /// Where the row says otherwise, or there is no journal here.
    pub(crate) fn follow_events<H: Handler<RecordedEvent>>(
        &mut self,
        follower: &'static Follower,
        events: Arc<dyn Source<RecordedEvent>>,
        handler: H,
    ) -> anyhow::Result<watch::Receiver<Scope>> {
        let name = follower.name;
        anyhow::ensure!(follower.follows == Log::Journal, "the row of {name} names facts");
        self.follow(follower, events, handler)
    }

    /// Follows the facts that a follower's row names; where it runs is what comes back.
    ///
    /// # Errors
    /// Where the row names none, nobody is known who publishes them, or there is no journal here.
    pub(crate) fn follow_facts<H: Handler<Fact>>(
        &mut self,
        follower: &'static Follower,
        handler: H,
    ) -> anyhow::Result<watch::Receiver<Scope>> {
        let Log::Facts(source) = follower.follows else {
            anyhow::bail!("the row of {} names no facts", follower.name)
        };
        let facts = self.facts(source, follower.name)?;
        self.follow(follower, facts, handler)
    }

    /// Starts a follower on the database of the service in whose row it stands: the archive's guard
    /// and `verify` look for its cursor there.
    fn follow<T: Item, H: Handler<T>>(
        &mut self,
        follower: &'static Follower,
        source: Arc<dyn Source<T>>,
        handler: H,
    ) -> anyhow::Result<watch::Receiver<Scope>> {
        let name = follower.name;
        let stands_in = |service: &&&Service| service.followers.iter().any(|row| row.name == name);
        let service = self.settings.services.iter().find(stands_in);
        let service = service.with_context(|| format!("the follower {name} stands in no row"))?;
        let open = self.databases.iter().find(|(open, _)| *open == service.name);
        let (_, database) = open.with_context(|| format!("{} is not open here", service.name))?;
        let database = database.clone();
        match follower.scope {
            Runs::Once => Ok(self.followers.start_one(follower, &database, source, handler)),
            Runs::ByShard => {
                let orders = self.orders.as_ref().context("shards are where the journal is")?;
                let scope = orders.journal.scope();
                self.followers.start(follower, &database, source, scope.clone(), handler);
                Ok(scope)
            }
        }
    }
}
