//! The fact feed over gRPC: what a service promises, from any place on, for followers in other
//! processes. Never here: what a fact means.

mod client; // another process's facts as a source
mod server; // the sources of this process as a service

pub use client::RemoteFacts;
pub use server::{FactEdge, Log};

use shared_events::stream::{Cursors, Scope};

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
pub const FILE_DESCRIPTOR_SET: &[u8] =
    include_bytes!(concat!(env!("OUT_DIR"), "/facts_descriptor.bin"));

fn positions(cursors: &Cursors) -> Vec<proto::FactPosition> {
    cursors
        .iter()
        .map(|(shard, position)| proto::FactPosition { shard: u32::from(shard), position })
        .collect()
}

/// None where a shard's number is none.
fn cursors(positions: &[proto::FactPosition]) -> Option<Cursors> {
    positions
        .iter()
        .filter(|place| place.position > 0)
        .map(|place| Some((u16::try_from(place.shard).ok()?, place.position)))
        .collect()
}

/// None where a shard's number is none.
fn scope(shards: &[u32]) -> Option<Scope> {
    if shards.is_empty() {
        return Some(Scope::All);
    }
    let shards: Option<_> = shards.iter().map(|shard| u16::try_from(*shard).ok()).collect();
    shards.map(Scope::Only)
}
