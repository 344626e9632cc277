//! Addresses of processes as people write them, with and without a scheme.
//! Never here: https spoken to in clear text. This program has no TLS, and says so.

use std::fmt;
use std::str::FromStr;

use http::Uri;

/// Where a process answers gRPC: `http://HOST:PORT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address(String);

impl FromStr for Address {
    type Err = String;

    /// What is wrong never repeats the text: it may hold a password.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "is no address such as http://127.0.0.1:7400".to_owned();
        let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
        match scheme.to_ascii_lowercase().as_str() {
            "" | "http" => {}
            "https" => {
                let why = "is https, and this program speaks no TLS: all of it, tokens too, would \
                           go in clear text; http:// is for where that is meant";
                return Err(why.to_owned());
            }
            _ => return Err(wrong()),
        }
        if rest.contains('@') {
            let why = "holds a name or password, which nobody asks for; tokens prove who asks";
            return Err(why.to_owned());
        }
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.contains(['/', '?', '#']) {
            return Err("holds a path; only http://HOST:PORT is used".to_owned());
        }
        let uri: Uri = format!("http://{authority}").parse().map_err(|_| wrong())?;
        // Behind a host in brackets too, what follows a colon is a port.
        let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(wrong)?;
        let behind = authority.get(host.len()..).unwrap_or_default();
        if !behind.is_empty() && uri.port_u16().is_none() {
            return Err(wrong());
        }
        if scheme.is_empty() && behind.is_empty() {
            return Err("has no port; an engine listens on 7400 unless told otherwise".to_owned());
        }
        Ok(Self(format!("http://{authority}")))
    }
}

impl Address {
    /// The address that a text means, as text.
    ///
    /// # Errors
    /// What is wrong with it.
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
        ] {
            assert_eq!(text.parse::<Address>().map(|a| a.to_string()), Ok(expected.to_owned()));
        }
    }

    #[test]
    fn what_would_be_dropped_or_told_in_clear_text_is_refused() {
        for (text, said) in [
            ("https://127.0.0.1:7400", "no TLS"),
            ("HTTPS://127.0.0.1:7400", "no TLS"),
            ("http://127.0.0.1:7400/api", "path"),
            ("127.0.0.1:7400?x=1", "path"),
            ("http://anna:secret@127.0.0.1:7400", "password"),
            ("anna:secret@127.0.0.1:7400", "password"),
            ("localhost", "no port"),
            ("localhost:", "no address"),
            ("localhost:99999", "no address"),
            ("ftp://localhost:7400", "no address"),
            ("http://", "no address"),
            ("", "no address"),
            ("a b:1", "no address"),
        ] {
            let error = text.parse::<Address>().unwrap_err();
            assert!(error.contains(said) && !error.contains("secret"), "{text}: {error}");
        }
    }
}
