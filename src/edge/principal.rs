//! A caller who is known: who it is, what its token is limited to, and when the token ends.
//! Never here: a token.

use std::sync::Arc;
use std::time::Duration;

use edge_auth::{Denied, Identity};
use order_actor::domain::{By, Role};
use service_edge::Refused;
use shared_events::contract::{Reason, Timestamp};
use tonic::Status;

use super::access::holder;
use super::policy::{Kind, Policy};

/// A caller who is known.
#[derive(Clone, Debug)]
pub(super) struct Principal {
    /// Who it is, as stored with what it does.
    pub(super) by: By,
    /// What its token says, where an issuer signed it.
    identity: Option<Arc<Identity>>,
    /// When its certificate ends, where that says who it is.
    ends: Option<Timestamp>,
}

impl From<By> for Principal {
    fn from(by: By) -> Self {
        Self { by, identity: None, ends: None }
    }
}

impl Principal {
    /// A caller whose certificate ends then.
    pub(super) const fn until(by: By, ends: Timestamp) -> Self {
        Self { by, identity: None, ends: Some(ends) }
    }

    /// Whether its scopes, if its token has any, include the method's.
    pub(super) fn in_scope(&self, policy: &Policy, kind: Kind) -> bool {
        policy.in_scope(kind, self.scopes())
    }

    /// The scopes that limit it; none if nothing but its role does.
    pub(super) fn scopes(&self) -> Option<&[String]> {
        self.identity.as_ref().and_then(|identity| identity.scopes.as_deref())
    }

    /// When its token or certificate ends, if it does.
    pub(super) fn ends(&self) -> Option<Timestamp> {
        if self.ends.is_some() {
            return self.ends;
        }
        let expires = self.identity.as_ref()?.expires;
        Timestamp::checked_from_micros(expires.saturating_mul(1_000_000))
    }

    /// How long its token or certificate is still valid, if it ends.
    pub(super) fn left(&self, now: Timestamp) -> Option<Duration> {
        Some(self.ends()?.since(now))
    }
}

/// The caller that a verified token stands for.
pub(super) fn of_identity(identity: Arc<Identity>) -> Result<Principal, Status> {
    let role = match identity.role {
        edge_auth::Role::Customer => Role::Customer,
        edge_auth::Role::Service | edge_auth::Role::ReturnsDesk => Role::Service,
        edge_auth::Role::Ops => Role::Ops,
    };
    let by = match (holder(role, &identity.subject), identity.role) {
        (Ok(By::Service(name)), edge_auth::Role::ReturnsDesk) => By::ReturnsDesk(name),
        (Ok(by), _) => by,
        (Err(what), _) => {
            let refused = Refused::new(Reason::Forbidden).with("token", Denied::Role.code());
            return Err(refused.say(&format!("the token: {what}")));
        }
    };
    Ok(Principal { by, identity: Some(identity), ends: None })
}

/// The status for a token that is refused.
pub(super) fn denied(denied: Denied) -> Status {
    let refused = match denied {
        Denied::Expired => Refused::new(Reason::TokenExpired),
        Denied::Unavailable => Refused::unavailable(Reason::KeysUnavailable),
        Denied::Role => Refused::new(Reason::Forbidden),
        _ => Refused::new(Reason::Unauthenticated),
    };
    refused.with("token", denied.code()).say(&denied.to_string())
}

/// The end of a stream whose token has ended.
pub(super) fn stream_expired() -> Status {
    Refused::new(Reason::TokenExpired).with("token", Denied::Expired.code()).say(
        "the token has expired; with a new one the stream can be resumed after its last position",
    )
}

/// The status for a token without the method's scope.
pub(super) fn out_of_scope(policy: &Policy, path: &str) -> Status {
    let scope = &policy.scope;
    let message = format!("the token has not the scope {scope}, which {path} needs");
    Refused::new(Reason::Forbidden).with("scope", scope).say(&message)
}
