//! What can be asked of a simulator beside the calls of a provider.

use shared_events::contract::Timestamp;
use uuid::Uuid;

use super::book::Book;
use super::hooks::Outgoing;
use super::machine::{Moment, Simulator};
use super::payment::{Operation, Payment};
use super::settings::Settings;
use crate::{CallKey, OurReference, PspReference};

impl Simulator {
    /// A key for a call that has none.
    pub(super) fn fresh_key(&mut self) -> CallKey {
        let name = format!("simulator/{}", self.next());
        let operation = Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes());
        CallKey { operation, generation: 0 }
    }

    /// The authorisation that was asked for last.
    #[must_use]
    pub fn newest(&self) -> Option<PspReference> {
        self.newest.clone()
    }

    /// Whether a payment is found by its reference by now.
    #[must_use]
    pub fn is_found(&self, payment: &Payment, now: Timestamp) -> bool {
        let first = payment.operations.first().and_then(|id| self.operations.get(id));
        first.is_some_and(|operation| operation.is_found(now))
    }

    /// The payment that an authorisation, capture or refund belongs to.
    #[must_use]
    pub fn payment(&self, reference: &PspReference) -> Option<&Payment> {
        self.known(reference).map(|(_, payment)| payment)
    }

    /// The operations of a payment, oldest first.
    pub fn operations<'a>(&'a self, payment: &'a Payment) -> impl Iterator<Item = &'a Operation> {
        payment.operations.iter().filter_map(|id| self.operations.get(id))
    }

    /// The operation of ours.
    #[must_use]
    pub fn operation(&self, our: OurReference) -> Option<&Operation> {
        self.by_our.get(&our.0).and_then(|id| self.operations.get(id))
    }

    /// What it says happened.
    #[must_use]
    pub const fn book(&self) -> &Book {
        &self.book
    }

    /// Its settings.
    #[must_use]
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The webhooks that are due, at most so many.
    pub fn webhooks(&mut self, at: Moment<'_>, max: usize) -> Vec<Outgoing> {
        self.advance(at);
        self.hooks.take(at.now, max)
    }

    /// Takes a webhook back that was not accepted, to be sent again later.
    pub fn webhook_failed(&mut self, outgoing: Outgoing, now: Timestamp) {
        self.hooks.again(outgoing, now);
    }

    /// Webhooks that wait, and that were dropped.
    #[must_use]
    pub fn webhook_counts(&self) -> (usize, u64) {
        self.hooks.counts()
    }

    /// Keys that are remembered.
    #[must_use]
    pub fn keys_remembered(&self) -> usize {
        self.keys.len()
    }
}
