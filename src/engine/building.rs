//! A process under construction, while its services open: databases, logs, followers, routes.
//! Never here: the list of services.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use futures::FutureExt as _;
use order_actor::journal::Journal;
use order_actor::record::RecordedEvent;
use service_edge::Wire;
use shared_events::contract::{Fact, Origin, Timestamp};
use shared_events::stream::redis::{Redis, RedisSource};
use shared_events::stream::{
    Candidacy, Database, Handler, Item, Scope, Source, WithoutContact, made_anew,
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::service::{Routes, RoutesBuilder};

use super::Orders;
use super::clock::{Now, TrustedClock};
use super::followers::Followers;
use super::health::Alarm;
use super::metrics::Sample;
use super::service::{Follower, Log, Published, Runs, Service};
use super::services::Services;
use super::settings::Settings;
use super::stores;
use crate::edge::access::Access;
use crate::edge::admin::Find;
use crate::edge::breaker::Breakers;
use crate::edge::forward::NodeChannels;
use crate::edge::peers;
use crate::edge::upstream::{Upstream, Ways};
use crate::edge::{Accounts, RateLimits, Receive, Slots, sent_on};
use service_edge::feed::{self, RemoteFacts};

/// A process of the engine under construction.
pub struct Building {
    pub(super) settings: Settings,
    pub(super) address: SocketAddr,
    pub(super) now: Now,
    /// Whether the clock can be trusted.
    pub(super) clock: Arc<TrustedClock>,
    /// Whether a service decides by the clock.
    pub(super) has_timers: bool,
    pub(super) channels: Channels,
    pub(super) redis: Option<Redis>,
    pub(super) followers: Followers,
    pub(super) databases: Vec<(&'static str, Database)>,
    pub(super) logs: BTreeMap<&'static str, (Origin, feed::Log)>,
    pub(super) alarms: Vec<Alarm>,
    /// Values of metrics that need a query.
    pub(super) samples: Vec<Sample>,
    /// What each service finds by an identifier, by its name.
    pub(super) finders: Vec<(&'static str, Find)>,
    pub(super) routes: RoutesBuilder,
    /// Who receives webhooks of payment providers, if anybody does.
    pub(super) told: Option<Receive>,
    pub(super) slots: Slots,
    /// How often callers may call.
    pub(super) limits: RateLimits,
    /// What became of calls.
    pub(super) accounts: Accounts,
    /// In front of other processes.
    pub(super) breakers: Breakers,
    /// Channels to the other order nodes, if there can be any.
    pub(super) nodes: NodeChannels,
    /// The order service, if this process runs it.
    pub(super) orders: Option<Orders>,
    /// The ledger, if this process runs it.
    pub(super) ledger: Option<Wire>,
    pub(super) stop_edge: CancellationToken,
}

/// The ways to the services of other processes, by name.
pub(super) struct Channels(BTreeMap<&'static str, Upstream>);

impl Channels {
    pub(super) fn new(settings: &Settings, ways: &Ways) -> anyhow::Result<Self> {
        let mut channels = BTreeMap::new();
        for service in elsewhere(settings) {
            let lanes = peers::lanes(settings.peers.at(service.name), settings.peers.tls.as_ref())?;
            let to = |lanes| (service.name, ways.to(service.name, lanes));
            channels.extend(lanes.map(to));
        }
        Ok(Self(channels))
    }

    pub(super) fn to(&self, service: &Service) -> Option<Upstream> {
        self.0.get(service.name).cloned()
    }
}

/// The limits of callers, counted in the Redis of the streams by a connection of their own: a busy
/// one would make calls wait.
fn limits(settings: &Settings) -> anyhow::Result<RateLimits> {
    let redis = match &settings.streams {
        Some(streams) => Some(Redis::new(&streams.redis)?),
        None => None,
    };
    let have_tokens = matches!(settings.access, Access::Tokens(_));
    let clock = Arc::clone(&settings.clock);
    RateLimits::new(&settings.rate_limits, have_tokens, redis, clock)
}

/// That calls are counted without Redis, and that none is sent to another process.
fn alarms(limits: &RateLimits, breakers: &Breakers) -> Vec<Alarm> {
    let (limits, breakers) = (limits.clone(), breakers.clone());
    let counted_alone = limits.are_shared().then(|| Alarm {
        part: "rate limits",
        look: Box::new(move || std::future::ready(Some(limits.degraded())).boxed()),
    });
    let not_sent = Alarm {
        part: "forwarding",
        look: Box::new(move || std::future::ready(Some(breakers.open())).boxed()),
    };
    counted_alone.into_iter().chain([not_sent]).collect()
}

/// The services that other processes run.
pub(super) fn elsewhere(settings: &Settings) -> impl Iterator<Item = &'static Service> {
    let role = settings.role;
    settings.services.iter().copied().filter(move |service| !role.runs(service))
}

/// The service that publishes the facts of this origin.
pub(super) fn publisher(services: Services, source: Origin) -> Option<&'static Service> {
    let publishes = |service: &Service| service.published.is_some_and(|all| all.source == source);
    services.iter().copied().find(|service| publishes(service))
}

impl Building {
    pub(super) fn new(
        settings: Settings,
        address: SocketAddr,
        now: Now,
        (stop_edge, stop_followers): (CancellationToken, CancellationToken),
    ) -> anyhow::Result<Self> {
        let redis = match &settings.streams {
            Some(streams) => Some(Redis::new(&streams.redis)?),
            None => None,
        };
        // Order nodes call each other as they are called themselves.
        let by_tls = settings.tls.as_ref().and(settings.peers.tls.clone());
        let breakers = Breakers::new(Arc::clone(&settings.clock));
        let ways = Ways::new(breakers.clone(), &settings.peers.identity);
        let nodes = NodeChannels::new(by_tls, ways.clone());
        let limits = limits(&settings)?;
        let accounts = Accounts::new(settings.access_log)?;
        Ok(Self {
            clock: TrustedClock::new(settings.trust_clock),
            has_timers: false,
            channels: Channels::new(&settings, &ways)?,
            followers: Followers::new(stop_followers, Arc::clone(&now), settings.chance.clone()),
            settings,
            address,
            now,
            redis,
            databases: Vec::new(),
            logs: BTreeMap::new(),
            alarms: alarms(&limits, &breakers),
            samples: Vec::new(),
            finders: Vec::new(),
            routes: Routes::builder(),
            told: None,
            slots: Slots::default(),
            limits,
            accounts,
            breakers,
            nodes,
            orders: None,
            ledger: None,
            stop_edge,
        })
    }

    /// Opens the database of a service and migrates its tables.
    pub(crate) async fn database(&mut self, service: &'static Service) -> anyhow::Result<Database> {
        let Settings { backend, database_connections, .. } = &self.settings;
        let database = stores::database(backend, service, *database_connections).await?;
        if self.settings.makes_anew(service) {
            made_anew(&database).await?;
        }
        self.databases.push((service.name, database.clone()));
        Ok(database)
    }

    /// The clock of a service with timers that its journal dates.
    pub(crate) async fn clock_of(&mut self, journal: &Journal) -> Arc<TrustedClock> {
        self.has_timers = true;
        self.clock.compare_with(journal).await;
        Arc::clone(&self.clock)
    }

    /// The clock of a service that ends things by it: it stands where it cannot be trusted. `newest`
    /// is when the newest was stored of what the service has.
    pub(crate) fn clock_beside(&mut self, newest: Option<Timestamp>) -> Now {
        self.has_timers = true;
        self.clock.has_seen(newest);
        self.clock.standing(Arc::clone(&self.now))
    }

    /// Publishes a service's facts: through the feed, and through the Redis streams, if there are
    /// any, for the shards in scope.
    pub(crate) fn publish(
        &mut self,
        facts: Published,
        log: feed::Log,
        scope: watch::Receiver<Scope>,
    ) {
        let Published { source, relay, .. } = facts;
        if let (Some(redis), Some(streams)) = (&self.redis, &self.settings.streams) {
            self.followers.relay(relay, source, log(), scope, redis, streams.keep);
        }
        self.logs.insert(source.uri(), (source, log));
    }

    /// The same, for a service that publishes from its own database: one of its processes at a time
    /// relays to the streams.
    pub(crate) fn publish_once(&mut self, facts: Published, log: feed::Log, database: &Database) {
        let (candidacy, scope) = Candidacy::new(database.clone(), facts.relay);
        if self.redis.is_some() {
            self.followers.run(|stop| candidacy.run(stop));
        }
        self.publish(facts, log, scope);
    }

    /// The facts of an origin, as a follower needs them: from its log if it is in this process, or
    /// else from its process.
    fn facts(&self, source: Origin, follower: &Follower) -> anyhow::Result<Arc<dyn Source<Fact>>> {
        // No others say how customers are reached.
        let without = source == Origin::Orders && !follower.contacts;
        let facts = match self.logs.get(source.uri()) {
            Some((_, log)) => log(),
            None => self.remote_facts(source, follower, without)?,
        };
        // Also those from elsewhere: streams have the contact, and a process of an earlier version
        // sends it although it is asked not to.
        Ok(if without { Arc::new(WithoutContact::new(facts)) } else { facts })
    }

    fn remote_facts(
        &self,
        source: Origin,
        follower: &Follower,
        without_contact: bool,
    ) -> anyhow::Result<Arc<dyn Source<Fact>>> {
        let publisher = publisher(self.settings.services, source)
            .and_then(|service| self.channels.to(service))
            .with_context(|| format!("no known process publishes {}", source.uri()))?;
        let identity = self.settings.peers.identity.clone();
        let remote = RemoteFacts::new(source, publisher.wire(), identity);
        let remote = if without_contact { remote.without_contact() } else { remote };
        let remote: Arc<dyn Source<Fact>> = Arc::new(remote);
        Ok(match &self.redis {
            Some(redis) => {
                let now = Arc::clone(&self.now);
                Arc::new(RedisSource::new(redis.clone(), source, remote, follower.name, now))
            }
            None => remote,
        })
    }

    /// Who receives webhooks of payment providers: a service here, or its processes elsewhere.
    pub(super) fn receives_webhooks(&self) -> Option<Receive> {
        let elsewhere = || {
            let mut told = elsewhere(&self.settings).filter(|service| service.told);
            told.find_map(|service| self.channels.to(service)).map(sent_on)
        };
        self.told.clone().or_else(elsewhere)
    }

    /// Whether the facts of this origin come from a process that is known here.
    pub(crate) fn publishes(&self, source: Origin) -> bool {
        let elsewhere = || {
            let publisher = publisher(self.settings.services, source);
            publisher.is_some_and(|service| self.channels.to(service).is_some())
        };
        self.logs.contains_key(source.uri()) || elsewhere()
    }

    /// Follows the events of the journal according to a follower's row; returns the follower's
    /// scope.
    ///
    /// # Errors
    /// If the row names another log, or the journal is not in this process.
    pub(crate) fn follow_events<H: Handler<RecordedEvent>>(
        &mut self,
        follower: &'static Follower,
        events: Arc<dyn Source<RecordedEvent>>,
        handler: H,
    ) -> anyhow::Result<watch::Receiver<Scope>> {
        let name = follower.name;
        anyhow::ensure!(
            follower.follows == Log::Journal,
            "the row of {name} follows facts, not events"
        );
        self.follow(follower, events, handler)
    }

    /// Follows the facts that a follower's row names; returns the follower's scope.
    ///
    /// # Errors
    /// If the row names no facts, no known process publishes them, or the journal is not here.
    pub(crate) fn follow_facts<H: Handler<Fact>>(
        &mut self,
        follower: &'static Follower,
        handler: H,
    ) -> anyhow::Result<watch::Receiver<Scope>> {
        let Log::Facts(source) = follower.follows else {
            anyhow::bail!("the row of {} follows no facts", follower.name)
        };
        let facts = self.facts(source, follower)?;
        self.follow(follower, facts, handler)
    }

    /// Starts a follower on the database of the service whose row lists it: the archive's guard and
    /// `verify` look for its cursor there.
    fn follow<T: Item, H: Handler<T>>(
        &mut self,
        follower: &'static Follower,
        source: Arc<dyn Source<T>>,
        handler: H,
    ) -> anyhow::Result<watch::Receiver<Scope>> {
        let name = follower.name;
        let lists_it = |service: &&&Service| service.followers.iter().any(|row| row.name == name);
        let service = self.settings.services.iter().find(lists_it);
        let service = service.with_context(|| format!("no row lists the follower {name}"))?;
        let open = self.databases.iter().find(|(open, _)| *open == service.name);
        let (_, database) = open.with_context(|| format!("{} is not open here", service.name))?;
        let database = database.clone();
        match follower.scope {
            Runs::Once => Ok(self.followers.start_one(follower, &database, source, handler)),
            Runs::ByShard => {
                let orders = self
                    .orders
                    .as_ref()
                    .context("a follower by shard needs the journal in its process")?;
                let scope = orders.journal.scope();
                self.followers.start(follower, &database, source, scope.clone(), handler);
                Ok(scope)
            }
        }
    }
}
