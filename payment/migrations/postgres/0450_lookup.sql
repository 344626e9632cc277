-- Payments by a provider's name of what was done for them, whichever provider it is of.
CREATE INDEX psp_references_by_reference ON psp_references (reference);
