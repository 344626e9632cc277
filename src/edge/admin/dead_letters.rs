use std::collections::BTreeSet;

use order_actor::journal::Journal;
use service_edge::page::{PageSize, foreign_token};
use service_edge::time::timestamp;
use shared_events::contract::{Fact, OrderId, ParseIdError, Reason, Subject};
use shared_events::stream::{
    AskedBy, DeadLetter, DeadLetterError, DeadLetterState, DeadLetters, OperatorAction, Verb,
};
use tonic::{Request, Response, Status};

use super::peers::{Peer, forwarded};
use super::values::{operators_reason, optional_reason, unavailable};
use super::{AdminEdge, proto};
use crate::edge::refusal::{refused, violation};

impl AdminEdge {
    pub(super) async fn list_dead_letters(
        &self,
        request: Request<proto::ListDeadLettersRequest>,
    ) -> Result<Response<proto::ListDeadLettersResponse>, Status> {
        let ask = |mut peer: Peer, asked| async move { peer.list_dead_letters(asked).await };
        if let Some(answer) = self.elsewhere(&request, ask).await {
            return answer;
        }
        let peers =
            if request.get_ref().follower.is_empty() { self.peers(&request) } else { Vec::new() };
        let mut elsewhere = Vec::new();
        for (_, mut peer) in peers {
            let asked = forwarded(&request, request.get_ref().clone());
            elsewhere.push(peer.list_dead_letters(asked).await?.into_inner());
        }
        let request = request.into_inner();
        let size = PageSize::LIST.of(request.page_size);
        let after = PageToken::parse(&request.page_token)?;
        if !request.follower.is_empty() {
            self.letters_of(&request.follower)?;
        }
        // One more than fits tells whether there is a next page.
        let wanted = usize::try_from(size).unwrap_or(usize::MAX);
        let mut found: Vec<DeadLetter> = Vec::new();
        for (name, letters) in &self.parts.letters {
            let passed = after.as_ref().is_some_and(|after| name < &after.follower);
            let asked = request.follower.is_empty() || &request.follower == name;
            if passed || !asked || found.len() > wanted {
                continue;
            }
            let place = after.as_ref().filter(|after| &after.follower == name);
            let place =
                place.map(|place| (name.as_str(), place.shard, place.position, place.index));
            let page = letters
                .list(Some(name), place, size.saturating_add(1))
                .await
                .map_err(unavailable)?;
            found.extend(page);
        }
        // Each process returns its first letters in the same order, so merged they are the first
        // overall.
        let mut more = found.len() > wanted;
        let mut dead_letters: Vec<proto::DeadLetter> =
            found.into_iter().map(|letter| message(letter, false)).collect();
        for answer in elsewhere {
            more |= !answer.next_page_token.is_empty();
            dead_letters.extend(answer.dead_letters);
        }
        dead_letters.sort_by_key(|letter| PageToken::of(letter).sorted());
        more |= dead_letters.len() > wanted;
        dead_letters.truncate(wanted);
        let next_page_token = match dead_letters.last() {
            Some(last) if more => PageToken::of(last).to_string(),
            _ => String::new(),
        };
        Ok(Response::new(proto::ListDeadLettersResponse { dead_letters, next_page_token }))
    }

    pub(super) async fn get_dead_letter(
        &self,
        request: Request<proto::GetDeadLetterRequest>,
    ) -> Result<Response<proto::GetDeadLetterResponse>, Status> {
        let ask = |mut peer: Peer, asked| async move { peer.get_dead_letter(asked).await };
        if let Some(answer) = self.elsewhere(&request, ask).await {
            return answer;
        }
        let request = request.into_inner();
        let letters = self.letters_of(&request.follower)?;
        let subject = subject(&request.subject)?;
        let found = letters.of_subject(&request.follower, subject).await.map_err(unavailable)?;
        if found.is_empty() {
            return Err(letter_refused(DeadLetterError::NotFound));
        }
        let dead_letters = found.into_iter().map(|letter| message(letter, true)).collect();
        Ok(Response::new(proto::GetDeadLetterResponse { dead_letters }))
    }

    pub(super) async fn put_back_dead_letters(
        &self,
        request: Request<proto::PutBackDeadLettersRequest>,
    ) -> Result<Response<proto::PutBackDeadLettersResponse>, Status> {
        let ask = |mut peer: Peer, asked| async move { peer.put_back_dead_letters(asked).await };
        if let Some(answer) = self.elsewhere(&request, ask).await {
            return answer;
        }
        let proto::PutBackDeadLettersRequest { follower, subject: about, reason, validate_only } =
            request.get_ref();
        let letters = self.letters_of(follower)?;
        let subject = subject(about)?;
        let reason = optional_reason(reason)?;
        if *validate_only {
            let (_, count) = first_of(letters, follower, subject).await?;
            return Ok(Response::new(proto::PutBackDeadLettersResponse { put_back: count }));
        }
        let target = letters_target(follower, subject);
        let action = self.action(&request, Verb::PutBackDeadLetters, &target, &reason);
        let put_back = letters.put_back(follower, subject, action).await.map_err(letter_refused)?;
        tracing::info!(follower, %subject, put_back, "dead letters put back");
        Ok(Response::new(proto::PutBackDeadLettersResponse { put_back }))
    }

    pub(super) async fn drop_dead_letter(
        &self,
        request: Request<proto::DropDeadLetterRequest>,
    ) -> Result<Response<proto::DropDeadLetterResponse>, Status> {
        let ask = |mut peer: Peer, asked| async move { peer.drop_dead_letter(asked).await };
        if let Some(answer) = self.elsewhere(&request, ask).await {
            return answer;
        }
        let proto::DropDeadLetterRequest { follower, subject: about, reason, validate_only } =
            request.get_ref();
        let letters = self.letters_of(follower)?;
        let subject = subject(about)?;
        let reason = operators_reason(reason)?;
        if *validate_only {
            let (first, _) = first_of(letters, follower, subject).await?;
            let dropped = Some(message(first, true));
            return Ok(Response::new(proto::DropDeadLetterResponse { dropped }));
        }
        let target = letters_target(follower, subject);
        let action = self.action(&request, Verb::DropDeadLetter, &target, &reason);
        let dropped =
            letters.drop_first(follower, subject, action).await.map_err(letter_refused)?;
        tracing::warn!(
            follower = dropped.follower, %subject, kind = dropped.kind,
            shard = dropped.shard, position = dropped.position, "dead letter dropped"
        );
        let dropped = Some(message(dropped, true));
        Ok(Response::new(proto::DropDeadLetterResponse { dropped }))
    }

    /// The dead letters of a follower of this process.
    pub(super) fn letters_of(&self, follower: &str) -> Result<&DeadLetters, Status> {
        self.parts.letters.get(follower).ok_or_else(|| {
            let here = self.parts.letters.keys().map(String::as_str);
            let there = self.parts.peers.values().flat_map(|other| &other.followers).copied();
            let known: Vec<&str> = here.chain(there).collect();
            violation(
                "follower",
                &format!("no follower has this name; the followers are {}", known.join(", ")),
            )
        })
    }

    /// Drops dead letters about orders that the journal does not hold; returns their number.
    pub(super) async fn drop_letters_of_lost_orders(
        &self,
        journal: &Journal,
        by: &AskedBy,
        reason: &str,
    ) -> anyhow::Result<u64> {
        let mut dropped = 0;
        for (follower, letters) in &self.parts.letters {
            let all = letters.all(Some(follower)).await?;
            let gone = lost_orders(journal, &all).await?;
            let verb = Verb::DropLettersOfLostOrders;
            let action = OperatorAction::new(by, verb, follower, reason, (self.parts.now)());
            let gone = letters.drop_of(follower, &gone, action).await?;
            if gone > 0 {
                tracing::warn!(
                    follower,
                    letters = gone,
                    by = %by,
                    "dead letters about lost orders were dropped"
                );
            }
            dropped += gone;
        }
        Ok(dropped)
    }

    /// How many dead letters are about orders that the journal does not hold.
    pub(super) async fn letters_of_lost_orders(&self, journal: &Journal) -> anyhow::Result<u64> {
        let mut count = 0;
        for (follower, letters) in &self.parts.letters {
            let all = letters.all(Some(follower)).await?;
            let gone = lost_orders(journal, &all).await?;
            let lost = all.iter().filter(|letter| gone.contains(&letter.subject)).count();
            count += u64::try_from(lost).unwrap_or(u64::MAX);
        }
        Ok(count)
    }
}

/// The orders of these dead letters that the journal does not hold.
async fn lost_orders(
    journal: &Journal,
    letters: &[DeadLetter],
) -> anyhow::Result<BTreeSet<Subject>> {
    let orders: BTreeSet<OrderId> = letters.iter().filter_map(order_of).collect();
    let asked: Vec<OrderId> = orders.iter().copied().collect();
    let there = journal.versions(&asked).await?;
    let gone = orders.into_iter().filter(|id| !there.contains_key(&(*id).into()));
    Ok(gone.map(Subject::from).collect())
}

/// The first dead letter about a subject, and how many there are.
async fn first_of(
    letters: &DeadLetters,
    follower: &str,
    subject: Subject,
) -> Result<(DeadLetter, u64), Status> {
    let found = letters.of_subject(follower, subject).await.map_err(unavailable)?;
    let count = u64::try_from(found.len()).unwrap_or(u64::MAX);
    let first = found.into_iter().next();
    Ok((first.ok_or_else(|| letter_refused(DeadLetterError::NotFound))?, count))
}

/// The order that a dead letter is about; none for a fact about something else.
fn order_of(letter: &DeadLetter) -> Option<OrderId> {
    match Fact::from_json(&letter.item) {
        Ok(fact) => fact.body.order_id(),
        // An event of the journal, or what this program cannot read.
        Err(_) => Some(OrderId::from_uuid(letter.subject.uuid())),
    }
}

/// The name of a follower's dead letters about a subject, in the record of operators' actions.
fn letters_target(follower: &str, subject: Subject) -> String {
    format!("{follower} {subject}")
}

fn message(letter: DeadLetter, with_item: bool) -> proto::DeadLetter {
    use proto::dead_letter::State;
    let state = match letter.state {
        DeadLetterState::Poison => State::Poison,
        DeadLetterState::Behind => State::Behind,
        DeadLetterState::Retry => State::Retry,
    };
    proto::DeadLetter {
        follower: letter.follower,
        subject: letter.subject.to_string(),
        state: state.into(),
        kind: letter.kind,
        shard: u32::from(letter.shard),
        position: letter.position,
        index: u32::from(letter.index),
        error: letter.error,
        attempts: letter.attempts,
        parked_at: Some(timestamp(letter.parked_at)),
        item: if with_item { letter.item } else { String::new() },
    }
}

/// A position in the list of dead letters, as encoded in page tokens.
#[derive(Debug, PartialEq, Eq)]
struct PageToken {
    follower: String,
    shard: u16,
    position: u64,
    index: u16,
}

impl PageToken {
    fn of(letter: &proto::DeadLetter) -> Self {
        Self {
            follower: letter.follower.clone(),
            shard: u16::try_from(letter.shard).unwrap_or(u16::MAX),
            position: letter.position,
            index: u16::try_from(letter.index).unwrap_or(u16::MAX),
        }
    }

    fn sorted(self) -> (String, u16, u64, u16) {
        (self.follower, self.shard, self.position, self.index)
    }

    fn parse(text: &str) -> Result<Option<Self>, Status> {
        if text.is_empty() {
            return Ok(None);
        }
        let token = || {
            let mut parts = text.splitn(4, '.');
            let shard = parts.next()?.parse().ok()?;
            let position = parts.next()?.parse().ok()?;
            let index = parts.next()?.parse().ok()?;
            let follower = parts.next()?.to_owned();
            Some(Self { follower, shard, position, index })
        };
        token().map(Some).ok_or_else(foreign_token)
    }
}

impl std::fmt::Display for PageToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}.{}", self.shard, self.position, self.index, self.follower)
    }
}

fn subject(text: &str) -> Result<Subject, Status> {
    text.parse().map_err(|error: ParseIdError| match text {
        "" => violation("subject", "required: a UUID"),
        _ => violation("subject", &error.to_string()),
    })
}

fn letter_refused(error: DeadLetterError) -> Status {
    match error {
        DeadLetterError::NotFound => {
            refused(Reason::NotFound, "that follower has no dead letter about that subject")
        }
        DeadLetterError::Database(error) => unavailable(error),
    }
}

#[cfg(test)]
mod tests {
    use tonic::Code;
    use tonic_types::StatusExt as _;

    use super::*;

    #[test]
    fn a_page_token_parses_to_what_it_was_made_of() {
        let token = PageToken { follower: "stock".to_owned(), shard: 3, position: 17, index: 2 };
        assert_eq!(PageToken::parse(&token.to_string()).unwrap(), Some(token));
        assert_eq!(PageToken::parse("").unwrap(), None);
    }

    #[test]
    fn an_unknown_page_token_is_refused_with_its_field() {
        for text in ["x", "1.2.3", "99999.1.1.stock", "-1.1.1.stock"] {
            let status = PageToken::parse(text).unwrap_err();
            assert_eq!(status.code(), Code::InvalidArgument, "{text}");
            let violations = status.get_details_bad_request().unwrap().field_violations;
            assert_eq!(violations[0].field, "page_token");
        }
    }
}
