-- The chain of entries. An entry is written without a place; soon after its commit it gets the next
-- one, and its hash, which covers it and the hash before. Nothing else of an entry ever changes.
ALTER TABLE entries ADD COLUMN place {int};
ALTER TABLE entries ADD COLUMN hash {bytes};
CREATE INDEX entries_to_chain ON entries (id) WHERE place IS NULL;
CREATE UNIQUE INDEX entries_by_place ON entries (place) WHERE place IS NOT NULL;

-- How far the chain reaches. Its one row is locked by whoever chains entries.
CREATE TABLE entry_chain (
    id {int} PRIMARY KEY,
    entries {int} NOT NULL,
    hash {bytes},                                   -- of the last entry; NULL where there is none
    accepted_at {int} NOT NULL                      -- when a loss of entries was accepted last, 0 = never
) {strict};
INSERT INTO entry_chain (id, entries, hash, accepted_at) VALUES (1, 0, NULL, 0);
