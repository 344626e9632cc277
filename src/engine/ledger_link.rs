//! The way to the ledger, in this process or another, for parts of the engine that book in it.

use std::time::Duration;

use ledger::domain::{AccountName, NewAccount};
use ledger::grpc::proto;
use ledger::grpc::proto::ledger_service_client::LedgerServiceClient;
use service_edge::Wire;
use service_edge::feed::Identity;
use shared_events::contract::{Currency, Money};
use shared_events::stream::AskedBy;
use tonic::{Code, Request, Status};
use uuid::Uuid;

/// How long the ledger may take for an operation or a question. Payments give up later.
const CALL_WITHIN: Duration = Duration::from_secs(10);

/// The way to the ledger, and who goes it.
pub(crate) struct Link {
    client: LedgerServiceClient<Wire>,
    identity: Identity,
    /// Whom the book names as the one who asked.
    subject: &'static str,
}

impl Link {
    /// By this wire.
    pub(crate) fn new(wire: Wire, identity: Identity, subject: &'static str) -> Self {
        Self { client: LedgerServiceClient::new(wire), identity, subject }
    }

    /// What calls it.
    pub(crate) fn client(&self) -> LedgerServiceClient<Wire> {
        self.client.clone()
    }

    /// A request as another process knows us by our token, and the ledger of this one by the caller.
    pub(crate) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = self.identity.request(message);
        let by = AskedBy { role: "ENGINE".to_owned(), subject: self.subject.to_owned() };
        request.extensions_mut().insert(by);
        // Without it another process would give up earlier. This one does not read it.
        request.set_timeout(CALL_WITHIN);
        request
    }

    /// An account as it is.
    pub(crate) async fn account(&self, name: &AccountName) -> Result<proto::Account, Status> {
        let request = proto::GetAccountRequest { name: name.to_string(), ..Default::default() };
        let answer = self.client().get_account(self.request(request)).await?.into_inner();
        answer.account.ok_or_else(|| Status::data_loss("no account"))
    }

    /// Opens an account for what the shop has, without a limit. Where somebody has opened it with
    /// one, what is booked is then held to that.
    pub(crate) async fn open_asset(
        &self,
        terms: &NewAccount,
        reason: String,
    ) -> Result<(), Status> {
        let request = proto::OpenAccountRequest {
            name: terms.name.to_string(),
            kind: proto::AccountKind::Asset.into(),
            currency_code: terms.currency.code().to_owned(),
            limit: proto::AccountLimit::Unspecified.into(),
            reason,
            validate_only: false,
        };
        match self.client().open_account(self.request(request)).await {
            Err(status) if status.code() != Code::AlreadyExists => Err(status),
            _ => Ok(()),
        }
    }

    /// An entry.
    pub(crate) async fn entry(&self, id: Uuid) -> Result<proto::Entry, Status> {
        let request = self.request(proto::GetEntryRequest { entry_id: id.to_string() });
        let answer = self.client().get_entry(request).await?.into_inner();
        answer.entry.ok_or_else(|| Status::data_loss("no entry"))
    }

    /// A hold.
    pub(crate) async fn hold(&self, id: &str) -> Result<proto::Hold, Status> {
        let request = self.request(proto::GetHoldRequest { hold_id: id.to_owned() });
        let answer = self.client().get_hold(request).await?.into_inner();
        answer.hold.ok_or_else(|| Status::data_loss("no hold"))
    }
}

/// What a call comes to within its time. One that is given up may have its effect all the same.
pub(crate) async fn within<T>(
    call: impl Future<Output = Result<T, Status>> + Send,
) -> Result<T, Status> {
    let late = |_| Status::deadline_exceeded("the ledger did not answer in time");
    tokio::time::timeout(CALL_WITHIN, call).await.map_err(late)?
}

/// An amount that the ledger has written.
pub(crate) fn money(amount: Option<&proto::Money>) -> Option<Money> {
    let amount = amount?;
    let currency = Currency::recorded(&amount.currency_code).ok()?;
    Money::from_units_nanos(amount.units, amount.nanos, currency).ok()
}

/// An amount as the ledger reads it.
pub(crate) fn written(amount: Money) -> proto::Money {
    let (units, nanos) = amount.units_nanos();
    proto::Money { currency_code: amount.currency.code().to_owned(), units, nanos }
}
