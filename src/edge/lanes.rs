//! Several connections to the same process: one holds 128 calls at a time, and further ones would
//! wait in it for as long as a watch lasts.
//! Never here: where the process is, and what is sent.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tonic::Status;
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
    /// For questions whether the process is there, which wait behind no call.
    apart: Channel,
}

struct Lane {
    channel: Channel,
    calls: Arc<AtomicUsize>,
    commands: Arc<AtomicUsize>,
}

impl Lanes {
    /// Of channels to the same place; `apart` has a connection of its own.
    pub(super) fn new(channels: Vec<Channel>, apart: Channel) -> Self {
        let lane = |channel| Lane { channel, calls: Arc::default(), commands: Arc::default() };
        Self { calls: channels.into_iter().map(lane).collect(), apart }
    }

    /// The same place, by the connection for questions only.
    pub(super) fn apart(&self) -> Self {
        Self::new(Vec::new(), self.apart.clone())
    }

    /// A channel with room, counted as taken until the guard is dropped.
    pub(super) fn take(&self, of_commands: bool) -> (Channel, Taken) {
        let under_way = |lane: &Lane| match of_commands {
            true => lane.commands.load(Ordering::Relaxed),
            false => lane.calls.load(Ordering::Relaxed),
        };
        let many = if of_commands { COMMANDS } else { CALLS };
        let free = self.calls.iter().find(|lane| under_way(lane) < many);
        let Some(lane) = free.or_else(|| self.calls.iter().min_by_key(|lane| under_way(lane)))
        else {
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
    pub(super) fn until_end_of(self, inner: Body) -> Body {
        Body::new(Answer { inner, _taken: self })
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        for count in self.0.iter().flatten() {
            count.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

struct Answer {
    inner: Body,
    _taken: Taken,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Pin::new(&mut self.inner).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use tonic::transport::Endpoint;

    use super::*;

    #[tokio::test]
    async fn calls_spread_over_connections_and_leave_room_when_they_end() {
        let channel = || Endpoint::from_static("http://127.0.0.1:9").connect_lazy();
        let lanes = Lanes::new((0..LANES).map(|_| channel()).collect(), channel());
        let counts = |of: fn(&Lane) -> &AtomicUsize| {
            lanes.calls.iter().map(|lane| of(lane).load(Ordering::Relaxed)).collect::<Vec<_>>()
        };
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
}
