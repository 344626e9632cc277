//! What a simulator at an address says happened, for whoever compares its book with another.

use serde_json::Value;

use crate::http::{Endpoint, Heard, Http, HttpError, Lost};

/// What a simulator says of one payment, in minor units.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// The operation of ours that authorised it; empty where none did.
    pub our_reference: String,
    /// Its currency.
    pub currency: String,
    /// Taken, without captures that failed.
    pub captured: i64,
    /// Paid back, without refunds that failed.
    pub refunded: i64,
}

/// Reads the book of a simulator.
#[derive(Clone)]
pub struct BookReader(Http);

/// The book could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the provider's book: {0}")]
pub struct Unread(String);

impl BookReader {
    /// Of the simulator at an endpoint.
    ///
    /// # Errors
    /// [`HttpError`].
    pub fn new(endpoint: &Endpoint) -> Result<Self, HttpError> {
        Http::new(endpoint).map(Self)
    }

    /// All payments, and whether its lines and sums agree.
    ///
    /// # Errors
    /// [`Unread`], where it does not answer as a simulator does.
    pub async fn read(&self) -> Result<(Vec<Said>, bool), Unread> {
        let (mut all, mut sound, mut after) = (Vec::new(), true, String::new());
        loop {
            let page = self.page(&after).await?;
            let malformed = || Unread("it is not one of a simulator".to_owned());
            sound &= page["sound"].as_bool().ok_or_else(malformed)?;
            let payments = page["payments"].as_array().ok_or_else(malformed)?;
            all.extend(payments.iter().filter_map(said));
            match page["after"].as_str() {
                Some(next) if next > after.as_str() => next.clone_into(&mut after),
                _ => return Ok((all, sound)),
            }
        }
    }

    async fn page(&self, after: &str) -> Result<Value, Unread> {
        let mut url = self.0.url(&["_sim", "book"]);
        url.query_pairs_mut().append_pair("after", after);
        match self.0.send(self.0.get(url)).await {
            Ok(Heard { status, body }) if status.is_success() => Ok(body),
            Ok(Heard { status, .. }) => Err(Unread(format!("status {status}"))),
            Err(Lost(why)) => Err(Unread(why)),
        }
    }
}

fn said(payment: &Value) -> Option<Said> {
    Some(Said {
        our_reference: payment["our_reference"].as_str().unwrap_or_default().to_owned(),
        currency: payment["currency"].as_str()?.to_owned(),
        captured: payment["captured"].as_i64()?,
        refunded: payment["refunded"].as_i64()?,
    })
}
