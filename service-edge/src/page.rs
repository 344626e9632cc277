//! Pages of lists: how large they are, and where the next one begins.

use tonic::Status;

use crate::{Violations, violation};

/// The sizes of a list's pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageSize {
    /// The size where none is requested.
    pub default: u32,
    /// The largest size.
    pub max: u32,
}

impl PageSize {
    /// The sizes of most lists.
    pub const LIST: Self = Self { default: 20, max: 100 };

    /// The size for a request's field that is never negative.
    #[must_use]
    pub const fn of(self, asked: u32) -> u32 {
        match asked {
            0 => self.default,
            size if size > self.max => self.max,
            size => size,
        }
    }

    /// The size for a request's field; none, and a violation, where it is invalid.
    pub fn read(self, asked: i32, violations: &mut Violations) -> Option<u32> {
        let Self { default, max } = self;
        match u32::try_from(asked) {
            Ok(size) => Some(self.of(size)),
            Err(_) => {
                let wanted = format!("not below 0; 0 is {default}, and above {max} is {max}");
                violations.wrong("page_size", wanted);
                None
            }
        }
    }
}

/// The size of a page of most lists ([`PageSize::LIST`]) for a request's field.
///
/// # Errors
/// `INVALID_ARGUMENT` where it is below 0.
pub fn page_size(asked: i32) -> Result<u32, Status> {
    let mut violations = Violations::default();
    PageSize::LIST.read(asked, &mut violations).ok_or_else(|| violations.into())
}

/// Truncates the items to a page; true where there were more. One more than the page is read for
/// that.
pub fn cut<T>(found: &mut Vec<T>, size: u32) -> bool {
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    let more = found.len() > size;
    found.truncate(size);
    more
}

/// The page tokens of a list. They contain the list's parameters, so that they fit no other list.
#[derive(Clone, Debug)]
pub struct Tokens(String);

impl Tokens {
    /// The tokens of a list with these parameters.
    #[must_use]
    pub fn of(asked: impl std::fmt::Display) -> Self {
        Self(format!("{asked}/"))
    }

    /// The token of the page after this item.
    #[must_use]
    pub fn after(&self, place: impl std::fmt::Display) -> String {
        format!("{}{place}", self.0)
    }

    /// The item that a token names; none for the first page.
    ///
    /// # Errors
    /// A violation of `page_token` where it is not a token of this list.
    pub fn place<T>(
        &self,
        token: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, Violations> {
        if token.is_empty() {
            return Ok(None);
        }
        let place = token.strip_prefix(&self.0).and_then(read);
        let foreign = || Violations::one("page_token", Violations::INVALID_FIELD, FOREIGN_TOKEN);
        place.map(Some).ok_or_else(foreign)
    }
}

const FOREIGN_TOKEN: &str = "not a token of this list";

/// Refuses a token of another list.
#[must_use]
pub fn foreign_token() -> Status {
    violation("page_token", FOREIGN_TOKEN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_token_fits_only_its_list() {
        let (mugs, cups) = (Tokens::of("MUG"), Tokens::of("CUP"));
        let number = |text: &str| text.parse::<u32>().ok();
        assert_eq!(mugs.place(&mugs.after(7), number), Ok(Some(7)));
        assert_eq!(mugs.place("", number), Ok(None));
        for foreign in [cups.after(7), mugs.after("x"), "x".to_owned()] {
            let refused = mugs.place(&foreign, number).unwrap_err();
            assert_eq!(refused.iter().next().unwrap().field, "page_token", "{foreign}");
        }
    }

    #[test]
    fn a_page_ends_where_it_is_full() {
        let mut found = vec![1, 2, 3];
        assert!(cut(&mut found, 2));
        assert_eq!(found, [1, 2]);
        assert!(!cut(&mut found, 2));
        let mut violations = Violations::default();
        assert_eq!(PageSize::LIST.read(0, &mut violations), Some(20));
        assert_eq!(PageSize::LIST.read(101, &mut violations), Some(100));
        assert_eq!(PageSize::LIST.read(-1, &mut violations), None);
        assert!(!violations.is_empty());
    }
}
