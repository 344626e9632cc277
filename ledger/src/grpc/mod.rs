//! The edge of the ledger: the only place that knows its protos.
//! Never here: rules of the book.

mod parse; // requests → entries and accounts, or every field at fault
mod refusal; // refusals and errors → statuses
mod render; // accounts, entries, holds → messages
mod wallets; // wallets of customers

use std::sync::Arc;

use service_edge::page::{Tokens, cut, page_size};
use service_edge::parsed;
use service_edge::time::timestamp;
use shared_events::stream::{AskedBy, Database};
use tonic::{Request, Response, Status};

use crate::Posted;
use crate::book::Book;
use crate::domain::{AccountName, Entry, EntryId, Hold, HoldId, KnownEntry, Opened, Outcome};
use crate::store::{self, BookedEntry, EntryFilter};

use parse::{Form, Then, account_asked, opened};
use refusal::{not_found, other_content, other_terms, refused, unanswered, unavailable};
use render::{rendered_account, rendered_entry, rendered_hold};

pub use wallets::WalletEdge;

#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, reason = "generated")]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/tree.rs"));
}

/// Messages and services of `ordinal.ledger.v1`, client and server.
pub mod proto {
    pub use super::generated::google::r#type::Money;
    pub use super::generated::ordinal::ledger::v1::*;
}

use proto::ledger_service_server::LedgerService;

/// The descriptors of `ordinal.ledger.v1`, for reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

const NO_ACCOUNT: &str = "no account of this name was ever opened";
const NO_ENTRY: &str = "the book has no entry with this id";
const NO_HOLD: &str = "the book has no hold with this id";

/// The gRPC service.
pub struct LedgerEdge {
    database: Database,
    book: Arc<dyn Book>,
}

/// Who asks for an entry, and whether only what it would do is asked.
struct Asked {
    by: AskedBy,
    validate_only: bool,
}

impl LedgerEdge {
    pub(crate) const fn new(database: Database, book: Arc<dyn Book>) -> Self {
        Self { database, book }
    }

    async fn entry(&self, id: EntryId) -> Result<BookedEntry, Status> {
        let found = store::entry(&self.database, id).await.map_err(|error| unavailable(&error))?;
        found.ok_or_else(|| not_found(NO_ENTRY))
    }

    async fn hold(&self, id: HoldId) -> Result<Hold, Status> {
        let found = self.book.hold(id).await.map_err(unanswered)?;
        found.ok_or_else(|| not_found(NO_HOLD))
    }

    /// Books an entry, or says what that would do; true where it was booked before.
    async fn post(&self, entry: Entry, asked: Asked) -> Result<(Posted, bool), Status> {
        let posted = match asked.validate_only {
            true => self.book.would_post(entry).await,
            false => self.book.post(entry, asked.by).await,
        };
        let posted = posted.map_err(unanswered)?;
        match &posted.outcome {
            Outcome::Booked { exists, .. } => {
                let exists = *exists;
                Ok((posted, exists))
            }
            Outcome::Refused { refusal, exists } => Err(refused(refusal, *exists)),
            Outcome::OtherContent => Err(other_content()),
        }
    }

    /// Books an entry of one leg about a hold; returns the hold, and whether it was booked before.
    async fn post_one(
        &self,
        form: Form<'_>,
        leg: proto::leg::Step,
        hold_id: &str,
        asked: Asked,
    ) -> Result<(proto::Hold, bool), Status> {
        let entry = form.one(leg)?;
        let (posted, exists) = self.post(entry, asked).await?;
        let hold = match posted.holds.into_iter().next() {
            Some(hold) => hold,
            None => self.hold(parsed("hold_id", hold_id)?).await?,
        };
        Ok((rendered_hold(&hold), exists))
    }
}

#[tonic::async_trait]
impl LedgerService for LedgerEdge {
    async fn open_account(
        &self,
        request: Request<proto::OpenAccountRequest>,
    ) -> Result<Response<proto::OpenAccountResponse>, Status> {
        let by = caller(&request);
        let request = request.into_inner();
        let (terms, reason) = opened(&request)?;
        let opened = match request.validate_only {
            true => self.book.would_open(terms).await,
            false => self.book.open(terms, by, reason).await,
        };
        match opened.map_err(unanswered)? {
            Opened::Open { account, exists: replayed } => {
                let account = Some(rendered_account(&account));
                Ok(Response::new(proto::OpenAccountResponse { account, replayed }))
            }
            Opened::OtherTerms { account } => Err(other_terms(&account)),
        }
    }

    async fn get_account(
        &self,
        request: Request<proto::GetAccountRequest>,
    ) -> Result<Response<proto::GetAccountResponse>, Status> {
        let request = request.into_inner();
        let (name, then) = account_asked(&request)?;
        let account = self.book.account(&name).await.map_err(unanswered)?;
        let mut account = account.ok_or_else(|| not_found(NO_ACCOUNT))?;
        let as_of_time = match then {
            Then::Time(at) => Some(timestamp(at)),
            Then::Now | Then::Position(_) => None,
        };
        let position = match then {
            Then::Now => None,
            Then::Position(position) => Some(position),
            Then::Time(at) => {
                let found = store::position_at(&self.database, at).await;
                Some(found.map_err(|error| unavailable(&error))?)
            }
        };
        if let Some(position) = position {
            let then = store::account_at(&self.database, &account, position).await;
            account = then.map_err(|error| unavailable(&error))?;
        }
        let account = Some(rendered_account(&account));
        Ok(Response::new(proto::GetAccountResponse { account, as_of_time }))
    }

    async fn list_accounts(
        &self,
        request: Request<proto::ListAccountsRequest>,
    ) -> Result<Response<proto::ListAccountsResponse>, Status> {
        let request = request.into_inner();
        let size = page_size(request.page_size)?;
        let prefix = match request.prefix.as_str() {
            "" => None,
            prefix => Some(parsed::<AccountName>("prefix", prefix)?),
        };
        let prefix = prefix.as_ref().map_or("", AccountName::as_str);
        let tokens = Tokens::of(prefix);
        let after = tokens.place(&request.page_token, |place| place.parse::<AccountName>().ok())?;
        let after = after.as_ref().map_or("", AccountName::as_str);
        let found = store::accounts(&self.database, prefix, after, size + 1).await;
        let mut found = found.map_err(|error| unavailable(&error))?;
        let more = cut(&mut found, size);
        let last = found.last().filter(|_| more);
        let next_page_token = last.map(|last| tokens.after(&last.terms.name)).unwrap_or_default();
        let accounts = found.iter().map(rendered_account).collect();
        Ok(Response::new(proto::ListAccountsResponse { accounts, next_page_token }))
    }

    async fn post_entry(
        &self,
        request: Request<proto::PostEntryRequest>,
    ) -> Result<Response<proto::PostEntryResponse>, Status> {
        let by = caller(&request);
        let proto::PostEntryRequest { entry_id, legs, reason, validate_only } =
            request.into_inner();
        let entry = Form { id_field: "entry_id", id: &entry_id, reason: &reason }.entry(legs)?;
        let (id, fingerprint, reason) =
            (entry.id(), entry.fingerprint(), entry.reason().to_owned());
        let asked = Asked { by: by.clone(), validate_only };
        let (posted, replayed) = self.post(entry, asked).await?;
        let entry = match posted.outcome {
            Outcome::Booked { receipt, exists: false } => BookedEntry {
                id,
                known: KnownEntry { fingerprint, answer: Ok(receipt) },
                at: receipt.at,
                reason,
                asked_by: by.to_string(),
                transfers: posted.transfers,
            },
            _ => self.entry(id).await?,
        };
        let entry = Some(rendered_entry(&entry));
        Ok(Response::new(proto::PostEntryResponse { entry, replayed }))
    }

    async fn get_entry(
        &self,
        request: Request<proto::GetEntryRequest>,
    ) -> Result<Response<proto::GetEntryResponse>, Status> {
        let id = parsed("entry_id", &request.into_inner().entry_id)?;
        let entry = Some(rendered_entry(&self.entry(id).await?));
        Ok(Response::new(proto::GetEntryResponse { entry }))
    }

    async fn list_entries(
        &self,
        request: Request<proto::ListEntriesRequest>,
    ) -> Result<Response<proto::ListEntriesResponse>, Status> {
        let proto::ListEntriesRequest { account, page_size: size, page_token } =
            request.into_inner();
        let size = page_size(size)?;
        let tokens = Tokens::of(&account);
        let before = tokens.place(&page_token, |place| place.parse::<u64>().ok())?;
        let of = match account.as_str() {
            "" => None,
            name => {
                let name: AccountName = parsed("account", name)?;
                let found = self.book.account(&name).await.map_err(unanswered)?;
                Some(found.ok_or_else(|| not_found(NO_ACCOUNT))?)
            }
        };
        let filter = EntryFilter { account: of.as_ref(), before };
        let found = store::entries(&self.database, filter, size + 1).await;
        let mut found = found.map_err(|error| unavailable(&error))?;
        let more = cut(&mut found, size);
        let last = found.last().filter(|_| more).and_then(|last| last.known.answer.as_ref().ok());
        let next_page_token = last.map(|last| tokens.after(last.first)).unwrap_or_default();
        let entries = found.iter().map(rendered_entry).collect();
        Ok(Response::new(proto::ListEntriesResponse { entries, next_page_token }))
    }

    async fn reserve_funds(
        &self,
        request: Request<proto::ReserveFundsRequest>,
    ) -> Result<Response<proto::ReserveFundsResponse>, Status> {
        let by = caller(&request);
        let request = request.into_inner();
        let asked = Asked { by, validate_only: request.validate_only };
        let proto::ReserveFundsRequest {
            hold_id, debit, credit, amount, expires_in, reason, ..
        } = request;
        let form = Form { id_field: "hold_id", id: &hold_id, reason: &reason };
        let leg = proto::HoldLeg { debit, credit, amount, expires_in };
        let leg = proto::leg::Step::Hold(leg);
        let (hold, replayed) = self.post_one(form, leg, &hold_id, asked).await?;
        Ok(Response::new(proto::ReserveFundsResponse { hold: Some(hold), replayed }))
    }

    async fn post_hold(
        &self,
        request: Request<proto::PostHoldRequest>,
    ) -> Result<Response<proto::PostHoldResponse>, Status> {
        let by = caller(&request);
        let proto::PostHoldRequest { hold_id, entry_id, amount, reason, validate_only } =
            request.into_inner();
        let asked = Asked { by, validate_only };
        let form = Form { id_field: "entry_id", id: &entry_id, reason: &reason };
        let leg = proto::leg::Step::Post(proto::PostLeg { hold_id: hold_id.clone(), amount });
        let (hold, replayed) = self.post_one(form, leg, &hold_id, asked).await?;
        Ok(Response::new(proto::PostHoldResponse { hold: Some(hold), replayed }))
    }

    async fn void_hold(
        &self,
        request: Request<proto::VoidHoldRequest>,
    ) -> Result<Response<proto::VoidHoldResponse>, Status> {
        let by = caller(&request);
        let proto::VoidHoldRequest { hold_id, entry_id, reason, validate_only } =
            request.into_inner();
        let asked = Asked { by, validate_only };
        let form = Form { id_field: "entry_id", id: &entry_id, reason: &reason };
        let leg = proto::leg::Step::Void(proto::VoidLeg { hold_id: hold_id.clone() });
        let (hold, replayed) = self.post_one(form, leg, &hold_id, asked).await?;
        Ok(Response::new(proto::VoidHoldResponse { hold: Some(hold), replayed }))
    }

    async fn get_hold(
        &self,
        request: Request<proto::GetHoldRequest>,
    ) -> Result<Response<proto::GetHoldResponse>, Status> {
        let id = parsed("hold_id", &request.into_inner().hold_id)?;
        let hold = Some(rendered_hold(&self.hold(id).await?));
        Ok(Response::new(proto::GetHoldResponse { hold }))
    }
}

fn caller<T>(request: &Request<T>) -> AskedBy {
    request.extensions().get::<AskedBy>().cloned().unwrap_or_default()
}
