use std::sync::Arc;
use std::time::Duration;

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster::{ClusterClient, ClusterClientBuilder};
use redis::cluster_async::ClusterConnection;
use redis::{
    AsyncConnectionConfig, Client, Cmd, FromRedisValue, Pipeline, RedisFuture, TlsCertificates,
    Value,
};
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::contract::Origin;

/// How long connecting may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(2);
/// How long an answer may take; a read that blocks for entries blocks for less.
const ANSWERS_WITHIN: Duration = Duration::from_secs(2);

/// Where the streams are, and how they are named.
#[derive(Clone)]
pub struct RedisOptions {
    /// `redis://[user:password@]host:port[/database]`, or `rediss://…` for TLS. Several are nodes
    /// of one cluster.
    pub urls: Vec<String>,
    /// Whether it is a cluster, even if one node of it is named.
    pub cluster: bool,
    /// PEM of the authority that the server's certificate is checked against; public ones where
    /// absent.
    pub authority: Option<Vec<u8>>,
    /// Prefix of every key, so that several installations can share a server.
    pub prefix: String,
}

/// URLs hold passwords.
impl std::fmt::Debug for RedisOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisOptions").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

/// Redis failed. The text shows no password.
#[derive(Debug, thiserror::Error)]
pub enum RedisError {
    /// The server or the connection failed.
    #[error("redis: {0}")]
    Server(#[from] redis::RedisError),
    /// No answer in time.
    #[error("redis: no answer within {0:?}")]
    Timeout(Duration),
    /// An entry that no relay of ours wrote.
    #[error("redis: {key} holds an entry that is not a fact: {detail}")]
    Entry {
        /// The key of the stream.
        key: String,
        /// What is wrong.
        detail: String,
    },
}

/// One server or a cluster. Connects at first use and again after a failure. Clones share their
/// connection.
#[derive(Clone)]
pub struct Redis {
    target: Arc<Target>,
    shared: Arc<Mutex<Option<Connection>>>,
}

enum Kind {
    One(Box<Client>),
    Cluster(Box<ClusterClient>),
}

struct Target {
    kind: Kind,
    prefix: String,
}

/// A connection to either.
#[derive(Clone)]
pub(super) enum Connection {
    One(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::One(one) => one.req_packed_command(cmd),
            Self::Cluster(cluster) => cluster.req_packed_command(cmd),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::One(one) => one.req_packed_commands(pipeline, offset, count),
            Self::Cluster(cluster) => cluster.req_packed_commands(pipeline, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::One(one) => one.get_db(),
            Self::Cluster(cluster) => cluster.get_db(),
        }
    }
}

impl Redis {
    /// Does not connect yet.
    ///
    /// # Errors
    /// [`RedisError`] where a URL or the authority's certificate is invalid.
    pub fn new(options: &RedisOptions) -> Result<Self, RedisError> {
        // A second call finds the same provider installed.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let certificates = options
            .authority
            .clone()
            .map(|root_cert| TlsCertificates { client_tls: None, root_cert: Some(root_cert) });
        let kind = if options.cluster || options.urls.len() > 1 {
            let builder = ClusterClientBuilder::new(options.urls.iter().map(String::as_str))
                .connection_timeout(CONNECT_WITHIN)
                .response_timeout(ANSWERS_WITHIN)
                .retries(2);
            let builder = match certificates {
                Some(certificates) => builder.certs(certificates),
                None => builder,
            };
            Kind::Cluster(Box::new(builder.build()?))
        } else {
            let url = options.urls.first().map(String::as_str).unwrap_or_default();
            Kind::One(Box::new(match certificates {
                Some(certificates) => Client::build_with_tls(url, certificates)?,
                None => Client::open(url)?,
            }))
        };
        let target = Target { kind, prefix: options.prefix.clone() };
        Ok(Self { target: Arc::new(target), shared: Arc::default() })
    }

    /// The stream of a shard. The braces keep all keys of a shard in one slot of a cluster.
    #[must_use]
    pub fn stream(&self, origin: Origin, shard: u16) -> String {
        format!("{}:facts", self.tag(origin, shard))
    }

    /// Hash of the followers of a shard: name → position and when, in milliseconds since 1970.
    pub(super) fn readers(&self, origin: Origin, shard: u16) -> String {
        format!("{}:readers", self.tag(origin, shard))
    }

    /// Key of the log's incarnation that the stream of a shard is filled from.
    pub(super) fn incarnation(&self, origin: Origin, shard: u16) -> String {
        format!("{}:incarnation", self.tag(origin, shard))
    }

    /// Prefix of every key.
    pub(super) fn prefix(&self) -> &str {
        &self.target.prefix
    }

    fn tag(&self, origin: Origin, shard: u16) -> String {
        let service = origin.uri().trim_start_matches("/ordinal/");
        format!("{}:{{{service}:{shard}}}", self.target.prefix)
    }

    /// Whether one command may read streams of several shards, and block for them.
    pub(super) fn reads_shards_together(&self) -> bool {
        matches!(self.target.kind, Kind::One(_))
    }

    /// A connection of its own, for blocking reads.
    pub(super) async fn connect(&self) -> Result<Connection, RedisError> {
        let connecting = async {
            Ok::<_, RedisError>(match &self.target.kind {
                Kind::One(client) => {
                    let config = AsyncConnectionConfig::new()
                        .set_connection_timeout(Some(CONNECT_WITHIN))
                        .set_response_timeout(Some(ANSWERS_WITHIN));
                    Connection::One(
                        client.get_multiplexed_async_connection_with_config(&config).await?,
                    )
                }
                Kind::Cluster(client) => Connection::Cluster(client.get_async_connection().await?),
            })
        };
        timeout(ANSWERS_WITHIN, connecting)
            .await
            .map_err(|_| RedisError::Timeout(ANSWERS_WITHIN))?
    }

    /// The shared connection; a new one where there is none or the last one failed.
    pub(super) async fn connection(&self) -> Result<Connection, RedisError> {
        let mut shared = self.shared.lock().await;
        if let Some(connection) = &*shared {
            return Ok(connection.clone());
        }
        let connection = self.connect().await?;
        *shared = Some(connection.clone());
        Ok(connection)
    }

    /// Drops the shared connection, so that the next call opens another one.
    pub(super) async fn forget(&self) {
        *self.shared.lock().await = None;
    }

    /// The answers to several commands: in one round trip where one server has all keys.
    pub(super) async fn all<T: FromRedisValue>(
        &self,
        cmds: Vec<Cmd>,
    ) -> Result<Vec<Result<T, redis::RedisError>>, RedisError> {
        if !self.reads_shards_together() {
            let mut answers = Vec::with_capacity(cmds.len());
            for cmd in &cmds {
                answers.push(match self.query(cmd).await {
                    Ok(answer) => Ok(answer),
                    Err(RedisError::Server(error)) if is_answer(&error) => Err(error),
                    Err(error) => return Err(error),
                });
            }
            return Ok(answers);
        }
        if cmds.is_empty() {
            return Ok(Vec::new());
        }
        let mut together = redis::pipe();
        together.ignore_errors();
        for cmd in cmds {
            together.add_command(cmd);
        }
        let mut connection = self.connection().await?;
        let outcome: Result<Vec<Result<T, redis::RedisError>>, _> =
            answered(together.query_async(&mut connection)).await;
        let serves = outcome.as_ref().is_ok_and(|answers| {
            answers.iter().all(|answer| answer.as_ref().err().is_none_or(is_answer))
        });
        if !serves {
            self.forget().await;
        }
        outcome
    }

    /// The answer to a command.
    pub(super) async fn query<T: FromRedisValue>(&self, cmd: &Cmd) -> Result<T, RedisError> {
        let mut connection = self.connection().await?;
        let outcome = answered(cmd.query_async(&mut connection)).await;
        match &outcome {
            Ok(_) => {}
            Err(RedisError::Server(error)) if is_answer(error) => {}
            Err(_) => self.forget().await,
        }
        outcome
    }
}

/// Whether an error is about the command, and not about the server or the connection. A server that
/// has become a replica, wants a password or is loading may be another one by now. One that has not
/// seen a script is the same.
fn is_answer(error: &redis::RedisError) -> bool {
    matches!(error.code(), Some("ERR" | "NOSCRIPT"))
}

/// The answer in time, or an error.
pub(super) async fn answered<T>(
    call: impl Future<Output = Result<T, redis::RedisError>>,
) -> Result<T, RedisError> {
    match timeout(ANSWERS_WITHIN, call).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(RedisError::Timeout(ANSWERS_WITHIN)),
    }
}
