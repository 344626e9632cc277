use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// An answer is not heard by a client whose connection is reset, which closing with unread bytes
/// does: so much is read, for so long.
const READ_MAX: u64 = 64 * 1024;
const READ_WITHIN: Duration = Duration::from_secs(1);
/// So much is looked at for the head of a call.
const HEADS_MAX: usize = 16 * 1024;

/// What a client without TLS is told.
pub const TLS_ONLY: &str = "this port speaks TLS only: use https://";

/// What a client of HTTP/2 begins with, and the settings that a server answers with.
const PREFACE_LENGTH: usize = 24;
const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
/// The kind of the frame with which a call begins.
const HEADERS: u8 = 1;

/// GOAWAY of HTTP/2 with `INADEQUATE_SECURITY`.
fn goaway() -> Vec<u8> {
    let text = TLS_ONLY.as_bytes();
    let length = u8::try_from(text.len().saturating_add(8)).unwrap_or(8);
    let mut bytes = vec![0, 0, length, 7, 0, 0, 0, 0, 0];
    bytes.extend([0, 0, 0, 0, 0, 0, 0, 12]);
    bytes.extend(text);
    bytes
}

fn refusal() -> Vec<u8> {
    format!(
        "HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n{TLS_ONLY}\n",
        TLS_ONLY.len().saturating_add(1)
    )
    .into_bytes()
}

/// Whether a call has begun in what a client of HTTP/2 has sent.
pub(super) fn has_call(sent: &[u8]) -> bool {
    let mut rest = sent.get(PREFACE_LENGTH..).unwrap_or_default();
    while let [high, middle, low, kind, ..] = *rest {
        if kind == HEADERS {
            return true;
        }
        let length = u32::from_be_bytes([0, high, middle, low]);
        let length = usize::try_from(length).unwrap_or(usize::MAX).saturating_add(SETTINGS.len());
        rest = rest.get(length..).unwrap_or_default();
    }
    false
}

/// Reads until a call has begun: its caller gets the answer, where one that came before it might
/// be lost on a client that has nothing to wait for yet.
async fn call_begun(socket: &mut TcpStream) -> io::Result<()> {
    let mut sent = Vec::new();
    while sent.len() < HEADS_MAX && !has_call(&sent) {
        if socket.read_buf(&mut sent).await? == 0 {
            return Ok(());
        }
    }
    Ok(())
}

/// Tells a client without TLS, in its own protocol, that the port speaks TLS; by its first bytes.
pub(super) async fn answer(mut socket: TcpStream, first: &[u8]) -> io::Result<()> {
    if first.starts_with(b"PRI") {
        socket.write_all(&SETTINGS).await?;
        let _ = timeout(READ_WITHIN, call_begun(&mut socket)).await;
        socket.write_all(&goaway()).await?;
    } else {
        socket.write_all(&refusal()).await?;
    }
    socket.shutdown().await?;
    let mut rest = socket.take(READ_MAX);
    let mut nowhere = tokio::io::sink();
    let reading = tokio::io::copy(&mut rest, &mut nowhere);
    let _ = timeout(READ_WITHIN, reading).await;
    Ok(())
}
