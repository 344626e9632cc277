//! Flags of the Redis streams.
//! Never here: the streams' contents.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use shared_events::stream::redis::{Keep, RedisOptions};

/// The stream settings of a process.
#[derive(Clone, Debug)]
pub struct Streams {
    /// The Redis.
    pub redis: RedisOptions,
    /// The retention.
    pub keep: Keep,
    /// How long the stock of a product may be cached in Redis; zero for never.
    pub stock_cache_for: Duration,
}

/// Flags that name a Redis.
#[derive(Clone, clap::Args)]
pub struct RedisArgs {
    /// Publish facts through the streams of this Redis, redis://[user:password@]host:port or
    /// rediss://… for TLS; several, separated by commas, are nodes of a cluster.
    #[arg(
        long,
        value_name = "URL",
        env = "ORDINAL_REDIS_URL",
        hide_env_values = true,
        value_delimiter = ','
    )]
    redis_url: Vec<String>,
    /// Treat it as a cluster although one node is named.
    #[arg(long, env = "ORDINAL_REDIS_CLUSTER")]
    redis_cluster: bool,
    /// Check its certificate against the authority in this PEM file instead of public ones.
    #[arg(long, value_name = "FILE", env = "ORDINAL_REDIS_CA")]
    redis_ca: Option<PathBuf>,
    /// Prefix of every key, so that several installations can share a Redis.
    #[arg(long, value_name = "TEXT", env = "ORDINAL_REDIS_PREFIX", default_value = "ordinal")]
    redis_prefix: String,
}

/// Flags of a Redis and of its streams' retention. Without a Redis, facts go from process to
/// process over gRPC.
#[derive(Clone, Debug, clap::Args)]
pub struct StreamArgs {
    #[command(flatten)]
    redis: RedisArgs,
    /// Keep this many facts per shard.
    #[arg(long, value_name = "N", env = "ORDINAL_REDIS_KEEP", default_value_t = Keep::default().entries)]
    redis_keep: u64,
    /// Keep facts for this long.
    #[arg(long, value_name = "DURATION", env = "ORDINAL_REDIS_KEEP_FOR", default_value = "1day", value_parser = crate::flags::window)]
    redis_keep_for: Duration,
    /// Keep facts that an active follower still needs, but no more per shard than this.
    #[arg(long, value_name = "N", env = "ORDINAL_REDIS_KEEP_AT_MOST", default_value_t = Keep::default().at_most)]
    redis_keep_at_most: u64,
    /// Cache the stock of products in Redis for this long; known changes invalidate it; 0s is off.
    /// Reservations never read the cache.
    #[arg(long, value_name = "DURATION", env = "ORDINAL_STOCK_CACHE_FOR", default_value = "5m", value_parser = crate::flags::within_a_day)]
    stock_cache_for: Duration,
}

/// URLs hold passwords.
impl std::fmt::Debug for RedisArgs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RedisArgs")
    }
}

impl RedisArgs {
    /// The Redis, if one is named.
    ///
    /// # Errors
    /// If the authority's file cannot be read.
    pub fn options(&self) -> anyhow::Result<Option<RedisOptions>> {
        if self.redis_url.is_empty() {
            return Ok(None);
        }
        let authority = match &self.redis_ca {
            Some(path) => Some(
                std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?,
            ),
            None => None,
        };
        Ok(Some(RedisOptions {
            urls: self.redis_url.clone(),
            cluster: self.redis_cluster,
            authority,
            prefix: self.redis_prefix.clone(),
        }))
    }
}

impl StreamArgs {
    /// The streams, if a Redis is named.
    ///
    /// # Errors
    /// As [`RedisArgs::options`].
    pub fn streams(&self) -> anyhow::Result<Option<Streams>> {
        let Some(redis) = self.redis.options()? else { return Ok(None) };
        let keep = Keep {
            entries: self.redis_keep,
            age: self.redis_keep_for,
            at_most: self.redis_keep_at_most,
            ..Keep::default()
        };
        Ok(Some(Streams { redis, keep, stock_cache_for: self.stock_cache_for }))
    }
}
