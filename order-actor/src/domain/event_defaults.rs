//! Values of fields that older events do not have, and that newer ones do not write.

use super::Role;

pub(super) const fn customer() -> Role {
    Role::Customer
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
pub(super) const fn is_customer(role: &Role) -> bool {
    matches!(role, Role::Customer)
}

pub(super) const fn published() -> bool {
    true
}

pub(super) const fn is_published(published: &bool) -> bool {
    *published
}
