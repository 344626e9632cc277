use std::net::{IpAddr, Ipv4Addr};

use http::Request;
use order_actor::domain::By;
use tokio::time::Instant;
use tonic::body::Body;
use tonic::{Code, Status};

use super::Admission;
use super::begun::untraced;
use crate::edge::access::NotAdmitted;
use crate::edge::shares::Caller;

impl Admission {
    /// Accounts for a call that is refused before anything is done.
    pub(super) fn refused(
        &self,
        request: &mut Request<Body>,
        since: Instant,
        status: Status,
    ) -> Status {
        // Nobody knows who says so.
        untraced(request);
        let by = request.extensions().get::<By>().cloned();
        let by = by.or_else(|| match status.code() {
            Code::PermissionDenied | Code::ResourceExhausted => {
                self.access.claimed(request.headers(), self.clock.now())
            }
            _ => None,
        });
        let caller = by.map(|by| Caller::of(Some(&by), IpAddr::V4(Ipv4Addr::UNSPECIFIED)));
        let name = self.calls.name(request.uri().path());
        let mut call = self.accounts.begin(request, name, since);
        call.is_of(caller);
        call.refused(status)
    }

    /// A refusal, counted against the limit of the caller whose token it is, or of the address of
    /// one that nobody knows.
    pub(super) fn counted(
        &self,
        refused: NotAdmitted,
        address: IpAddr,
        request: &Request<Body>,
    ) -> NotAdmitted {
        let status = match refused {
            NotAdmitted::Refused(status) => status,
            wait @ NotAdmitted::Wait(_) => return wait,
        };
        let caller = match status.code() {
            Code::Unauthenticated => Caller::of(None, address),
            Code::PermissionDenied => {
                let by = self.access.claimed(request.headers(), self.clock.now());
                Caller::of(by.as_ref(), address)
            }
            _ => return NotAdmitted::Refused(status),
        };
        let limited = self.limits.count_refused(&caller, request.uri().path());
        NotAdmitted::Refused(limited.err().unwrap_or(status))
    }
}
