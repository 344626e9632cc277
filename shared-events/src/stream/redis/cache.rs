use std::time::Duration;

use redis::Cmd;
use tokio::time::timeout;

use super::connection::{Redis, RedisError};
use crate::chance::Chance;

/// A caller that waits for a value could have asked the store in this time.
const ANSWERS_WITHIN: Duration = Duration::from_millis(100);
/// Most drops have no waiting caller.
const DROPS_WITHIN: Duration = Duration::from_millis(500);
/// A caller that asked the store fills its answer in within this time, or not at all.
const FILLED_WITHIN: Duration = Duration::from_secs(5);
/// Keys in one command.
const KEYS_MAX: usize = 500;
/// The first character of a reserved place. Values begin with their generation instead.
const HELD: &str = "?";

/// Returns the value, if it is of this generation. Otherwise reserves the place for the caller,
/// unless another one holds it.
const ASK: &str = r"
    local there = redis.call('GET', KEYS[1])
    if there and string.sub(there, 1, #ARGV[1]) == ARGV[1] then return there end
    if there and string.sub(there, 1, 1) == '?' then return false end
    redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
    return ARGV[2]
";

/// Fills in a value where its place is still reserved for the caller.
const FILL: &str = r"
    if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
    redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
    return 1
";

/// A cache in Redis of values from a store. A caller that finds none reserves the place, asks the
/// store and fills the value in; a change of the store drops the key afterwards, and the
/// reservation with it. So a value read before a change is never filled in after it, however late
/// it comes, even where Redis was emptied meanwhile. Each script has one key, so that any server of
/// a cluster runs it.
#[derive(Clone)]
pub struct Cache {
    redis: Redis,
}

/// The result of a lookup.
#[derive(Debug, PartialEq, Eq)]
pub enum Cached {
    /// The value of the requested generation, without its prefix.
    Value(String),
    /// No value, and the caller may fill it in.
    Absent(CachePlace),
    /// No value, and another caller is about to fill it in.
    Held,
}

/// The right to fill in a value once.
#[derive(Debug, PartialEq, Eq)]
pub struct CachePlace {
    key: String,
    generation: String,
    token: String,
}

impl Cache {
    /// A cache in this Redis.
    #[must_use]
    pub const fn new(redis: Redis) -> Self {
        Self { redis }
    }

    fn key(&self, key: &str) -> String {
        format!("{}:cache:{key}", self.redis.prefix())
    }

    /// Looks a key up. Values of another generation count as absent.
    ///
    /// # Errors
    /// [`RedisError`], also where there is no answer within 100 ms.
    pub async fn ask(&self, key: &str, generation: &str) -> Result<Cached, RedisError> {
        let key = self.key(key);
        let begins = format!("{generation}|");
        let token = format!("{HELD}{}", Chance::system().uuid());
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

    /// Fills a value in, for this time; false where the place is no longer reserved for the caller.
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

    /// Drops the values of these keys, and all reservations of them.
    ///
    /// # Errors
    /// [`RedisError`], also where there is no answer within half a second. Some may have been dropped.
    pub async fn forget(&self, keys: impl Iterator<Item = &str>) -> Result<(), RedisError> {
        let keys: Vec<String> = keys.map(|key| self.key(key)).collect();
        // The keys are spread over the servers of a cluster.
        let together = if self.redis.reads_shards_together() { KEYS_MAX } else { 1 };
        for keys in keys.chunks(together) {
            let mut del = redis::cmd("DEL");
            del.arg(keys);
            self.answer::<u64>(DROPS_WITHIN, &del).await?;
        }
        Ok(())
    }

    /// The identities of the servers and of their histories. Where this has changed, one may have
    /// come back with dropped values: from its disk, or a replica that lagged.
    ///
    /// # Errors
    /// As [`Self::forget`].
    pub async fn servers(&self) -> Result<String, RedisError> {
        let mut all = Vec::new();
        for section in ["server", "replication"] {
            let info = redis::cmd("INFO").arg(section).to_owned();
            let answer: redis::Value = self.answer(DROPS_WITHIN, &info).await?;
            identities(&answer, &mut all);
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
        // No answer comes on a cut connection; the next call opens another one.
        self.redis.forget().await;
        Err(RedisError::Timeout(within))
    }
}

/// The fields that identify a server and its history in its answer, or in the answers of a
/// cluster's.
fn identities(answer: &redis::Value, found: &mut Vec<String>) {
    match answer {
        redis::Value::Map(nodes) => nodes.iter().for_each(|(_, answer)| identities(answer, found)),
        redis::Value::Array(nodes) => nodes.iter().for_each(|answer| identities(answer, found)),
        answer => {
            let text: String = redis::from_redis_value_ref(answer).unwrap_or_default();
            let names =
                |line: &&str| line.starts_with("run_id:") || line.starts_with("master_replid:");
            found.extend(text.lines().filter(names).map(str::to_owned));
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).max(1)
}
