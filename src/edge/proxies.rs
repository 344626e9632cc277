//! Whose address a call is from that came by a proxy. Only proxies that are named are believed.
//! Never here: who a caller is.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

use http::HeaderMap;

/// A header by which each proxy adds the address that it was called from, at the right.
const FORWARDED_FOR: &str = "x-forwarded-for";

/// Addresses of one network, such as `10.0.0.0/8`, or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    bits: u128,
    length: u32,
    is_v4: bool,
}

/// An address as a number of 128 bits, the first one at the left.
fn bits(address: IpAddr) -> (u128, u32, bool) {
    match address.to_canonical() {
        IpAddr::V4(address) => (u128::from(address.to_bits()) << 96, 32, true),
        IpAddr::V6(address) => (address.to_bits(), 128, false),
    }
}

/// An address as proxies write it: some add the port, and brackets to one of IPv6.
fn address(text: &str) -> Option<IpAddr> {
    let in_brackets = || {
        let text = text.strip_prefix('[')?.strip_suffix(']')?;
        text.parse::<Ipv6Addr>().ok().map(IpAddr::V6)
    };
    let with_port = || text.parse::<SocketAddr>().ok().map(|it| it.ip());
    text.parse().ok().or_else(with_port).or_else(in_brackets)
}

/// The first `length` bits.
fn first(bits: u128, length: u32) -> u128 {
    bits & u128::MAX.checked_shl(128 - length).unwrap_or_default()
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text} is not a network, such as 10.0.0.0/8, or an address");
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr = address.trim().parse().map_err(|_| wrong())?;
        let (bits, most, is_v4) = bits(address);
        let length = match length {
            Some(length) => length.parse().ok().filter(|length| *length <= most),
            None => Some(most),
        };
        let length = length.ok_or_else(wrong)?;
        Ok(Self { bits: first(bits, length), length, is_v4 })
    }
}

impl Network {
    fn has(&self, address: IpAddr) -> bool {
        let (bits, _, is_v4) = bits(address);
        is_v4 == self.is_v4 && first(bits, self.length) == self.bits
    }
}

/// The proxies that are believed.
#[derive(Clone, Debug, Default)]
pub struct Proxies(Arc<[Network]>);

/// The address that a proxy said a call is from.
#[derive(Clone, Copy, Debug)]
pub(super) struct SaidAddress(pub(super) IpAddr);

impl Proxies {
    /// Those of these networks.
    #[must_use]
    pub fn new(networks: &[Network]) -> Self {
        Self(Arc::from(networks))
    }

    /// Whether none is believed.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn believes(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.has(address))
    }

    /// Who called the first proxy that is believed: addresses are read from the right, where the
    /// nearest proxy wrote, for as long as who wrote them is believed. None if `peer` is no proxy.
    pub(super) fn caller(&self, peer: IpAddr, headers: &HeaderMap) -> Option<SaidAddress> {
        if !self.believes(peer) {
            return None;
        }
        let values: Vec<&str> = headers
            .get_all(FORWARDED_FOR)
            .iter()
            .map(|value| value.to_str().unwrap_or_default())
            .collect();
        let mut found = peer;
        for said in values.iter().rev().flat_map(|value| value.rsplit(',')) {
            let Some(address) = address(said.trim()) else { break };
            found = address;
            if !self.believes(address) {
                break;
            }
        }
        Some(SaidAddress(found))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(peer: &str, headers: &[&str]) -> Option<String> {
        let networks = ["10.0.0.0/8", "fd00::/8", "192.0.2.7"].map(|it| it.parse().unwrap());
        let proxies = Proxies::new(&networks);
        let mut map = HeaderMap::new();
        for value in headers {
            map.append(FORWARDED_FOR, value.parse().unwrap());
        }
        proxies.caller(peer.parse().unwrap(), &map).map(|said| said.0.to_string())
    }

    #[test]
    fn addresses_are_read_from_the_right_and_only_of_proxies_that_are_believed() {
        let read = |peer: &str, headers: &[&str]| caller(peer, headers);
        assert_eq!(read("203.0.113.9", &["1.1.1.1"]), None);
        assert_eq!(read("192.0.2.8", &["1.1.1.1"]), None);
        assert_eq!(read("10.1.2.3", &[]).as_deref(), Some("10.1.2.3"));
        // The left one is what the caller wrote.
        assert_eq!(read("10.1.2.3", &["1.1.1.1, 203.0.113.9"]).as_deref(), Some("203.0.113.9"));
        assert_eq!(read("10.1.2.3", &["1.1.1.1", "2.2.2.2"]).as_deref(), Some("2.2.2.2"));
        let chain = ["1.1.1.1, 203.0.113.9, 10.9.9.9", "192.0.2.7"];
        assert_eq!(read("::ffff:10.1.2.3", &chain).as_deref(), Some("203.0.113.9"));
        assert_eq!(read("fd00::1", &["x, 10.0.0.1"]).as_deref(), Some("10.0.0.1"));
        assert_eq!(read("10.1.2.3", &["1.1.1.1, nonsense"]).as_deref(), Some("10.1.2.3"));
    }

    #[test]
    fn an_address_may_have_a_port_and_brackets() {
        for (said, expected) in [
            ("1.2.3.4:51234", "1.2.3.4"),
            ("[2001:db8::1]:443", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("2001:db8::1", "2001:db8::1"),
            ("1.1.1.1, 203.0.113.9:1, 10.9.9.9:80", "203.0.113.9"),
        ] {
            assert_eq!(caller("10.1.2.3", &[said]).as_deref(), Some(expected), "{said}");
        }
        for wrong in ["1.2.3.4:", "1.2.3.4:99999", "[1.2.3.4]", "[2001:db8::1", "[]", ":80"] {
            assert_eq!(caller("10.1.2.3", &[wrong]).as_deref(), Some("10.1.2.3"), "{wrong}");
        }
    }

    #[test]
    fn a_network_is_an_address_with_a_length() {
        for wrong in ["", "10.0.0.0/33", "10.0.0/8", "fd00::/129", "proxy", "10.0.0.0/x"] {
            assert!(wrong.parse::<Network>().is_err(), "{wrong}");
        }
        let all: Network = "0.0.0.0/0".parse().unwrap();
        assert!(all.has("203.0.113.9".parse().unwrap()));
        assert!(!all.has("::1".parse().unwrap()));
    }
}
