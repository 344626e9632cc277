use std::cmp::Reverse;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use tokio::time::Instant;

use super::{Bounds, Connection, locked};
use crate::edge::shares::{Caller, Full};

/// Connections over their limit that have not closed yet.
pub(super) const EVICTED_MAX: usize = 32;
/// What a customer has too many of.
const CONNECTIONS: &str = "connections";

/// For whom a connection counts.
#[derive(Default)]
pub(super) enum Owner {
    /// For nobody so far, or for nobody at all.
    #[default]
    None,
    /// For this customer, who made its first call.
    Customer(Caller),
    /// For nobody any more.
    Closed,
}

/// The connections of customers.
#[derive(Default)]
pub(super) struct Customers {
    all: usize,
    of: HashMap<Caller, Vec<Weak<Connection>>>,
}

impl Connection {
    pub(super) fn is_unauthenticated(&self) -> bool {
        !self.authenticated.load(Ordering::Relaxed)
    }

    /// Whether it is not drained for another one already.
    fn stays(&self) -> bool {
        !self.leaving.is_cancelled()
    }

    /// Since when it could have been closed without ending anything: it has had no call since then.
    /// None for one that has a call, is drained for another one already, or is a WebSocket.
    fn idle_since(&self) -> Option<Instant> {
        let may_go = self.stays() && !self.is_socket.load(Ordering::Relaxed);
        locked(&self.calls).idle_since().filter(|_| may_go)
    }
}

impl Customers {
    /// Counts a connection for a customer. Where all customers together have too many, one is
    /// drained of a customer who keeps more than this one: see [`Self::make_room`].
    ///
    /// # Errors
    /// The limit that was reached.
    pub(super) fn take(
        &mut self,
        customer: &Caller,
        connection: &Arc<Connection>,
        bounds: &Bounds,
    ) -> Result<(), Full> {
        let mut owner = locked(&connection.owner);
        // Authenticated meanwhile, or closed before it was.
        if !matches!(*owner, Owner::None) {
            return Ok(());
        }
        let own = self.of.get(customer).map(Vec::as_slice).unwrap_or_default();
        if own.len() >= bounds.of_one_customer {
            return Err(Full::Caller(CONNECTIONS));
        }
        let full = self.all >= bounds.of_customers;
        if full && (self.all >= bounds.of_customers + EVICTED_MAX || !self.make_room(staying(own)))
        {
            return Err(Full::Process(CONNECTIONS));
        }
        self.all += 1;
        self.of.entry(customer.clone()).or_default().push(Arc::downgrade(connection));
        *owner = Owner::Customer(customer.clone());
        Ok(())
    }

    /// A connection was closed.
    pub(super) fn closed(&mut self, connection: &Arc<Connection>) {
        let owner = std::mem::replace(&mut *locked(&connection.owner), Owner::Closed);
        let Owner::Customer(customer) = owner else { return };
        let Entry::Occupied(mut own) = self.of.entry(customer) else { return };
        let before = own.get().len();
        own.get_mut().retain(|known| !std::ptr::eq(known.as_ptr(), Arc::as_ptr(connection)));
        self.all = self.all.saturating_sub(before - own.get().len());
        if own.get().is_empty() {
            own.remove();
        }
    }

    /// Drains an idle connection of a customer who keeps more than this many: of those who keep
    /// most, if one of theirs is idle, else of those who keep next to most, and so on. Among these
    /// it is the one that has been idle longest. What is drained already is not kept. False where
    /// no such customer has an idle one.
    pub(super) fn make_room(&self, more_than: usize) -> bool {
        let of_each = self.of.values().filter(|own| own.len() > more_than).filter_map(|own| {
            let kept = Some(staying(own)).filter(|kept| *kept > more_than)?;
            let known = own.iter().filter_map(Weak::upgrade);
            let idle = known.filter_map(|one| Some((one.idle_since()?, one)));
            let (since, one) = idle.min_by_key(|(since, _)| *since)?;
            Some(((Reverse(kept), since), one))
        });
        let first = of_each.min_by_key(|(rank, _)| *rank);
        first.inspect(|(_, one)| one.leaving.cancel()).is_some()
    }

    /// How many there are, and of how many customers.
    #[cfg(test)]
    pub(super) fn count(&self) -> (usize, usize) {
        (self.all, self.of.len())
    }
}

/// How many of these are not drained for others already.
fn staying(own: &[Weak<Connection>]) -> usize {
    own.iter().filter_map(Weak::upgrade).filter(|one| one.stays()).count()
}
