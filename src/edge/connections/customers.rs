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

    /// Since when it has had no call; none where one is under way, or where it is drained already.
    fn idle_since(&self) -> Option<Instant> {
        let stays = !self.leaving.is_cancelled() && !self.is_socket.load(Ordering::Relaxed);
        let idle = stays && locked(&self.calls).is_empty();
        idle.then(|| *locked(&self.idle_since))
    }
}

impl Customers {
    /// Counts a connection for a customer. Where all customers have too many, one that has more
    /// gives one up.
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
        let own = self.of.get(customer).map_or(0, Vec::len);
        if own >= bounds.of_one_customer {
            return Err(Full::Caller(CONNECTIONS));
        }
        let full = self.all >= bounds.of_customers;
        if full && (self.all >= bounds.of_customers + EVICTED_MAX || !self.make_room(own)) {
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

    /// Drains the connection that has been idle longest, of the customers with most, if these have
    /// more than this many. False where there is none.
    pub(super) fn make_room(&self, more_than: usize) -> bool {
        let most = self.of.values().map(Vec::len).max().unwrap_or_default();
        if most <= more_than {
            return false;
        }
        let of_most = self.of.values().filter(|own| own.len() == most).flatten();
        let idle =
            of_most.filter_map(Weak::upgrade).filter_map(|one| Some((one.idle_since()?, one)));
        let longest = idle.min_by_key(|(since, _)| *since);
        longest.inspect(|(_, one)| one.leaving.cancel()).is_some()
    }

    /// How many there are, and of how many customers.
    #[cfg(test)]
    pub(super) fn count(&self) -> (usize, usize) {
        (self.all, self.of.len())
    }
}
