use std::time::Duration;

use tokio::time::Instant;
use tonic::codegen::http::HeaderMap;
use tonic::metadata::MetadataMap;
use tonic::{Request, Status};

use super::parse::Violations;
use super::status;
use crate::actor::Refusal;

/// How long a call waits if its client sets no deadline.
pub const DEADLINE_DEFAULT: Duration = Duration::from_secs(5);

/// How long a call waits at most, whatever its client asks for.
pub const DEADLINE_MAX: Duration = Duration::from_secs(30);
/// "Not found" reaches a customer no sooner than this. Orders that are awake, asleep or missing
/// differ by some milliseconds, which would reveal that another customer's order exists.
pub const NOT_FOUND_DELAY: Duration = Duration::from_millis(10);

/// The call's deadline.
pub(super) fn deadline<T>(request: &Request<T>) -> Result<Instant, Status> {
    let wait = wait(request.metadata())?;
    Ok(Instant::now() + wait)
}

/// The future's output, or a refusal at the deadline.
pub(super) async fn within<T>(
    deadline: Instant,
    future: impl Future<Output = T>,
) -> Result<T, Status> {
    tokio::time::timeout_at(deadline, future)
        .await
        .map_err(|_| status::refused(&Refusal::DeadlineExceeded))
}

/// How long the client waits, from the `grpc-timeout` header.
#[must_use]
pub fn timeout(headers: &HeaderMap) -> Option<Duration> {
    headers.get("grpc-timeout")?.to_str().ok().and_then(parse_timeout)
}

fn wait(metadata: &MetadataMap) -> Result<Duration, Violations> {
    let Some(value) = metadata.get("grpc-timeout") else { return Ok(DEADLINE_DEFAULT) };
    let wait = value.to_str().ok().and_then(parse_timeout).ok_or_else(|| {
        let description = "1 to 8 digits and one of H, M, S, m, u, n";
        Violations::one("grpc-timeout", Violations::INVALID_FIELD, description)
    })?;
    Ok(wait.min(DEADLINE_MAX))
}

/// The `TimeoutValue TimeoutUnit` of the gRPC protocol.
fn parse_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let numeric = digits.bytes().all(|byte| byte.is_ascii_digit());
    if !(1..=8).contains(&digits.len()) || !numeric {
        return None;
    }
    let value: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(value * 3600),
        "M" => Duration::from_secs(value * 60),
        "S" => Duration::from_secs(value),
        "m" => Duration::from_millis(value),
        "u" => Duration::from_micros(value),
        "n" => Duration::from_nanos(value),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait_of(text: &'static str) -> Result<Duration, Violations> {
        let mut metadata = MetadataMap::new();
        metadata.insert("grpc-timeout", text.parse().unwrap());
        wait(&metadata)
    }

    #[test]
    fn a_call_waits_as_long_as_its_client_asks_up_to_the_maximum() {
        assert_eq!(wait(&MetadataMap::new()), Ok(DEADLINE_DEFAULT));
        assert_eq!(wait_of("250m"), Ok(Duration::from_millis(250)));
        assert_eq!(wait_of("1S"), Ok(Duration::from_secs(1)));
        assert_eq!(wait_of("7000000u"), Ok(Duration::from_secs(7)));
        assert_eq!(wait_of("99999999n"), Ok(Duration::from_nanos(99_999_999)));
        assert_eq!(wait_of("31S"), Ok(DEADLINE_MAX));
        assert_eq!(wait_of("1M"), Ok(DEADLINE_MAX));
        assert_eq!(wait_of("99999999H"), Ok(DEADLINE_MAX));
    }

    #[test]
    fn a_malformed_deadline_is_refused_by_name() {
        for text in ["", "5", "S", "-1S", "1.5S", "123456789S", "1s", "1 S"] {
            let violations = wait_of(text).unwrap_err();
            assert_eq!(violations.iter().next().unwrap().field, "grpc-timeout", "{text}");
        }
    }
}
