//! A real SMTP server (aiosmtpd) that keeps its mail in a Maildir.

use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use tokio::net::TcpStream;

use crate::support::PATIENCE;

pub struct SmtpServer(Child);

impl SmtpServer {
    /// Starts it and waits until it listens.
    pub async fn start(port: u16, maildir: &Path) -> Self {
        let python = std::env::var("ORDINAL_TEST_PYTHON").expect(
            "ORDINAL_TEST_PYTHON names a python with what tests need; scripts/test makes one",
        );
        let process = Command::new(python)
            .args(["-m", "aiosmtpd", "-n", "-l", &format!("127.0.0.1:{port}")])
            .args(["-c", "aiosmtpd.handlers.Mailbox"])
            .arg(maildir)
            .spawn()
            .unwrap();
        let server = Self(process);
        let listens = tokio::time::timeout(PATIENCE, async {
            while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        listens.await.expect("the SMTP server does not listen");
        server
    }
}

impl Drop for SmtpServer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub fn url(port: u16) -> String {
    format!("smtp://127.0.0.1:{port}")
}
