use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use opentelemetry::KeyValue;
use opentelemetry_otlp::{
    Protocol, RetryPolicy, SpanExporter, WithExportConfig as _, WithHttpConfig as _,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SpanExporter as _;
use reqwest::Url;

use crate::logs::Process;

/// Where a collector takes spans, by OTLP over HTTP.
const PATH: &str = "/v1/traces";

/// The URL of a collector, without a password.
#[derive(Clone, Debug)]
pub(super) struct CollectorUrl(Url);

impl FromStr for CollectorUrl {
    type Err = &'static str;

    /// A URL without a path is that of the collector as a whole.
    fn from_str(text: &str) -> Result<Self, &'static str> {
        let mut url = Url::parse(text).map_err(|_| "is not a URL")?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err("is neither https:// nor http://");
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("holds a password; OTEL_EXPORTER_OTLP_HEADERS may hold one");
        }
        if matches!(url.path(), "" | "/") {
            url.set_path(PATH);
        }
        Ok(Self(url))
    }
}

/// What sends spans of this process there. Headers, such as a token, come from
/// `OTEL_EXPORTER_OTLP_HEADERS`.
pub(super) fn exporter(
    CollectorUrl(url): &CollectorUrl,
    process: &Process,
    within: Duration,
) -> anyhow::Result<SpanExporter> {
    let roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let client = reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .timeout(within)
        .redirect(reqwest::redirect::Policy::none())
        .build()?;
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(client)
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(url.as_str())
        .with_timeout(within)
        // A batch is tried again with the next one, not at once.
        .with_retry_policy(RetryPolicy::disabled())
        .build();
    // Its error may show the headers.
    let mut exporter = exporter.ok().context("OTEL_EXPORTER_OTLP_HEADERS cannot be read")?;
    let resource = Resource::builder_empty()
        .with_service_name(process.service.clone())
        .with_attribute(KeyValue::new("service.namespace", "ordinal"))
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .with_attribute(KeyValue::new("service.instance.id", process.node.clone()))
        .build();
    exporter.set_resource(&resource);
    Ok(exporter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collector_is_named_with_or_without_the_path_of_its_spans() {
        for (text, expected) in [
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
            ("https://collector.example/", "https://collector.example/v1/traces"),
            ("https://vendor.example/otlp/v1/traces", "https://vendor.example/otlp/v1/traces"),
        ] {
            assert_eq!(text.parse::<CollectorUrl>().unwrap().0.as_str(), expected);
        }
        let password = "https://me:secret@collector.example";
        for wrong in ["", "collector", "127.0.0.1:4318", "grpc://collector:4317", password] {
            assert!(wrong.parse::<CollectorUrl>().is_err(), "{wrong}");
        }
    }
}
