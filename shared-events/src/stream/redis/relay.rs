use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use async_trait::async_trait;
use redis::{Script, ScriptInvocation};
use tokio::time::Instant;

use super::connection::{Redis, RedisError, answered};
use super::entry;
use crate::contract::{Fact, FactSource as Promiser};
use crate::stream::{Batch, Blame, Cursors, Scope, Sink, Source, SourceError};

/// Appends entries behind the id that the stream must end with, all or none; otherwise says with
/// what it does end.
static APPEND: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        local last = '0-0'
        if redis.call('EXISTS', KEYS[1]) == 1 then
            local info = redis.call('XINFO', 'STREAM', KEYS[1])
            for i = 1, #info, 2 do
                if info[i] == 'last-generated-id' then last = info[i + 1] end
            end
        end
        if last ~= ARGV[1] then return last end
        local i = 2
        while i <= #ARGV do
            local fields = 2 * tonumber(ARGV[i + 1])
            redis.call('XADD', KEYS[1], ARGV[i], unpack(ARGV, i + 2, i + 1 + fields))
            i = i + 2 + fields
        end
        return 'appended'
        ",
    )
});

/// The id of a stream that holds and held nothing.
const EMPTY: &str = "0-0";
/// Bytes of one call, about; a stream takes no call half.
const CALL_BYTES: usize = 1024 * 1024;
/// How often it is looked whether the streams are still as they were left.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Puts facts into the streams of their shards. Where a relay was killed the next one goes on
/// behind the last id; two at once do no harm, because each append names the id that it follows.
pub struct Relay {
    redis: Redis,
    promiser: Promiser,
    source: Arc<dyn Source<Fact>>,
    refill: u64,
    /// Where the streams stood when they were last seen.
    at: Cursors,
    last_ids: BTreeMap<u16, String>,
    looked: Instant,
}

impl Relay {
    /// Of what this service promises. A stream that is found empty is filled with the last
    /// `refill` positions of its shard; readers that need more have the source.
    #[must_use]
    pub fn new(
        redis: Redis,
        promiser: Promiser,
        source: Arc<dyn Source<Fact>>,
        refill: u64,
    ) -> Self {
        let (at, last_ids, looked) = (Cursors::default(), BTreeMap::new(), Instant::now());
        Self { redis, promiser, source, refill, at, last_ids, looked }
    }

    async fn last_id(&self, shard: u16) -> Result<String, RedisError> {
        let mut info = redis::cmd("XINFO");
        info.arg("STREAM").arg(self.redis.stream(self.promiser, shard));
        match self.redis.query::<std::collections::HashMap<String, redis::Value>>(&info).await {
            Ok(info) => Ok(info
                .get("last-generated-id")
                .and_then(|id| redis::from_redis_value_ref(id).ok())
                .unwrap_or_else(|| EMPTY.to_owned())),
            // The only way in which Redis says that there is no such stream.
            Err(RedisError::Server(error)) if error.detail() == Some("no such key") => {
                Ok(EMPTY.to_owned())
            }
            Err(error) => Err(error),
        }
    }

    /// The streams of these shards as they are.
    async fn look(&mut self, heads: &Cursors, begins_after: &Cursors) -> Result<(), RedisError> {
        let (mut at, mut last_ids) = (Cursors::default(), BTreeMap::new());
        for (shard, head) in heads.iter() {
            let last = self.last_id(shard).await?;
            let position = match entry::place(&last) {
                Some((0, _)) | None => head.saturating_sub(self.refill),
                Some((position, _)) => position,
            };
            // What is archived is passed over; the next entry says so by the one before it.
            let position = position.max(begins_after.get(shard));
            if position > 0 {
                at.advance(shard, position);
            }
            last_ids.insert(shard, last);
        }
        (self.at, self.last_ids, self.looked) = (at, last_ids, Instant::now());
        Ok(())
    }

    /// Appends the facts of one shard.
    async fn append(&mut self, shard: u16, facts: &[&Fact]) -> Result<(), Blame> {
        let stream = self.redis.stream(self.promiser, shard);
        let (mut prev, mut here) = (self.at.get(shard), self.at.get(shard));
        let mut call = self.call(&stream, shard);
        let mut bytes = 0;
        let mut last = None;
        for fact in facts {
            if fact.position != here {
                // A position is never split over two calls.
                if bytes >= CALL_BYTES {
                    self.invoke(&call, shard, last.take()).await?;
                    call = self.call(&stream, shard);
                    bytes = 0;
                }
                (prev, here) = (here, fact.position);
            }
            let fields =
                entry::fields(fact, prev).map_err(|error| Blame::World(error.to_string()))?;
            let id = entry::id(fact.position, fact.index);
            call.arg(&id).arg(fields.len());
            for (name, value) in &fields {
                bytes += name.len() + value.len();
                call.arg(name).arg(value.as_bytes());
            }
            last = Some(id);
        }
        if last.is_some() {
            self.invoke(&call, shard, last).await?;
        }
        Ok(())
    }

    fn call(&self, stream: &str, shard: u16) -> ScriptInvocation<'static> {
        let mut call = APPEND.prepare_invoke();
        let expected = self.last_ids.get(&shard).map_or(EMPTY, String::as_str);
        call.key(stream).arg(expected);
        call
    }

    async fn invoke(
        &mut self,
        call: &ScriptInvocation<'static>,
        shard: u16,
        last: Option<String>,
    ) -> Result<(), Blame> {
        let mut connection = self.redis.connection().await?;
        let said: String = match answered(call.invoke_async(&mut connection)).await {
            Ok(said) => said,
            Err(error) => {
                self.redis.forget().await;
                return Err(error.into());
            }
        };
        if said != "appended" {
            return Err(Blame::World(format!("the stream of shard {shard} ends with {said}")));
        }
        if let Some(last) = last {
            self.last_ids.insert(shard, last);
        }
        Ok(())
    }
}

#[async_trait]
impl Sink<Fact> for Relay {
    async fn cursors(&mut self) -> Result<Cursors, Blame> {
        let away = |error: SourceError| Blame::World(error.to_string());
        let heads = self.source.heads().await.map_err(away)?;
        let begins_after = self.source.begins_after().await.map_err(away)?;
        self.look(&heads, &begins_after).await?;
        Ok(self.at.clone())
    }

    async fn apply(&mut self, batch: &Batch<Fact>) -> Result<(), Blame> {
        let mut by_shard: BTreeMap<u16, Vec<&Fact>> = BTreeMap::new();
        for fact in &batch.items {
            by_shard.entry(fact.shard).or_default().push(fact);
        }
        for (shard, facts) in by_shard {
            self.append(shard, &facts).await?;
            if let Some(last) = facts.last() {
                self.at.advance(shard, last.position);
            }
        }
        Ok(())
    }

    /// Redis may have been emptied, restarted or restored while there was nothing to say.
    async fn retry_parked(&mut self, scope: &Scope) -> Result<bool, Blame> {
        if self.looked.elapsed() < LOOK_EVERY {
            return Ok(false);
        }
        self.looked = Instant::now();
        for (shard, known) in &self.last_ids {
            if scope.includes(*shard) && self.last_id(*shard).await? != *known {
                return Err(Blame::World(format!("the stream of shard {shard} was changed")));
            }
        }
        Ok(false)
    }
}

impl From<RedisError> for Blame {
    fn from(error: RedisError) -> Self {
        Self::World(error.to_string())
    }
}
