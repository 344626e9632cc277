//! The fact feed over gRPC: a service's published facts, from any position on, for followers in
//! other processes.
//! Never here: what a fact means.

mod client; // another process's facts as a source
mod identity; // the identity of the reader
mod server; // the sources of this process as a service

pub use client::RemoteFacts;
pub use identity::{Identity, NoToken};
pub use server::{FactEdge, Log};

use shared_events::contract::Mark;
use shared_events::stream::{Cursors, History, Place, Reader, Scope};

use crate::time;

/// The generated messages, server and client.
pub mod proto {
    #![allow(
        missing_docs,
        unreachable_pub,
        clippy::all,
        clippy::pedantic,
        reason = "generated; the proto is documented"
    )]
    tonic::include_proto!("ordinal.facts.v1");
}

/// The service's descriptors, for reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

fn positions(cursors: &Cursors) -> Vec<proto::FactPosition> {
    time::positions(cursors)
        .map(|(shard, position, mark)| proto::FactPosition { shard, position, mark })
        .collect()
}

/// None where a shard's number is invalid.
fn cursors(positions: &[proto::FactPosition]) -> Option<Cursors> {
    time::cursors(positions.iter().map(|place| (place.shard, place.position, place.mark)))
}

fn place(place: &Place) -> proto::FactPosition {
    proto::FactPosition {
        shard: u32::from(place.shard),
        position: place.position,
        mark: Some(place.mark.bits()),
    }
}

/// None where a place has no valid shard, no position or no mark.
fn places(positions: &[proto::FactPosition]) -> Option<Vec<Place>> {
    let place = |place: &proto::FactPosition| {
        Some(Place {
            shard: u16::try_from(place.shard).ok()?,
            position: Some(place.position).filter(|position| *position > 0)?,
            mark: Mark::from_bits(place.mark?),
        })
    };
    positions.iter().map(place).collect()
}

fn history(history: History) -> proto::History {
    proto::History { log: history.log.to_string(), incarnation: history.incarnation }
}

/// None where it names no log.
fn read_history(history: &proto::History) -> Option<History> {
    Some(History { log: history.log.parse().ok()?, incarnation: history.incarnation })
}

fn introduced(reader: &Reader) -> proto::Reader {
    let Reader { follower, identity, has_read, anew } = reader.clone();
    proto::Reader { name: follower, identity, has_read, anew }
}

/// None where a text is missing or too long.
fn read_reader(reader: &proto::Reader) -> Option<Reader> {
    let proto::Reader { name: follower, identity, has_read, anew } = reader.clone();
    let fits = |text: &str| (1..=TEXT_MAX).contains(&text.len());
    (fits(&follower) && fits(&identity)).then_some(Reader { follower, identity, has_read, anew })
}

/// The most bytes of a reader's name, and of the identity of its database.
const TEXT_MAX: usize = 64;

/// None where a shard's number is invalid.
fn scope(shards: &[u32]) -> Option<Scope> {
    if shards.is_empty() {
        return Some(Scope::All);
    }
    let shards: Option<_> = shards.iter().map(|shard| u16::try_from(*shard).ok()).collect();
    shards.map(Scope::Only)
}
