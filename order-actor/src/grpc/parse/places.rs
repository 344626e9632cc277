use std::collections::BTreeSet;

use service_edge::page::PageSize;
use shared_events::contract::Mark;
use shared_events::stream::Cursors;

use super::Form;
use crate::grpc::proto;

impl Form {
    pub(crate) fn page_size(&mut self, size: i32, (default, max): (u32, u32)) -> Option<u32> {
        PageSize { default, max }.read(size, &mut self.violations)
    }

    pub(crate) fn place(
        &mut self,
        field: &str,
        place: &proto::ShardPosition,
        shards: u16,
    ) -> Option<(u16, u64, Option<Mark>)> {
        let shard = u16::try_from(place.shard).ok().filter(|shard| *shard < shards);
        if shard.is_none() {
            self.invalid(
                format!("{field}.shard"),
                format!("the journal has {shards} shards, from 0"),
            );
        }
        shard.map(|shard| (shard, place.position, place.mark.map(Mark::from_bits)))
    }

    pub(crate) fn places(
        &mut self,
        field: &str,
        places: &[proto::ShardPosition],
        shards: u16,
    ) -> (Cursors, BTreeSet<u16>) {
        let (mut cursors, mut named) = (Cursors::default(), BTreeSet::new());
        if places.len() > usize::from(shards) {
            self.invalid(
                field,
                format!("the journal has {shards} shards, each named once at most"),
            );
            return (cursors, named);
        }
        for (index, place) in places.iter().enumerate() {
            let path = format!("{field}[{index}]");
            let Some((shard, position, mark)) = self.place(&path, place, shards) else { continue };
            if !named.insert(shard) {
                self.invalid(format!("{path}.shard"), "named twice");
            }
            if position > 0 {
                cursors.advance_to(shard, position, mark);
            }
        }
        (cursors, named)
    }
}
