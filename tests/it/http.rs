//! A client of HTTP/1.1 that sends what it is told to, byte by byte.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufStream,
};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::PATIENCE;

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: BTreeMap<String, String>,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("{self:?}"))
    }

    /// The reason of a problem.
    pub fn code(&self) -> String {
        assert_eq!(self.headers["content-type"], "application/problem+json", "{self:?}");
        self.json()["code"].as_str().unwrap().to_owned()
    }
}

/// What a connection goes over.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// A connection.
pub struct Http {
    stream: BufStream<Box<dyn Stream>>,
    host: String,
}

impl Http {
    /// Connects to an address such as `http://127.0.0.1:7400`.
    pub async fn connect(address: &str) -> Self {
        let host = address.trim_start_matches("http://").to_owned();
        let stream = TcpStream::connect(&host).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self::over(Box::new(stream), host)
    }

    /// Over a connection to this host.
    pub fn over(stream: Box<dyn Stream>, host: String) -> Self {
        Self { stream: BufStream::new(stream), host }
    }

    /// Sends these bytes.
    pub async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// Sends the head of a request, with `Host` unless it is given.
    pub async fn head(&mut self, line: &str, headers: &[(&str, &str)]) {
        let mut head = format!("{line} HTTP/1.1\r\n");
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            head.push_str(&format!("host: {}\r\n", self.host));
        }
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        self.send(format!("{head}\r\n").as_bytes()).await;
    }

    /// A call without a body.
    pub async fn call(&mut self, line: &str, headers: &[(&str, &str)]) -> Answer {
        self.head(line, headers).await;
        self.answer().await
    }

    /// A call with JSON.
    pub async fn json(&mut self, line: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
        self.text(line, headers, &body.to_string()).await
    }

    /// A call with a text that is said to be JSON.
    pub async fn text(&mut self, line: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let length = body.len().to_string();
        let mut all = vec![("content-length", length.as_str())];
        if !headers.iter().any(|(name, _)| *name == "content-type") {
            all.push(("content-type", "application/json"));
        }
        all.extend_from_slice(headers);
        self.head(line, &all).await;
        self.send(body.as_bytes()).await;
        self.answer().await
    }

    /// A line of the head or of a chunked body.
    pub async fn line(&mut self) -> String {
        let mut line = String::new();
        timeout(PATIENCE, self.stream.read_line(&mut line)).await.unwrap().unwrap();
        line.trim_end().to_owned()
    }

    /// The head of an answer.
    pub async fn answered(&mut self) -> Answer {
        let first = self.line().await;
        let status = first.split(' ').nth(1).unwrap_or_else(|| panic!("{first:?}"));
        let status = status.parse().unwrap();
        let mut headers = BTreeMap::new();
        loop {
            let line = self.line().await;
            let Some((name, value)) = line.split_once(": ") else { break };
            headers.insert(name.to_ascii_lowercase(), value.to_owned());
        }
        Answer { status, headers, text: String::new() }
    }

    /// A whole answer.
    pub async fn answer(&mut self) -> Answer {
        let answer = self.answered().await;
        self.rest(answer).await
    }

    /// The rest of an answer whose head is known.
    pub async fn rest(&mut self, mut answer: Answer) -> Answer {
        if let Some(length) = answer.headers.get("content-length") {
            let mut body = vec![0; length.parse().unwrap()];
            timeout(PATIENCE, self.stream.read_exact(&mut body)).await.unwrap().unwrap();
            answer.text = String::from_utf8(body).unwrap();
        } else if answer.headers.contains_key("transfer-encoding") {
            while let Some(chunk) = self.chunk().await {
                answer.text.push_str(&chunk);
            }
        }
        answer
    }

    /// The next part of an answer that is written as it happens; none at its end.
    pub async fn chunk(&mut self) -> Option<String> {
        let size = self.line().await;
        let size = usize::from_str_radix(&size, 16).unwrap_or_else(|_| panic!("{size:?}"));
        let mut chunk = vec![0; size + 2];
        timeout(PATIENCE, self.stream.read_exact(&mut chunk)).await.unwrap().unwrap();
        chunk.truncate(size);
        (size > 0).then(|| String::from_utf8(chunk).unwrap())
    }

    /// Whether the server closes the connection within this time.
    pub async fn closes_within(&mut self, time: Duration) -> bool {
        let mut rest = Vec::new();
        timeout(time, self.stream.read_to_end(&mut rest)).await.is_ok()
    }
}
