use std::collections::BTreeSet;

use tokio::time::Instant;

use crate::stream::Cursors;

/// What a reader knows of its streams, and of the log behind them.
pub(super) struct State {
    /// The shards that hold facts, as far as known.
    pub(super) shards: BTreeSet<u16>,
    pub(super) compared: Option<Instant>,
    /// The heads of the source when they were last compared.
    pub(super) source_heads: Cursors,
    /// After a gap: reads from the source until it has no more, or the streams continue from here.
    pub(super) behind: bool,
    /// When the streams were last read.
    pub(super) streams_read: Instant,
    /// When Redis failed last.
    pub(super) failed: Option<Instant>,
    /// The log's incarnation; streams of an earlier one are not read until filled again.
    pub(super) incarnation: u64,
    /// Whether all streams were found to be of it.
    pub(super) streams_current: bool,
}

impl State {
    /// Of a reader that begins.
    pub(super) fn new() -> Self {
        Self {
            shards: BTreeSet::new(),
            compared: None,
            source_heads: Cursors::default(),
            behind: false,
            streams_read: Instant::now(),
            failed: None,
            incarnation: 0,
            streams_current: true,
        }
    }
}
