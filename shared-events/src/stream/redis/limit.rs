use std::time::Duration;

use redis::ErrorKind;

use super::connection::{Redis, RedisError};

/// Counts a call and answers whether it may go on, and how long the callers' time is used up ahead,
/// in microseconds. A key has an expiry always: it says nothing any more once its time has passed.
/// The server's own time counts, so that clocks of processes do not matter. A server that was away
/// learns what the process has counted alone.
const TAKE: &str = r"
local now = tonumber(ARGV[3])
if now == 0 then
  local time = redis.call('TIME')
  now = time[1] * 1000000 + time[2]
end
local every, tolerance = tonumber(ARGV[1]), tonumber(ARGV[2])
local ahead = (tonumber(redis.call('GET', KEYS[1])) or now) - now
ahead = math.max(0, tonumber(ARGV[4]), ahead)
ahead = math.min(ahead, tolerance + every)
if ahead > tolerance then return {0, ahead} end
ahead = ahead + every
redis.call('SET', KEYS[1], string.format('%.0f', now + ahead), 'PX', math.ceil(ahead / 1000))
return {1, ahead}
";
/// The SHA-1 of [`TAKE`], by which a server that has it is asked to run it. A test compares them.
const TAKE_SHA: &str = "412acd34a3aad3aef02c77957989211341eac8ef";

/// How often a caller may call: evenly, or several at once after a pause. The arithmetic is GCRA's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gcra {
    /// The time that one call uses up, in microseconds.
    pub every: u64,
    /// How far ahead the time may be used up before a call is refused, in microseconds.
    pub tolerance: u64,
}

/// What became of a call that was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Whether it may go on.
    pub allowed: bool,
    /// How far ahead the caller's time is used up afterwards, in microseconds.
    pub ahead: u64,
}

impl Gcra {
    /// So many calls a minute, and so many at once. Both are at least one.
    #[must_use]
    pub fn per_minute(calls: u32, at_once: u32) -> Self {
        let every = 60_000_000_u64.div_ceil(u64::from(calls.max(1)));
        Self { every, tolerance: every.saturating_mul(u64::from(at_once.max(1)) - 1) }
    }

    /// Counts a call of a caller whose time is used up until `until`, if known; both times in
    /// microseconds of one clock. The same as the script in Redis.
    #[must_use]
    pub fn take(self, until: Option<u64>, now: u64) -> Taken {
        let looked = self.look(until, now);
        let more = if looked.allowed { self.every } else { 0 };
        Taken { ahead: looked.ahead.saturating_add(more), ..looked }
    }

    /// Whether a call would be allowed; counts none.
    #[must_use]
    pub fn look(self, until: Option<u64>, now: u64) -> Taken {
        let ahead = until.unwrap_or(now).saturating_sub(now);
        // A clock that was set back refuses nobody for longer than a full burst would.
        let ahead = ahead.min(self.tolerance.saturating_add(self.every));
        Taken { allowed: ahead <= self.tolerance, ahead }
    }

    /// How many more calls may come at once.
    #[must_use]
    pub fn remaining(self, ahead: u64) -> u64 {
        let whole = self.tolerance.saturating_add(self.every);
        whole.saturating_sub(ahead) / self.every.max(1)
    }

    /// When the next call is allowed.
    #[must_use]
    pub fn retry_after(self, ahead: u64) -> Duration {
        Duration::from_micros(ahead.saturating_sub(self.tolerance))
    }
}

/// A call to be counted in Redis.
#[derive(Clone, Copy, Debug)]
pub struct Ask {
    /// How often its caller may call.
    pub pace: Gcra,
    /// How far ahead its caller's time is used up at least, in microseconds.
    pub known: u64,
    /// The time in microseconds since 1970; zero for the server's own.
    pub now: u64,
}

impl Ask {
    /// Of a caller of whom nothing is known, at the server's time.
    #[must_use]
    pub const fn of(pace: Gcra) -> Self {
        Self { pace, known: 0, now: 0 }
    }
}

/// Counts calls in this Redis, for all processes that share it.
#[derive(Clone)]
pub struct RateLimit {
    redis: Redis,
}

impl RateLimit {
    /// In this Redis.
    #[must_use]
    pub const fn new(redis: Redis) -> Self {
        Self { redis }
    }

    /// Whether the Redis counts; connects if there is no connection. Its server knows the script
    /// afterwards.
    ///
    /// # Errors
    /// [`RedisError`] if it does not.
    pub async fn ping(&self) -> Result<(), RedisError> {
        let ask = self.asking("EVAL", TAKE, "ping", &Ask::of(Gcra { every: 1_000, tolerance: 0 }));
        self.redis.query::<(u8, u64)>(&ask).await.map(|_| ())
    }

    /// Counts a call under a key.
    ///
    /// # Errors
    /// [`RedisError`]; the call may have been counted.
    pub async fn take(&self, key: &str, asked: &Ask) -> Result<Taken, RedisError> {
        let ask = |command, script| self.asking(command, script, key, asked);
        let answer: Result<(u8, u64), _> = self.redis.query(&ask("EVALSHA", TAKE_SHA)).await;
        let (allowed, ahead) = match answer {
            Err(RedisError::Server(error)) if is_unknown(&error) => {
                self.redis.query(&ask("EVAL", TAKE)).await?
            }
            answer => answer?,
        };
        Ok(Taken { allowed: allowed == 1, ahead })
    }

    fn asking(&self, command: &str, script: &str, key: &str, asked: &Ask) -> redis::Cmd {
        let mut ask = redis::cmd(command);
        ask.arg(script).arg(1).arg(self.key(key));
        ask.arg(asked.pace.every).arg(asked.pace.tolerance).arg(asked.now).arg(asked.known);
        ask
    }

    /// The key in Redis.
    #[must_use]
    pub fn key(&self, key: &str) -> String {
        format!("{}:limit:{key}", self.redis.prefix())
    }
}

/// The server has not seen the script since it started: it takes it from a call that has it whole.
fn is_unknown(error: &redis::RedisError) -> bool {
    error.kind() == ErrorKind::Server(redis::ServerErrorKind::NoScript)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_at_once_are_allowed_up_to_the_burst_and_then_evenly() {
        let pace = Gcra::per_minute(60, 3);
        let mut until = None;
        for left in [2, 1, 0] {
            let taken = pace.take(until, 0);
            assert!(taken.allowed);
            assert_eq!(pace.remaining(taken.ahead), left);
            until = Some(taken.ahead);
        }
        let taken = pace.take(until, 0);
        assert!(!taken.allowed);
        assert_eq!(pace.retry_after(taken.ahead), Duration::from_secs(1));
        assert!(!pace.look(until, 999_999).allowed);
        assert!(pace.take(until, 1_000_000).allowed);
        // Of a clock that was set back far, no more than a burst is waited for.
        let taken = pace.take(Some(u64::MAX), 0);
        assert_eq!((taken.allowed, taken.ahead), (false, 3_000_000));
    }
}
