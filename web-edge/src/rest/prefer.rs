//! How long a caller waits, as RFC 7240 has it: `Prefer: wait=3`, in seconds.

use std::time::Duration;

use http::{HeaderMap, HeaderName};

const PREFER: HeaderName = HeaderName::from_static("prefer");
/// gRPC writes a time with eight digits at most; no call waits for so long.
const WAIT_MAX: u64 = 3_600;

/// How long the caller waits, if he says so.
pub(super) fn wait(headers: &HeaderMap) -> Option<Duration> {
    let prefer = headers.get_all(PREFER).iter().filter_map(|value| value.to_str().ok());
    let mut wishes = prefer.flat_map(|value| parts(value, ','));
    let seconds = wishes.find_map(|wish| {
        // What follows a semicolon is about the wish.
        let (name, word) = parts(wish, ';').next()?.split_once('=')?;
        let word = word.trim();
        let quoted = word.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        let seconds = quoted.unwrap_or(word).parse::<u64>().ok()?;
        name.trim().eq_ignore_ascii_case("wait").then_some(seconds)
    })?;
    Some(Duration::from_secs(seconds.min(WAIT_MAX)))
}

/// The parts of a text between separators that are outside of quotes.
fn parts(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(move |letter| {
        let literal = std::mem::take(&mut escaped);
        match letter {
            '\\' => escaped = quoted && !literal,
            '"' if !literal => quoted = !quoted,
            _ => {}
        }
        letter == separator && !quoted
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(values: &[&str]) -> Option<u64> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(PREFER, value.parse().unwrap());
        }
        wait(&headers).map(|wait| wait.as_secs())
    }

    #[test]
    fn a_wait_is_read_in_every_spelling() {
        for spelling in [
            "wait=3",
            "Wait=3",
            "WAIT = 3",
            "wait=\"3\"",
            "wait=3;x",
            "wait=3 ; x=\"a,b\"",
            "respond-async, wait=3",
            "respond-async,wait=3,wait=9",
            "x=\"a, wait=9\", wait=3",
            "x=\"\\\", wait=9\", wait=3",
            "x;wait=9, wait=3",
        ] {
            assert_eq!(seconds(&[spelling]), Some(3), "{spelling}");
        }
        assert_eq!(seconds(&["return=minimal", "wait=3"]), Some(3));
        assert_eq!(seconds(&["wait=99999999999"]), Some(WAIT_MAX));
        for other in ["", "wait", "wait=", "wait=soon", "wait=-1", "await=3", "\"wait=3\""] {
            assert_eq!(seconds(&[other]), None, "{other}");
        }
    }
}
