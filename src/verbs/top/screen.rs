//! The terminal: taken over while `top` runs, and given back however it ends.

use std::collections::VecDeque;
use std::io::IsTerminal as _;
use std::time::Duration;

use anyhow::Context as _;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyModifiers};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::picture::Picture;
use super::view;
use crate::client::Failure;

/// How often the thread that waits for keys looks whether it is still needed.
const LOOKS_EVERY: Duration = Duration::from_millis(100);

/// The terminal.
pub(super) struct Screen {
    terminal: DefaultTerminal,
    quit: mpsc::Receiver<()>,
}

impl Drop for Screen {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

impl Screen {
    /// Takes the terminal over.
    ///
    /// # Errors
    /// If there is none.
    pub(super) fn open() -> Result<Self, Failure> {
        if !std::io::stdout().is_terminal() {
            let why = anyhow::anyhow!("this is no terminal; --once prints one picture");
            return Err(Failure::usage(&why));
        }
        let terminal = ratatui::try_init().context("the terminal")?;
        let (sender, quit) = mpsc::channel(1);
        let screen = Self { terminal, quit };
        let thread = std::thread::Builder::new().name("keys".to_owned());
        thread.spawn(move || wait_for_quit(&sender)).context("the keys")?;
        Ok(screen)
    }

    /// Draws a picture.
    ///
    /// # Errors
    /// If the terminal is gone.
    pub(super) fn draw(&mut self, picture: &Picture, past: &VecDeque<u64>) -> anyhow::Result<()> {
        let drawn = self.terminal.draw(|frame| view::draw(frame, picture, past));
        drawn.map(drop).context("the terminal")
    }

    /// Whether somebody ends it before then.
    pub(super) async fn closed_by(&mut self, then: Instant) -> bool {
        timeout_at(then, self.quit.recv()).await.is_ok()
    }
}

/// Waits for q, Esc or Ctrl-C.
fn wait_for_quit(quit: &mpsc::Sender<()>) {
    while !quit.is_closed() {
        match event::poll(LOOKS_EVERY) {
            Ok(false) => {}
            Ok(true) => {
                if let Ok(Event::Key(key)) = event::read()
                    && quits(key)
                {
                    let _ = quit.try_send(());
                    return;
                }
            }
            // Without keys it is ended by a signal.
            Err(_) => return,
        }
    }
}

fn quits(key: KeyEvent) -> bool {
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    matches!(key.code, KeyCode::Char('q') | KeyCode::Esc)
        || (control && key.code == KeyCode::Char('c'))
}
