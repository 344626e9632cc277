//! Flags of metrics.

use std::net::SocketAddr;

/// Flags of metrics.
#[derive(Debug, clap::Args)]
pub struct MetricsArgs {
    /// Show metrics to scrapers at /metrics of this address, in clear text and to everybody who
    /// reaches it, such as 127.0.0.1:9400; port 0 takes a free one. Nothing is counted without it.
    #[arg(long, value_name = "HOST:PORT", env = "ORDINAL_METRICS_LISTEN", value_parser = crate::flags::listen)]
    pub(super) metrics_listen: Option<SocketAddr>,
}
