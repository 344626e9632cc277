//! A provider of payments that no fault destroys, whose book is compared in the end.
//! Never here: who pays what.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::Context as _;

use super::{READY_WITHIN, free_address};
use crate::client::Client;
use crate::engine::write_private;
use crate::lab::cluster::Process;
use crate::lab::load::books::{Scope, settled};
use crate::lab::load::calls::Calls;
use crate::lab::load::pay::{FAULTS, PROVIDER};
use crate::lab::load::provider::{Book, Paid, Sayings, Worth};

/// The secret with which it signs webhooks.
const SIGNED_BY: &str = "whsec_of_the_arena";
/// What becomes of webhooks, in thousandths: those that are lost are found by asking.
const WEBHOOKS: &str = "dropped=100,doubled=100,delayed=100";

/// `ordinal psp`, which answers late, wrongly or not at all at times.
pub(super) struct Provider {
    pub(super) process: Process,
}

impl Provider {
    /// Starts it; webhooks go to the payment service at this address.
    pub(super) async fn start(folder: &Path, seed: u64, told: SocketAddr) -> anyhow::Result<Self> {
        let address = free_address()?;
        let program = std::env::current_exe().context("where is this program?")?;
        let (listen, seed) = (address.to_string(), seed.to_string());
        let url = format!("http://{told}/v1/webhooks/{PROVIDER}");
        let arguments = [
            ["--listen", &listen],
            ["--seed", &seed],
            ["--odds", FAULTS],
            ["--webhook-url", &url],
            ["--webhook-secret", SIGNED_BY],
            ["--webhook-odds", WEBHOOKS],
        ];
        let arguments = ["psp"].into_iter().chain(arguments.into_iter().flatten());
        let log = folder.join("logs").join("psp.log");
        let arguments = arguments.map(str::to_owned);
        let mut process = Process::new("psp", address, &program, arguments, log);
        process.start()?;
        process.until(READY_WITHIN, answers).await?;
        Ok(Self { process })
    }

    /// The flags with which the payment service calls it.
    pub(super) async fn flags(&self, folder: &Path) -> anyhow::Result<[String; 2]> {
        let file = folder.join("psps.toml");
        for (name, secret) in [("psp.key", "sk_test_of_nobody"), ("psp.webhooks", SIGNED_BY)] {
            write_private(&folder.join(name), secret.as_bytes()).context(name)?;
        }
        let text = format!(
            "[[psps]]\nname = \"{PROVIDER}\"\ndialect = \"stripe\"\nurl = \"http://{}\"\n\
             secret-file = \"psp.key\"\nwebhook-secret-files = [\"psp.webhooks\"]\n\
             multi-capture = true\ntimeout = \"2s\"\n",
            self.process.address
        );
        tokio::fs::write(&file, text).await.context("psps.toml")?;
        Ok(["--psps".to_owned(), file.display().to_string()])
    }

    /// Waits until all payments have settled, and compares its book with ours.
    pub(super) async fn compared(&self, client: Client) -> anyhow::Result<Paid> {
        let failed = |failure: crate::client::Failure| anyhow::anyhow!("books: {failure}");
        let book = Book::at(&format!("http://{}", self.process.address)).map_err(failed)?;
        let calls = Calls::new(client)?;
        let (known, worth) = (Sayings::new(), Worth::Units);
        let scope = Scope { book: &book, known: &known, wallets: false, worth };
        settled(&calls, &scope).await.map_err(failed)
    }
}

async fn answers(address: SocketAddr) -> bool {
    tokio::net::TcpStream::connect(address).await.is_ok()
}
