//! The role edge: a process without a database that callers reach first. It knows who calls, bounds
//! and counts what they do, and forwards each call to the process that answers it.
//! Never here: a service.

use std::time::Duration;

use anyhow::Context as _;
use tokio::time::timeout;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use super::building::Channels;
use super::services::{self, FACTS};
use super::settings::Settings;
use crate::edge::admin;
use crate::edge::forward::Forwarding;
use crate::edge::tls::ClientTls;
use crate::edge::upstream::Upstream;

/// The order nodes answer within this.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// After so many looks without an answer, a second apart, it cannot do its work.
const MISSED_MAX: u32 = 3;

/// Checks that it is known where everything is that other installations have, too.
///
/// # Errors
/// Names what is missing.
pub(super) fn check(settings: &Settings) -> anyhow::Result<()> {
    for service in settings.services.iter().filter(|service| !service.store.added_later) {
        anyhow::ensure!(
            !settings.peers.at(service.name).is_empty(),
            "--role edge forwards all calls: --{}-at must say where it finds {}",
            service.name,
            service.keeps
        );
    }
    let has_certificate = settings.peers.tls.as_ref().is_some_and(ClientTls::has_certificate);
    anyhow::ensure!(
        has_certificate || !settings.access.knows_certificates(),
        "--role edge forwards the calls of those who are known by their certificates (in --tokens): \
         other processes believe that only of one with --peer-cert and --peer-key"
    );
    let is_known = settings.peers.identity.bearer().is_some() || has_certificate;
    anyhow::ensure!(
        is_known || settings.access.is_development(),
        "--role edge forwards the calls of others: --peer-token or --peer-cert must tell the other \
         processes that it is one of them"
    );
    Ok(())
}

/// Everything beyond the services is answered by order nodes, which know all processes; but each
/// process speaks for its own health, says who a caller is, and signs tokens if it has the key.
pub(super) fn forwarding(
    forwarding: Forwarding,
    settings: &Settings,
    channels: &Channels,
) -> Forwarding {
    let orders = services::with_journal(settings.services).and_then(|one| channels.to(one));
    let own = settings.own_tokens.as_ref().map(|_| admin::ISSUE_TOKEN);
    forwarding
        .with_service(&format!("/{}", FACTS.name), orders.clone())
        .with_service(&format!("/{}", admin::RPC.name), orders)
        .answering([admin::GET_HEALTH, admin::GET_ME].into_iter().chain(own))
}

/// Whether order nodes answer this process.
pub(crate) struct Reached {
    service: &'static str,
    health: HealthClient<Upstream>,
    /// Looks in a row without an answer. It cannot serve before the first one.
    missed: u32,
}

impl Reached {
    pub(super) fn new(settings: &Settings, channels: &Channels) -> anyhow::Result<Self> {
        let service = services::with_journal(settings.services).context("no service of orders")?;
        let orders = channels.to(service).context("order nodes are not known")?;
        Ok(Self {
            service: service.name,
            health: HealthClient::new(orders.apart()),
            missed: MISSED_MAX,
        })
    }

    /// Looks once. A node that says that it cannot serve has answered: it says why to callers.
    pub(super) async fn failure(&mut self) -> Option<String> {
        let asked = self.health.check(HealthCheckRequest::default());
        let answered = matches!(timeout(ANSWER_WITHIN, asked).await, Ok(Ok(_)));
        self.missed = if answered { 0 } else { self.missed.saturating_add(1) };
        let name = self.service;
        (self.missed >= MISSED_MAX).then(|| format!("no process of {name} answers (--{name}-at)"))
    }
}
