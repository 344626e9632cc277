//! `ordinal top`: what processes do now, read from their metrics every few seconds and drawn in the
//! terminal.
//! Never here: a call to an engine. Metrics have a door of their own.

mod picture; // what is shown, as data
mod reading; // a page of metrics, read and parsed
mod screen; // the terminal, and its keys
mod view; // draws a picture

use std::process::ExitCode;
use std::time::Duration;

use futures::future::join_all;
use tokio::time::{Instant, sleep};

use crate::client::{Failure, Output};
use picture::{Picture, Sights};
use reading::Reading;
use screen::Screen;

/// The size of a picture that is printed.
const WIDTH: u16 = 100;
const HEIGHT: u16 = 40;

/// `ordinal top …`
#[derive(Debug, clap::Args)]
pub struct TopArgs {
    /// Read metrics at this address (serve --metrics-listen); may be repeated, or several separated
    /// by commas.
    #[arg(value_name = "HOST:PORT", default_value = "127.0.0.1:9400", value_delimiter = ',', value_parser = door)]
    metrics: Vec<String>,
    /// Read them this often.
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = pause)]
    every: Duration,
    /// Print one picture and end.
    #[arg(long)]
    once: bool,
}

/// An address with a port.
fn door(text: &str) -> Result<String, String> {
    let text = text.strip_prefix("http://").unwrap_or(text).trim_end_matches('/');
    let text = text.strip_suffix("/metrics").unwrap_or(text);
    match text.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => {
            Ok(text.to_owned())
        }
        _ => Err("is not HOST:PORT, such as 127.0.0.1:9400".to_owned()),
    }
}

fn pause(text: &str) -> Result<Duration, String> {
    match crate::flags::duration(text)? {
        short if short < Duration::from_millis(200) => Err("must be at least 200ms".to_owned()),
        pause => Ok(pause),
    }
}

/// Shows it until somebody ends it, or once.
///
/// # Errors
/// If nothing can be read at the first time, or there is no terminal.
pub async fn run(args: TopArgs, out: &Output) -> Result<ExitCode, Failure> {
    let mut sights = Sights::new(args.metrics.len());
    look(&args.metrics, &mut sights).await;
    if let Some(why) = sights.nothing() {
        let hint = "start it with --metrics-listen (docs/metrics.md)";
        return Err(Failure::from(anyhow::anyhow!("{why}; {hint}")));
    }
    if args.once || out.json {
        sleep(args.every).await;
        look(&args.metrics, &mut sights).await;
        let picture = sights.picture(&args.metrics);
        match serde_json::to_value(&picture) {
            Ok(value) if out.json => out.value(&value),
            _ => out.raw(&view::text(&picture, sights.history(), (WIDTH, HEIGHT))),
        }
        return Ok(ExitCode::SUCCESS);
    }
    let mut screen = Screen::open()?;
    let mut next = Instant::now();
    loop {
        let picture: Picture = sights.picture(&args.metrics);
        screen.draw(&picture, sights.history())?;
        next += args.every;
        if screen.closed_by(next).await {
            return Ok(ExitCode::SUCCESS);
        }
        look(&args.metrics, &mut sights).await;
    }
}

/// Reads all pages at the same time.
async fn look(addresses: &[String], sights: &mut Sights) {
    let pages = join_all(addresses.iter().map(|address| Reading::of(address))).await;
    sights.add(pages);
}
