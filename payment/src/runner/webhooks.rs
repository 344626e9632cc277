//! What providers told by webhooks, handled. Each is a hint: what may have happened is asked for,
//! and the answer is recorded with the webhook in one transaction.

use futures::StreamExt as _;
use psp::{Answer, Event as Told, Found, Lookup, Theirs};
use shared_events::contract::{OperationId, OrderId, PaymentId};
use shared_events::stream::{DatabaseError, Tx};
use shared_events::traces::Span;

use super::answers::{authorization, is_below, observation};
use super::traced::{self, AtProvider, Called};
use super::{ANSWER_WITHIN, IN_FLIGHT_MAX, Point, READ_MAX, Runner, RunnerError, calls};
use crate::counted::{self, Became};
use crate::domain::{
    Case, External, Hint, Input, Operation, OperationKind, OperationState, Rejection, WebhookState,
    hint,
};
use crate::store::{self, OpenCase, Origins, Outcome, Webhook};

/// What came of looking at a webhook.
enum Looked {
    /// It is settled: what the payments hear of it, and what is said of it.
    Handled(Option<Follows>, &'static str),
    /// It is looked at again.
    Wait(String),
}

/// What follows from a webhook.
enum Follows {
    /// What somebody else did.
    Heard(Input),
    /// What the provider answered about an operation of which this was known, and whether its time
    /// is said to be over.
    Answered { operation: OperationId, known: OperationState, answer: Answer, expired: bool },
}

/// What is said where the payments are others than those that were asked about.
const OVERTAKEN: &str = "more became known while the provider was asked";

/// What a webhook is about, and what it hinted at when the provider was asked.
struct About<'a> {
    order: OrderId,
    payment: PaymentId,
    told: &'a Told,
    hint: Hint,
    /// What follows belongs to this span.
    traceparent: Option<String>,
    /// What other systems added to that trace (W3C `tracestate`).
    tracestate: Option<String>,
}

impl About<'_> {
    /// What the payments hear, if anything, as they are now that nobody else writes them. An answer
    /// counts only where the webhook still hints at the same: a capture may have begun meanwhile.
    fn heard(
        &self,
        case: &Case,
        follows: Option<Follows>,
    ) -> Result<Option<(Input, Option<Acts>)>, &'static str> {
        if hint(case, self.payment, self.told) != self.hint {
            return Err(OVERTAKEN);
        }
        follows.map(|follows| follows.heard(case)).transpose()
    }
}

impl Follows {
    /// What the payments hear, and where the customer acts.
    fn heard(self, case: &Case) -> Result<(Input, Option<Acts>), &'static str> {
        match self {
            Self::Heard(input) => Ok((input, None)),
            Self::Answered { operation, known, answer, expired } => {
                let (_, one) = case.operation(operation).ok_or("the operation is not known")?;
                if one.state != known {
                    // A failure is asked about whatever is known: the answer may be older than that.
                    return Err(OVERTAKEN);
                }
                let acts = calls::action(&answer).map(|url| (operation, url));
                let seen = observation(one, answer, expired)?;
                Ok((Input::Observed { operation_id: operation, seen }, acts))
            }
        }
    }
}

/// Of which operation, and where.
type Acts = (OperationId, String);

/// What a provider is asked.
enum Question {
    /// What became of an operation of ours.
    Ours(Lookup),
    /// What became of something that somebody else did.
    Theirs(Theirs),
}

impl Runner {
    /// Handles the webhooks that are due now, once; returns how many that were.
    ///
    /// # Errors
    /// [`RunnerError`]; what was done until then stays.
    pub async fn hear_webhooks(&self) -> Result<usize, RunnerError> {
        let (psps, now) = (self.psps.names(), (self.now)());
        let due = store::webhooks_due(&self.database, &psps, now, READ_MAX).await?;
        if due.is_empty() {
            return self.park_unheard(now).await;
        }
        let mut heard = futures::stream::iter(due.into_iter().map(|row| self.hear_webhook(row)))
            .buffer_unordered(IN_FLIGHT_MAX);
        let (mut done, mut failed) = (0, None);
        while let Some(one) = heard.next().await {
            match one {
                Ok(()) => done += 1,
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(done), Err)
    }

    /// One webhook does not hold up the others: where it fails, it is put off.
    async fn hear_webhook(&self, row: Webhook) -> Result<(), RunnerError> {
        match self.hear(&row).await {
            Ok(()) => Ok(()),
            Err(error) => {
                let (psp, id) = (&row.psp, &row.event_id);
                tracing::warn!(%psp, %id, %error, "a webhook could not be handled");
                self.wait(&row, &format!("it could not be handled: {error}")).await
            }
        }
    }

    async fn hear(&self, row: &Webhook) -> Result<(), RunnerError> {
        // Time does not help: a person must look.
        let Some(told) = &row.told else {
            let note = match row.kind.as_str() {
                store::NOT_UNDERSTOOD => store::NOT_UNDERSTOOD_NOTE,
                _ => store::UNREADABLE_NOTE,
            };
            return self.put_off(row, WebhookState::Parked, note).await;
        };
        if told.what.is_of_payout() {
            return self.hear_of_payout(row, told).await;
        }
        let Some((order, payment)) = store::about(&self.database, &row.psp, told).await? else {
            return self.wait(row, "nothing is known of what it is about").await;
        };
        let Some(case) = store::case(&self.database, order).await? else {
            return self.wait(row, "nothing is known of its order").await;
        };
        let hint = hint(&case, payment, told);
        let (_span, [traceparent, tracestate]) = self.traced(&case, payment, &hint).await?;
        let of = About { order, payment, told, hint, traceparent, tracestate };
        match self.look(row, &case, &of).await {
            Looked::Wait(why) => self.wait(row, &why).await,
            Looked::Handled(follows, note) => self.handled(row, (&of, follows), note).await,
        }
    }

    /// The span of a webhook, and the trace of what follows, with what other systems added to it:
    /// that of the operation it is about, or else of the payment's last one.
    async fn traced(
        &self,
        case: &Case,
        payment: PaymentId,
        hint: &Hint,
    ) -> Result<(Span, [Option<String>; 2]), DatabaseError> {
        let last = || Some(case.payment(payment)?.operations.last()?.id);
        let operation = match hint {
            Hint::Ask { operation, .. } => Some(*operation),
            _ => last(),
        };
        let Some(operation) = operation else { return Ok((Span::none(), [None, None])) };
        let row = store::operation(&self.database, operation).await?;
        let Some(row) = row else { return Ok((Span::none(), [None, None])) };
        let span = traced::hearing(&row);
        let origins = traced::origins(&row, span.traceparent());
        Ok((span, [origins.traceparent, origins.tracestate]))
    }

    /// What is to be heard of a webhook. No transaction is open while the provider is asked.
    async fn look(&self, row: &Webhook, case: &Case, about: &About<'_>) -> Looked {
        match about.hint.clone() {
            Hint::Nothing(why) => Looked::Handled(None, why),
            Hint::Wait(why) => Looked::Wait(why.to_owned()),
            Hint::Dispute(of) => {
                Looked::Handled(Some(Follows::Heard(Input::Dispute(of))), "a dispute")
            }
            Hint::External(of) => self.look_for(row, case, of, about).await,
            Hint::Ask { operation, expired, claims } => {
                let Some((_, operation)) = case.operation(operation) else {
                    return Looked::Wait("the operation is not known".to_owned());
                };
                self.look_at(row, (case, operation), (about, expired, claims)).await
            }
        }
    }

    async fn look_at(
        &self,
        row: &Webhook,
        (case, operation): (&Case, &Operation),
        (about, expired, claims): (&About<'_>, bool, OperationState),
    ) -> Looked {
        let told = about.told;
        let reference = || operation.reference.as_deref().and_then(|text| text.parse().ok());
        let theirs = operation.external.then(reference).flatten();
        let theirs = theirs.zip(authorization(case, operation.id).or_else(|| told.payment.clone()));
        let question = match theirs {
            Some((reference, payment)) => {
                let kind = calls::kind(operation.kind);
                Question::Theirs(Theirs { kind, payment, reference })
            }
            None => Question::Ours(calls::lookup(case, operation, told.payment.as_ref())),
        };
        let answer = match self.asked(row, question, about).await {
            Ok(answer) => answer,
            Err(why) => return Looked::Wait(why),
        };
        if is_below(&answer, claims) {
            return Looked::Wait("the provider does not say so yet".to_owned());
        }
        let (operation, known) = (operation.id, operation.state);
        let follows = Follows::Answered { operation, known, answer, expired };
        Looked::Handled(Some(follows), "as the provider says")
    }

    /// Asks for something that we did not do.
    async fn look_for(
        &self,
        row: &Webhook,
        case: &Case,
        of: External,
        about: &About<'_>,
    ) -> Looked {
        let reference = of.reference.parse().ok();
        let payment = about.told.payment.clone().or_else(|| {
            let standing = case.payment(of.payment_id)?.of_kind(OperationKind::Authorize);
            standing
                .filter(|one| one.stands())
                .find_map(|one| one.reference.as_deref()?.parse().ok())
        });
        let Some((payment, reference)) = payment.zip(reference) else {
            return Looked::Handled(None, "it names nothing that can be looked up");
        };
        let theirs = Theirs { kind: calls::kind(of.kind), payment, reference };
        match self.asked(row, Question::Theirs(theirs), about).await {
            Ok(Answer::Done { reference, amount, .. }) => {
                let reference = reference.as_str().to_owned();
                let input = Input::External(External { reference, amount, ..of });
                Looked::Handled(
                    Some(Follows::Heard(input)),
                    "done at the provider by somebody else",
                )
            }
            Ok(Answer::Declined { .. } | Answer::Refused { .. }) => {
                Looked::Handled(None, "the provider says that it came to nothing")
            }
            Ok(_) => Looked::Wait("the provider works on it".to_owned()),
            Err(why) => Looked::Wait(why),
        }
    }

    /// What a provider knows; or why it could not be asked, or knows nothing.
    async fn asked(
        &self,
        row: &Webhook,
        question: Question,
        about: &About<'_>,
    ) -> Result<Answer, String> {
        let now = (self.now)();
        let psp = self.psps.get(&row.psp).ok_or("another process can ask its provider")?;
        if self.breaker(&row.psp, |breaker| breaker.holds_back(now)).is_some() {
            return Err("the provider does not answer".to_owned());
        }
        let called = match &question {
            Question::Ours(_) => Called::Find,
            Question::Theirs(_) => Called::Look,
        };
        let called = AtProvider::below(called, &row.psp, about.traceparent.as_deref());
        let asking = async {
            match &question {
                Question::Ours(of) => psp.find(of).await,
                Question::Theirs(of) => psp.look(of).await,
            }
        };
        let found = tokio::time::timeout(ANSWER_WITHIN, asking).await;
        let found = found.unwrap_or_else(|_| Found::Unknown { why: "timeout".to_owned() });
        called.answered(counted::found(&found));
        let known = !matches!(found, Found::Unknown { .. });
        self.breaker(&row.psp, |breaker| breaker.record(known, (self.now)()));
        match found {
            Found::Known(Answer::Unknown { why }) | Found::Unknown { why } => Err(why),
            Found::Known(answer) => Ok(answer),
            Found::Nothing => Err("the provider does not know it".to_owned()),
        }
    }

    /// What follows from a webhook, and that it is settled, in one transaction.
    async fn handled(
        &self,
        row: &Webhook,
        (of, follows): (&About<'_>, Option<Follows>),
        note: &str,
    ) -> Result<(), RunnerError> {
        if (self.ends)(Point::Heard, OperationKind::Authorize) {
            return Ok(());
        }
        let mut tx = self.database.begin().await?;
        let mut open = self.locked(&mut tx, of.order).await?;
        let heard = open.as_ref().map_or(Ok(None), |open| of.heard(&open.case, follows));
        let (input, acts) = match heard {
            Ok(heard) => heard.unzip(),
            Err(why) => {
                drop(tx);
                return self.wait(row, why).await;
            }
        };
        let mut refused = None;
        if let (Some(case), Some(input)) = (&mut open, input) {
            let context = self.context(Some(&row.psp));
            let causationid = Some(format!("{}/{}", row.psp, row.event_id));
            let (traceparent, tracestate) = (of.traceparent.clone(), of.tracestate.clone());
            let origins = Origins { causationid, traceparent, tracestate };
            match case.hear(input, &context, &origins) {
                Ok(()) => {}
                Err(error @ Rejection::UnderWay) => {
                    drop(tx);
                    return self.wait(row, &error.to_string()).await;
                }
                // What can never be heard is for a person; the others go on.
                Err(error) => {
                    let (psp, id) = (&row.psp, &row.event_id);
                    tracing::warn!(%psp, %id, %error, "a webhook waits for a person");
                    (open, refused) = (None, Some(error.to_string()));
                }
            }
        }
        let now = (self.now)();
        let state = if refused.is_some() { WebhookState::Parked } else { WebhookState::Handled };
        let note = refused.as_deref().unwrap_or(note);
        let (due_at, tries, order_id) = (row.due_at, row.tries, Some(of.order));
        let next = Outcome { state, due_at, tries, note, order_id, now };
        // Where somebody else has, or more is known since, nothing of this is kept. What is written
        // below wakes those that wait, and this one does not any more.
        if !store::settle(&mut tx, row, &next).await? {
            return Ok(());
        }
        let became = match open {
            Some(open) => self.told(&mut tx, open, acts.flatten()).await?,
            None => Became::default(),
        };
        self.commit(tx, became).await
    }

    /// Writes what was heard, and where the customer acts while the operation is open.
    async fn told(
        &self,
        tx: &mut Tx,
        open: OpenCase,
        acts: Option<Acts>,
    ) -> Result<Became, RunnerError> {
        let acts = acts.and_then(|(id, url)| Some((open.case.acts(id)?, url)));
        let became = self.write(tx, open).await?;
        if let Some((of, url)) = acts {
            store::keep_action(tx, of, &url, (self.now)()).await?;
        }
        Ok(became)
    }
}
