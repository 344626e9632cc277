use std::net::IpAddr;

use http::uri::Authority;
use http::{HeaderValue, Request, Uri, header};
use shared_events::contract::Reason;

use crate::problem::Problem;

/// The names under which this process answers by HTTP: addresses, `localhost`, and those of its
/// public addresses. A page that was given a name of its own for this machine (DNS rebinding) has
/// none of them.
#[derive(Clone, Debug, Default)]
pub struct Hosts {
    /// Names in lower case.
    names: Vec<String>,
    /// Origins of the public addresses, such as `https://orders.example`.
    origins: Vec<String>,
    /// Other origins whose pages may call.
    permitted: Vec<Permitted>,
}

#[derive(Clone, Debug)]
struct Permitted {
    name: String,
    origin: String,
}

impl Hosts {
    /// With these public addresses, such as `https://orders.example/`.
    ///
    /// # Errors
    /// Names the first that is no such address.
    pub fn new<'a>(public: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let mut hosts = Self::default();
        for address in public {
            let (name, origin) = parse(address)?;
            hosts.names.push(name);
            hosts.origins.push(origin);
        }
        Ok(hosts)
    }

    /// Pages of these origins, such as `https://shop.example`, may call as well (CORS).
    ///
    /// # Errors
    /// Names the first that is no origin.
    pub fn and_pages_of<'a>(
        mut self,
        origins: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, String> {
        for origin in origins {
            let (name, origin) = parse(origin)?;
            self.permitted.push(Permitted { name, origin });
        }
        Ok(self)
    }

    /// The first public address that others than this machine know, if there is one.
    #[must_use]
    pub fn beyond_this_machine(&self) -> Option<&str> {
        self.names.iter().map(String::as_str).find(|name| !is_here(name))
    }

    /// The first origin of others than this machine whose pages may call, if there is one.
    #[must_use]
    pub fn permitted_beyond_this_machine(&self) -> Option<&str> {
        let found = self.permitted.iter().find(|permitted| !is_here(&permitted.name));
        found.map(|permitted| permitted.origin.as_str())
    }

    /// Whether pages of any other origin may call.
    pub(crate) const fn permits_any(&self) -> bool {
        !self.permitted.is_empty()
    }

    /// Whether pages of this origin may call.
    pub(crate) fn permits(&self, origin: &HeaderValue) -> bool {
        // Browsers write it in one way.
        self.permitted.iter().any(|permitted| origin == permitted.origin.as_str())
    }

    /// Whether a request is for this process, by every name that it gives.
    pub(crate) fn check<B>(&self, request: &Request<B>) -> Result<(), Problem> {
        let in_header = request.headers().get_all(header::HOST).iter().map(authority);
        let in_address = request.uri().authority().cloned().map(Some);
        let mut given = in_header.chain(in_address).peekable();
        let named = given.peek().is_some();
        let known = given.all(|given| given.is_some_and(|given| self.knows(&given)));
        if named && known {
            return Ok(());
        }
        let detail = "this process does not answer under that name; `serve --public-url` names \
                      the addresses under which it does";
        Err(Problem::new(Reason::HostNotAllowed, detail))
    }

    fn knows(&self, authority: &Authority) -> bool {
        let host = authority.host().to_ascii_lowercase();
        let inside = host.trim_start_matches('[').trim_end_matches(']');
        !has_user(authority)
            && (host == "localhost"
                || inside.parse::<IpAddr>().is_ok_and(|address| !address.is_unspecified())
                || self.names.contains(&host))
    }

    /// Whether a page is from here: from a public address, or from the name that it asks.
    pub(crate) fn is_own_origin<B>(&self, origin: &HeaderValue, request: &Request<B>) -> bool {
        let Ok(origin) = origin.to_str().map(str::to_ascii_lowercase) else { return false };
        if self.origins.contains(&origin) {
            return true;
        }
        let Some((_, of_page)) = origin.split_once("://") else { return false };
        let host = request.headers().get(header::HOST).and_then(authority);
        let asked = request.uri().authority().cloned().or(host);
        asked.is_some_and(|asked| asked.as_str().eq_ignore_ascii_case(of_page))
    }
}

/// The host and the origin of an address, as browsers write them.
fn parse(address: &str) -> Result<(String, String), String> {
    let wrong = || format!("{address:?} is no address such as https://orders.example");
    let uri: Uri = address.parse().map_err(|_| wrong())?;
    let (scheme, authority) = (uri.scheme_str(), uri.authority());
    let (Some(scheme), Some(authority)) = (scheme, authority) else { return Err(wrong()) };
    let plain = uri.path() == "/" && uri.query().is_none();
    let strange = has_user(authority) || authority.host().contains('*');
    if !plain || !["http", "https"].contains(&scheme) || strange {
        return Err(wrong());
    }
    let name = authority.host().to_ascii_lowercase();
    let port = match (scheme, authority.port_u16()) {
        ("http", Some(80)) | ("https", Some(443)) | (_, None) => String::new(),
        (_, Some(port)) => format!(":{port}"),
    };
    let origin = format!("{scheme}://{name}{port}");
    Ok((name, origin))
}

fn is_here(name: &str) -> bool {
    let inside = name.trim_start_matches('[').trim_end_matches(']');
    name == "localhost" || inside.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn authority(value: &HeaderValue) -> Option<Authority> {
    Authority::try_from(value.as_bytes()).ok()
}

fn has_user(authority: &Authority) -> bool {
    authority.as_str().contains('@')
}
