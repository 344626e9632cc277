use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::http::StatusCode;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// Longer than an engine waits for a batch.
const SLOW: Duration = Duration::from_secs(4);

/// What a collector does with the spans that it gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// It takes them.
    Takes,
    /// It takes them after seconds.
    Slow,
    /// It answers 503.
    Refuses,
    /// It accepts connections and reads nothing.
    Frozen,
}

/// A sink for OTLP over HTTP in this process: it reads what is sent and keeps nothing.
pub struct Collector {
    /// Where it listens.
    pub url: String,
    taken: Arc<AtomicU64>,
    serving: JoinHandle<()>,
}

impl Collector {
    /// Listens.
    ///
    /// # Errors
    /// Where there is no free port.
    pub async fn start(manner: Manner) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let taken = Arc::new(AtomicU64::new(0));
        let serving = match manner {
            Manner::Frozen => tokio::spawn(freeze(listener)),
            _ => {
                let taken = Arc::clone(&taken);
                let answer = move |body: Bytes| answer(manner, Arc::clone(&taken), body);
                let router = Router::new().fallback(answer);
                tokio::spawn(async move {
                    let _ = axum::serve(listener, router).await;
                })
            }
        };
        Ok(Self { url, taken, serving })
    }

    /// Bytes of the batches that it took.
    pub fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn answer(manner: Manner, taken: Arc<AtomicU64>, body: Bytes) -> StatusCode {
    match manner {
        Manner::Refuses => return StatusCode::SERVICE_UNAVAILABLE,
        Manner::Slow => tokio::time::sleep(SLOW).await,
        Manner::Takes | Manner::Frozen => {}
    }
    taken.fetch_add(u64::try_from(body.len()).unwrap_or(u64::MAX), Ordering::Relaxed);
    StatusCode::OK
}

/// Connections are kept open, and nothing is read from them.
async fn freeze(listener: TcpListener) {
    let mut kept = Vec::new();
    while let Ok((connection, _)) = listener.accept().await {
        kept.push(connection);
    }
}
