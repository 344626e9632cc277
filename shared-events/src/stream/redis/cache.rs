use std::time::Duration;

use redis::Cmd;
use tokio::time::timeout;
use uuid::Uuid;

use super::connection::{Redis, RedisError};

/// Who waits for a value could have asked the store by then.
const ANSWERS_WITHIN: Duration = Duration::from_millis(100);
/// Nobody waits for most of what is dropped.
const DROPS_WITHIN: Duration = Duration::from_millis(500);
/// Who asks the store puts its answer here within this, or not at all.
const FILLED_WITHIN: Duration = Duration::from_secs(5);
/// Keys in one command.
const KEYS_MAX: usize = 500;
/// With what a place begins that somebody holds. No value does: values begin with their generation.
const HELD: &str = "?";

/// The value, if it is of this generation. Otherwise the place is given to who asks, unless somebody
/// else holds it.
const ASK: &str = r"
    local there = redis.call('GET', KEYS[1])
    if there and string.sub(there, 1, #ARGV[1]) == ARGV[1] then return there end
    if there and string.sub(there, 1, 1) == '?' then return false end
    redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
    return ARGV[2]
";

/// Puts a value where its place is still held by who asked for it.
const FILL: &str = r"
    if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
    redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
    return 1
";

/// Values of a store that stand in Redis for a while. Who finds none is given the place, asks the
/// store and fills it; whoever changes the store drops the key afterwards, and the place with it. So
/// what was read before a change is never put there after it, however late it comes, and also where
/// Redis was emptied meanwhile. Each script has one key, so that any server of a cluster runs it.
#[derive(Clone)]
pub struct Cache {
    redis: Redis,
}

/// What stands in the cache.
#[derive(Debug, PartialEq, Eq)]
pub enum Cached {
    /// A value of the generation that was asked for, without it.
    Value(String),
    /// Nothing, and whoever asked may fill it.
    Absent(CachePlace),
    /// Nothing, and somebody else is about to fill it.
    Held,
}

/// The right to fill a place once.
#[derive(Debug, PartialEq, Eq)]
pub struct CachePlace {
    key: String,
    generation: String,
    token: String,
}

impl Cache {
    /// In this Redis.
    #[must_use]
    pub const fn new(redis: Redis) -> Self {
        Self { redis }
    }

    fn key(&self, key: &str) -> String {
        format!("{}:cache:{key}", self.redis.prefix())
    }

    /// What stands at a key. Values of another generation count as none.
    ///
    /// # Errors
    /// [`RedisError`], also where there is no answer within 100 ms.
    pub async fn ask(&self, key: &str, generation: &str) -> Result<Cached, RedisError> {
        let key = self.key(key);
        let begins = format!("{generation}|");
        let token = format!("{HELD}{}", Uuid::now_v7());
        let mut ask = redis::cmd("EVAL");
        ask.arg(ASK).arg(1).arg(&key).arg(&begins).arg(&token).arg(millis(FILLED_WITHIN));
        let there: Option<String> = self.answer(ANSWERS_WITHIN, &ask).await?;
        Ok(match there {
            None => Cached::Held,
            Some(there) if there == token => {
                Cached::Absent(CachePlace { key, generation: generation.to_owned(), token })
            }
            Some(there) => {
                Cached::Value(there.strip_prefix(&begins).unwrap_or_default().to_owned())
            }
        })
    }

    /// Fills a place for so long; false where it is held no longer.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub async fn fill(
        &self,
        place: CachePlace,
        value: &str,
        keep: Duration,
    ) -> Result<bool, RedisError> {
        let CachePlace { key, generation, token } = place;
        let mut fill = redis::cmd("EVAL");
        fill.arg(FILL).arg(1).arg(key).arg(token).arg(format!("{generation}|{value}"));
        fill.arg(millis(keep));
        Ok(self.answer::<u8>(ANSWERS_WITHIN, &fill).await? == 1)
    }

    /// Drops what stands at these keys, and the right of all who hold them to fill them.
    ///
    /// # Errors
    /// [`RedisError`], also where there is no answer within half a second. Some may have been dropped.
    pub async fn forget(&self, keys: impl Iterator<Item = &str>) -> Result<(), RedisError> {
        let keys: Vec<String> = keys.map(|key| self.key(key)).collect();
        // The servers of a cluster have some of them each.
        let together = if self.redis.reads_shards_together() { KEYS_MAX } else { 1 };
        for keys in keys.chunks(together) {
            let mut del = redis::cmd("DEL");
            del.arg(keys);
            self.answer::<u64>(DROPS_WITHIN, &del).await?;
        }
        Ok(())
    }

    /// Which servers there are, and since when they are what they are. Where this has changed, one may
    /// have come back with what was dropped: from its disk, or a replica that had not heard of it.
    ///
    /// # Errors
    /// As [`Self::forget`].
    pub async fn servers(&self) -> Result<String, RedisError> {
        let mut all = Vec::new();
        for section in ["server", "replication"] {
            let info = redis::cmd("INFO").arg(section).to_owned();
            let told: redis::Value = self.answer(DROPS_WITHIN, &info).await?;
            identities(&told, &mut all);
        }
        all.sort_unstable();
        Ok(all.join(" "))
    }

    async fn answer<T: redis::FromRedisValue>(
        &self,
        within: Duration,
        cmd: &Cmd,
    ) -> Result<T, RedisError> {
        if let Ok(answer) = timeout(within, self.redis.query(cmd)).await {
            return answer;
        }
        // Of a way that is cut nobody hears; the next one takes another.
        self.redis.forget().await;
        Err(RedisError::Timeout(within))
    }
}

/// What names a server and its history in an answer of one, or of each of a cluster.
fn identities(told: &redis::Value, found: &mut Vec<String>) {
    match told {
        redis::Value::Map(nodes) => nodes.iter().for_each(|(_, told)| identities(told, found)),
        redis::Value::Array(nodes) => nodes.iter().for_each(|told| identities(told, found)),
        told => {
            let text: String = redis::from_redis_value_ref(told).unwrap_or_default();
            let names =
                |line: &&str| line.starts_with("run_id:") || line.starts_with("master_replid:");
            found.extend(text.lines().filter(names).map(str::to_owned));
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).max(1)
}
