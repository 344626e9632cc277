//! The process and its edge.

use super::bounds::OF_CALLS;
use crate::metric::{Counter, Histogram, Level, Observed};

/// What runs.
pub static BUILD_INFO: Observed<3> = Observed::number(
    "ordinal_build_info",
    &["version", "role", "backend"],
    "Always 1; its labels say what this process is.",
);
/// Health.
pub static SERVING: Observed<0> =
    Observed::number("ordinal_serving", &[], "1 while this process can serve, as GetHealth says.");
/// Health.
pub static HEALTH_REASONS: Observed<2> = Observed::number(
    "ordinal_health_reasons",
    &["part", "kind"],
    "1 for each part that keeps the process from serving (reason) or needs attention (alarm).",
);
/// The sampler.
pub static SAMPLE_AGE: Observed<0> = Observed::time(
    "ordinal_sample_age_seconds",
    &[],
    "How long ago the values were read that need a query; they are read every few seconds.",
);
/// The process.
pub static CPU: Observed<0> =
    Observed::total_time("process_cpu_seconds_total", &[], "Time of processors, user and system.");
/// The process.
pub static MEMORY: Observed<0> =
    Observed::number("process_resident_memory_bytes", &[], "Memory of the process.");
/// The process.
pub static FILES: Observed<0> =
    Observed::number("process_open_fds", &[], "Open files and sockets.");
/// The process.
pub static STARTED: Observed<0> = Observed::time(
    "process_start_time_seconds",
    &[],
    "When the process started, in seconds since 1970.",
);

/// Calls of gRPC.
pub static RPC_DURATION: Histogram<2> = Histogram::of_times(
    "rpc_server_call_duration_seconds",
    &["rpc_method", "rpc_response_status_code"],
    OF_CALLS,
    "Time of a gRPC call until its answer ended, also of one that came by HTTP.",
)
.at_most(1_024);
/// Calls by HTTP.
pub static HTTP_DURATION: Histogram<3> = Histogram::of_times(
    "http_server_request_duration_seconds",
    &["http_route", "http_request_method", "http_response_status_code"],
    OF_CALLS,
    "Time of a call by HTTP until its answer ended; the route is unmatched where there is none.",
)
.at_most(1_024);
/// Traces.
pub static SPANS_DROPPED: Observed<0> = Observed::count(
    "ordinal_spans_dropped_total",
    &[],
    "Spans that the collector of traces did not take, or that came faster than it took them.",
);
/// Refusals.
pub static CALLS_REFUSED: Observed<2> = Observed::count(
    "ordinal_calls_refused_total",
    &["rpc_method", "reason"],
    "Calls that were refused, by reason, as GetHealth counts them.",
);
/// Refusals of who calls.
pub static AUTH_DENIED: Observed<1> = Observed::count(
    "ordinal_auth_denied_total",
    &["reason"],
    "Calls refused because of who calls; a part of ordinal_calls_refused_total.",
);
/// Keys of issuers.
pub static JWKS_FETCHES: Counter<1> = Counter::new(
    "ordinal_jwks_fetches_total",
    &["outcome"],
    "Fetches of the keys of an issuer of tokens.",
);
/// Keys of issuers.
pub static JWKS_AGE: Observed<1> = Observed::time(
    "ordinal_jwks_age_seconds",
    &["issuer"],
    "How long ago the keys of an issuer were last fetched; absent before the first time.",
);
/// Rate limits.
pub static RATE_LIMITED: Counter<1> =
    Counter::new("ordinal_rate_limited_total", &["policy"], "Calls refused by a rate limit.");
/// Rate limits.
pub static RATE_LIMIT_DEGRADED: Observed<0> = Observed::number(
    "ordinal_rate_limit_degraded",
    &[],
    "1 while Redis does not answer and this process counts calls alone; absent without a Redis.",
);
/// Breakers.
pub static BREAKER_OPEN: Observed<1> = Observed::number(
    "ordinal_breaker_state",
    &["upstream"],
    "1 while no calls are sent to another process because calls to it fail, else 0.",
);
/// Connections.
pub static LIVE_CONNECTIONS: Level<1> = Level::new(
    "ordinal_live_connections",
    &["kind"],
    "Open connections (tcp), the WebSockets among them (websocket), and streams (stream).",
);
/// Certificates.
pub static CERTIFICATE_EXPIRES: Observed<1> = Observed::time(
    "ordinal_certificate_expires_seconds",
    &["name"],
    "Time until the certificate of --tls-cert or --peer-cert expires; 0 once it has.",
);
