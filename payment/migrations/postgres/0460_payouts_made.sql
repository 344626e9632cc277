-- Payouts to a seller in the order in which they were made: those that an older ledger has forgotten
-- are the newest.
CREATE INDEX payouts_made ON payouts (seller, currency, made_at, payout_id);
