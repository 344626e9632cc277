//! Several connections to the same process: one holds 128 calls at a time, and further ones would
//! wait in it for as long as a watch lasts.
//! Never here: where the process is, and what is sent.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http_body_util::BodyExt as _;
use tonic::body::Body;
use tonic::transport::Channel;

/// Connections for calls, each opened when it is needed.
pub(super) const LANES: usize = 16;
/// Calls on a connection from which on another is opened.
const CALLS: usize = 32;
/// Streams of commands likewise: a process takes 8 on a connection.
const COMMANDS: usize = 4;

/// Marks a stream of commands that is sent on.
#[derive(Clone, Copy)]
pub(super) struct OfCommands;

/// The connections. Clones share them.
#[derive(Clone)]
pub(crate) struct Lanes {
    calls: Arc<[Lane]>,
    /// So many are opened together: by TLS each goes to another address.
    round: usize,
    /// For questions whether the process is there, which wait behind no call.
    apart: Channel,
}

struct Lane {
    channel: Channel,
    calls: Arc<AtomicUsize>,
    commands: Arc<AtomicUsize>,
}

impl Lane {
    fn under_way(&self, of_commands: bool) -> usize {
        let counted = if of_commands { &self.commands } else { &self.calls };
        counted.load(Ordering::Relaxed)
    }

    fn emptiest(lanes: &[Self], of_commands: bool) -> Option<&Self> {
        lanes.iter().min_by_key(|lane| lane.under_way(of_commands))
    }
}

impl Lanes {
    /// Of channels to the same place, so many of which reach all its addresses; `apart` has a
    /// connection of its own.
    pub(super) fn new(channels: Vec<Channel>, round: usize, apart: Channel) -> Self {
        let lane = |channel| Lane { channel, calls: Arc::default(), commands: Arc::default() };
        Self { calls: channels.into_iter().map(lane).collect(), round: round.max(1), apart }
    }

    /// The same place, by the connection for questions only.
    pub(super) fn apart(&self) -> Self {
        Self::new(Vec::new(), self.round, self.apart.clone())
    }

    /// A channel with room, counted as taken until the guard is dropped.
    pub(super) fn take(&self, of_commands: bool) -> (Channel, Taken) {
        let many = if of_commands { COMMANDS } else { CALLS };
        let rounds = self.calls.chunks(self.round);
        let mut emptiest = rounds.filter_map(|round| Lane::emptiest(round, of_commands));
        let free = emptiest.find(|lane| lane.under_way(of_commands) < many);
        let Some(lane) = free.or_else(|| Lane::emptiest(&self.calls, of_commands)) else {
            return (self.apart.clone(), Taken::default());
        };
        let counts = [Some(&lane.calls), of_commands.then_some(&lane.commands)];
        let counts = counts.map(Option::<&Arc<AtomicUsize>>::cloned);
        for count in counts.iter().flatten() {
            count.fetch_add(1, Ordering::Relaxed);
        }
        (lane.channel.clone(), Taken(counts))
    }
}

/// A call that is under way on a connection.
#[derive(Default)]
pub(super) struct Taken([Option<Arc<AtomicUsize>>; 2]);

impl Taken {
    /// Until this answer has ended.
    pub(super) fn until_end_of(self, answer: Body) -> Body {
        Body::new(answer.map_frame(move |frame| {
            let _taken = &self;
            frame
        }))
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        for count in self.0.iter().flatten() {
            count.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tonic::transport::Endpoint;

    use super::*;

    fn lanes(round: usize) -> Lanes {
        let channel = || Endpoint::from_static("http://127.0.0.1:9").connect_lazy();
        Lanes::new((0..LANES).map(|_| channel()).collect(), round, channel())
    }

    fn counts(lanes: &Lanes, of: fn(&Lane) -> &AtomicUsize) -> Vec<usize> {
        lanes.calls.iter().map(|lane| of(lane).load(Ordering::Relaxed)).collect()
    }

    #[tokio::test]
    async fn calls_spread_over_connections_and_leave_room_when_they_end() {
        let lanes = lanes(1);
        let counts = |of: fn(&Lane) -> &AtomicUsize| counts(&lanes, of);
        let taken: Vec<_> = (0..33).map(|_| lanes.take(false)).collect();
        assert_eq!(counts(|lane| &lane.calls)[..3], [32, 1, 0]);
        let more: Vec<_> = (33..16 * 100).map(|_| lanes.take(false)).collect();
        assert_eq!(counts(|lane| &lane.calls), [100; LANES]);
        drop((taken, more));
        let commands: Vec<_> = (0..16 * 8).map(|_| lanes.take(true)).collect();
        assert_eq!(counts(|lane| &lane.commands), [8; LANES]);
        let (_, one) = lanes.take(false);
        // An empty one would have ended already.
        let body = http_body_util::Full::new(Bytes::from_static(b"answer"));
        let answer = one.until_end_of(Body::new(body));
        assert_eq!(counts(|lane| &lane.calls).iter().sum::<usize>(), 16 * 8 + 1);
        drop((answer, commands));
        assert_eq!(counts(|lane| &lane.calls), [0; LANES]);
    }

    /// Each address has its part from the first calls on.
    #[tokio::test]
    async fn calls_fill_one_connection_to_each_address_before_another_is_opened() {
        let lanes = lanes(3);
        let counts = |of: fn(&Lane) -> &AtomicUsize| counts(&lanes, of);
        let mut taken: Vec<_> = (0..6).map(|_| lanes.take(false)).collect();
        assert_eq!(counts(|lane| &lane.calls)[..4], [2, 2, 2, 0]);
        taken.extend((6..3 * 32 + 2).map(|_| lanes.take(false)));
        assert_eq!(counts(|lane| &lane.calls)[..6], [32, 32, 32, 1, 1, 0]);
        taken.extend((3 * 32 + 2..16 * 40).map(|_| lanes.take(false)));
        assert_eq!(counts(|lane| &lane.calls), [40; LANES]);
        drop(taken);
        let _commands: Vec<_> = (0..3 * 4 + 1).map(|_| lanes.take(true)).collect();
        assert_eq!(counts(|lane| &lane.commands)[..5], [4, 4, 4, 1, 0]);
    }

    /// Or it would wait where all are full.
    #[tokio::test]
    async fn a_question_takes_no_connection_of_calls() {
        let lanes = lanes(1);
        let apart = lanes.apart();
        assert!(apart.calls.is_empty() && lanes.calls.len() == LANES);
        let _asked = [apart.take(false), apart.take(true)];
        assert_eq!(counts(&lanes, |lane| &lane.calls), [0; LANES]);
        assert_eq!(counts(&lanes, |lane| &lane.commands), [0; LANES]);
    }
}
