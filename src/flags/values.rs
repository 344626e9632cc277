//! Values of flags that several parts use. Error texts complete the sentence
//! "invalid value 'x' for '--y': it …".

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::time::Duration;

use order_actor::domain::bounds::WINDOW_MAX;
use shared_events::contract::TextRule;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A duration such as `30s`, `15m` or `3days`.
pub fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text.trim())
        .map_err(|_| "is not a duration such as 30s, 15m or 3days".to_owned())
}

/// A duration within the calendar: at most [`WINDOW_MAX`].
pub fn window(text: &str) -> Result<Duration, String> {
    let days = WINDOW_MAX.as_secs() / DAY.as_secs();
    match duration(text)? {
        long if long > WINDOW_MAX => Err(format!("is at most {days} days")),
        window => Ok(window),
    }
}

/// A duration of at most a day.
pub fn within_a_day(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        long if long > DAY => Err("is at most 1day".to_owned()),
        short => Ok(short),
    }
}

/// A name of visible characters on one line.
pub fn name(text: &str, max: usize) -> Result<String, String> {
    let name = text.trim();
    let wrong = format!("must have 1 to {max} characters on one line");
    match TextRule::line(max).check(name) {
        _ if name.is_empty() => Err(wrong),
        Ok(()) => Ok(name.to_owned()),
        Err(error) => Err(format!("{wrong}: {error}")),
    }
}

/// An address to listen on: an IP address or a name that resolves on this machine, with a port.
pub fn listen(text: &str) -> Result<SocketAddr, String> {
    let text = text.trim();
    let wrong =
        || "is not an address to listen on, such as 127.0.0.1:7400 or localhost:7400".to_owned();
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let found: Vec<SocketAddr> = text.to_socket_addrs().map_err(|_| wrong())?.collect();
    let first = found.iter().find(|address| address.is_ipv4()).or_else(|| found.first());
    first.copied().ok_or_else(wrong)
}

/// The known name that is most similar, if one is similar enough to be meant.
pub fn similar<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |name: &str| name.to_ascii_lowercase().replace('_', "-");
    let name = plain(name);
    let near = known.map(|known| (strsim::jaro_winkler(&name, &plain(known)), known));
    let nearest = near.max_by(|one, other| one.0.total_cmp(&other.0));
    nearest.filter(|(near, _)| *near > 0.85).map(|(_, known)| known)
}
