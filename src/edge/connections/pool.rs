use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, Weak};

use shared_events::metric::Up;
use shared_events::metric::table::LIVE_CONNECTIONS;

use super::customers::{Customers, EVICTED_MAX};
use super::{Bounds, Connection, locked};
use crate::edge::shares::{Caller, Full, network};

/// The open connections and their limits.
pub(super) struct Pool {
    bounds: Bounds,
    pub(super) open: Mutex<Open>,
}

#[derive(Default)]
pub(super) struct Open {
    pub(super) all: usize,
    pub(super) by_address: HashMap<IpAddr, usize>,
    pub(super) customers: Customers,
    /// Connections without a call so far, as of the last look; the oldest first.
    unused: VecDeque<Weak<Connection>>,
    /// Connections with calls, none of them authenticated.
    unauthenticated: VecDeque<Weak<Connection>>,
}

impl Pool {
    /// Empty.
    pub(super) fn new(bounds: Bounds) -> Self {
        Self { bounds, open: Mutex::default() }
    }

    /// Admits a connection. If the pool is full it evicts one without a call, or else one without
    /// an authenticated call, or else an idle one of a customer; none if there is no such
    /// connection.
    pub(super) fn admit(self: &Arc<Self>, address: IpAddr) -> Option<(Permit, Arc<Connection>)> {
        let address = network(address);
        let mut open = locked(&self.open);
        let of_address = open.by_address.get(&address).copied().unwrap_or_default();
        if of_address >= self.bounds.of_one_address {
            return None;
        }
        let full = open.all >= self.bounds.connections;
        if full && (open.all >= self.bounds.connections + EVICTED_MAX || !open.make_room()) {
            return None;
        }
        open.all += 1;
        open.by_address.insert(address, of_address + 1);
        let connection = Connection::new(address, Arc::downgrade(self));
        if open.unused.len() >= self.bounds.connections {
            open.clean_up();
        }
        open.unused.push_back(Arc::downgrade(&connection));
        let permit = Permit {
            pool: Arc::clone(self),
            connection: Arc::clone(&connection),
            _open: LIVE_CONNECTIONS.up(["tcp"]),
        };
        Some((permit, connection))
    }
}

impl Open {
    fn make_room(&mut self) -> bool {
        while let Some(oldest) = self.unused.pop_front() {
            match oldest.upgrade() {
                Some(known) if known.is_unused() => {
                    known.evicted.cancel();
                    return true;
                }
                Some(known) if known.is_unauthenticated() => self.unauthenticated.push_back(oldest),
                _ => {}
            }
        }
        while let Some(oldest) = self.unauthenticated.pop_front() {
            if let Some(known) = oldest.upgrade()
                && known.is_unauthenticated()
            {
                known.evicted.cancel();
                return true;
            }
        }
        self.customers.make_room(0)
    }

    /// Drops closed connections from the lists and moves the others to the list they belong to.
    fn clean_up(&mut self) {
        let lines =
            std::mem::take(&mut self.unauthenticated).into_iter().chain(self.unused.drain(..));
        let known: Vec<_> = lines.filter(|one| one.upgrade().is_some()).collect();
        for one in known {
            match one.upgrade() {
                Some(known) if known.is_unused() => self.unused.push_back(one),
                Some(known) if known.is_unauthenticated() => self.unauthenticated.push_back(one),
                _ => {}
            }
        }
    }
}

impl Connection {
    /// A call over it was authenticated. From its first call on it counts for that customer; with
    /// `caller` absent, where many callers share it, for nobody.
    ///
    /// # Errors
    /// The limit that was reached; then the connection is drained.
    pub(in crate::edge) fn authenticated(
        self: &Arc<Self>,
        caller: Option<&Caller>,
    ) -> Result<(), Full> {
        if !self.is_unauthenticated() {
            return Ok(());
        }
        let customer = caller.filter(|caller| !caller.has_reserve());
        if let (Some(customer), Some(pool)) = (customer, self.pool.upgrade()) {
            let taken = locked(&pool.open).customers.take(customer, self, &pool.bounds);
            taken.inspect_err(|_| self.leaving.cancel())?;
        }
        self.authenticated.store(true, Ordering::Relaxed);
        Ok(())
    }
}

/// Counts a connection until it is dropped.
pub(super) struct Permit {
    pool: Arc<Pool>,
    connection: Arc<Connection>,
    _open: Up,
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut open = locked(&self.pool.open);
        open.all = open.all.saturating_sub(1);
        open.customers.closed(&self.connection);
        let address = self.connection.address;
        if let Some(count) = open.by_address.get_mut(&address) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                open.by_address.remove(&address);
            }
        }
    }
}
