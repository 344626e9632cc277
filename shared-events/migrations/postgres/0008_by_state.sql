-- Each step asks for letters that were put back, and every few seconds each state is counted: among
-- many of one state, the few of another are found without reading those.
CREATE INDEX dead_letters_by_state ON dead_letters (follower, state, parked_at);
