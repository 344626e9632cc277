//! Fair shares of this process: calls under way, streams, bytes of announced requests and of
//! answers that are not taken yet. Each caller has a share of its own, and a part of the total is
//! reserved for services and operators, so that customers cannot crowd them out. Unauthenticated
//! callers, who may call health and reflection only, have a pool of their own: they take nothing
//! from the others, and no load of others makes health checks fail. Every operation is O(1).
//! Never here: what a call means.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use order_actor::domain::{By, Role};
use sha2::{Digest as _, Sha256};

use super::calls::Kind;

/// The counted resources.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// Unary calls, from their headers to the last byte of the answer.
    pub calls: usize,
    /// Watches, reads, feeds and command streams.
    pub streams: usize,
    /// Bytes.
    pub bytes: usize,
}

const MIB: usize = 1024 * 1024;

/// All limits of shares.
#[derive(Clone, Copy, Debug)]
pub struct Numbers {
    /// The process's total.
    pub whole: Amount,
    /// The part of it reserved for services and operators.
    pub kept: Amount,
    /// The share of one address that calls without a token: health and reflection.
    pub nobody: Amount,
    /// The total of all callers without a token.
    pub unauthenticated: Amount,
    /// The share of one customer.
    pub customer: Amount,
    /// The share of one service: a shop calls for all of its customers.
    pub service: Amount,
    /// The share of one operator.
    pub operator: Amount,
}

impl Default for Numbers {
    fn default() -> Self {
        Self {
            whole: Amount { calls: 4_096, streams: 1_024, bytes: 128 * MIB },
            kept: Amount { calls: 1_024, streams: 512, bytes: 32 * MIB },
            nobody: Amount { calls: 256, streams: 16, bytes: MIB },
            unauthenticated: Amount { calls: 1_024, streams: 64, bytes: 4 * MIB },
            // A message may be 1 MiB.
            customer: Amount { calls: 512, streams: 16, bytes: 16 * MIB },
            service: Amount { calls: 2_048, streams: 256, bytes: 64 * MIB },
            operator: Amount { calls: 2_048, streams: 256, bytes: 64 * MIB },
        }
    }
}

/// The owner of a share.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Caller {
    /// Authenticated by a token.
    Known(Role, Arc<str>),
    /// Unauthenticated, from this address; for IPv6, from this /64 network.
    Unauthenticated(IpAddr),
}

impl Caller {
    /// The authenticated caller, or the address.
    #[must_use]
    pub fn of(by: Option<&By>, address: IpAddr) -> Self {
        match by {
            Some(By::Customer(id)) => {
                let mut text = uuid::Uuid::encode_buffer();
                let text: &str = id.uuid().hyphenated().encode_lower(&mut text);
                Self::Known(Role::Customer, Arc::from(text))
            }
            Some(by) => Self::Known(by.role(), Arc::from(by.subject().as_ref())),
            None => Self::Unauthenticated(network(address)),
        }
    }

    /// Stands for its name or address where those are not to be read, in 32 digits. It has no key:
    /// who guesses a name or an address can tell whether it is the one.
    pub(super) fn hash(&self) -> String {
        let hash = match self {
            Self::Known(_, subject) => Sha256::digest(subject.as_bytes()),
            Self::Unauthenticated(address) => Sha256::digest(address.to_string()),
        };
        hash.get(..16).map(hex::encode).unwrap_or_default()
    }

    /// Whether a part of the total is reserved for such callers.
    #[must_use]
    pub const fn has_reserve(&self) -> bool {
        matches!(Pool::of(self), Pool::Kept)
    }
}

/// An IPv6 host can choose from 2^64 addresses, so it is counted by its /64 network.
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

/// The pool that a caller's share is taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pool {
    /// The total, including the reserved part.
    Kept,
    /// The total without the reserved part.
    Open,
    /// The pool of unauthenticated callers.
    Unauthenticated,
}

impl Pool {
    const fn of(caller: &Caller) -> Self {
        match caller {
            Caller::Unauthenticated(_) => Self::Unauthenticated,
            Caller::Known(Role::Customer, _) => Self::Open,
            Caller::Known(Role::Service | Role::Ops | Role::Engine, _) => Self::Kept,
        }
    }
}

impl Numbers {
    const fn of(&self, caller: &Caller) -> Amount {
        match caller {
            Caller::Unauthenticated(_) => self.nobody,
            Caller::Known(Role::Customer, _) => self.customer,
            Caller::Known(Role::Service | Role::Engine, _) => self.service,
            Caller::Known(Role::Ops, _) => self.operator,
        }
    }
}

/// The limit that was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// The caller's own share.
    Caller(&'static str),
    /// The process's pool for callers of this kind.
    Process(&'static str),
}

impl Full {
    /// The limit, for the details of a status.
    #[must_use]
    pub fn bound(self) -> String {
        match self {
            Self::Caller(what) => format!("{what} of this caller"),
            Self::Process(what) => format!("{what} of this process"),
        }
    }
}

impl Amount {
    /// What a call takes when it begins.
    #[must_use]
    pub(super) const fn of(kind: Kind) -> Self {
        match kind {
            Kind::Unary | Kind::ForwardedStream => Self { calls: 1, streams: 0, bytes: 0 },
            Kind::ServerStream | Kind::BidiStream => Self { calls: 0, streams: 1, bytes: 0 },
        }
    }

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

    /// The first requested resource that exceeds its limit.
    fn over(self, bound: Self, asked: Self) -> Option<&'static str> {
        if asked.calls > 0 && self.calls > bound.calls {
            return Some("calls under way");
        }
        if asked.streams > 0 && self.streams > bound.streams {
            return Some("streams");
        }
        // A caller with too many bytes of untaken answers begins nothing more.
        (self.bytes > bound.bytes).then_some("bytes")
    }
}

#[derive(Default)]
struct Counts {
    whole: Amount,
    /// The part of it that customers use.
    open: Amount,
    /// What unauthenticated callers use; not part of the total.
    unauthenticated: Amount,
    callers: HashMap<Caller, Amount>,
}

impl Counts {
    /// The sums of a pool.
    fn sums(&mut self, pool: Pool) -> impl Iterator<Item = &mut Amount> {
        let (whole, open, unauthenticated) = match pool {
            Pool::Kept => (Some(&mut self.whole), None, None),
            Pool::Open => (Some(&mut self.whole), Some(&mut self.open), None),
            Pool::Unauthenticated => (None, None, Some(&mut self.unauthenticated)),
        };
        whole.into_iter().chain(open).chain(unauthenticated)
    }

    /// The limit of a pool that so much more would exceed.
    fn over(&self, numbers: &Numbers, pool: Pool, asked: Amount) -> Option<&'static str> {
        let whole = self.whole.plus(asked);
        match pool {
            Pool::Kept => whole.over(numbers.whole, asked),
            Pool::Open => {
                let open = self.open.plus(asked);
                let over = open.over(numbers.whole.less(numbers.kept), asked);
                over.or_else(|| whole.over(numbers.whole, asked))
            }
            Pool::Unauthenticated => {
                self.unauthenticated.plus(asked).over(numbers.unauthenticated, asked)
            }
        }
    }
}

/// The current use of all callers. Clones share it.
#[derive(Clone)]
pub struct Shares(Arc<Shared>);

struct Shared {
    numbers: Numbers,
    counts: Mutex<Counts>,
}

impl Shares {
    /// Without any use yet.
    #[must_use]
    pub fn new(numbers: Numbers) -> Self {
        Self(Arc::new(Shared { numbers, counts: Mutex::default() }))
    }

    /// Bytes that unauthenticated callers use now.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.counts().unauthenticated.bytes
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes this amount until the result is dropped.
    ///
    /// # Errors
    /// The limit that was reached; then nothing is taken.
    pub fn take(&self, caller: &Caller, asked: Amount) -> Result<Held, Full> {
        let mut held =
            Held { shares: self.clone(), caller: caller.clone(), amount: Amount::default() };
        held.more(asked)?;
        Ok(held)
    }

    fn add(&self, caller: &Caller, asked: Amount) -> Result<(), Full> {
        let pool = Pool::of(caller);
        let mut counts = self.counts();
        let had = counts.callers.get(caller).copied().unwrap_or_default();
        let has = had.plus(asked);
        if let Some(what) = has.over(self.0.numbers.of(caller), asked) {
            return Err(Full::Caller(what));
        }
        if let Some(what) = counts.over(&self.0.numbers, pool, asked) {
            return Err(Full::Process(what));
        }
        for sum in counts.sums(pool) {
            *sum = sum.plus(asked);
        }
        counts.callers.insert(caller.clone(), has);
        Ok(())
    }

    /// Gives back, and takes whatever the limits are. A caller without anything is forgotten.
    fn change(&self, caller: &Caller, less: Amount, more: Amount) {
        let mut counts = self.counts();
        for sum in counts.sums(Pool::of(caller)) {
            *sum = sum.less(less).plus(more);
        }
        let held = counts.callers.entry(caller.clone()).or_default();
        *held = held.less(less).plus(more);
        if *held == Amount::default() {
            counts.callers.remove(caller);
        }
    }
}

/// What one call holds of its caller's share; given back on drop.
pub struct Held {
    shares: Shares,
    caller: Caller,
    amount: Amount,
}

impl Held {
    /// The owner of the share.
    #[must_use]
    pub const fn caller(&self) -> &Caller {
        &self.caller
    }

    /// Another one for the same caller, holding nothing yet.
    #[must_use]
    pub fn empty(&self) -> Self {
        let (shares, caller) = (self.shares.clone(), self.caller.clone());
        Self { shares, caller, amount: Amount::default() }
    }

    /// Takes more.
    ///
    /// # Errors
    /// The limit that was reached; then it holds what it held before.
    pub fn more(&mut self, asked: Amount) -> Result<(), Full> {
        self.shares.add(&self.caller, asked)?;
        self.amount = self.amount.plus(asked);
        Ok(())
    }

    /// Holds exactly this many bytes from now on, even above the limit: the memory is in use
    /// already. Its caller begins nothing else until it is below the limit again.
    pub fn set_bytes(&mut self, bytes: usize) {
        let before = Amount { bytes: self.amount.bytes, ..Amount::default() };
        let now = Amount { bytes, ..Amount::default() };
        if before != now {
            self.shares.change(&self.caller, before, now);
            self.amount.bytes = bytes;
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.shares.change(&self.caller, self.amount, Amount::default());
    }
}

#[cfg(test)]
mod tests;
