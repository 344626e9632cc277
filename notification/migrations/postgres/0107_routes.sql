-- A channel may be a webhook endpoint: WEBHOOK for the default one, WEBHOOK:crm for the one named crm.
ALTER TABLE due DROP CONSTRAINT due_channel_check;
