//! A simulator in this process whose calls are kept in a file, so that a load that was killed goes on
//! with the book that it had: the same calls, made again at the times that they had, come to the
//! same. Its tokens are words of the load, and nobody's secrets.
//! Never here: what a call comes to.

use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::Context as _;
use async_trait::async_trait;
use psp::simulator::{Heard, Moment, SimulatedPsp, Simulator};
use psp::{
    Answer, Authorize, CallKey, Capabilities, Capture, Found, OurReference, Psp, Refund, Theirs,
    Void,
};
use serde::{Deserialize, Serialize};
use shared_events::chance::Chance;
use shared_events::contract::{Money, Timestamp};
use uuid::Uuid;

/// The first line of the file: with what the same calls come to the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// Begins references, and what goes wrong by chance.
    pub seed: u64,
    /// Whether anything does.
    pub faults: bool,
}

/// A further line: a call, and when it was made, in microseconds.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    at: i64,
    operation: Uuid,
    generation: u32,
    call: Call,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Call {
    Authorize { amount: Money, token: String, action_until: i64 },
    Capture { amount: Money, authorization: String, more_follows: bool },
    Void { authorization: String },
    Refund { amount: Money, capture: String },
}

impl Line {
    /// Makes the call, now or again: both are this.
    fn make(&self, simulator: &mut Simulator, chance: &Chance) -> anyhow::Result<Heard> {
        let at = Moment { now: Timestamp::from_micros(self.at), chance };
        let key = CallKey { operation: self.operation, generation: self.generation };
        let our = Some(OurReference(self.operation));
        Ok(match &self.call {
            Call::Authorize { amount, token, action_until } => {
                let (amount, token) = (*amount, token.parse()?);
                let action_until = Timestamp::from_micros(*action_until);
                let call = Authorize { key, amount, token, customer: None, action_until };
                simulator.authorize(&call, our, at)
            }
            Call::Capture { amount, authorization, more_follows } => {
                let (amount, authorization) = (*amount, authorization.parse()?);
                let call = Capture { key, authorization, amount, more_follows: *more_follows };
                simulator.capture(&call, our, at)
            }
            Call::Void { authorization } => {
                let authorization = authorization.parse()?;
                simulator.void(&Void { key, authorization }, our, at)
            }
            Call::Refund { amount, capture } => {
                let (amount, capture) = (*amount, capture.parse()?);
                simulator.refund(&Refund { key, capture, amount }, our, at)
            }
        })
    }
}

/// With what the calls in a file were made; none where there is no file yet.
///
/// # Errors
/// Where it cannot be read, or is another file.
pub fn head(path: &Path) -> anyhow::Result<Option<Head>> {
    let Some(mut file) = opened(path)? else { return Ok(None) };
    let mut line = Vec::new();
    if !is_whole(file.read_until(b'\n', &mut line)?, &line) {
        return Ok(None);
    }
    let head = serde_json::from_slice(&line);
    Ok(Some(head.with_context(|| format!("{}: not the calls of a load", path.display()))?))
}

fn opened(path: &Path) -> anyhow::Result<Option<BufReader<File>>> {
    match File::open(path) {
        Ok(file) => Ok(Some(BufReader::new(file))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| path.display().to_string()),
    }
}

/// Whether a line was written to its end. One that was not says of a call that was never made.
fn is_whole(read: usize, line: &[u8]) -> bool {
    read > 0 && line.last() == Some(&b'\n')
}

/// A simulator whose calls are kept, if it is said where.
pub struct KeptPsp {
    simulator: SimulatedPsp,
    head: Head,
    path: Option<PathBuf>,
    /// Opened by the first call: its directory may not be there before the engine.
    file: Mutex<Option<File>>,
}

impl KeptPsp {
    /// Makes the calls in the file again, if there are any.
    ///
    /// # Errors
    /// Where the file cannot be read, or is another one.
    pub fn new(simulator: SimulatedPsp, head: Head, path: Option<PathBuf>) -> anyhow::Result<Self> {
        if let Some(path) = &path {
            again(&simulator, path).with_context(|| path.display().to_string())?;
        }
        Ok(Self { simulator, head, path, file: Mutex::default() })
    }

    async fn call(&self, key: CallKey, call: Call) -> Answer {
        let CallKey { operation, generation } = key;
        // Kept before it is made, in the order in which calls are made.
        let heard = self.simulator.with(|simulator, at| {
            let line = Line { at: at.now.micros(), operation, generation, call };
            self.keep(&line)?;
            line.make(simulator, at.chance)
        });
        match heard {
            Ok(heard) => self.simulator.hear(heard).await,
            Err(error) => {
                tracing::warn!("a call to the simulator cannot be kept: {error:#}");
                Answer::Unknown { why: "its call cannot be kept".to_owned() }
            }
        }
    }

    fn keep(&self, line: &Line) -> anyhow::Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        let mut kept = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.is_none() {
            *kept = Some(begun(path, &self.head).with_context(|| path.display().to_string())?);
        }
        if let Some(file) = &mut *kept {
            write_line(file, line).with_context(|| path.display().to_string())?;
        }
        Ok(())
    }
}

/// A file to which further calls are added, with its first line.
fn begun(path: &Path, head: &Head) -> anyhow::Result<File> {
    let mut file = OpenOptions::new().append(true).create(true).open(path)?;
    if file.metadata()?.len() == 0 {
        write_line(&mut file, head)?;
    }
    Ok(file)
}

fn write_line(file: &mut File, line: &impl Serialize) -> anyhow::Result<()> {
    let mut text = serde_json::to_vec(line)?;
    text.push(b'\n');
    let whole = file.metadata()?.len();
    // At once: a killed process has written it then.
    if let Err(error) = file.write_all(&text) {
        // The next line would be added to a part of this one.
        file.set_len(whole).context("a part of a line was written")?;
        return Err(error.into());
    }
    Ok(())
}

/// Makes the calls in a file again, and takes away what follows the last whole one.
fn again(simulator: &SimulatedPsp, path: &Path) -> anyhow::Result<()> {
    let Some(mut file) = opened(path)? else { return Ok(()) };
    let (mut line, mut end) = (Vec::new(), 0_u64);
    loop {
        line.clear();
        let read = file.read_until(b'\n', &mut line)?;
        if !is_whole(read, &line) {
            break;
        }
        // The first is the head.
        if end > 0 {
            let line: Line = serde_json::from_slice(&line).context("not the calls of a load")?;
            simulator.with(|simulator, at| line.make(simulator, at.chance)).context("a call")?;
        }
        end += u64::try_from(read)?;
    }
    OpenOptions::new().write(true).open(path)?.set_len(end)?;
    Ok(())
}

#[async_trait]
impl Psp for KeptPsp {
    fn name(&self) -> &str {
        self.simulator.name()
    }

    fn capabilities(&self) -> Capabilities {
        self.simulator.capabilities()
    }

    async fn authorize(&self, call: Authorize) -> Answer {
        let Authorize { key, amount, token, action_until, .. } = call;
        let (token, action_until) = (token.expose().to_owned(), action_until.micros());
        self.call(key, Call::Authorize { amount, token, action_until }).await
    }

    async fn capture(&self, call: Capture) -> Answer {
        let Capture { key, authorization, amount, more_follows } = call;
        let authorization = authorization.to_string();
        self.call(key, Call::Capture { amount, authorization, more_follows }).await
    }

    async fn void(&self, call: Void) -> Answer {
        let authorization = call.authorization.to_string();
        self.call(call.key, Call::Void { authorization }).await
    }

    async fn refund(&self, call: Refund) -> Answer {
        let Refund { key, capture, amount } = call;
        self.call(key, Call::Refund { amount, capture: capture.to_string() }).await
    }

    async fn fetch(&self, of: OurReference) -> Found {
        self.simulator.fetch(of).await
    }

    async fn look(&self, of: &Theirs) -> Found {
        self.simulator.look(of).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use psp::simulator::Settings;

    use super::super::provider::Book;
    use super::*;

    const HEAD: Head = Head { seed: 7, faults: true };
    const ODDS: &str = "timeout_before=20,timeout_after=20,error_after=20,busy=20,slow=20";

    fn kept(path: &Path) -> (KeptPsp, SimulatedPsp) {
        let odds = ODDS.parse().unwrap();
        let settings = Settings { seed: HEAD.seed, odds, ..Settings::default() };
        let now = Arc::new(|| Timestamp::from_micros(1_000_000));
        let simulator = SimulatedPsp::new(settings, now, Chance::seeded(HEAD.seed));
        let psp = KeptPsp::new(simulator.clone(), HEAD, Some(path.to_owned())).unwrap();
        (psp, simulator)
    }

    /// Authorises so many payments, takes them, and pays some of them back.
    async fn pay(psp: &KeptPsp, operations: std::ops::Range<u128>) {
        let key = |number| CallKey { operation: Uuid::from_u128(number), generation: 0 };
        let amount = Money::new(100, "GBP".parse().unwrap());
        for number in operations {
            let call = Authorize {
                key: key(number),
                amount,
                token: "tok_visa".parse().unwrap(),
                customer: None,
                action_until: Timestamp::from_micros(2_000_000),
            };
            let Answer::Done { reference, .. } = psp.authorize(call).await else { continue };
            if number % 7 == 0 {
                let key = key(number + 1_000_000);
                psp.void(Void { key, authorization: reference }).await;
                continue;
            }
            let key_of_capture = key(number + 1_000_000);
            let taken = psp.capture(Capture {
                key: key_of_capture,
                authorization: reference,
                amount,
                more_follows: false,
            });
            if let Answer::Done { reference, .. } = taken.await
                && number % 3 == 0
            {
                let key = key(number + 2_000_000);
                psp.refund(Refund { key, capture: reference, amount }).await;
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_simulator_goes_on_with_the_calls_that_were_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("calls.jsonl");
        assert_eq!(head(&path).unwrap(), None);
        let (psp, simulator) = kept(&path);
        pay(&psp, 1..200).await;
        let (said, sound) = Book::Here(simulator).read().await.unwrap();
        assert!(sound && said.len() > 100, "{}", said.len());
        drop(psp);
        // Killed while it wrote of a call.
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b"{\"at\":17,\"opera").unwrap();
        assert_eq!(head(&path).unwrap(), Some(HEAD));
        let (psp, simulator) = kept(&path);
        assert_eq!(Book::Here(simulator.clone()).read().await.unwrap(), (said, true));
        // What is added comes to what it would have without the break.
        pay(&psp, 200..400).await;
        let after = Book::Here(simulator).read().await.unwrap();
        let whole = folder.path().join("whole.jsonl");
        let (psp, simulator) = kept(&whole);
        pay(&psp, 1..400).await;
        assert_eq!(Book::Here(simulator).read().await.unwrap(), after);
    }

    #[test]
    fn a_file_of_something_else_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("other");
        std::fs::write(&path, "InvoiceNo,StockCode\n").unwrap();
        assert!(head(&path).unwrap_err().to_string().contains("not the calls of a load"));
    }
}
