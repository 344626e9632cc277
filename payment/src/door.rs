//! The door for webhooks of providers: verified as they came, stored once, and only then answered.
//! Never here: what a webhook means.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::HeaderMap;
use psp::What;
use psp::webhook::{Unverified, Verifier, body_id};
use shared_events::contract::{PspName, Timestamp};
use shared_events::metric::table::PSP_WEBHOOKS;
use shared_events::stream::{Database, DatabaseError};
use tokio::sync::Notify;

use crate::store;

const STORED: &str = "stored";
const KNOWN: &str = "known";
const IGNORED: &str = "ignored";
const NOT_UNDERSTOOD: &str = "not_understood";
const NOT_STORED: &str = "not_stored";
const REFUSED: &str = "refused";
/// What becomes of webhooks, as it is counted.
const OUTCOMES: [&str; 6] = [STORED, KNOWN, IGNORED, NOT_UNDERSTOOD, NOT_STORED, REFUSED];

/// Receives webhooks of the providers that have a secret for them. Clones share it.
#[derive(Clone)]
pub struct WebhookDoor {
    pub(crate) database: Database,
    pub(crate) verifiers: Arc<BTreeMap<PspName, Verifier>>,
    pub(crate) told: Arc<Notify>,
    /// Dates what is stored.
    pub(crate) now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    /// The clock of this machine, by which signatures are judged: also where no other time is
    /// taken from it.
    pub(crate) clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
}

/// A webhook that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// It is stored, and handled soon.
    Stored,
    /// It was stored before.
    Known,
    /// It is genuine, and tells nothing of payments; nothing is kept.
    Ignored,
    /// It is genuine and not understood; that it came is stored for a person.
    NotUnderstood,
}

/// Why a webhook was not taken.
#[derive(Debug, thiserror::Error)]
pub enum NotReceived {
    /// No provider of this name sends webhooks to this process.
    #[error("no provider of this name sends webhooks here")]
    ProviderUnknown,
    /// It is not genuine.
    #[error("{0}")]
    Unverified(#[from] Unverified),
    /// It could not be stored: the provider is to send it again.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl WebhookDoor {
    /// Counts webhooks from zero, so that the first of each outcome is seen as an increase.
    pub(crate) fn counted(self) -> Self {
        for psp in self.verifiers.keys() {
            for outcome in OUTCOMES {
                PSP_WEBHOOKS.may_be([psp.as_str(), outcome]);
            }
        }
        self
    }

    /// Whether any provider sends webhooks.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !self.verifiers.is_empty()
    }

    /// Takes exactly the bytes that came. Whether they are genuine and their time fits is judged
    /// here and now, and not again when they are handled.
    ///
    /// # Errors
    /// [`NotReceived`]: nothing is stored.
    pub async fn receive(
        &self,
        name: &PspName,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<Received, NotReceived> {
        let verifier = self.verifiers.get(name).ok_or(NotReceived::ProviderUnknown)?;
        let taken = self.take(name, verifier, headers, body).await;
        let outcome = match &taken {
            Ok(Received::Stored) => STORED,
            Ok(Received::Known) => KNOWN,
            Ok(Received::Ignored) => IGNORED,
            Ok(Received::NotUnderstood) => NOT_UNDERSTOOD,
            Err(NotReceived::Database(_)) => NOT_STORED,
            Err(_) => REFUSED,
        };
        PSP_WEBHOOKS.one([name.as_str(), outcome]);
        taken
    }

    async fn take(
        &self,
        name: &PspName,
        verifier: &Verifier,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<Received, NotReceived> {
        let now = (self.now)();
        verifier.verify(headers, body, (self.clock)())?;
        let told = verifier.read(body).ok();
        if let Some(What::Other { .. }) = told.as_ref().map(|told| &told.what) {
            return Ok(Received::Ignored);
        }
        let unnamed = || body_id(body);
        let id = told.as_ref().map_or_else(unnamed, |told| told.id.clone());
        let new = store::keep(&self.database, (name, &id), told.as_ref(), now).await?;
        Ok(match (new, told) {
            (false, _) => Received::Known,
            (true, Some(_)) => {
                self.told.notify_one();
                Received::Stored
            }
            (true, None) => {
                tracing::warn!(psp = %name, id, "a webhook is not understood");
                Received::NotUnderstood
            }
        })
    }
}
