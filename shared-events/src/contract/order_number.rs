use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

use super::{OrderId, OrderNames};

/// The number of an order whose client gave it none: twelve digits of base 32 in groups of four,
/// such as `4QK2-9XVA-07TM`. It is sixty bits of the order's id and nothing else: no two nodes have
/// to agree on it, nothing is stored for it, and the id is found by it among the ids that begin
/// alike. Two orders with ids of version 4 or 5 share a number with a probability of 2^-60, two
/// with ids of version 7 of one millisecond with 2^-20.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OrderNumber(u64);

/// The text is not such a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a number such as 4QK2-9XVA-07TM")]
pub struct ParseOrderNumberError;

/// Digits of Crockford's base 32: without I, L, O and U.
const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const LENGTH: u32 = 12;
const GROUP: u32 = 4;
/// Of its text, with the hyphens.
const TEXT_BYTES: usize = 14;

const MILLIS: u128 = (1 << 48) - 1;
/// The part of the milliseconds of an id of version 7 that is in its number: 34 years.
const MILLIS_KEPT: u128 = (1 << 40) - 1;

/// The first of these beginnings of milliseconds ends in 2004, the last in 2074.
const MILLIS_BEGIN: [u128; 3] = [0, 1, 2];

impl OrderNumber {
    /// The number of the order with this id.
    #[must_use]
    pub fn of(order_id: OrderId) -> Self {
        let bits = order_id.uuid().as_u128();
        let (millis, twelve) = (bits >> 80, (bits >> 64) & 0xfff);
        let number = if (bits >> 76) & 0xf == 7 {
            ((millis & MILLIS_KEPT) << 20) | (twelve << 8) | ((bits >> 54) & 0xff)
        } else {
            (millis << 12) | twelve
        };
        Self(u64::try_from(number & ((1 << 60) - 1)).unwrap_or_default())
    }

    /// The number by which people know an order: the client's, or else the one of its id.
    #[must_use]
    pub fn shown(names: Option<&OrderNames>, order_id: OrderId) -> String {
        let given = names.map(|names| names.order_number.as_str());
        match given.filter(|number| !number.is_empty()) {
            Some(number) => number.to_owned(),
            None => Self::of(order_id).text(),
        }
    }

    /// Where ids with this number are: the first and the last id of each part, inclusive. Other ids
    /// are there, too, so that [`Self::of`] has to be compared.
    #[must_use]
    pub fn places(self) -> Vec<(OrderId, OrderId)> {
        let number = u128::from(self.0);
        let id = |bits: u128| OrderId::from_uuid(Uuid::from_u128(bits));
        let all_of = |begin: u128, open: u32| (id(begin), id(begin | ((1 << open) - 1)));
        let of_time = MILLIS_BEGIN.map(|begin| {
            let millis = ((begin << 40) | (number >> 20)) & MILLIS;
            all_of((millis << 80) | (7 << 76) | (((number >> 8) & 0xfff) << 64), 64)
        });
        let mut places = vec![all_of((number >> 12) << 80, 80)];
        places.extend(of_time);
        places
    }

    fn text(self) -> String {
        let mut text = String::with_capacity(TEXT_BYTES);
        for place in 0..LENGTH {
            if place > 0 && place % GROUP == 0 {
                text.push('-');
            }
            let digit = usize::try_from((self.0 >> (5 * (LENGTH - 1 - place))) & 31);
            let digit = digit.ok().and_then(|digit| DIGITS.get(digit)).copied().unwrap_or(b'0');
            text.push(char::from(digit));
        }
        text
    }

    /// Whether a text is written as these numbers are, so that no client may give it to an order.
    #[must_use]
    pub fn is_form(text: &str) -> bool {
        let hyphens: Vec<usize> = text.match_indices('-').map(|(place, _)| place).collect();
        hyphens == [4, 9] && text.len() == TEXT_BYTES && text.parse::<Self>().is_ok()
    }
}

impl fmt::Display for OrderNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

impl FromStr for OrderNumber {
    type Err = ParseOrderNumberError;

    /// Reads a number as people type it: in any case, with or without hyphens and blanks, O for 0,
    /// and I or L for 1.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (mut number, mut length) = (0_u64, 0);
        for character in text.chars().filter(|character| !matches!(character, '-' | ' ')) {
            let upper = match character.to_ascii_uppercase() {
                'O' => '0',
                'I' | 'L' => '1',
                other => other,
            };
            let digit = DIGITS.iter().position(|digit| char::from(*digit) == upper);
            let digit = digit.and_then(|digit| u64::try_from(digit).ok());
            length += 1;
            if length > LENGTH {
                return Err(ParseOrderNumberError);
            }
            number = (number << 5) | digit.ok_or(ParseOrderNumberError)?;
        }
        if length == LENGTH { Ok(Self(number)) } else { Err(ParseOrderNumberError) }
    }
}
