//! Draws a picture.

use std::collections::VecDeque;

use ratatui::backend::TestBackend;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Style, Stylize as _};
use ratatui::text::Line;
use ratatui::widgets::{Block, Paragraph, Row, Sparkline, Table};
use ratatui::{Frame, Terminal};

use super::picture::{Follower, Picture, Process};

/// Draws it into a terminal.
pub(super) fn draw(frame: &mut Frame<'_>, picture: &Picture, past: &VecDeque<u64>) {
    let rows = |count: usize| Constraint::Length(u16::try_from(count + 3).unwrap_or(u16::MAX));
    let areas = Layout::vertical([
        Constraint::Length(4),
        Constraint::Length(4),
        Constraint::Length(3),
        rows(picture.processes.len()),
        rows(picture.followers.len()),
        Constraint::Min(0),
    ]);
    let [rates, line, orders, processes, followers, _] = areas.areas(frame.area());
    draw_rates(frame, rates, picture);
    let width = usize::from(line.width.saturating_sub(2));
    let latest = past.iter().skip(past.len().saturating_sub(width)).copied();
    let past = Sparkline::default().data(latest.collect::<Vec<u64>>()).cyan();
    frame.render_widget(past.block(Block::bordered().title("events a second")), line);
    let counts = picture.orders.iter().map(|(status, count)| format!("{status} {count}"));
    let counts = Paragraph::new(counts.collect::<Vec<_>>().join("  "));
    frame.render_widget(counts.block(Block::bordered().title("orders")), orders);
    draw_processes(frame, processes, picture);
    draw_followers(frame, followers, picture);
}

fn draw_rates(frame: &mut Frame<'_>, area: Rect, picture: &Picture) {
    let answer = picture.processes.iter().filter(|process| process.error.is_none()).count();
    let owned: usize = picture.processes.iter().map(|process| process.owns.len()).sum();
    let Picture { calls, faults, commands, refused, events, shards, .. } = picture;
    let p99 = |micros: Option<u64>| micros.map_or_else(|| "-".to_owned(), within);
    let lines = vec![
        Line::from(format!(
            "calls {calls}/s  faults {faults}/s  commands {commands}/s  refused {refused}/s  \
             events {events}/s"
        )),
        Line::from(format!(
            "p99 of commands {}  of commits {}  shards {owned} of {shards} owned",
            p99(picture.command_p99_micros),
            p99(picture.append_p99_micros),
        )),
    ];
    let title = format!("ordinal: {answer} of {} processes answer", picture.processes.len());
    let block = Block::bordered().title(title).title_bottom("q ends it");
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

/// A bound in microseconds.
fn within(micros: u64) -> String {
    match micros {
        0..1_000 => format!("<= {micros} us"),
        1_000..1_000_000 => format!("<= {} ms", micros.div_ceil(1_000)),
        1_000_000..1_000_000_000_000 => format!("<= {} s", micros.div_ceil(1_000_000)),
        _ => "> 10 s".to_owned(),
    }
}

fn draw_processes(frame: &mut Frame<'_>, area: Rect, picture: &Picture) {
    let row = |process: &Process| {
        let Process { address, role, error, serving, calls, awake, owns, .. } = process;
        if error.is_some() {
            return Row::default();
        }
        let state = if *serving { "serving" } else { "NOT SERVING" };
        let lease = process.lease_millis.map(seconds).unwrap_or_default();
        let cells = vec![
            address.clone(),
            role.clone(),
            state.to_owned(),
            calls.to_string(),
            awake.map_or_else(String::new, |awake| awake.to_string()),
            process.connections.to_string(),
            format!("{}", process.memory_bytes / (1024 * 1024)),
            lease,
            spans(owns),
        ];
        let style = if *serving { Style::new() } else { Style::new().red() };
        Row::new(cells).style(style)
    };
    let widths = [22, 14, 12, 8, 7, 6, 6, 7, 14].map(Constraint::Length);
    let head = ["process", "role", "state", "calls/s", "awake", "conns", "MB", "lease s", "shards"];
    let table = Table::new(picture.processes.iter().map(row), widths);
    let table = table.header(Row::new(head).bold()).block(Block::bordered().title("processes"));
    frame.render_widget(table, area);
    // A reason is longer than a column.
    for (nth, process) in (2_u16..).zip(&picture.processes) {
        let Some(error) = &process.error else { continue };
        let line = Paragraph::new(format!("{:<23}{error}", process.address)).red();
        let row = Rect { x: area.x + 1, y: area.y.saturating_add(nth), ..area };
        let row = Rect { width: area.width.saturating_sub(2), height: 1, ..row };
        frame.render_widget(line, row.intersection(frame.area()));
    }
}

fn draw_followers(frame: &mut Frame<'_>, area: Rect, picture: &Picture) {
    let row = |(name, follower): (&String, &Follower)| {
        let Follower { lag, lag_millis, items, dead_letters, stopped } = follower;
        // What nobody knows is not 0.
        let known = |number: Option<u64>| {
            number.map_or_else(|| "unknown".to_owned(), |number| number.to_string())
        };
        let cells = vec![
            name.clone(),
            known(*lag),
            lag_millis.map_or_else(|| "unknown".to_owned(), seconds),
            items.to_string(),
            dead_letters.map_or_else(String::new, |letters| letters.to_string()),
            if *stopped { "STOPPED".to_owned() } else { String::new() },
        ];
        let bad = *stopped || dead_letters.is_some_and(|letters| letters > 0);
        Row::new(cells).style(if bad { Style::new().red() } else { Style::new() })
    };
    let widths = [22, 14, 12, 10, 14, 10].map(Constraint::Length);
    let head = ["follower", "behind", "seconds", "items/s", "dead letters", ""];
    let table = Table::new(picture.followers.iter().map(row), widths);
    let table = table.header(Row::new(head).bold()).block(Block::bordered().title("followers"));
    frame.render_widget(table, area);
}

/// Milliseconds as seconds.
fn seconds(millis: u64) -> String {
    format!("{}.{}", millis / 1_000, millis % 1_000 / 100)
}

/// Sorted numbers, with neighbours together: 0-3,7.
fn spans(numbers: &[u64]) -> String {
    let mut spans: Vec<(u64, u64)> = Vec::new();
    for number in numbers {
        match spans.last_mut() {
            Some((_, last)) if *last + 1 == *number => *last = *number,
            _ => spans.push((*number, *number)),
        }
    }
    let span = |(first, last): &(u64, u64)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    };
    spans.iter().map(span).collect::<Vec<_>>().join(",")
}

/// The picture as text, without colours.
pub(super) fn text(picture: &Picture, past: &VecDeque<u64>, (width, height): (u16, u16)) -> String {
    let Ok(mut terminal) = Terminal::new(TestBackend::new(width, height));
    let Ok(_) = terminal.draw(|frame| draw(frame, picture, past));
    let cells = terminal.backend().buffer().content();
    let line = |cells: &[ratatui::buffer::Cell]| {
        let line: String = cells.iter().map(ratatui::buffer::Cell::symbol).collect();
        format!("{}\n", line.trim_end())
    };
    let lines: Vec<String> = cells.chunks(usize::from(width.max(1))).map(line).collect();
    let drawn = lines.iter().rposition(|line| line != "\n").map_or(0, |last| last + 1);
    lines.into_iter().take(drawn).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_is_never_shown_smaller_than_it_is() {
        let shown = [999, 2_500, 1_000_000, 2_500_000, 10_000_000, u64::MAX].map(within);
        assert_eq!(shown, ["<= 999 us", "<= 3 ms", "<= 1 s", "<= 3 s", "<= 10 s", "> 10 s"]);
    }

    #[test]
    fn a_picture_names_processes_followers_and_what_is_unknown() {
        let (sights, addresses) = super::super::picture::tests::sights();
        let text = text(&sights.picture(&addresses), sights.history(), (100, 30));
        for shown in [
            "ordinal: 2 of 3 processes answer",
            "commands 12.5/s",
            "p99 of commands <= 5 ms",
            "shards 2 of 2 owned",
            "PENDING 3",
            "Connection refused",
            "unknown",
        ] {
            assert!(text.contains(shown), "{shown}:\n{text}");
        }
        assert!(text.lines().all(|line| line.chars().count() <= 100));
    }

    #[test]
    fn neighbours_are_shown_together() {
        assert_eq!(spans(&[0, 1, 2, 7, 9, 10]), "0-2,7,9-10");
        assert_eq!(spans(&[]), "");
    }
}
