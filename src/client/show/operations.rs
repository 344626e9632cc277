use serde_json::Value;

use super::{items, next_page, place, plain, short_time, text};
use crate::client::Output;

/// Dead letters without their content: those that wait behind another about the same subject are
/// counted with it.
pub fn dead_letters(out: &Output, answer: &Value) {
    let mut shown: Vec<(&Value, u64)> = Vec::new();
    for letter in items(&answer["dead_letters"]) {
        let same = |field: &str, other: &Value| other[field] == letter[field];
        let first = shown
            .iter_mut()
            .find(|(first, _)| same("follower", first) && same("subject", first))
            .filter(|_| letter["state"] == "BEHIND");
        match first {
            Some((_, behind)) => *behind += 1,
            None => shown.push((letter, 0)),
        }
    }
    let head = [
        "follower",
        "subject",
        "state",
        "kind",
        "place",
        "tries",
        "behind",
        "set aside at",
        "error",
    ];
    let rows = shown.into_iter().map(|(letter, behind)| {
        vec![
            text(letter, "follower"),
            text(letter, "subject"),
            text(letter, "state"),
            text(letter, "kind"),
            place(letter),
            text(letter, "attempts"),
            if behind == 0 { String::new() } else { behind.to_string() },
            short_time(letter, "parked_at"),
            text(letter, "error"),
        ]
    });
    out.list(&head, rows, "no dead letters");
    next_page(out, answer);
}

/// A dead letter with its content.
pub fn dead_letter(out: &Output, letter: &Value) {
    out.pairs([
        ("follower", text(letter, "follower")),
        ("subject", text(letter, "subject")),
        ("state", text(letter, "state")),
        ("kind", text(letter, "kind")),
        ("place", place(letter)),
        ("tries", text(letter, "attempts")),
        ("set aside at", short_time(letter, "parked_at")),
        ("error", text(letter, "error")),
        ("content", text(letter, "item")),
    ]);
}

/// Orders with an impossible history.
pub fn quarantined(out: &Output, answer: &Value) {
    let rows = items(&answer["quarantined"]).map(|order| {
        vec![text(order, "order_id"), short_time(order, "since"), text(order, "reason")]
    });
    out.list(&["order", "since", "reason"], rows, "no orders are quarantined");
}

/// Operators' actions.
pub fn operations(out: &Output, answer: &Value) {
    let rows = items(&answer["actions"]).map(|action| {
        vec![
            short_time(action, "at"),
            format!("{}:{}", text(action, "role").to_lowercase(), text(action, "subject")),
            text(action, "verb"),
            text(action, "target"),
            text(action, "reason"),
            format!("{} → {}", text(action, "before"), text(action, "after")),
        ]
    });
    out.list(&["at", "who", "what", "to", "why", "before → after"], rows, "no actions yet");
    for away in items(&answer["away"]) {
        let away = plain(away);
        out.line(format!("{away} does not answer: its actions are missing here"));
    }
    next_page(out, answer);
}
