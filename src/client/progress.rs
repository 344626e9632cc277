//! Progress bars on standard error, if it is a terminal.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::Output;

/// A bar over the bytes of a file.
pub fn bytes(out: &Output, length: u64) -> ProgressBar {
    let bar = bar(out, "");
    bar.set_length(length);
    let template = "{bar:30} {bytes}/{total_bytes} {elapsed_precise} ETA {eta}";
    let style =
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.with_style(style)
}

/// A bar without a length yet; hidden for programs and if standard error is not a terminal.
pub fn bar(out: &Output, of: &'static str) -> ProgressBar {
    let target = if out.json { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
    let template = "{bar:30} {pos}/{len} {msg} {elapsed_precise} ETA {eta}";
    let style =
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::with_draw_target(None, target).with_style(style).with_message(of)
}
