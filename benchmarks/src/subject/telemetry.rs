use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
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

/// Everything that looks at an engine: a scraper, and a collector of spans for each process.
#[derive(Default)]
pub struct Telemetry {
    collectors: Vec<Collector>,
    // Pages that were read, by the process that showed them.
    pages: Arc<Mutex<BTreeMap<SocketAddr, u64>>>,
    scraping: Option<JoinHandle<anyhow::Result<()>>>,
}

impl Telemetry {
    /// The flags of a process that is looked at.
    ///
    /// # Errors
    /// Where there is no free port.
    pub async fn flags(&mut self) -> anyhow::Result<Vec<String>> {
        let metrics = free_address()?;
        self.pages.lock().unwrap_or_else(PoisonError::into_inner).insert(metrics, 0);
        let (metrics, collector) = (metrics.to_string(), Collector::start(Manner::Takes).await?);
        let flags = ["--metrics-listen", &metrics, "--otlp-endpoint", &collector.url];
        let all = flags.into_iter().chain(["--trace-sample", SAMPLED, "--log-format", "json"]);
        let all = all.map(str::to_owned).collect();
        self.collectors.push(collector);
        Ok(all)
    }

    /// Reads the metrics of all processes from now on.
    pub fn scrape(&mut self) {
        let pages = Arc::clone(&self.pages);
        let known = pages.lock().unwrap_or_else(PoisonError::into_inner);
        let metrics: Vec<SocketAddr> = known.keys().copied().collect();
        drop(known);
        self.scraping = Some(tokio::spawn(async move {
            loop {
                for address in &metrics {
                    scraped(*address).await.context("metrics")?;
                    let mut pages = pages.lock().unwrap_or_else(PoisonError::into_inner);
                    *pages.entry(*address).or_default() += 1;
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
    /// Where a process sent no span, or none of its pages was read: then nothing was measured.
    pub fn end(self) -> anyhow::Result<()> {
        let pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        anyhow::ensure!(!pages.is_empty(), "nothing was looked at");
        for (address, read) in &*pages {
            anyhow::ensure!(*read > 0, "the metrics of {address} were never read");
        }
        for collector in &self.collectors {
            anyhow::ensure!(collector.taken() > 0, "no span has arrived from a process");
        }
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
