//! All issuers of an engine: the check of a token, from its length to the caller it stands for.
//! Never here: a fetch; a call that needs one waits for it and is checked again.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use shared_events::contract::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::cache::Cache;
use crate::claims;
use crate::fetch::{Fetch, FetchError, Http};
use crate::issuer::{IssuerError, IssuerSettings};
use crate::keys::{KeySet, Keys, Lookup};
use crate::token::Token;
use crate::{Denied, Identity};

/// The issuers whose tokens are accepted.
#[derive(Default)]
pub struct Issuers {
    issuers: Vec<Issuer>,
    cache: Cache,
}

struct Issuer {
    settings: IssuerSettings,
    keys: Arc<Keys>,
}

/// What a token stands for.
pub enum Checked {
    /// Its holder.
    Holder(Arc<Identity>),
    /// Nobody.
    Denied(Denied),
    /// Its key may be new: check it again after this wait.
    Wait(Wait),
}

/// Waits until the keys of an issuer were fetched.
pub struct Wait(Arc<Keys>);

impl Wait {
    /// True if they were: then the token can be checked again.
    pub async fn done(self) -> bool {
        self.0.fetched_anew().await
    }
}

impl std::fmt::Debug for Issuers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names = self.issuers.iter().map(|issuer| &issuer.settings.issuer);
        f.debug_list().entries(names).finish()
    }
}

impl Issuers {
    /// Whether there is any.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.issuers.is_empty()
    }

    /// Adds an issuer whose keys are fetched over HTTP.
    ///
    /// # Errors
    /// If its settings are wrong.
    pub fn add(&mut self, settings: IssuerSettings) -> Result<(), IssuerError> {
        let http = Http::new(&settings)?;
        self.add_fetched(settings, Arc::new(http))
    }

    /// Adds an issuer whose keys come from here.
    ///
    /// # Errors
    /// If its settings are wrong.
    pub fn add_fetched(
        &mut self,
        settings: IssuerSettings,
        fetch: Arc<dyn Fetch>,
    ) -> Result<(), IssuerError> {
        let keys = Keys::fetched(&settings.issuer, fetch, settings.jwks);
        self.push(settings, keys)
    }

    /// Adds an issuer whose keys are known and never change.
    ///
    /// # Errors
    /// If its settings are wrong.
    pub fn add_own(&mut self, settings: IssuerSettings, keys: KeySet) -> Result<(), IssuerError> {
        let keys = Keys::own(&settings.issuer, keys);
        self.push(settings, keys)
    }

    fn push(&mut self, settings: IssuerSettings, keys: Keys) -> Result<(), IssuerError> {
        settings.check()?;
        if self.issuers.iter().any(|known| known.settings.issuer == settings.issuer) {
            return Err(settings.wrong("two issuers have this URL"));
        }
        self.issuers.push(Issuer { settings, keys: Arc::new(keys) });
        Ok(())
    }

    /// Fetches the keys of every issuer once, at the same time. One that does not answer is asked
    /// again later.
    ///
    /// # Errors
    /// If an issuer calls itself otherwise than the settings do.
    pub async fn begin(&self) -> Result<(), IssuerError> {
        let begun = self.issuers.iter().map(|issuer| async {
            let begun = issuer.keys.begin().await;
            begun.map_err(|error: FetchError| issuer.settings.wrong(error.to_string()))
        });
        join_all(begun).await.into_iter().collect()
    }

    /// How long ago the keys of each issuer were fetched; of those that have been.
    pub fn ages(&self) -> impl Iterator<Item = (&str, Duration)> {
        self.issuers.iter().filter_map(|issuer| issuer.keys.age())
    }

    /// Keeps the keys of all issuers up to date until stopped: one future for each.
    pub fn running(
        &self,
        stop: &CancellationToken,
    ) -> Vec<impl Future<Output = ()> + Send + use<>> {
        let each = self.issuers.iter().map(|issuer| {
            let (keys, stop) = (Arc::clone(&issuer.keys), stop.clone());
            async move { keys.run(stop).await }
        });
        each.collect()
    }

    /// Checks a token. `hash` is its hash: a token that was verified before is known by it.
    pub fn check(&self, token: &str, hash: [u8; 32], now: Timestamp) -> Checked {
        let generation =
            |place: usize| self.issuers.get(place).and_then(|issuer| issuer.keys.generation());
        if let Some(known) = self.cache.get(&hash, generation, now) {
            return Checked::Holder(known);
        }
        match self.verify(token, now) {
            Err(Refusal::Denied(denied)) => Checked::Denied(denied),
            Err(Refusal::Wait(keys)) => Checked::Wait(Wait(keys)),
            Ok((identity, by, leeway)) => {
                let identity = Arc::new(identity);
                self.cache.put(hash, Arc::clone(&identity), by, leeway);
                Checked::Holder(identity)
            }
        }
    }

    /// The holder that a token names, if it is for us and it is its time. Its signature is not
    /// verified: for what is done before [`Self::check`], which must follow.
    #[must_use]
    pub fn claimed(&self, text: &str, now: Timestamp) -> Option<Identity> {
        let token = Token::read(text).ok()?;
        let name = claims::issuer(&token.claims)?;
        let issuer = self.issuers.iter().find(|issuer| issuer.settings.issuer == name)?;
        claims::identity(&token.claims, &issuer.settings, now).ok()
    }

    fn verify(
        &self,
        text: &str,
        now: Timestamp,
    ) -> Result<(Identity, (usize, u64), Duration), Refusal> {
        let token = Token::read(text)?;
        let name = claims::issuer(&token.claims).ok_or(Denied::Malformed)?;
        let mut issuers = self.issuers.iter().enumerate();
        let (place, issuer) =
            issuers.find(|(_, issuer)| issuer.settings.issuer == name).ok_or(Denied::Issuer)?;
        let (key, generation) = match issuer.keys.lookup(token.key.as_deref(), token.algorithm) {
            Lookup::Key(key, generation) => (key, generation),
            Lookup::Ask => return Err(Refusal::Wait(Arc::clone(&issuer.keys))),
            Lookup::Unknown => return Err(Denied::Key.into()),
            Lookup::Unavailable => return Err(Denied::Unavailable.into()),
        };
        if !key.verifies(token.signed, &token.signature) {
            return Err(Denied::Signature.into());
        }
        let identity = claims::identity(&token.claims, &issuer.settings, now)?;
        Ok((identity, (place, generation), issuer.settings.leeway))
    }
}

enum Refusal {
    Denied(Denied),
    Wait(Arc<Keys>),
}

impl From<Denied> for Refusal {
    fn from(denied: Denied) -> Self {
        Self::Denied(denied)
    }
}
