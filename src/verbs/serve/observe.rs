//! Flags of logs and traces.

use shared_events::traces::Ratio;

use crate::engine::spans::Otlp;
use crate::logs::{self, LogFormat, Process};

/// Flags of logs and traces.
#[derive(Debug, clap::Args)]
pub(super) struct ObserveArgs {
    /// Write the log in this form: text, or json for programs, one object a line.
    #[arg(long, value_name = "FORM", env = "ORDINAL_LOG_FORMAT", default_value_t = LogFormat::Text)]
    log_format: LogFormat,
    /// Send spans to the OpenTelemetry collector at this URL, by OTLP over HTTP, such as
    /// http://127.0.0.1:4318, or over gRPC where OTEL_EXPORTER_OTLP_PROTOCOL is grpc; without it
    /// there are no spans.
    #[arg(long, value_name = "URL", env = "ORDINAL_OTLP_ENDPOINT")]
    otlp_endpoint: Option<String>,
    /// Record this share of the calls that come without a trace; callers decide about their own.
    #[arg(
        long,
        value_name = "RATIO",
        env = "ORDINAL_TRACE_SAMPLE",
        default_value_t = Ratio::ALL,
        requires = "otlp_endpoint"
    )]
    trace_sample: Ratio,
}

impl ObserveArgs {
    /// Where spans go, if they go anywhere.
    ///
    /// # Errors
    /// If the URL is none.
    pub(super) fn otlp(&self) -> anyhow::Result<Option<Otlp>> {
        self.otlp_endpoint.as_deref().map(|url| Otlp::new(url, self.trace_sample)).transpose()
    }

    /// Writes lines of the log as asked for, and names this process in them.
    pub(super) fn begin_logs(&self, process: &Process) {
        logs::use_format(self.log_format);
        logs::name(process.clone());
    }
}
