use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use opentelemetry::KeyValue;
use opentelemetry_otlp::{
    ExporterBuildError, Protocol, RetryPolicy, SpanExporter, WithExportConfig as _,
    WithHttpConfig as _, WithTonicConfig as _,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SpanExporter as _;
use order_actor::clock::Clock;
use reqwest::Url;
use tonic::transport::{Channel, Endpoint};

use crate::edge::tls::{ClientFiles, ClientTls, Connector};
use crate::logs::Process;

/// Where a collector takes spans, by OTLP over HTTP.
const PATH: &str = "/v1/traces";
/// What says how spans are sent; the first counts.
const NAMED_IN: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"];

/// How spans are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// OTLP over HTTP, with protobuf.
    Http,
    /// OTLP over gRPC.
    Grpc,
}

impl Way {
    /// As the environment says: over HTTP unless it says otherwise.
    pub(super) fn of_environment() -> Result<Self, String> {
        let said = NAMED_IN.into_iter().find_map(|name| {
            let value = std::env::var(name).ok().filter(|value| !value.is_empty());
            Some((name, value?))
        });
        let Some((name, value)) = said else { return Ok(Self::Http) };
        value.parse::<Self>().map_err(|what| format!("{name} {what}"))
    }
}

impl FromStr for Way {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        match text {
            "http/protobuf" => Ok(Self::Http),
            "grpc" => Ok(Self::Grpc),
            _ => Err("is neither http/protobuf nor grpc"),
        }
    }
}

/// The URL of a collector, without a password.
#[derive(Clone, Debug)]
pub(super) struct CollectorUrl {
    url: Url,
    way: Way,
}

impl CollectorUrl {
    /// A URL without a path is that of the collector as a whole.
    pub(super) fn new(text: &str, way: Way) -> Result<Self, &'static str> {
        let mut url = Url::parse(text).map_err(|_| "is not a URL")?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err("is neither https:// nor http://");
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("holds a password; OTEL_EXPORTER_OTLP_HEADERS may hold one");
        }
        match (way, url.path()) {
            (Way::Http, "" | "/") => url.set_path(PATH),
            (Way::Http, _) | (Way::Grpc, "" | "/") => {}
            (Way::Grpc, _) => return Err("has a path, and OTLP over gRPC has none"),
        }
        Ok(Self { url, way })
    }

    /// How spans are sent there.
    pub(super) const fn way(&self) -> Way {
        self.way
    }
}

/// What sends spans of this process there. Headers, such as a token, come from
/// `OTEL_EXPORTER_OTLP_HEADERS`. Called in the runtime that is going to send.
pub(super) fn exporter(
    CollectorUrl { url, way }: &CollectorUrl,
    process: &Process,
    clock: Arc<dyn Clock>,
    within: Duration,
) -> anyhow::Result<SpanExporter> {
    let exporter = match way {
        Way::Http => over_http(url, within)?,
        Way::Grpc => over_grpc(url, clock, within)?,
    };
    // Its error may show the headers.
    let mut exporter = exporter.ok().context(
        "--otlp-endpoint: a variable OTEL_EXPORTER_OTLP_… makes no sense, or asks for more than OTLP \
         over HTTP with protobuf, or over gRPC",
    )?;
    let resource = Resource::builder_empty()
        .with_service_name(process.service.clone())
        .with_attribute(KeyValue::new("service.namespace", "ordinal"))
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .with_attribute(KeyValue::new("service.instance.id", process.node.clone()))
        .build();
    exporter.set_resource(&resource);
    Ok(exporter)
}

/// What was made of the settings, and of the variables of the environment.
type Made = Result<SpanExporter, ExporterBuildError>;

fn over_http(url: &Url, within: Duration) -> anyhow::Result<Made> {
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
    let builder = SpanExporter::builder()
        .with_http()
        .with_http_client(client)
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(url.as_str())
        .with_timeout(within)
        // A batch is tried again with the next one, not at once.
        .with_retry_policy(RetryPolicy::disabled());
    Ok(builder.build())
}

fn over_grpc(url: &Url, clock: Arc<dyn Clock>, within: Duration) -> anyhow::Result<Made> {
    let builder = SpanExporter::builder()
        .with_tonic()
        .with_channel(channel(url, clock, within)?)
        .with_timeout(within)
        .with_retry_policy(RetryPolicy::disabled());
    Ok(builder.build())
}

/// One connection, which is opened when there are spans.
fn channel(url: &Url, clock: Arc<dyn Clock>, within: Duration) -> anyhow::Result<Channel> {
    let place = url.origin().ascii_serialization();
    let endpoint = Endpoint::from_shared(place).context("--otlp-endpoint")?;
    let endpoint = endpoint
        .timeout(within)
        .connect_timeout(within)
        // A collector whose machine is gone answers neither: the next batch goes by a new connection.
        .http2_keep_alive_interval(within / 2)
        .keep_alive_timeout(within / 2);
    if url.scheme() != "https" {
        return Ok(endpoint.connect_lazy());
    }
    let tls = ClientTls::open(&ClientFiles::default(), clock)?;
    let connector = Connector::new(tls, vec![endpoint.uri().clone()], within);
    Ok(endpoint.connect_with_connector_lazy(connector))
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
            assert_eq!(CollectorUrl::new(text, Way::Http).unwrap().url.as_str(), expected);
        }
        let password = "https://me:secret@collector.example";
        for wrong in ["", "collector", "127.0.0.1:4318", "grpc://collector:4317", password] {
            for way in [Way::Http, Way::Grpc] {
                assert!(CollectorUrl::new(wrong, way).is_err(), "{wrong}");
            }
        }
    }

    #[test]
    fn a_collector_by_grpc_is_named_without_a_path() {
        for text in ["http://127.0.0.1:4317", "https://collector.example/"] {
            assert_eq!(CollectorUrl::new(text, Way::Grpc).unwrap().way(), Way::Grpc);
        }
        let path = "http://127.0.0.1:4317/v1/traces";
        assert!(CollectorUrl::new(path, Way::Grpc).unwrap_err().contains("path"));
    }

    #[test]
    fn spans_are_sent_in_two_ways() {
        assert_eq!("http/protobuf".parse(), Ok(Way::Http));
        assert_eq!("grpc".parse(), Ok(Way::Grpc));
        for other in ["", "http/json", "GRPC"] {
            assert!(other.parse::<Way>().is_err(), "{other}");
        }
    }
}
