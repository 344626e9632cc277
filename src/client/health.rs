use std::time::Duration;

use shared_events::contract::Reason;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::Failure;
use super::failure::of_tls;
use crate::edge::peers;
use crate::edge::tls::ClientTls;

/// Whether the process at this URL (by TLS, if it is https) reports a service as serving; empty for the process itself.
///
/// # Errors
/// If the address is invalid or the process has no such service.
pub(crate) async fn serves(
    (url, tls): (&str, Option<&ClientTls>),
    service: &str,
    patience: Duration,
) -> Result<bool, Failure> {
    let Some(channel) = peers::channel(&[url.to_owned()], tls)? else { return Ok(false) };
    let request = HealthCheckRequest { service: service.to_owned() };
    let mut client = HealthClient::new(channel);
    let answer = tokio::time::timeout(patience, client.check(request)).await;
    match answer {
        Ok(Ok(answer)) => Ok(answer.into_inner().status == i32::from(ServingStatus::Serving)),
        Ok(Err(status)) if status.code() == Code::NotFound => Err(Failure::Refused {
            reason: Reason::NotFound.to_string(),
            message: format!("the process has no service {service}; use liveness, or leave it out"),
        }),
        Ok(Err(status)) if of_tls(&status).is_some() => Err(status.into()),
        _ => Ok(false),
    }
}
