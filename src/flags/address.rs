//! Addresses of processes as people write them, with and without a scheme.

use std::fmt;
use std::str::FromStr;

use http::Uri;

/// The address of a gRPC server: `http://HOST:PORT`, or by TLS `https://HOST:PORT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address(String);

impl FromStr for Address {
    type Err = String;

    /// Errors never repeat the text: it may hold a password.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "is not an address such as http://127.0.0.1:7400".to_owned();
        let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
        let by = match scheme.to_ascii_lowercase().as_str() {
            "" | "http" => "http",
            "https" => "https",
            _ => return Err(wrong()),
        };
        if rest.contains('@') {
            let why = "holds a user name or password, which is not supported; use a token";
            return Err(why.to_owned());
        }
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.contains(['/', '?', '#']) {
            return Err(format!("holds a path; use only {by}://HOST:PORT"));
        }
        let uri: Uri = format!("{by}://{authority}").parse().map_err(|_| wrong())?;
        // For a host in brackets too, the port follows the colon after it.
        let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(wrong)?;
        let behind = authority.get(host.len()..).unwrap_or_default();
        if !behind.is_empty() && uri.port_u16().is_none() {
            return Err(wrong());
        }
        if scheme.is_empty() && behind.is_empty() {
            return Err("has no port; an engine listens on 7400 by default".to_owned());
        }
        Ok(Self(format!("{by}://{authority}")))
    }
}

impl Address {
    /// Whether it is reached by TLS.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.0.starts_with("https://")
    }

    /// Parses an address and formats it in its normal form.
    ///
    /// # Errors
    /// If the text is not an address.
    pub fn normal(text: &str) -> Result<String, String> {
        text.parse().map(|address: Self| address.0)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_with_and_without_a_scheme() {
        for (text, expected) in [
            ("127.0.0.1:7400", "http://127.0.0.1:7400"),
            ("localhost:7400", "http://localhost:7400"),
            ("http://localhost:7400/", "http://localhost:7400"),
            ("HTTP://[::1]:7400", "http://[::1]:7400"),
            ("[::1]:7400", "http://[::1]:7400"),
            ("http://orders", "http://orders"),
            ("https://127.0.0.1:7400", "https://127.0.0.1:7400"),
            ("HTTPS://orders.example/", "https://orders.example"),
        ] {
            assert_eq!(text.parse::<Address>().map(|a| a.to_string()), Ok(expected.to_owned()));
        }
    }

    #[test]
    fn an_address_with_ignored_parts_is_refused() {
        for (text, expected) in [
            ("http://127.0.0.1:7400/api", "path"),
            ("127.0.0.1:7400?x=1", "path"),
            ("http://anna:secret@127.0.0.1:7400", "password"),
            ("anna:secret@127.0.0.1:7400", "password"),
            ("localhost", "no port"),
            ("localhost:", "not an address"),
            ("localhost:99999", "not an address"),
            ("ftp://localhost:7400", "not an address"),
            ("http://", "not an address"),
            ("", "not an address"),
            ("a b:1", "not an address"),
        ] {
            let error = text.parse::<Address>().unwrap_err();
            assert!(error.contains(expected) && !error.contains("secret"), "{text}: {error}");
        }
    }
}
