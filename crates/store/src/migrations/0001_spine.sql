-- One text for both engines. The words in braces differ between them and are filled in by
-- `migrate.rs`: {id} an ascending integer primary key, {int} 64 bits, {bytes} a byte string,
-- {strict} SQLite's type checking.
--
-- Times are microseconds since the epoch in UTC; days are days since 1970-01-01 in the platform's
-- zone; money is cents; traffic is bytes unless the name says gb. Sub-account 0 stands for "none"
-- (admitted by address), package 0 for "the wallet".

CREATE TABLE meta (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) {strict};

-- Customers ------------------------------------------------------------------------------------

CREATE TABLE accounts (
    id {id},
    username TEXT NOT NULL,
    username_key TEXT NOT NULL UNIQUE,              -- lower case: names differ by more than case
    email TEXT NOT NULL,
    password_hash TEXT,                             -- argon2id; NULL while there is none
    status TEXT NOT NULL CHECK (status IN ('active', 'suspended')),
    api_key_hash {bytes} NOT NULL UNIQUE,           -- keyed hash: how a caller is found
    api_key_sealed {bytes} NOT NULL,                -- sealed: shown again by call 1
    res_price {int} NOT NULL CHECK (res_price >= 0),        -- cents per GB from the wallet
    dc_price {int} NOT NULL CHECK (dc_price >= 0),
    mobile_price {int} NOT NULL CHECK (mobile_price >= 0),
    funds_epoch {int} NOT NULL DEFAULT 0,           -- see types::AccountEntry
    created_at {int} NOT NULL,
    updated_at {int} NOT NULL
) {strict};

CREATE TABLE sub_accounts (
    id {id},
    account_id {int} NOT NULL REFERENCES accounts (id),
    username TEXT NOT NULL,
    username_key TEXT NOT NULL UNIQUE,              -- lower case; '#ID' once deleted, which frees the name
    password_sealed {bytes} NOT NULL,
    password_tag {bytes} NOT NULL,                  -- keyed hash: what gateways compare
    remark TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('active', 'inactive', 'deleted')),
    created_at {int} NOT NULL,
    updated_at {int} NOT NULL
) {strict};
CREATE INDEX sub_accounts_of_account ON sub_accounts (account_id, id);

CREATE TABLE sub_account_traffic (
    sub_account_id {int} NOT NULL REFERENCES sub_accounts (id),
    proxy_type TEXT NOT NULL,
    limit_gb {int} NOT NULL CHECK (limit_gb >= 0),  -- 0 = no limit
    used_bytes {int} NOT NULL DEFAULT 0 CHECK (used_bytes >= 0),
    reserved_bytes {int} NOT NULL DEFAULT 0 CHECK (reserved_bytes >= 0),
    PRIMARY KEY (sub_account_id, proxy_type)
) {strict};

CREATE TABLE whitelist (
    id {id},
    account_id {int} NOT NULL REFERENCES accounts (id),
    ip TEXT NOT NULL UNIQUE,                        -- canonical spelling
    remark TEXT NOT NULL,
    created_at {int} NOT NULL
) {strict};
CREATE INDEX whitelist_of_account ON whitelist (account_id, id);

-- Money ----------------------------------------------------------------------------------------

CREATE TABLE wallets (
    account_id {int} PRIMARY KEY REFERENCES accounts (id),
    balance {int} NOT NULL DEFAULT 0 CHECK (balance >= 0),
    total_recharge {int} NOT NULL DEFAULT 0 CHECK (total_recharge >= 0),
    total_consume {int} NOT NULL DEFAULT 0 CHECK (total_consume >= 0),
    -- What open leases hold of the balance, in 2^-30 cents (one byte at one cent per GB).
    reserved_units {int} NOT NULL DEFAULT 0 CHECK (reserved_units >= 0),
    CHECK (balance = total_recharge - total_consume)
) {strict};

-- What has been used but is not yet a whole cent, in 2^-30 cents, per account and pool.
CREATE TABLE wallet_carries (
    account_id {int} NOT NULL REFERENCES accounts (id),
    proxy_type TEXT NOT NULL,
    units {int} NOT NULL CHECK (units >= 0 AND units < 1073741824),
    PRIMARY KEY (account_id, proxy_type)
) {strict};

-- Never changed, never deleted. Corrections are entries of their own.
CREATE TABLE entries (
    id {id},
    account_id {int} NOT NULL REFERENCES accounts (id),
    kind TEXT NOT NULL,
    reference TEXT NOT NULL,                        -- what it stands for, once: the same thing is never entered twice
    memo TEXT NOT NULL,
    at {int} NOT NULL,
    UNIQUE (account_id, kind, reference)
) {strict};
CREATE INDEX entries_of_account ON entries (account_id, id);

CREATE TABLE postings (
    entry_id {int} NOT NULL REFERENCES entries (id),
    line {int} NOT NULL,
    ledger_account TEXT NOT NULL,                   -- wallet:ID, liability:ID, revenue:PRODUCT, breakage, adjustments, cash
    amount {int} NOT NULL CHECK (amount <> 0),      -- cents; the lines of an entry sum to zero
    PRIMARY KEY (entry_id, line)
) {strict};
CREATE INDEX postings_of_ledger_account ON postings (ledger_account);

CREATE TABLE idempotency_keys (
    account_id {int} NOT NULL REFERENCES accounts (id),
    idempotency_key TEXT NOT NULL,
    input_hash {bytes} NOT NULL,                    -- of the call and its parameters
    answer TEXT NOT NULL,
    created_at {int} NOT NULL,
    PRIMARY KEY (account_id, idempotency_key)
) {strict};

-- Traffic packages -----------------------------------------------------------------------------

CREATE TABLE package_offers (
    id {id},
    proxy_type TEXT NOT NULL,
    traffic_gb {int} NOT NULL CHECK (traffic_gb > 0),
    price {int} NOT NULL CHECK (price >= 0),        -- cents per GB
    duration {int} NOT NULL CHECK (duration > 0),   -- days
    plan_type TEXT NOT NULL CHECK (plan_type IN ('personal', 'enterprise', 'custom')),
    is_hot {int} NOT NULL,
    extra_add_traffic {int} NOT NULL CHECK (extra_add_traffic >= 0),
    plan_desc TEXT NOT NULL,
    on_sale {int} NOT NULL,
    created_at {int} NOT NULL,
    updated_at {int} NOT NULL
) {strict};

-- Who sees a custom offer.
CREATE TABLE package_offer_accounts (
    offer_id {int} NOT NULL REFERENCES package_offers (id),
    account_id {int} NOT NULL REFERENCES accounts (id),
    PRIMARY KEY (offer_id, account_id)
) {strict};

CREATE TABLE packages (
    id {id},
    account_id {int} NOT NULL REFERENCES accounts (id),
    offer_id {int} NOT NULL REFERENCES package_offers (id),
    proxy_type TEXT NOT NULL,
    total_bytes {int} NOT NULL CHECK (total_bytes > 0),
    used_bytes {int} NOT NULL DEFAULT 0 CHECK (used_bytes >= 0),
    reserved_bytes {int} NOT NULL DEFAULT 0 CHECK (reserved_bytes >= 0),
    amount {int} NOT NULL CHECK (amount >= 0),      -- cents paid
    state TEXT NOT NULL CHECK (state IN ('open', 'closed')),   -- closed: its revenue is recognised, the rest is breakage
    bought_at {int} NOT NULL,
    expires_at {int} NOT NULL,
    CHECK (used_bytes + reserved_bytes <= total_bytes)
) {strict};
CREATE INDEX packages_of_account ON packages (account_id, proxy_type, expires_at, id);
CREATE INDEX packages_to_close ON packages (expires_at) WHERE state = 'open';

-- How an account wants its packages of one type handled; made with the first purchase.
CREATE TABLE package_settings (
    account_id {int} NOT NULL REFERENCES accounts (id),
    proxy_type TEXT NOT NULL,
    status TEXT NOT NULL DEFAULT 'active',
    remark TEXT NOT NULL DEFAULT '',
    auto_remind TEXT NOT NULL DEFAULT 'inactive',
    remind_gb {int} NOT NULL DEFAULT 1,
    remind_days {int} NOT NULL DEFAULT 1,
    auto_rebuy TEXT NOT NULL DEFAULT 'inactive',
    rebuy_gb {int} NOT NULL DEFAULT 1,
    rebuy_days {int} NOT NULL DEFAULT 1,
    rebuy_package_id {int} NOT NULL DEFAULT 0,
    rebuy_status TEXT NOT NULL DEFAULT 'normal',
    PRIMARY KEY (account_id, proxy_type)
) {strict};

-- Metering -------------------------------------------------------------------------------------

-- A lease is a reservation while open and the usage record once ended: one payer, one source of
-- funds, one price, one day. `used` only grows, `granted` only shrinks.
CREATE TABLE leases (
    id {id},
    gateway_id {int} NOT NULL,
    boot_id {int} NOT NULL,
    account_id {int} NOT NULL REFERENCES accounts (id),
    sub_account_id {int} NOT NULL,
    proxy_type TEXT NOT NULL,
    package_id {int} NOT NULL,
    price {int} NOT NULL CHECK (price >= 0),        -- cents per GB, where the wallet pays
    issued_bytes {int} NOT NULL,                    -- granted to begin with
    granted_bytes {int} NOT NULL,                   -- still held or used
    used_bytes {int} NOT NULL DEFAULT 0,
    written_off_bytes {int} NOT NULL DEFAULT 0,     -- reported after the lease had been voided and no funds were left
    day {int} NOT NULL,                             -- the day whose traffic it is
    issued_at {int} NOT NULL,
    expires_at {int} NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('open', 'ended')),
    CHECK (used_bytes >= 0 AND used_bytes <= granted_bytes AND granted_bytes <= issued_bytes)
) {strict};
CREATE INDEX leases_open ON leases (gateway_id, id) WHERE state = 'open';
CREATE INDEX leases_to_void ON leases (expires_at) WHERE state = 'open';
CREATE INDEX leases_of_account ON leases (account_id, day);

CREATE TABLE daily_usage (
    account_id {int} NOT NULL REFERENCES accounts (id),
    sub_account_id {int} NOT NULL,
    proxy_type TEXT NOT NULL,
    day {int} NOT NULL,
    package_bytes {int} NOT NULL DEFAULT 0,
    wallet_bytes {int} NOT NULL DEFAULT 0,
    PRIMARY KEY (account_id, day, proxy_type, sub_account_id)
) {strict};
CREATE INDEX daily_usage_by_day ON daily_usage (day);

CREATE TABLE refusals (
    account_id {int} NOT NULL REFERENCES accounts (id),
    sub_account_id {int} NOT NULL,
    refusal TEXT NOT NULL,
    day {int} NOT NULL,
    count {int} NOT NULL,
    detail TEXT NOT NULL,
    last_at {int} NOT NULL,
    PRIMARY KEY (account_id, day, refusal, sub_account_id)
) {strict};

-- Operator -------------------------------------------------------------------------------------

CREATE TABLE exits (
    id {id},
    name TEXT NOT NULL UNIQUE,
    proxy_type TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('direct', 'http', 'socks5')),
    address TEXT NOT NULL,
    username TEXT NOT NULL,
    password_sealed {bytes},
    bind_ip TEXT NOT NULL,
    country TEXT NOT NULL,
    state TEXT NOT NULL,
    city TEXT NOT NULL,
    asn {int} NOT NULL,
    weight {int} NOT NULL CHECK (weight > 0),
    max_connections {int} NOT NULL CHECK (max_connections >= 0),
    status TEXT NOT NULL CHECK (status IN ('active', 'inactive')),
    created_at {int} NOT NULL,
    updated_at {int} NOT NULL
) {strict};

CREATE TABLE audit_log (
    id {id},
    at {int} NOT NULL,
    actor TEXT NOT NULL,                            -- operator, account:ID
    action TEXT NOT NULL,                           -- account.suspended, wallet.recharged …
    account_id {int} NOT NULL,                      -- 0 where no account is concerned
    subject TEXT NOT NULL,                          -- exit:3, sub_account:7 …
    detail TEXT NOT NULL                            -- JSON, without secrets
) {strict};

-- The outbox of directory changes. `version` is drawn from the one row of directory_version, whose
-- lock is held to the end of the transaction, so that versions are committed in order.
CREATE TABLE directory_version (
    id {int} PRIMARY KEY,
    version {int} NOT NULL
) {strict};
INSERT INTO directory_version (id, version) VALUES (1, 0);

CREATE TABLE directory_log (
    version {int} PRIMARY KEY,
    kind TEXT NOT NULL CHECK (kind IN ('account', 'sub_account', 'whitelist', 'exits')),
    ref_id {int} NOT NULL,
    at {int} NOT NULL
) {strict};
