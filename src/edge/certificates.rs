//! Callers that are known by their client certificate. Who they are is written into a header of our
//! own at the outermost place, where that header is taken off every call that comes with it: so the
//! rest of the stack, and the process to which a call is forwarded, know it like a token's.
//! Never here: whether a certificate is genuine; the handshake has verified it.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, header};
use order_actor::domain::{By, Role};
use service_edge::Refused;
use shared_events::contract::{Reason, Timestamp};
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

use super::access::holder;
use super::connections::Connection;
use super::forward::says_forwarded;
use super::principal::Principal;
use super::tls::ClientCertificate;
use super::token_file::Listed;

/// Who calls by a certificate: role, the second since 1970 at which the certificate ends, and the
/// subject in hexadecimal digits.
pub(super) const CALLER: HeaderName = HeaderName::from_static("ordinal-caller");
/// What a returns desk is in the header.
const RETURNS_DESK: &str = "RETURNS_DESK";

/// A call that comes from a process of this installation, by its certificate.
#[derive(Clone, Copy)]
pub(super) struct FromPeer;

/// The callers that are known by their certificate. Clones share them.
#[derive(Clone, Default)]
pub(super) struct Holders(Arc<HashMap<String, Listed>>);

impl Holders {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds the holder of certificates with this name.
    pub(super) fn add(&mut self, san: &str, known: Listed) -> Result<(), String> {
        if san.trim().is_empty() {
            return Err("san must be a DNS name or a URI of the certificate".to_owned());
        }
        let before = Arc::make_mut(&mut self.0).insert(normal(san), known);
        before.map_or(Ok(()), |_| Err("its san is a duplicate".to_owned()))
    }

    /// The one whom a certificate stands for; none if nobody, or if its names are of several.
    fn of(&self, certificate: &ClientCertificate) -> Option<&Listed> {
        let mut known = certificate.names().filter_map(|name| self.0.get(&normal(name)));
        let first = known.next()?;
        known.all(|other| other == first).then_some(first)
    }

    /// Writes into a call who shows this certificate; returns its holder. A token counts more than a
    /// certificate; what a process of ours says about the caller of a call that it forwards counts
    /// more than its own.
    fn mark(
        &self,
        headers: &mut HeaderMap,
        certificate: Option<&ClientCertificate>,
    ) -> Option<&Listed> {
        let said = headers.remove(&CALLER);
        let certificate = certificate?;
        let holder = self.of(certificate)?;
        if headers.contains_key(header::AUTHORIZATION) {
            return Some(holder);
        }
        // A process that forwards says who calls; where it does not, nobody does.
        let forwarded = says_forwarded(headers);
        let own = || written(&holder.by, certificate.ends()).filter(|_| !forwarded);
        if let Some(value) = said.filter(|_| holder.is_peer).or_else(own) {
            headers.insert(CALLER, value);
        }
        Some(holder)
    }

    /// The caller that a call has by its certificate, if it has one.
    pub(super) fn caller(
        &self,
        headers: &HeaderMap,
        now: Timestamp,
    ) -> Result<Option<Principal>, Status> {
        let known = headers.get(&CALLER).filter(|_| !self.is_empty());
        let Some((by, ends)) = known.and_then(read) else { return Ok(None) };
        if now > ends {
            return Err(
                Refused::new(Reason::TokenExpired).say("the client certificate has expired")
            );
        }
        Ok(Some(Principal::until(by, ends)))
    }
}

/// DNS names are the same in capitals; so are the first parts of URIs, which nobody writes so.
fn normal(name: &str) -> String {
    if name.contains("://") { name.to_owned() } else { name.to_ascii_lowercase() }
}

fn written(by: &By, ends: Timestamp) -> Option<HeaderValue> {
    let role = match by {
        By::ReturnsDesk(_) => RETURNS_DESK,
        by => by.role().code(),
    };
    let (ends, subject) = (ends.micros() / 1_000_000, hex::encode(by.subject().as_bytes()));
    HeaderValue::try_from(format!("{role}.{ends}.{subject}")).ok()
}

fn read(value: &HeaderValue) -> Option<(By, Timestamp)> {
    let mut parts = value.to_str().ok()?.splitn(3, '.');
    let (role, ends, subject) = (parts.next()?, parts.next()?, parts.next()?);
    let ends = Timestamp::checked_from_micros(ends.parse::<i64>().ok()?.checked_mul(1_000_000)?)?;
    let subject = String::from_utf8(hex::decode(subject).ok()?).ok()?;
    let role = match role {
        "CUSTOMER" => Role::Customer,
        "OPS" => Role::Ops,
        "SERVICE" => Role::Service,
        RETURNS_DESK => {
            let By::Service(name) = holder(Role::Service, &subject).ok()? else { return None };
            return Some((By::ReturnsDesk(name), ends));
        }
        _ => return None,
    };
    Some((holder(role, &subject).ok()?, ends))
}

/// Marks each call with who shows the certificate of its connection, in front of everything else.
#[derive(Clone)]
pub(super) struct Certified(pub(super) Holders);

impl<S> Layer<S> for Certified {
    type Service = CertifiedCalls<S>;

    fn layer(&self, inner: S) -> CertifiedCalls<S> {
        CertifiedCalls { holders: self.0.clone(), inner }
    }
}

/// A service with [`Certified`] in front.
#[derive(Clone)]
pub(super) struct CertifiedCalls<S> {
    holders: Holders,
    inner: S,
}

impl<S> Service<Request<Body>> for CertifiedCalls<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let connection = request.extensions().get::<Arc<Connection>>().cloned();
        let certificate = connection.as_ref().and_then(|from| from.certificate.get());
        let holder = self.holders.mark(request.headers_mut(), certificate);
        if holder.is_some_and(|holder| holder.is_peer) {
            request.extensions_mut().insert(FromPeer);
        }
        self.inner.call(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holders() -> Holders {
        let mut holders = Holders::default();
        for (san, role, peer) in [
            ("spiffe://shop/checkout", Role::Service, false),
            ("Anna.example", Role::Ops, false),
            ("node.example", Role::Service, true),
        ] {
            let known = Listed::new(holder(role, san).unwrap(), peer).unwrap();
            holders.add(san, known).unwrap();
        }
        holders
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    /// Whom a call with these headers is of, by a connection with these names.
    fn caller(names: &[&str], headers: &[(&str, &str)]) -> Option<By> {
        let mut all = HeaderMap::new();
        for (name, value) in headers {
            all.insert(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        }
        let ends = at("2026-03-01T00:00:00Z");
        let certificate = ClientCertificate::new(names, ends);
        let shown = (!names.is_empty()).then_some(&certificate);
        holders().mark(&mut all, shown);
        let now = at("2026-02-01T00:00:00Z");
        holders().caller(&all, now).unwrap().map(|principal| principal.by)
    }

    #[test]
    fn a_name_of_the_certificate_says_who_calls() {
        let by = |names: &[&str]| caller(names, &[]).map(|by| by.subject().into_owned());
        assert_eq!(
            caller(&["spiffe://shop/checkout"], &[]),
            holder(Role::Service, "spiffe://shop/checkout").ok()
        );
        assert_eq!(
            caller(&["x.example", "anna.EXAMPLE"], &[]),
            holder(Role::Ops, "Anna.example").ok()
        );
        assert!(by(&["x.example"]).is_none() && by(&[]).is_none());
        assert!(by(&["anna.example", "node.example"]).is_none(), "two callers in one");
    }

    #[test]
    fn only_a_process_of_ours_speaks_for_others() {
        let ops = written(&holder(Role::Ops, "Zoë").unwrap(), at("2026-02-02T00:00:00Z")).unwrap();
        let said = [("ordinal-caller", ops.to_str().unwrap())];
        assert_eq!(caller(&["node.example"], &said), holder(Role::Ops, "Zoë").ok());
        assert_eq!(caller(&["node.example"], &[]), holder(Role::Service, "node.example").ok());
        let own = holder(Role::Service, "spiffe://shop/checkout").ok();
        assert_eq!(caller(&["spiffe://shop/checkout"], &said), own);
        assert_eq!(caller(&[], &said), None);
        assert_eq!(caller(&["x.example"], &said), None);
    }

    #[test]
    fn a_token_counts_more_than_a_certificate() {
        let token = ("authorization", "Bearer x");
        assert_eq!(caller(&["anna.example"], &[token]), None);
    }

    #[test]
    fn a_certificate_ends() {
        let mut headers = HeaderMap::new();
        let ends = at("2026-03-01T00:00:00Z");
        let certificate = ClientCertificate::new(&["anna.example"], ends);
        holders().mark(&mut headers, Some(&certificate));
        assert!(holders().caller(&headers, ends).unwrap().is_some());
        assert!(holders().caller(&headers, at("2026-03-01T00:00:01Z")).is_err());
        assert!(Holders::default().caller(&headers, ends).unwrap().is_none());
    }

    #[test]
    fn lines_that_make_no_sense_are_refused() {
        let mut holders = holders();
        let service = Listed::new(holder(Role::Service, "x").unwrap(), false).unwrap();
        assert!(holders.add("ANNA.example", service.clone()).is_err());
        assert!(holders.add(" ", service).is_err());
        assert!(Listed::new(holder(Role::Ops, "x").unwrap(), true).is_err());
    }
}
