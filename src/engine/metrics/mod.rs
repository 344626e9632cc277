//! Metrics of this process: what was counted, and what is known, on a page for scrapers. A scrape
//! reads memory only; what needs a query is read by samplers at their own pace.
//! Never here: a metric's name (see `shared_events::metric::table`), or a service by its name.

mod process; // what the system says of this process
mod sample; // values that need a query

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use order_actor::actor::Registry;
use order_actor::clock::Clock;
use order_actor::journal::Journal;
use shared_events::contract::Timestamp;
use shared_events::metric::{self, Page, table};
use tokio::net::TcpListener;

pub(crate) use sample::Sample;

use super::building::Building;
use super::settings::Settings;
use crate::edge::access::Access;
use crate::edge::admin::AdminEdge;
use crate::edge::breaker::Breakers;
use crate::edge::tls::{ClientTls, ServerTls};
use crate::edge::{MakePage, PageEnd, RateLimits, serve_metrics};
use sample::Samples;

/// A scraper comes within this: twice the 15 s that are usual.
const SHOWN_WITHIN: Duration = Duration::from_secs(30);
/// How often followers are asked for; an alert needs a few answers.
const FOLLOWERS_EVERY: Duration = Duration::from_secs(5);

/// The listener of metrics, if there is one.
pub(super) struct Door(Option<(TcpListener, SocketAddr)>);

impl Door {
    /// Listens, and counts from now on.
    ///
    /// # Errors
    /// If the address cannot be bound.
    pub(super) async fn open(settings: &Settings) -> anyhow::Result<Self> {
        let Some(address) = settings.metrics_listen else { return Ok(Self(None)) };
        let listens = super::listen(address).await.context("--metrics-listen")?;
        metric::begin();
        Ok(Self(Some(listens)))
    }

    /// Answers until its end, the last of what runs. Returns where.
    pub(super) fn serve(self, building: &mut Building, admin: &AdminEdge) -> Option<Shown> {
        let (listener, address) = self.0?;
        let asked = admin.clone();
        building.samples.push(Sample {
            every: FOLLOWERS_EVERY,
            look: Box::new(move || {
                let admin = asked.clone();
                Box::pin(async move { admin.observe_followers().await })
            }),
        });
        let samples = Samples::new(std::mem::take(&mut building.samples));
        let observed = Observed::of(building, admin.clone(), samples.clone());
        let page: MakePage = Arc::new(move |format| observed.page().written(format));
        building.followers.run(|stop| samples.run(stop));
        let end = PageEnd::default();
        crate::tasks::spawn(serve_metrics(listener, page, end.clone()));
        Some(Shown { address, end })
    }
}

/// Metrics that are shown until this is dropped.
pub(super) struct Shown {
    pub(super) address: SocketAddr,
    end: PageEnd,
}

impl Shown {
    /// The numbers are final. Answers until they were read, for as long as scrapers may take, or
    /// until somebody has no time.
    pub(super) async fn once_more(self, no_time: impl Future<Output = ()>) {
        self.end.is_last();
        tracing::info!(at = %self.address, "metrics are shown once more");
        tokio::select! {
            () = self.end.was_read() => {}
            () = tokio::time::sleep(SHOWN_WITHIN) => {}
            () = no_time => {}
        }
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.end.stop();
    }
}

/// What is observed when the page is read.
struct Observed {
    info: [&'static str; 3],
    started: Timestamp,
    clock: Arc<dyn Clock>,
    self_stop: Duration,
    admin: AdminEdge,
    orders: Option<(Journal, Registry)>,
    access: Access,
    tls: Option<ServerTls>,
    peer_tls: Option<ClientTls>,
    limits: RateLimits,
    breakers: Breakers,
    samples: Samples,
}

impl Observed {
    fn of(building: &Building, admin: AdminEdge, samples: Samples) -> Self {
        let settings = &building.settings;
        let orders = building.orders.as_ref();
        Self {
            info: [env!("CARGO_PKG_VERSION"), settings.role.name(), settings.backend.name()],
            started: settings.clock.now(),
            clock: Arc::clone(&settings.clock),
            self_stop: settings.lease.self_stop,
            admin,
            orders: orders.map(|orders| (orders.journal.clone(), orders.registry.clone())),
            access: settings.access.clone(),
            tls: settings.tls.clone(),
            peer_tls: settings.peers.tls.clone(),
            limits: building.limits.clone(),
            breakers: building.breakers.clone(),
            samples,
        }
    }

    fn page(&self) -> Page {
        let mut page = self.samples.page();
        table::BUILD_INFO.is(&mut page, self.info, 1_u64);
        process::observe(&mut page, self.started);
        table::SPANS_DROPPED.is(&mut page, [], super::spans::dropped());
        self.admin.observe(&mut page);
        self.edge(&mut page);
        if let Some((journal, registry)) = &self.orders {
            table::ORDERS_AWAKE.is(&mut page, [], registry.awake());
            self.shards(journal, &mut page);
        }
        page
    }

    fn edge(&self, page: &mut Page) {
        for (issuer, age) in self.access.key_ages() {
            table::JWKS_AGE.is(page, [&issuer], age);
        }
        if self.limits.are_shared() {
            table::RATE_LIMIT_DEGRADED.is(page, [], self.limits.degraded().is_some());
        }
        for (upstream, open) in self.breakers.states() {
            table::BREAKER_OPEN.is(page, [&upstream], open);
        }
        if let Some(tls) = &self.tls {
            let left = tls.ends().since(self.clock.now());
            table::CERTIFICATE_EXPIRES.is(page, ["tls-cert"], left);
        }
        if let Some(ends) = self.peer_tls.as_ref().and_then(ClientTls::ends) {
            let left = ends.since(self.clock.now());
            table::CERTIFICATE_EXPIRES.is(page, ["peer-cert"], left);
        }
    }

    fn shards(&self, journal: &Journal, page: &mut Page) {
        table::JOURNAL_SHARDS.is(page, [], u64::from(journal.shards()));
        let ownership = journal.ownership();
        let (ours, lease_age) = {
            let ownership = ownership.borrow();
            (ownership.tenures().collect::<Vec<_>>(), ownership.lease_age())
        };
        let committed = journal.committed();
        for (shard, epoch) in ours {
            // One whose lease has run out is nobody's.
            let owned = journal.tenure(shard).is_some();
            let label = shard.to_string();
            table::SHARD_OWNED.is(page, [&label], owned);
            table::SHARD_EPOCH.is(page, [&label], epoch);
            table::HEAD_POSITION.is(page, [&label], committed.get(shard));
        }
        if let Some(age) = lease_age {
            table::LEASE_AGE.is(page, [], age);
            table::LEASE_SELF_STOP.is(page, [], self.self_stop);
        }
    }
}
