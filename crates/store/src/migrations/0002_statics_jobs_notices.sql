-- Static proxies, the worker's jobs, and notices. The words are those of 0001: times in
-- microseconds, money in cents, days in the platform's zone.

-- Static proxies -------------------------------------------------------------------------------

-- The price list. Neither count nor period of an item is ever changed: what was bought by it is
-- renewed by it.
CREATE TABLE static_prices (
    id {id},
    static_type TEXT NOT NULL CHECK (static_type IN ('res', 'dc', 'ipv6')),
    count {int} NOT NULL CHECK (count > 0),         -- addresses in an order
    period {int} NOT NULL CHECK (period > 0),       -- days
    price {int} NOT NULL CHECK (price >= 0),        -- cents for one address for the period
    discount {int} NOT NULL CHECK (discount >= 0 AND discount <= 100),   -- per cent off an order
    back_orders {int} NOT NULL,                     -- may be ordered while stock is short
    on_sale {int} NOT NULL,
    created_at {int} NOT NULL,
    updated_at {int} NOT NULL
) {strict};

-- Every type and country of which there ever was stock. Whoever takes stock holds its shelf's row
-- locked: of those who race for the last of it none is refused while some is left.
CREATE TABLE stock_shelves (
    static_type TEXT NOT NULL CHECK (static_type IN ('res', 'dc', 'ipv6')),
    country TEXT NOT NULL,
    PRIMARY KEY (static_type, country)
) {strict};

-- What the operator can lease out: an address and port, and the address that it leaves from.
CREATE TABLE stock_items (
    id {id},
    static_type TEXT NOT NULL,
    country TEXT NOT NULL,
    listen_ip TEXT NOT NULL,                        -- canonical spelling
    listen_port {int} NOT NULL CHECK (listen_port > 0 AND listen_port < 65536),
    exit_ip TEXT NOT NULL,                          -- canonical spelling; the listen_ip where nothing else was said
    state TEXT NOT NULL CHECK (state IN ('free', 'leased', 'grace', 'disabled')),
    release_at {int},                               -- in grace: when it is free again
    created_at {int} NOT NULL,
    updated_at {int} NOT NULL,
    UNIQUE (listen_ip, listen_port),
    FOREIGN KEY (static_type, country) REFERENCES stock_shelves (static_type, country),
    CHECK ((state = 'grace') = (release_at IS NOT NULL))
) {strict};
CREATE INDEX stock_free ON stock_items (static_type, country, id) WHERE state = 'free';

CREATE TABLE static_orders (
    id {id},
    order_no TEXT NOT NULL UNIQUE,                  -- what customers and support call it
    account_id {int} NOT NULL REFERENCES accounts (id),
    kind TEXT NOT NULL CHECK (kind IN ('purchase', 'renewal')),
    static_type TEXT NOT NULL CHECK (static_type IN ('res', 'dc', 'ipv6')),
    country TEXT NOT NULL,                          -- '' for renewals, which may be of several
    protocol TEXT NOT NULL,                         -- '' for renewals
    price_id {int} NOT NULL,                        -- 0 for renewals, each at its own
    count {int} NOT NULL CHECK (count > 0),
    amount {int} NOT NULL CHECK (amount >= 0),      -- cents paid
    state TEXT NOT NULL CHECK (state IN ('pending', 'completed', 'cancelled')),
    created_at {int} NOT NULL,
    updated_at {int} NOT NULL
) {strict};
CREATE INDEX static_orders_of_account ON static_orders (account_id, id);

-- A customer's proxy: the same row over renewals and replacements.
CREATE TABLE static_proxies (
    id {id},
    account_id {int} NOT NULL REFERENCES accounts (id),
    order_id {int} NOT NULL REFERENCES static_orders (id),
    price_id {int} NOT NULL REFERENCES static_prices (id),
    stock_id {int} REFERENCES stock_items (id),     -- NULL while a back-order is pending, and once ended
    static_type TEXT NOT NULL CHECK (static_type IN ('res', 'dc', 'ipv6')),
    country TEXT NOT NULL,
    protocol TEXT NOT NULL CHECK (protocol IN ('http', 'socks5', 'http/socks5')),
    username TEXT NOT NULL,
    password_sealed {bytes} NOT NULL,
    password_tag {bytes} NOT NULL,
    remark TEXT NOT NULL,
    -- grace: expired, and may still be renewed. ended: gave its address back, or never got one.
    state TEXT NOT NULL CHECK (state IN ('pending', 'live', 'grace', 'ended')),
    auto_rebuy TEXT NOT NULL DEFAULT 'inactive' CHECK (auto_rebuy IN ('active', 'inactive')),
    rebuy_status TEXT NOT NULL DEFAULT 'normal' CHECK (rebuy_status IN ('normal', 'insufficient', 'failed')),
    expires_at {int} NOT NULL,
    created_at {int} NOT NULL,
    updated_at {int} NOT NULL,
    CHECK ((state IN ('live', 'grace')) = (stock_id IS NOT NULL))
) {strict};
CREATE INDEX static_proxies_held ON static_proxies (account_id, id) WHERE state <> 'ended';
CREATE INDEX static_proxies_of_order ON static_proxies (order_id);
-- One address is in one hand.
CREATE UNIQUE INDEX static_proxies_of_stock ON static_proxies (stock_id) WHERE stock_id IS NOT NULL;

-- What was paid for which time of a proxy: never changed but for what of it was given back.
CREATE TABLE static_terms (
    id {id},
    proxy_id {int} NOT NULL REFERENCES static_proxies (id),
    order_id {int} NOT NULL REFERENCES static_orders (id),
    amount {int} NOT NULL CHECK (amount >= 0),      -- cents, this proxy's share of the order
    starts_at {int} NOT NULL,
    ends_at {int} NOT NULL,
    refunded {int} NOT NULL DEFAULT 0,              -- cents given back
    CHECK (ends_at > starts_at),
    CHECK (refunded >= 0 AND refunded <= amount)
) {strict};
CREATE INDEX static_terms_of_proxy ON static_terms (proxy_id, ends_at);
CREATE INDEX static_terms_of_order ON static_terms (order_id);

-- Replacements and refunds, with what came of them.
CREATE TABLE static_requests (
    id {id},
    proxy_id {int} NOT NULL REFERENCES static_proxies (id),
    account_id {int} NOT NULL REFERENCES accounts (id),
    kind TEXT NOT NULL CHECK (kind IN ('replace', 'refund')),
    asked_by TEXT NOT NULL,                         -- as the audit log's actor
    reason TEXT NOT NULL,
    -- asked: waits for the operator. going: a worker does it. The others are its ends.
    state TEXT NOT NULL CHECK (state IN ('asked', 'going', 'done', 'refused', 'dropped')),
    old_address TEXT NOT NULL,                      -- IP:port when it was asked
    new_address TEXT NOT NULL DEFAULT '',           -- IP:port after a replacement
    amount {int} NOT NULL DEFAULT 0,                -- cents given back by a refund
    note TEXT NOT NULL DEFAULT '',                  -- the operator's
    created_at {int} NOT NULL,
    updated_at {int} NOT NULL
) {strict};
CREATE INDEX static_requests_of_proxy ON static_requests (proxy_id, id);
CREATE INDEX static_requests_of_account ON static_requests (account_id, id);
CREATE UNIQUE INDEX static_requests_open ON static_requests (proxy_id) WHERE state IN ('asked', 'going');

-- What each run of a gateway has moved, cumulatively, and the days that the differences fell on.
CREATE TABLE static_counters (
    proxy_id {int} NOT NULL REFERENCES static_proxies (id),
    gateway_id {int} NOT NULL,
    boot_id {int} NOT NULL,
    bytes_up {int} NOT NULL,
    bytes_down {int} NOT NULL,
    connections {int} NOT NULL,
    updated_at {int} NOT NULL,
    PRIMARY KEY (proxy_id, gateway_id, boot_id)
) {strict};
CREATE INDEX static_counters_by_run ON static_counters (gateway_id, boot_id, updated_at);

CREATE TABLE static_usage (
    proxy_id {int} NOT NULL REFERENCES static_proxies (id),
    day {int} NOT NULL,
    bytes_up {int} NOT NULL DEFAULT 0,
    bytes_down {int} NOT NULL DEFAULT 0,
    connections {int} NOT NULL DEFAULT 0,
    PRIMARY KEY (proxy_id, day)
) {strict};

-- Jobs -----------------------------------------------------------------------------------------

-- Something to be done, once, at a time. Written by the transaction that causes it, deleted by the
-- transaction that does it.
CREATE TABLE jobs (
    id {id},
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,                          -- what it is about; a kind has one job for each subject
    run_at {int} NOT NULL,
    -- dead: has failed too often, and waits for the operator.
    state TEXT NOT NULL CHECK (state IN ('waiting', 'claimed', 'dead')),
    claim {int} NOT NULL DEFAULT 0,                 -- grows with every claim and every rescheduling: who holds an old one holds nothing
    claimed_until {int} NOT NULL DEFAULT 0,
    attempts {int} NOT NULL DEFAULT 0,              -- failures in a row
    last_error TEXT NOT NULL DEFAULT '',
    created_at {int} NOT NULL,
    updated_at {int} NOT NULL,
    UNIQUE (kind, subject)
) {strict};
CREATE INDEX jobs_due ON jobs (run_at, id) WHERE state = 'waiting';
CREATE INDEX jobs_claimed ON jobs (claimed_until) WHERE state = 'claimed';

-- Notices --------------------------------------------------------------------------------------

-- What happened, numbered for each account in the order of the commits.
CREATE TABLE events (
    account_id {int} NOT NULL REFERENCES accounts (id),
    seq {int} NOT NULL,
    kind TEXT NOT NULL,
    data TEXT NOT NULL,                             -- JSON
    at {int} NOT NULL,
    PRIMARY KEY (account_id, seq)
) {strict};
CREATE INDEX events_by_age ON events (at);

CREATE TABLE event_heads (
    account_id {int} PRIMARY KEY REFERENCES accounts (id),
    last_seq {int} NOT NULL
) {strict};

-- Where an account wants its events sent, and how far each way has got.
CREATE TABLE notice_channels (
    account_id {int} NOT NULL REFERENCES accounts (id),
    channel TEXT NOT NULL CHECK (channel IN ('webhook', 'email')),
    target TEXT NOT NULL,                           -- URL or address
    secret_sealed {bytes},                          -- webhook: what is signed with
    old_secret_sealed {bytes},                      -- and the one before, for a while
    old_secret_until {int} NOT NULL DEFAULT 0,
    language TEXT NOT NULL CHECK (language IN ('zh', 'en')),
    status TEXT NOT NULL CHECK (status IN ('active', 'inactive')),
    sent_seq {int} NOT NULL,                        -- everything up to it is delivered or given up
    attempts {int} NOT NULL DEFAULT 0,              -- of the next one
    retry_at {int} NOT NULL DEFAULT 0,              -- not before, after a failure; 0 = at once
    last_error TEXT NOT NULL DEFAULT '',
    given_up {int} NOT NULL DEFAULT 0,              -- how many were never delivered
    created_at {int} NOT NULL,
    updated_at {int} NOT NULL,
    PRIMARY KEY (account_id, channel)
) {strict};

-- Additions to what was there ------------------------------------------------------------------

-- The balance at or below which an account wants to be told; 0 = never.
ALTER TABLE wallets ADD COLUMN low_balance {int} NOT NULL DEFAULT 0;

-- The bytes left of a package at or below which its account's packages are to be looked at; -1 =
-- no such number.
ALTER TABLE packages ADD COLUMN watch_bytes {int} NOT NULL DEFAULT -1;

-- What has been said and done in this cycle of a type's packages.
ALTER TABLE package_settings ADD COLUMN told_gb {int} NOT NULL DEFAULT 0;
ALTER TABLE package_settings ADD COLUMN told_days {int} NOT NULL DEFAULT 0;
ALTER TABLE package_settings ADD COLUMN told_exhausted {int} NOT NULL DEFAULT 0;
ALTER TABLE package_settings ADD COLUMN rebuy_amount {int} NOT NULL DEFAULT 0;      -- the most that auto-rebuy may charge
ALTER TABLE package_settings ADD COLUMN rebuy_day {int} NOT NULL DEFAULT 0;         -- the day of the last auto-rebuy
ALTER TABLE package_settings ADD COLUMN rebuys {int} NOT NULL DEFAULT 0;            -- auto-rebuys on that day

-- Packages that were bought before there were jobs.
INSERT INTO jobs (kind, subject, run_at, state, created_at, updated_at)
    SELECT 'package.expiry', CAST(id AS TEXT), expires_at, 'waiting', bought_at, bought_at
    FROM packages WHERE state = 'open';
INSERT INTO jobs (kind, subject, run_at, state, created_at, updated_at)
    SELECT 'package.watch', CAST(account_id AS TEXT) || ':' || proxy_type, 0, 'waiting', 0, 0
    FROM package_settings;
UPDATE package_settings SET rebuy_amount = COALESCE(
    (SELECT price * traffic_gb FROM package_offers WHERE package_offers.id = rebuy_package_id), 0);

-- The outbox learns of static proxies. Who has not read its old lines loads everything anew.
DROP TABLE directory_log;
CREATE TABLE directory_log (
    version {int} PRIMARY KEY,
    kind TEXT NOT NULL CHECK (kind IN ('account', 'sub_account', 'whitelist', 'exits', 'static', 'static_order')),
    ref_id {int} NOT NULL,
    at {int} NOT NULL
) {strict};
