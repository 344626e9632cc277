//! Distributes the shards over the live nodes: evenly, and with as few moves as possible. Pure:
//! every node computes the same plan from the same view and executes its own part.

use std::collections::BTreeMap;

use crate::store::View;

/// What one node has to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Vacant shards to take.
    pub(crate) take: Vec<u16>,
    /// Own shards to hand over, each with the node that gets it.
    pub(crate) give: Vec<(u16, String)>,
}

/// The part of `me` in distributing the shards. Frozen shards belong to no node; those that an
/// operator pinned to a live node belong there; the rest is spread evenly.
pub(crate) fn plan(view: &View, me: &str) -> Plan {
    let mut plan = Plan::default();
    let lives = |id: &str| view.nodes.iter().any(|node| node.id == id);
    let mut held: BTreeMap<&str, Vec<u16>> =
        view.nodes.iter().map(|node| (node.id.as_str(), Vec::new())).collect();
    // Shards without a live owner, and those of a node that is leaving.
    let mut loose: Vec<(u16, Option<&str>)> = Vec::new();
    for seen in view.shards.iter().filter(|seen| seen.frozen.is_none()) {
        let shard = seen.head.shard;
        let owner = (!seen.vacant).then_some(seen.owner.as_str());
        let pinned = seen.pinned.as_ref().and_then(|name| {
            view.nodes.iter().find(|node| &node.name == name).map(|node| node.id.as_str())
        });
        match (pinned, owner) {
            (Some(wanted), Some(owner)) if owner == wanted => {}
            (Some(wanted), Some(owner)) if owner == me => {
                plan.give.push((shard, wanted.to_owned()))
            }
            (Some(wanted), None) if wanted == me => plan.take.push(shard),
            (Some(_), _) => {}
            (None, Some(owner)) if lives(owner) => held.entry(owner).or_default().push(shard),
            (None, owner) => loose.push((shard, owner)),
        }
    }
    let nodes = held.len();
    if nodes == 0 {
        return plan;
    }
    let all = held.values().map(Vec::len).sum::<usize>() + loose.len();
    // The nodes that hold most keep the odd ones.
    let mut by_held: Vec<&str> = held.keys().copied().collect();
    by_held.sort_by_key(|id| (usize::MAX - held[id].len(), *id));
    let share = |rank: usize| all / nodes + usize::from(rank < all % nodes);
    let mut wanting: Vec<(&str, usize)> = Vec::new();
    for (rank, id) in by_held.iter().enumerate() {
        let has = held[id].len();
        if has > share(rank) {
            let surplus = held.get_mut(id).map(|shards| shards.split_off(share(rank)));
            loose.extend(surplus.into_iter().flatten().map(|shard| (shard, Some(*id))));
        } else if has < share(rank) {
            wanting.push((id, share(rank) - has));
        }
    }
    loose.sort_unstable();
    let mut seats = wanting.iter().flat_map(|(id, count)| std::iter::repeat_n(*id, *count));
    for (shard, owner) in loose {
        let Some(seat) = seats.next() else { break };
        match owner {
            Some(owner) if owner == me => plan.give.push((shard, seat.to_owned())),
            None if seat == me => plan.take.push(shard),
            _ => {}
        }
    }
    plan
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::chain::GENESIS;
    use crate::store::{Head, NodeView, ShardView};

    fn view(nodes: u8, owners: &[Option<u8>]) -> View {
        let nodes = (0..nodes)
            .map(|n| NodeView {
                id: format!("n{n}"),
                name: format!("N{n}"),
                address: String::new(),
            })
            .collect();
        let shards = (0_u16..)
            .zip(owners)
            .map(|(shard, owner)| ShardView {
                head: Head { shard, epoch: 1, position: 0, hash: GENESIS },
                owner: owner.map(|n| format!("n{n}")).unwrap_or_default(),
                vacant: owner.is_none(),
                lease: String::new(),
                frozen: None,
                pinned: None,
            })
            .collect();
        View { nodes, shards }
    }

    /// Every node executes its part at the same time.
    fn executed(view: &View) -> (View, usize) {
        let mut next = view.clone();
        let mut moved = 0;
        for node in &view.nodes {
            let plan = plan(view, &node.id);
            let taken = plan.take.iter().map(|shard| (*shard, node.id.clone()));
            for (shard, to) in taken.chain(plan.give) {
                let seen = &mut next.shards[usize::from(shard)];
                assert_eq!(seen.owner, view.shards[usize::from(shard)].owner, "moved twice");
                (seen.owner, seen.vacant) = (to, false);
                moved += 1;
            }
        }
        (next, moved)
    }

    fn counts(view: &View) -> BTreeMap<String, usize> {
        let mut counts: BTreeMap<String, usize> =
            view.nodes.iter().map(|node| (node.id.clone(), 0)).collect();
        for seen in view.shards.iter().filter(|seen| !seen.vacant) {
            *counts.get_mut(&seen.owner).unwrap() += 1;
        }
        counts
    }

    proptest! {
        #[test]
        fn one_round_spreads_shards_evenly_and_a_second_moves_nothing(
            nodes in 1_u8..6,
            owners in prop::collection::vec(prop::option::of(0_u8..6), 1..64),
        ) {
            let owners: Vec<Option<u8>> =
                owners.into_iter().map(|owner| owner.filter(|n| *n < nodes)).collect();
            let before = view(nodes, &owners);
            let (after, _) = executed(&before);
            let held = counts(&after);
            prop_assert_eq!(held.values().sum::<usize>(), owners.len());
            prop_assert!(held.values().max().unwrap() - held.values().min().unwrap() <= 1);
            prop_assert_eq!(executed(&after).1, 0);
        }
    }

    #[test]
    fn a_new_node_gets_its_share_and_nothing_else_moves() {
        let (after, moved) = executed(&view(2, &[Some(0); 16]));
        assert_eq!(moved, 8);
        let mut three = after;
        three.nodes = view(3, &[]).nodes;
        let (after, moved) = executed(&three);
        assert_eq!(moved, 5);
        assert_eq!(counts(&after).into_values().collect::<Vec<_>>(), [6, 5, 5]);
    }

    #[test]
    fn a_leaving_node_gives_its_shards_to_the_others() {
        let mut leaving = view(2, &[Some(0), Some(1), Some(0), Some(1)]);
        leaving.nodes.remove(0);
        let given = plan(&leaving, "n0").give;
        assert_eq!(given, [(0, "n1".to_owned()), (2, "n1".to_owned())]);
        leaving.nodes.clear();
        assert_eq!(plan(&leaving, "n0"), Plan::default());
    }

    #[test]
    fn a_pinned_shard_goes_to_its_node_and_a_frozen_one_nowhere() {
        let mut seen = view(2, &[Some(0), Some(0), Some(1), None]);
        seen.shards[0].pinned = Some("N1".to_owned());
        seen.shards[3].frozen = Some("moved to another database".to_owned());
        assert_eq!(plan(&seen, "n0"), Plan { take: vec![], give: vec![(0, "n1".to_owned())] });
        assert_eq!(plan(&seen, "n1"), Plan::default());
        let (after, _) = executed(&seen);
        assert_eq!(executed(&after).1, 0);
        // A pin to a node that has ended has no effect.
        seen.shards[0].pinned = Some("N7".to_owned());
        assert_eq!(plan(&seen, "n0").give.len(), 0);
        assert_eq!(plan(&view(2, &[None]), "n1"), Plan::default());
    }
}
