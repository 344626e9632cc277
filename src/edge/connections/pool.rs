use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, Weak};

use shared_events::metric::Up;
use shared_events::metric::table::LIVE_CONNECTIONS;

use super::{Bounds, Connection, locked};
use crate::edge::shares::network;

/// Evicted connections that have not closed yet.
const EVICTED_MAX: usize = 32;

/// The open connections and their limits.
pub(super) struct Pool {
    bounds: Bounds,
    pub(super) open: Mutex<Open>,
}

#[derive(Default)]
pub(super) struct Open {
    pub(super) all: usize,
    pub(super) by_address: HashMap<IpAddr, usize>,
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
    /// an authenticated call; none if there is no such connection.
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
        let connection = Connection::new(address);
        if open.unused.len() >= self.bounds.connections {
            open.clean_up();
        }
        open.unused.push_back(Arc::downgrade(&connection));
        let open = LIVE_CONNECTIONS.up(["tcp"]);
        Some((Permit { pool: Arc::clone(self), address, _open: open }, connection))
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
        false
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

/// Counts a connection until it is dropped.
pub(super) struct Permit {
    pool: Arc<Pool>,
    address: IpAddr,
    _open: Up,
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut open = locked(&self.pool.open);
        open.all = open.all.saturating_sub(1);
        if let Some(count) = open.by_address.get_mut(&self.address) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                open.by_address.remove(&self.address);
            }
        }
    }
}
