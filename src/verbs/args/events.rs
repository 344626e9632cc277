use std::path::PathBuf;

use clap::Subcommand;

use crate::client::parse::Place;

/// `ordinal events …`
#[derive(Debug, Subcommand)]
pub enum EventsVerb {
    /// Show events as they happen, until interrupted.
    Tail {
        /// Begin after this place; may be repeated, once per shard. By default at the end.
        #[arg(long, value_name = "SHARD:POSITION[:MARK]")]
        after: Vec<Place>,
    },
    /// Show the events in the journal, in order within each shard.
    Replay {
        /// Begin after this place; may be repeated, once per shard.
        #[arg(long, value_name = "SHARD:POSITION[:MARK]")]
        after: Vec<Place>,
        /// Only the shards that --after names.
        #[arg(long)]
        only_named: bool,
        /// At most this many; 0 for all.
        #[arg(long, value_name = "N", default_value_t = 0)]
        limit: u64,
        /// Only events that the journal stored at this instant or later.
        #[arg(long, value_name = "TIME", value_parser = crate::client::parse::instant, conflicts_with = "archive")]
        recorded_from: Option<String>,
        /// Only events that the journal stored before this instant.
        #[arg(long, value_name = "TIME", value_parser = crate::client::parse::instant, conflicts_with = "archive")]
        recorded_until: Option<String>,
        /// Read archived events from this directory, if the engine has no archive; see `ordinal
        /// journal archive`.
        #[arg(long, value_name = "DIR")]
        archive: Option<PathBuf>,
    },
}
