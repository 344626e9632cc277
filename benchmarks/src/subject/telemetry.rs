use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::collector::{Collector, Manner};
use crate::lab::free_address;

/// How often a scraper asks.
pub const SCRAPED_EVERY: Duration = Duration::from_secs(5);
/// The share of calls that is recorded.
pub const SAMPLED: &str = "0.01";

/// Everything that looks at an engine: a scraper and a collector of spans.
pub struct Telemetry {
    collector: Collector,
    metrics: Vec<SocketAddr>,
    scraping: Option<JoinHandle<anyhow::Result<()>>>,
}

impl Telemetry {
    /// A collector that takes everything.
    ///
    /// # Errors
    /// Where there is no free port.
    pub async fn start() -> anyhow::Result<Self> {
        let collector = Collector::start(Manner::Takes).await?;
        Ok(Self { collector, metrics: Vec::new(), scraping: None })
    }

    /// The flags of a process that is looked at.
    ///
    /// # Errors
    /// Where there is no free port.
    pub fn flags(&mut self) -> anyhow::Result<Vec<String>> {
        let metrics = free_address()?;
        self.metrics.push(metrics);
        let (metrics, url) = (metrics.to_string(), self.collector.url.clone());
        let flags = ["--metrics-listen", &metrics, "--otlp-endpoint", &url];
        let all = flags.into_iter().chain(["--trace-sample", SAMPLED, "--log-format", "json"]);
        Ok(all.map(str::to_owned).collect())
    }

    /// Reads the metrics of all processes from now on.
    pub fn scrape(&mut self) {
        let metrics = std::mem::take(&mut self.metrics);
        self.scraping = Some(tokio::spawn(async move {
            loop {
                for address in &metrics {
                    scraped(*address).await.context("metrics")?;
                }
                sleep(SCRAPED_EVERY).await;
            }
        }));
    }

    /// Reads them no longer; for when the processes end.
    ///
    /// # Errors
    /// Where a process did not show its metrics.
    pub async fn look_away(&mut self) -> anyhow::Result<()> {
        let Some(scraping) = self.scraping.take() else { return Ok(()) };
        scraping.abort();
        // An error is that of the abortion.
        scraping.await.unwrap_or(Ok(()))
    }

    /// Ends it.
    ///
    /// # Errors
    /// Where no span has arrived: then nothing was measured.
    pub fn end(self) -> anyhow::Result<()> {
        anyhow::ensure!(self.collector.taken() > 0, "no span has arrived");
        Ok(())
    }
}

/// The page of metrics of a process.
///
/// # Errors
/// Where it does not show one.
pub async fn scraped(address: SocketAddr) -> anyhow::Result<String> {
    let mut socket = TcpStream::connect(address).await?;
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await?;
    let mut page = Vec::new();
    socket.read_to_end(&mut page).await?;
    anyhow::ensure!(page.starts_with(b"HTTP/1.1 200"), "no page of metrics");
    Ok(String::from_utf8(page)?)
}
