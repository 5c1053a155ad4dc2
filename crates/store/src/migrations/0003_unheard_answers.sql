-- Answers to calls that spent money without an idempotency key, until they were heard. What was heard is deleted.
CREATE TABLE unheard_answers (
    account_id {int} NOT NULL REFERENCES accounts (id),
    input_hash {bytes} NOT NULL,                    -- of the call and its parameters
    delivery {bytes} NOT NULL,                      -- the last time that it was answered: random
    lost {int} NOT NULL,                            -- 1: the connection of that delivery broke before it was heard
    answer TEXT NOT NULL,
    answered_at {int} NOT NULL,                     -- the last time
    PRIMARY KEY (account_id, input_hash)
) {strict};
CREATE INDEX unheard_answers_by_age ON unheard_answers (answered_at);
