use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, Weak};

use super::{Bounds, Connection, locked};
use crate::edge::shares::network;

/// Connections that were asked to leave and have not gone yet.
const LEAVING_MAX: usize = 32;

/// All connections.
pub(super) struct House {
    bounds: Bounds,
    pub(super) guests: Mutex<Guests>,
}

#[derive(Default)]
pub(super) struct Guests {
    pub(super) all: usize,
    pub(super) by_address: HashMap<IpAddr, usize>,
    /// Those that had not called when they were looked at last, the oldest first.
    silent: VecDeque<Weak<Connection>>,
    /// Those that had called, and nobody had proved who they are.
    strangers: VecDeque<Weak<Connection>>,
}

impl House {
    /// Empty.
    pub(super) fn new(bounds: Bounds) -> Self {
        Self { bounds, guests: Mutex::default() }
    }

    /// A place, and the connection that has it. Where all are taken it is the place of one that has
    /// not called yet, or else of one over which nobody has proved who they are; it is closed.
    pub(super) fn admit(self: &Arc<Self>, address: IpAddr) -> Option<(Seat, Arc<Connection>)> {
        let address = network(address);
        let mut guests = locked(&self.guests);
        let of_address = guests.by_address.get(&address).copied().unwrap_or_default();
        if of_address >= self.bounds.of_one_address {
            return None;
        }
        let full = guests.all >= self.bounds.connections;
        if full && (guests.all >= self.bounds.connections + LEAVING_MAX || !guests.make_room()) {
            return None;
        }
        guests.all += 1;
        guests.by_address.insert(address, of_address + 1);
        let connection = Connection::new(address);
        if guests.silent.len() >= self.bounds.connections {
            guests.sort();
        }
        guests.silent.push_back(Arc::downgrade(&connection));
        Some((Seat { house: Arc::clone(self), address }, connection))
    }
}

impl Guests {
    fn make_room(&mut self) -> bool {
        while let Some(oldest) = self.silent.pop_front() {
            match oldest.upgrade() {
                Some(known) if known.is_silent() => {
                    known.yields.cancel();
                    return true;
                }
                Some(known) if known.is_stranger() => self.strangers.push_back(oldest),
                _ => {}
            }
        }
        while let Some(oldest) = self.strangers.pop_front() {
            if let Some(known) = oldest.upgrade()
                && known.is_stranger()
            {
                known.yields.cancel();
                return true;
            }
        }
        false
    }

    /// Leaves those in the lines that stand there with reason.
    fn sort(&mut self) {
        let lines = std::mem::take(&mut self.strangers).into_iter().chain(self.silent.drain(..));
        let known: Vec<_> = lines.filter(|one| one.upgrade().is_some()).collect();
        for one in known {
            match one.upgrade() {
                Some(known) if known.is_silent() => self.silent.push_back(one),
                Some(known) if known.is_stranger() => self.strangers.push_back(one),
                _ => {}
            }
        }
    }
}

/// A place for a connection.
pub(super) struct Seat {
    house: Arc<House>,
    address: IpAddr,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut guests = locked(&self.house.guests);
        guests.all = guests.all.saturating_sub(1);
        if let Some(count) = guests.by_address.get_mut(&self.address) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                guests.by_address.remove(&self.address);
            }
        }
    }
}
