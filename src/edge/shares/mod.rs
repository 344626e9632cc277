//! Who may have how much of this process at once: calls under way, streams, bytes of requests that
//! were announced and of answers that nobody has taken yet. Each caller has a share of its own, and a
//! part of the whole is kept for services and operators, so that no customer can take their places.
//! Strangers, who may ask for health and reflection only, have a pool of their own: they take nothing
//! of the others, and nobody makes a process look ill by what they ask of it. Every look is O(1).
//! Never here: what a call is about.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use order_actor::domain::{By, Role};

/// What is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// Calls with one answer, from their headers to the last byte of that answer.
    pub calls: usize,
    /// Watches, reads, feeds and streams of commands.
    pub streams: usize,
    /// Bytes.
    pub bytes: usize,
}

const MIB: usize = 1024 * 1024;

/// All numbers of this page.
#[derive(Clone, Copy, Debug)]
pub struct Numbers {
    /// What the process has.
    pub whole: Amount,
    /// The part of it that is kept for services and operators.
    pub kept: Amount,
    /// What one address has that calls without a token: health and reflection.
    pub nobody: Amount,
    /// What all have together that call without a token.
    pub strangers: Amount,
    /// What one customer has.
    pub customer: Amount,
    /// What one service has: a shop calls for all of its customers.
    pub service: Amount,
    /// What one operator has.
    pub operator: Amount,
}

impl Default for Numbers {
    fn default() -> Self {
        Self {
            whole: Amount { calls: 4_096, streams: 1_024, bytes: 128 * MIB },
            kept: Amount { calls: 1_024, streams: 512, bytes: 32 * MIB },
            nobody: Amount { calls: 256, streams: 16, bytes: MIB },
            strangers: Amount { calls: 1_024, streams: 64, bytes: 4 * MIB },
            // A message may have 1 MiB.
            customer: Amount { calls: 512, streams: 16, bytes: 16 * MIB },
            service: Amount { calls: 2_048, streams: 256, bytes: 64 * MIB },
            operator: Amount { calls: 2_048, streams: 256, bytes: 64 * MIB },
        }
    }
}

/// Whose share it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Caller {
    /// Who proved it by a token.
    Known(Role, Arc<str>),
    /// Nobody in particular, from this address; of IPv6 the network of a household.
    Nobody(IpAddr),
}

impl Caller {
    /// Who calls, as it was proved, or from where.
    #[must_use]
    pub fn of(by: Option<&By>, address: IpAddr) -> Self {
        match by {
            Some(By::Customer(id)) => {
                let mut text = uuid::Uuid::encode_buffer();
                let text: &str = id.uuid().hyphenated().encode_lower(&mut text);
                Self::Known(Role::Customer, Arc::from(text))
            }
            Some(by) => Self::Known(by.role(), Arc::from(by.subject().as_ref())),
            None => Self::Nobody(network(address)),
        }
    }

    /// Whether a part of the whole is kept for such callers.
    #[must_use]
    pub const fn is_kept_for(&self) -> bool {
        matches!(Pool::of(self), Pool::Kept)
    }
}

/// An IPv6 host has 2^64 addresses to choose from: it is counted by its network.
#[must_use]
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

/// What a caller's share is a part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pool {
    /// The whole, with the part that is kept.
    Kept,
    /// The whole without it.
    Open,
    /// What strangers have.
    Strangers,
}

impl Pool {
    const fn of(caller: &Caller) -> Self {
        match caller {
            Caller::Nobody(_) => Self::Strangers,
            Caller::Known(Role::Customer, _) => Self::Open,
            Caller::Known(Role::Service | Role::Ops | Role::Engine, _) => Self::Kept,
        }
    }
}

impl Numbers {
    const fn of(&self, caller: &Caller) -> Amount {
        match caller {
            Caller::Nobody(_) => self.nobody,
            Caller::Known(Role::Customer, _) => self.customer,
            Caller::Known(Role::Service | Role::Engine, _) => self.service,
            Caller::Known(Role::Ops, _) => self.operator,
        }
    }
}

/// Which bound was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// The caller's own share.
    Caller(&'static str),
    /// What the process has for callers of this kind.
    Process(&'static str),
}

impl Full {
    /// The bound, for the details of a status.
    #[must_use]
    pub fn bound(self) -> String {
        match self {
            Self::Caller(what) => format!("{what} of this caller"),
            Self::Process(what) => format!("{what} of this process"),
        }
    }
}

impl Amount {
    const fn plus(self, other: Self) -> Self {
        Self {
            calls: self.calls.saturating_add(other.calls),
            streams: self.streams.saturating_add(other.streams),
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }

    const fn less(self, other: Self) -> Self {
        Self {
            calls: self.calls.saturating_sub(other.calls),
            streams: self.streams.saturating_sub(other.streams),
            bytes: self.bytes.saturating_sub(other.bytes),
        }
    }

    /// The first of those that are asked for which is beyond its bound.
    fn beyond(self, bound: Self, asked: Self) -> Option<&'static str> {
        if asked.calls > 0 && self.calls > bound.calls {
            return Some("calls under way");
        }
        if asked.streams > 0 && self.streams > bound.streams {
            return Some("streams");
        }
        // Whoever owes bytes of answers that were not taken begins nothing more.
        (self.bytes > bound.bytes).then_some("bytes")
    }
}

#[derive(Default)]
struct Counts {
    whole: Amount,
    /// What callers of it have for whom nothing is kept.
    open: Amount,
    /// What those have who call without a token; no part of the whole.
    strangers: Amount,
    callers: HashMap<Caller, Amount>,
}

impl Counts {
    /// The sums of a pool.
    fn sums(&mut self, pool: Pool) -> impl Iterator<Item = &mut Amount> {
        let (whole, open, strangers) = match pool {
            Pool::Kept => (Some(&mut self.whole), None, None),
            Pool::Open => (Some(&mut self.whole), Some(&mut self.open), None),
            Pool::Strangers => (None, None, Some(&mut self.strangers)),
        };
        whole.into_iter().chain(open).chain(strangers)
    }

    /// The bound of a pool that would be met with so much more.
    fn beyond(&self, numbers: &Numbers, pool: Pool, asked: Amount) -> Option<&'static str> {
        let whole = self.whole.plus(asked);
        match pool {
            Pool::Kept => whole.beyond(numbers.whole, asked),
            Pool::Open => {
                let open = self.open.plus(asked);
                let beyond = open.beyond(numbers.whole.less(numbers.kept), asked);
                beyond.or_else(|| whole.beyond(numbers.whole, asked))
            }
            Pool::Strangers => self.strangers.plus(asked).beyond(numbers.strangers, asked),
        }
    }
}

/// What everybody has at the moment. Clones are the same.
#[derive(Clone)]
pub struct Shares {
    numbers: Numbers,
    counts: Arc<Mutex<Counts>>,
}

impl Shares {
    /// Of a process in which nobody has anything yet.
    #[must_use]
    pub fn new(numbers: Numbers) -> Self {
        Self { numbers, counts: Arc::default() }
    }

    /// Bytes of strangers at the moment.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.counts().strangers.bytes
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes so much, until it is dropped.
    ///
    /// # Errors
    /// The bound that is met; then nothing is taken.
    pub fn take(&self, caller: &Caller, asked: Amount) -> Result<Held, Full> {
        let mut held =
            Held { shares: self.clone(), caller: caller.clone(), amount: Amount::default() };
        held.more(asked)?;
        Ok(held)
    }

    fn add(&self, caller: &Caller, asked: Amount, owes: bool) -> Result<(), Full> {
        let pool = Pool::of(caller);
        let mut counts = self.counts();
        let had = counts.callers.get(caller).copied().unwrap_or_default();
        let has = had.plus(asked);
        if !owes {
            if let Some(what) = has.beyond(self.numbers.of(caller), asked) {
                return Err(Full::Caller(what));
            }
            if let Some(what) = counts.beyond(&self.numbers, pool, asked) {
                return Err(Full::Process(what));
            }
        }
        for sum in counts.sums(pool) {
            *sum = sum.plus(asked);
        }
        counts.callers.insert(caller.clone(), has);
        Ok(())
    }

    fn give_back(&self, caller: &Caller, amount: Amount) {
        let mut counts = self.counts();
        for sum in counts.sums(Pool::of(caller)) {
            *sum = sum.less(amount);
        }
        if let Entry::Occupied(mut entry) = counts.callers.entry(caller.clone()) {
            let left = entry.get().less(amount);
            if left == Amount::default() {
                entry.remove();
            } else {
                entry.insert(left);
            }
        }
    }
}

/// What one call has of its caller's share; given back when it is dropped.
pub struct Held {
    shares: Shares,
    caller: Caller,
    amount: Amount,
}

impl Held {
    /// Whose it is.
    #[must_use]
    pub const fn caller(&self) -> &Caller {
        &self.caller
    }

    /// Another one of the same caller, with nothing yet.
    #[must_use]
    pub fn empty(&self) -> Self {
        let (shares, caller) = (self.shares.clone(), self.caller.clone());
        Self { shares, caller, amount: Amount::default() }
    }

    /// Takes more.
    ///
    /// # Errors
    /// The bound that is met; then it has what it had.
    pub fn more(&mut self, asked: Amount) -> Result<(), Full> {
        self.shares.add(&self.caller, asked, false)?;
        self.amount = self.amount.plus(asked);
        Ok(())
    }

    /// Has so many bytes from now on, whether or not there is room for more: for what is there
    /// already. Its caller begins nothing else until the room is there again.
    pub fn owe_bytes(&mut self, bytes: usize) {
        let before = Amount { bytes: self.amount.bytes, ..Amount::default() };
        let now = Amount { bytes, ..Amount::default() };
        if before != now {
            self.shares.give_back(&self.caller, before);
            // Never refused, since it owes.
            let _ = self.shares.add(&self.caller, now, true);
            self.amount.bytes = bytes;
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.shares.give_back(&self.caller, self.amount);
    }
}

#[cfg(test)]
mod tests;
