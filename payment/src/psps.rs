use std::collections::BTreeMap;
use std::sync::Arc;

use psp::{Capabilities, Psp};
use shared_events::contract::PspName;

/// The providers that this process can call, by name.
#[derive(Clone, Default)]
pub struct Psps(BTreeMap<PspName, Arc<dyn Psp>>);

/// What a provider is taken for that this process does not know. Its operations wait.
const ASSUMED: Capabilities = Capabilities {
    multi_capture: true,
    partial_refund: true,
    release_remainder: false,
    payouts: false,
    authorization_seconds: 7 * 24 * 3_600,
    key_seconds: 24 * 3_600,
    grace_seconds: 60,
};

impl Psps {
    /// These.
    #[must_use]
    pub fn new(psps: impl IntoIterator<Item = (PspName, Arc<dyn Psp>)>) -> Self {
        Self(psps.into_iter().collect())
    }

    /// The one of this name.
    #[must_use]
    pub fn get(&self, name: &PspName) -> Option<&Arc<dyn Psp>> {
        self.0.get(name)
    }

    /// Their names.
    pub(crate) fn names(&self) -> Vec<&str> {
        self.all().map(PspName::as_str).collect()
    }

    /// Their names, as they are kept.
    pub(crate) fn all(&self) -> impl Iterator<Item = &PspName> {
        self.0.keys()
    }

    pub(crate) fn capabilities(&self, name: Option<&PspName>) -> Capabilities {
        let known = name.and_then(|name| self.get(name));
        known.map_or(ASSUMED, |psp| psp.capabilities())
    }
}
