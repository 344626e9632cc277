use psp::Answer;
use shared_events::contract::OperationId;

use crate::domain::{Case, Observation, Operation, OperationState};

/// The provider's name of the authorisation that an operation belongs to.
pub(super) fn authorization(case: &Case, operation: OperationId) -> Option<psp::PspReference> {
    let (payment, mut one) = case.operation(operation)?;
    while let Some(of) = one.of {
        one = payment.operation(of)?;
    }
    one.reference.as_deref()?.parse().ok()
}

/// Whether a provider says less than its webhook did: it finds late what it did, or takes it back.
pub(super) const fn is_below(answer: &Answer, claims: OperationState) -> bool {
    match answer {
        Answer::Pending { .. } | Answer::ActionRequired { .. } => !matches!(
            claims,
            OperationState::Open | OperationState::Stuck | OperationState::Pending
        ),
        Answer::Declined { .. } => {
            matches!(claims, OperationState::Succeeded | OperationState::Reversed)
        }
        _ => false,
    }
}

/// What an operation hears of the provider's answer; or why that is no end of it.
pub(super) fn observation(
    operation: &Operation,
    answer: Answer,
    expired: bool,
) -> Result<Observation, &'static str> {
    let stands = operation.state == OperationState::Succeeded;
    match answer {
        Answer::Done { .. } if stands => Err("the provider says that it stands"),
        Answer::Done { reference, amount, valid_until } => {
            let reference = reference.as_str().to_owned();
            Ok(Observation::Done { reference, amount, valid_until })
        }
        Answer::Declined { .. } if stands && expired => Ok(Observation::Expired),
        Answer::Declined { code } if stands => Ok(Observation::Reversed { code }),
        Answer::Declined { code } => Ok(Observation::Declined { code }),
        Answer::Pending { reference } | Answer::ActionRequired { reference, .. } if !stands => {
            Ok(Observation::Pending { reference: reference.as_str().to_owned() })
        }
        Answer::Pending { .. } | Answer::ActionRequired { .. } => Err("the provider works on it"),
        Answer::Refused { .. } | Answer::Unknown { .. } => Err("the provider cannot say"),
    }
}
