//! Webhooks that arrive at a process without payments: sent on to one that runs them, as they came.
//! Never here: whether one is genuine; the process that stores it judges that.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, StatusCode, Version};
use http_body_util::{BodyExt as _, Full, Limited};
use psp::webhook::SIGNING_HEADERS;
use serde_json::Value;
use shared_events::contract::PspName;
use tokio::time::timeout;
use tonic::body::Body;

use super::{PATH, Receipt, Receive};
use crate::edge::body::MESSAGE_WITHIN;
use crate::edge::forward::{FROM_ROLE_HEADER, says_forwarded};
use crate::edge::upstream::Upstream;

const CONTENT_TYPE: &str = "content-type";
/// The other process answers with a problem at most.
const ANSWER_BYTES_MAX: usize = 16 * 1024;

/// Sends webhooks on to a process of payments. One that was sent on already goes no further: two
/// processes that each take the other for it would send it round for ever.
pub(crate) fn sent_on(to: Upstream) -> Receive {
    Arc::new(move |name: PspName, headers: HeaderMap, body: Bytes| {
        let to = to.clone();
        Box::pin(async move {
            if says_forwarded(&headers) {
                return Receipt::NoProvider;
            }
            let Some(request) = request(&name, &headers, body) else { return Receipt::Away };
            // It may have been stored all the same: then it is known when it is sent again.
            timeout(MESSAGE_WITHIN, ask(&to, request)).await.unwrap_or(Receipt::Away)
        })
    })
}

/// The same bytes, with what signs them and nothing else that came with them.
fn request(name: &PspName, headers: &HeaderMap, body: Bytes) -> Option<Request<Body>> {
    let request = Request::post(format!("{PATH}{name}")).version(Version::HTTP_2);
    let mut request = request.body(Body::new(Full::new(body))).ok()?;
    for name in SIGNING_HEADERS.into_iter().chain([CONTENT_TYPE]) {
        if let Some(value) = headers.get(name) {
            request.headers_mut().insert(name, value.clone());
        }
    }
    request.headers_mut().insert(FROM_ROLE_HEADER, HeaderValue::from_static("1"));
    Some(request)
}

async fn ask(to: &Upstream, request: Request<Body>) -> Receipt {
    let Ok(pass) = to.pass() else { return Receipt::Away };
    let process = to.process();
    let answer = match to.send(pass, request).await {
        Ok(answer) => answer,
        Err(error) => {
            tracing::warn!(%error, process, "a webhook could not be sent on");
            return Receipt::Away;
        }
    };
    let (head, body) = answer.into_parts();
    let problem = match Limited::new(body, ANSWER_BYTES_MAX).collect().await {
        Ok(body) => serde_json::from_slice(&body.to_bytes()).unwrap_or_default(),
        Err(_) => Value::Null,
    };
    match head.status {
        StatusCode::OK => Receipt::Taken,
        StatusCode::NOT_FOUND => Receipt::NoProvider,
        StatusCode::UNAUTHORIZED => {
            let detail = problem["detail"].as_str().unwrap_or("it is not genuine");
            Receipt::NotGenuine(detail.to_owned())
        }
        status => {
            let code = problem["code"].as_str().unwrap_or_default();
            tracing::warn!(%status, code, process, "a webhook that was sent on was refused");
            Receipt::Away
        }
    }
}

#[cfg(test)]
mod tests {
    use psp::Dialect;
    use psp::webhook::{Secret, sign};
    use shared_events::contract::Timestamp;

    use super::*;

    #[test]
    fn what_signs_a_webhook_is_sent_on_and_no_other_header() {
        let secret = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        for dialect in [Dialect::Simulator, Dialect::Stripe, Dialect::Razorpay] {
            let secret = Secret::new(dialect, secret).unwrap();
            let signed = sign(dialect, &secret, "evt", Timestamp::from_micros(1), b"{}");
            let mut headers = HeaderMap::new();
            for (name, value) in &signed {
                headers.insert(*name, value.parse().unwrap());
            }
            for name in ["authorization", "cookie", "host", "ordinal-peer", "x-forwarded-for"] {
                headers.insert(name, HeaderValue::from_static("x"));
            }
            let name: PspName = "cards".parse().unwrap();
            let sent = request(&name, &headers, Bytes::from_static(b"{}")).unwrap();
            assert_eq!(sent.uri().path(), "/v1/webhooks/cards");
            // Razorpay says which event it is, too, and does not sign that.
            let signing: Vec<_> =
                signed.iter().filter(|(name, _)| SIGNING_HEADERS.contains(name)).collect();
            assert!(!signing.is_empty(), "{dialect:?}");
            // They, and the mark.
            assert_eq!(sent.headers().len(), signing.len() + 1, "{dialect:?}");
            for (name, value) in signing {
                assert_eq!(sent.headers()[*name], value.as_str());
            }
        }
    }
}
