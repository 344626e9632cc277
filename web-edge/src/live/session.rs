use std::future::poll_fn;
use std::time::Duration;

use bytes::Bytes;
use futures::{SinkExt as _, StreamExt as _};
use http::header::{ACCEPT, AUTHORIZATION};
use http::{HeaderMap, HeaderValue};
use serde_json::json;
use shared_events::contract::Reason;
use tokio::io::{AsyncRead, AsyncWrite, copy, sink};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_util::sync::CancellationToken;

use super::Watch;
use super::ask::Ask;
use super::watches::{WATCHES_MAX, Watches};
use crate::problem::Problem;

/// The largest message of a client: a hundred ids of orders are four KiB.
const MESSAGE_BYTES_MAX: usize = 16 * 1024;
/// The most that is written and not sent: one message, and those about the protocol.
const UNSENT_BYTES_MAX: usize = 4 * 1024 * 1024;
/// The client is asked so often whether it is there.
pub(super) const PING_EVERY: Duration = Duration::from_secs(15);
/// A client of which nothing comes for so long is gone.
pub(super) const SILENT_MAX: Duration = Duration::from_secs(45);
/// The first watch is let in within this; until then nobody knows who calls.
pub(super) const FIRST_WITHIN: Duration = Duration::from_secs(10);
/// A socket without a watch is closed after this.
pub(super) const IDLE_MAX: Duration = Duration::from_secs(60);
/// A client that does not take a message for so long loses its watches.
pub(super) const TAKEN_WITHIN: Duration = Duration::from_secs(5);
/// A client without watches that takes nothing for so long is gone.
pub(super) const GONE_AFTER: Duration = Duration::from_secs(60);
/// At a stop: how long watches have to end and a client to take what it is told.
const STOP_WITHIN: Duration = Duration::from_secs(2);
/// Messages of a client that are none.
const MISTAKES_MAX: usize = 16;

/// The socket is gone.
struct Gone;

impl From<Error> for Gone {
    fn from(error: Error) -> Self {
        tracing::debug!(%error, "a WebSocket broke");
        Self
    }
}

struct Session<T> {
    socket: WebSocketStream<T>,
    /// Who calls, and how answers are written.
    headers: HeaderMap,
    watch: Watch,
    watches: Watches,
    stop: CancellationToken,
    mistakes: usize,
    began: Instant,
    /// When it is closed, so that clients spread over nodes.
    ends_at: Instant,
    heard_at: Instant,
    asked_at: Instant,
    /// Since when there is no watch.
    idle_since: Instant,
}

/// How a socket is served.
pub(super) struct Terms {
    /// Who calls.
    pub(super) headers: HeaderMap,
    pub(super) watch: Watch,
    /// How long it may live.
    pub(super) age: Duration,
    pub(super) stop: CancellationToken,
}

/// Serves a socket until its client leaves, its time is over, or the process stops.
pub(super) async fn run<T: AsyncRead + AsyncWrite + Unpin>(io: T, terms: Terms) {
    let Terms { mut headers, watch, age, stop } = terms;
    headers.insert(ACCEPT, HeaderValue::from_static("application/x-ndjson"));
    let config = WebSocketConfig::default()
        .read_buffer_size(4 * 1024)
        .write_buffer_size(0)
        .max_write_buffer_size(UNSENT_BYTES_MAX)
        .max_message_size(Some(MESSAGE_BYTES_MAX))
        .max_frame_size(Some(MESSAGE_BYTES_MAX));
    let socket = WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await;
    let now = Instant::now();
    let session = Session {
        socket,
        headers,
        watch,
        watches: Watches::default(),
        stop,
        mistakes: 0,
        began: now,
        ends_at: now + age,
        heard_at: now,
        asked_at: now,
        idle_since: now,
    };
    // How it ended, its client knows.
    let _ = session.serve().await;
}

impl<T: AsyncRead + AsyncWrite + Unpin> Session<T> {
    async fn serve(mut self) -> Result<(), Gone> {
        loop {
            let wakes_at = self.wakes_at();
            tokio::select! {
                // Time goes on for a client that sends without end, and one that ends a watch is
                // heard before it says more.
                biased;
                () = self.stop.cancelled() => return self.stopped().await,
                () = sleep_until(wakes_at) => if !self.tick().await? {
                    return Ok(());
                },
                read = self.socket.next() => match read {
                    None | Some(Ok(Message::Close(_))) => {
                        // The answer to it is written by the flush.
                        let _ = timeout(STOP_WITHIN, self.socket.flush()).await;
                        return Ok(());
                    }
                    Some(Err(Error::Capacity(_))) => {
                        return self.close(CloseCode::Size, "a message is too large").await;
                    }
                    Some(read) => {
                        self.heard_at = Instant::now();
                        if !self.take(read?).await? {
                            return Ok(());
                        }
                    }
                },
                text = poll_fn(|context| self.watches.poll(context)) => {
                    self.say(text).await?;
                    if self.watches.is_empty() {
                        self.idle_since = Instant::now();
                    }
                }
            }
        }
    }

    fn wakes_at(&self) -> Instant {
        let mut at = (self.asked_at + PING_EVERY).min(self.ends_at);
        if self.watches.is_empty() {
            at = at.min(self.idle_since + IDLE_MAX);
        }
        if self.watches.admitted { at } else { at.min(self.began + FIRST_WITHIN) }
    }

    /// What time has brought; false once the socket is closed.
    async fn tick(&mut self) -> Result<bool, Gone> {
        let now = Instant::now();
        let why = if !self.watches.admitted && now >= self.began + FIRST_WITHIN {
            Some((CloseCode::Policy, "no watch was let in"))
        } else if self.watches.is_empty() && now >= self.idle_since + IDLE_MAX {
            Some((CloseCode::Normal, "nothing is watched"))
        } else if now >= self.heard_at + SILENT_MAX {
            return Err(Gone);
        } else if now >= self.ends_at {
            for text in self.watches.cut() {
                self.say(text).await?;
            }
            Some((CloseCode::Away, "open a new socket"))
        } else {
            None
        };
        if let Some((code, why)) = why {
            self.close(code, why).await?;
            return Ok(false);
        }
        if now >= self.asked_at + PING_EVERY {
            self.asked_at = now;
            self.send(Message::Ping(Bytes::new())).await?;
        }
        Ok(true)
    }

    /// What a client says; false once the socket is closed.
    async fn take(&mut self, message: Message) -> Result<bool, Gone> {
        let ask = match message {
            Message::Text(text) => Ask::read(text.as_str()),
            Message::Binary(_) => {
                self.close(CloseCode::Unsupported, "messages are texts").await?;
                return Ok(false);
            }
            _ => {
                // A ping is answered.
                self.flush().await?;
                return Ok(true);
            }
        };
        match ask {
            Ok(Ask::Token(token)) => match HeaderValue::from_str(&format!("Bearer {token}")) {
                Ok(token) => {
                    self.headers.insert(AUTHORIZATION, token);
                }
                Err(_) => return self.mistake(None, "token: visible ASCII").await,
            },
            Ok(Ask::Unwatch(id)) => match self.watches.end(&id) {
                Some(text) => {
                    if self.watches.is_empty() {
                        self.idle_since = Instant::now();
                    }
                    self.say(text).await?;
                }
                None => return self.mistake(Some(&id), "unwatch: no such watch").await,
            },
            Ok(Ask::Watch { id, .. }) if self.watches.has(&id) => {
                return self.mistake(None, "id: a watch of this name is open").await;
            }
            Ok(Ask::Watch { id, .. }) if self.watches.is_full() => {
                let detail = format!("a socket has at most {WATCHES_MAX} watches");
                let problem = Problem::new(Reason::Overloaded, &detail).json();
                self.say(json!({ "id": id, "problem": problem }).to_string()).await?;
            }
            Ok(Ask::Watch { id, uri, after }) => {
                let answer = (self.watch)(&uri, self.headers.clone());
                self.watches.begin(id, after, answer);
            }
            Err(what) => return self.mistake(None, &what).await,
        }
        Ok(true)
    }

    /// Says what was wrong with a message; false once there were too many.
    async fn mistake(&mut self, id: Option<&str>, what: &str) -> Result<bool, Gone> {
        self.mistakes += 1;
        if self.mistakes > MISTAKES_MAX {
            self.close(CloseCode::Policy, "too many messages that are none").await?;
            return Ok(false);
        }
        let mut message = json!({ "problem": Problem::field("", what).json() });
        if let Some(id) = id {
            message["id"] = id.into();
        }
        self.say(message.to_string()).await?;
        Ok(true)
    }

    /// The process stops: each watch says so by itself, with its cursor.
    async fn stopped(&mut self) -> Result<(), Gone> {
        let by = Instant::now() + STOP_WITHIN;
        while !self.watches.is_empty() {
            let next = poll_fn(|context| self.watches.poll(context));
            match tokio::time::timeout_at(by, next).await {
                Ok(text) => self.say(text).await?,
                Err(_) => {
                    for text in self.watches.cut() {
                        self.say(text).await?;
                    }
                }
            }
        }
        self.close(CloseCode::Away, "the process stops").await
    }

    async fn close(&mut self, code: CloseCode, reason: &'static str) -> Result<(), Gone> {
        let frame = CloseFrame { code, reason: reason.into() };
        timeout(STOP_WITHIN, self.socket.close(Some(frame))).await.map_err(|_| Gone)??;
        // What the client has sent meanwhile is read, so that it reads all that it was sent.
        let rest = async {
            while let Some(Ok(_)) = self.socket.next().await {}
            if code == CloseCode::Size {
                let _ = copy(self.socket.get_mut(), &mut sink()).await;
            }
        };
        let _ = timeout(STOP_WITHIN, rest).await;
        Ok(())
    }

    async fn say(&mut self, text: String) -> Result<(), Gone> {
        self.send(Message::text(text)).await
    }

    /// Sends one message. All before it are taken: no more than one waits.
    async fn send(&mut self, message: Message) -> Result<(), Gone> {
        self.socket.feed(message).await?;
        self.flush().await
    }

    /// A client that reads too slowly loses its watches, so that nothing is kept for it; it is told
    /// so when it reads again.
    async fn flush(&mut self) -> Result<(), Gone> {
        let stop = self.stop.clone();
        let gone = async {
            stop.cancelled().await;
            sleep(STOP_WITHIN).await;
        };
        let mut gone = std::pin::pin!(gone);
        tokio::select! {
            done = self.socket.flush() => return Ok(done?),
            () = &mut gone => return Err(Gone),
            () = sleep(TAKEN_WITHIN) => {}
        }
        let behind = self.watches.cut();
        self.idle_since = Instant::now();
        tokio::select! {
            done = timeout(GONE_AFTER, self.socket.flush()) => done.map_err(|_| Gone)??,
            () = &mut gone => return Err(Gone),
        }
        let now = Instant::now();
        (self.heard_at, self.idle_since) = (now, now);
        for text in behind {
            self.socket.feed(Message::text(text)).await?;
        }
        timeout(GONE_AFTER, self.socket.flush()).await.map_err(|_| Gone)??;
        Ok(())
    }
}
