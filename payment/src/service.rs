use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use include_dir::{Dir, include_dir};
use psp::Token;
use psp::webhook::Verifier;
use shared_events::chance::Chance;
use shared_events::contract::{OperationId, OrderId, PspName, Timestamp};
use shared_events::stream::{
    Database, DatabaseError, Dialect, OperatorAction, Outbox, Tx, migrations,
};
use sqlx::migrate::Migrator;
use tokio::sync::Notify;
use uuid::Uuid;

use crate::OrderFollower;
use crate::counted;
use crate::domain::{
    Case, Context, Input, Observation, OperationState, PayoutRules, Rejection, WebhookState,
};
use crate::door::WebhookDoor;
use crate::psps::Psps;
use crate::runner::Runner;
use crate::settlement::Settlements;
use crate::store::{self, Of, OpenCase, Origins, PaysWith, Webhook};

static POSTGRES: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/migrations/postgres");
static SQLITE: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/migrations/sqlite");

/// The tables of the payment service.
#[must_use]
pub fn migrator(dialect: Dialect) -> Migrator {
    migrations(match dialect {
        Dialect::Postgres => &POSTGRES,
        Dialect::Sqlite => &SQLITE,
    })
}

/// The payment service over its own database.
#[derive(Clone)]
pub struct Payments {
    database: Database,
    outbox: Outbox,
    psps: Psps,
    pays_with: Arc<PaysWith>,
    due: Arc<Notify>,
    told: Arc<Notify>,
    /// When and by whom sellers are paid out.
    pub(crate) payouts: Option<Arc<PayoutRules>>,
    payouts_due: Arc<Notify>,
    now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
}

/// Why a call of the payment service came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum PaymentError {
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// It is refused, and nothing happened.
    #[error(transparent)]
    Rejected(#[from] Rejection),
}

impl From<sqlx::Error> for PaymentError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error.into())
    }
}

/// The trace of a call: its W3C `traceparent`, and what other systems added to it (`tracestate`).
type CallTrace = (Option<String>, Option<String>);

/// What comes with something that payments hear.
struct Heard<'a> {
    /// The attempt and its token.
    pays_with: Option<(Uuid, &'a Token)>,
    /// The stuck operation of which a person says what became, the record of that, and the text.
    person: Option<(OperationId, OperatorAction, String)>,
    /// The trace of the call (W3C `traceparent` and `tracestate`).
    trace: CallTrace,
}

/// What comes of it, in the transaction that has its order locked.
struct Decided {
    /// The payments of the order, with what happens to them.
    open: OpenCase,
    /// The hash of what a new attempt pays with.
    pays_with: Option<String>,
    /// When.
    now: Timestamp,
}

impl Payments {
    /// Over a database with its tables; `now` dates what happens.
    #[must_use]
    pub fn new(
        database: Database,
        psps: Psps,
        now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    ) -> Self {
        let outbox = Outbox::new(database.clone());
        let (pays_with, due, told) = (Arc::default(), Arc::default(), Arc::default());
        let (payouts, payouts_due) = (None, Arc::default());
        Self { database, outbox, psps, pays_with, due, told, payouts, payouts_due, now }
    }

    /// Its database.
    #[must_use]
    pub const fn database(&self) -> &Database {
        &self.database
    }

    /// The facts that it publishes, as they are written.
    pub(crate) const fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// The providers of this process.
    pub(crate) const fn psps(&self) -> &Psps {
        &self.psps
    }

    /// Who works on payouts waits for this.
    pub(crate) fn payouts_due(&self) -> &Notify {
        &self.payouts_due
    }

    /// The time.
    pub(crate) fn now(&self) -> Timestamp {
        (self.now)()
    }

    /// What imports reports of providers.
    #[must_use]
    pub fn settlements(&self) -> Settlements {
        Settlements {
            database: self.database.clone(),
            outbox: self.outbox.clone(),
            psps: self.psps.clone(),
            due: Arc::clone(&self.due),
            now: Arc::clone(&self.now),
        }
    }

    /// The follower of order facts.
    #[must_use]
    pub fn follower(&self) -> OrderFollower {
        OrderFollower {
            database: self.database.clone(),
            outbox: self.outbox.clone(),
            psps: self.psps.clone(),
            due: Arc::clone(&self.due),
            now: Arc::clone(&self.now),
            became: <_>::default(),
            in_doubt: true,
        }
    }

    /// What calls and asks providers.
    #[must_use]
    pub fn runner(&self, chance: Chance) -> Runner {
        counted::begin(&self.psps);
        Runner {
            database: self.database.clone(),
            outbox: self.outbox.clone(),
            psps: self.psps.clone(),
            due: Arc::clone(&self.due),
            told: Arc::clone(&self.told),
            payouts: Arc::clone(&self.payouts_due),
            now: Arc::clone(&self.now),
            chance,
            breakers: Arc::default(),
            forgot_at: Arc::default(),
            parked_at: Arc::default(),
            ends: Arc::new(|_, _| false),
        }
    }

    /// Where webhooks of these providers are received. `clock` is that of the machine: a signature
    /// is as old as it says by it, also where the time of the service stands.
    #[must_use]
    pub fn door(
        &self,
        verifiers: BTreeMap<PspName, Verifier>,
        clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    ) -> WebhookDoor {
        WebhookDoor {
            database: self.database.clone(),
            verifiers: Arc::new(verifiers),
            told: Arc::clone(&self.told),
            now: Arc::clone(&self.now),
            clock,
        }
        .counted()
    }

    /// The facts that it publishes.
    #[must_use]
    pub fn facts(&self) -> Arc<Outbox> {
        Arc::new(self.outbox.clone())
    }

    /// The customer of an order pays with a token of the provider. The same attempt again does
    /// nothing. It may come before the order asks for money, and waits for that. What follows
    /// belongs to the trace of the call (W3C `traceparent`).
    ///
    /// # Errors
    /// [`PaymentError`]; [`Rejection::OtherToken`] where the id is of an attempt with another
    /// token, [`Rejection::AttemptOfLost`] where it is of one for the order before it was lost.
    pub async fn attempt(
        &self,
        order: OrderId,
        attempt_id: Uuid,
        token: &Token,
        trace: CallTrace,
    ) -> Result<Case, PaymentError> {
        let heard = Heard { pays_with: Some((attempt_id, token)), person: None, trace };
        self.hear(order, Input::Attempt { attempt_id }, heard).await
    }

    /// A person found out what became of an operation that is stuck. With it comes the record of
    /// that, and what they said. What follows belongs to the trace of the call (W3C `traceparent`).
    ///
    /// # Errors
    /// [`PaymentError`]; [`Rejection::NotStuck`] where it is not stuck.
    pub async fn resolve(
        &self,
        order: OrderId,
        operation_id: OperationId,
        seen: Observation,
        (action, said): (OperatorAction, String),
        trace: CallTrace,
    ) -> Result<Case, PaymentError> {
        let person = Some((operation_id, action, said));
        let heard = Heard { pays_with: None, person, trace };
        self.hear(order, Input::Observed { operation_id, seen }, heard).await
    }

    /// A person looks at a parked webhook: it is looked at once more, or dropped. With it comes the
    /// record of that, and what they said. Returns whether it was still parked.
    ///
    /// # Errors
    /// [`PaymentError::Database`]
    pub async fn decide_webhook(
        &self,
        parked: &Webhook,
        next: WebhookState,
        (action, said): (OperatorAction, &str),
    ) -> Result<bool, PaymentError> {
        let now = (self.now)();
        let next = parked.decided(next, now);
        let next = store::Outcome {
            state: next.state,
            due_at: next.due_at,
            tries: next.tries,
            note: &next.note,
            order_id: next.order_id,
            now,
        };
        let mut tx = self.database.begin().await?;
        if !store::settle(&mut tx, parked, &next).await? {
            return Ok(false);
        }
        let of = Of::Webhook(&parked.psp, &parked.event_id);
        store::keep_resolution(&mut tx, of, said).await?;
        action.write(&mut tx).await?;
        tx.commit().await?;
        self.told.notify_one();
        Ok(true)
    }

    /// What an attempt, or what a person says of a stuck operation, would lead to, and when it
    /// would have been. Nothing is written, and no provider is called.
    ///
    /// # Errors
    /// [`PaymentError`], as of [`Self::attempt`] and [`Self::resolve`].
    pub(crate) async fn would_hear(
        &self,
        order: OrderId,
        input: Input,
        pays_with: Option<(Uuid, &Token)>,
    ) -> Result<(OpenCase, Timestamp), PaymentError> {
        let mut tx = self.database.begin().await?;
        let heard = Heard { pays_with, person: None, trace: (None, None) };
        let none = BTreeSet::new();
        let decided = self.decided(&mut tx, (order, &none), input, &heard).await?;
        // What was read stays locked until here, and is as it was.
        tx.rollback().await?;
        Ok((decided.open, decided.now))
    }

    async fn hear(
        &self,
        order: OrderId,
        input: Input,
        heard: Heard<'_>,
    ) -> Result<Case, PaymentError> {
        let mut tx = self.database.begin().await?;
        // An attempt may be the first that is known of an order.
        let created: BTreeSet<OrderId> = heard.pays_with.map(|_| order).into_iter().collect();
        let decided = self.decided(&mut tx, (order, &created), input, &heard).await?;
        let Decided { open, pays_with, now } = decided;
        if let Some(((attempt_id, token), pays_with)) = heard.pays_with.zip(pays_with) {
            let attempt = (order, attempt_id);
            store::keep_token(&mut tx, attempt, token, now).await?;
            store::keep_attempt(&mut tx, attempt, &pays_with).await?;
        }
        if let Some((operation, action, said)) = heard.person {
            store::keep_resolution(&mut tx, Of::Operation(operation), &said).await?;
            action.write(&mut tx).await?;
        }
        let (case, became) = (open.case.clone(), open.became());
        let stores = (&self.database, &self.outbox);
        store::write(stores, &mut tx, vec![open], now).await?;
        tx.commit().await?;
        became.count();
        self.outbox.committed();
        self.due.notify_one();
        Ok(case)
    }

    /// What comes of something that payments hear. Of the orders in `created` a row is made where
    /// there is none; nothing else is written.
    async fn decided(
        &self,
        tx: &mut Tx,
        (order, created): (OrderId, &BTreeSet<OrderId>),
        input: Input,
        heard: &Heard<'_>,
    ) -> Result<Decided, PaymentError> {
        let orders = BTreeSet::from([order]);
        let mut cases = store::lock(&self.database, tx, &orders, created).await?;
        let new = || heard.pays_with.map(|_| OpenCase::new(order));
        let open = cases.remove(&order).or_else(new);
        let mut open = open.ok_or(Rejection::OperationUnknown)?;
        let of = match &input {
            Input::Observed { operation_id, .. } => {
                // Of such operations alone a person says what became.
                let known = open.case.operation(*operation_id);
                let (_, known) = known.ok_or(Rejection::OperationUnknown)?;
                if known.state != OperationState::Stuck {
                    return Err(Rejection::NotStuck(known.state).into());
                }
                Some(known)
            }
            _ => None,
        };
        let psp = of.and_then(|one| open.case.psp_of(one));
        let psp = psp.or_else(|| open.case.plan.as_ref().map(|plan| &plan.psp));
        let now = (self.now)();
        let context = Context { capabilities: self.psps.capabilities(psp), now };
        let mut pays_with = None;
        if let Some((attempt_id, token)) = heard.pays_with {
            let attempt = (order, attempt_id);
            let hash = self.pays_with.of(tx, attempt, token).await?;
            if !open.case.attempts.contains(&attempt_id) {
                pays_with = Some(hash);
            } else if store::paid_otherwise(tx, attempt, &hash).await? {
                // One with the same token brings nothing: the first has it, as long as it lasts.
                return Err(Rejection::OtherToken.into());
            }
        }
        let (traceparent, tracestate) = heard.trace.clone();
        open.hear(input, &context, &Origins { causationid: None, traceparent, tracestate })?;
        Ok(Decided { open, pays_with, now })
    }
}
