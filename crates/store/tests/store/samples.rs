//! Rows of every table, with what is hard to copy in them: NULL, all bytes, all scripts, the
//! largest and the smallest numbers.

use tollgate_store::{Error, Sql, Tx, Value, params};

/// A text with characters of one to four bytes, quotes, and what other formats would mark.
const TEXT: &str = "a'b\"c\\d\te\nf é 漢字 🚀 \u{1} NULL \\N";

/// Declares rows: the table and its columns, then the values of each.
macro_rules! rows {
    ($tx:ident; $($table:ident $columns:tt: $([$($value:expr),* $(,)?]),*;)*) => {$($(
        insert_into($tx, stringify!($table), stringify!($columns), params![$($value),*])?;
    )*)*};
}

fn insert_into(tx: &mut Tx<'_>, table: &str, columns: &str, values: &[Value<'_>]) -> Result<(), Error> {
    let places: Vec<String> = (1..=values.len()).map(|place| format!("?{place}")).collect();
    let text = format!("INSERT INTO {table} {columns} VALUES ({})", places.join(", "));
    // A test's statements may live as long as the test.
    tx.execute(Sql::new("sample", text.leak()), values).map(drop)
}

/// Fills an empty database.
pub(crate) fn insert(tx: &mut Tx<'_>) -> Result<(), Error> {
    let all_bytes: Vec<u8> = (0..=255).collect();
    let (bytes, none): (&[u8], &[u8]) = (&all_bytes, &[]);
    let (max, min) = (i64::MAX, i64::MIN);
    tx.execute(Sql::new("version", "UPDATE directory_version SET version = 9"), &[])?;
    let chain = "UPDATE entry_chain SET entries = ?1, hash = ?2, accepted_at = ?1";
    tx.execute(Sql::new("chain", chain), params![max, bytes])?;
    rows! { tx;
        meta (name, value): ["master_key_proof", TEXT];
        accounts (id, username, username_key, email, password_hash, status, api_key_hash, api_key_sealed,
                  res_price, dc_price, mobile_price, funds_epoch, created_at, updated_at):
            [7, "Ann", "ann", "ann@example.com", None::<&str>, "active", bytes, none, 0, max, 1, 5, min, max],
            [9, "Ben", "ben", TEXT, "$argon2id$", "suspended", none, bytes, 1, 2, 3, 0, 0, -1];
        sub_accounts (id, account_id, username, username_key, password_sealed, password_tag, remark, status,
                      created_at, updated_at):
            [3, 7, "ann.one", "ann.one", bytes, none, TEXT, "active", 1, 2],
            [4, 9, "ben.old", "#4", none, bytes, "", "deleted", 1, 2];
        sub_account_traffic (sub_account_id, proxy_type, limit_gb, used_bytes, reserved_bytes):
            [3, "residential", 0, max, 0], [3, "mobile", max, 0, 1];
        whitelist (id, account_id, ip, remark, created_at): [12, 7, "2001:db8::1", TEXT, 1];
        wallets (account_id, balance, total_recharge, total_consume, reserved_units):
            [7, max - 1, max, 1, max], [9, 0, 0, 0, 0];
        wallet_carries (account_id, proxy_type, units): [7, "residential", 1_073_741_823];
        entries (id, account_id, kind, reference, memo, at, place, hash):
            [21, 7, "recharge", "first", TEXT, 1, max, bytes],
            [22, 9, "recharge", "second", "", 2, None::<i64>, None::<&[u8]>];
        postings (entry_id, line, ledger_account, amount):
            [21, 0, "wallet:7", max], [21, 1, "cash", -max], [22, 0, "wallet:9", 1], [22, 1, "cash", -1];
        idempotency_keys (account_id, idempotency_key, input_hash, answer, created_at): [7, TEXT, bytes, "{}", 1];
        unheard_answers (account_id, input_hash, delivery, lost, answer, answered_at): [7, bytes, bytes, true, TEXT, max];
        package_offers (id, proxy_type, traffic_gb, price, duration, plan_type, is_hot, extra_add_traffic,
                        plan_desc, on_sale, created_at, updated_at):
            [31, "residential", 1, 2, 3, "custom", true, 0, TEXT, false, 1, 2];
        package_offer_accounts (offer_id, account_id): [31, 7];
        packages (id, account_id, offer_id, proxy_type, total_bytes, used_bytes, reserved_bytes, amount, state,
                  bought_at, expires_at):
            [41, 7, 31, "residential", max, 1, 2, 3, "open", 4, max];
        package_settings (account_id, proxy_type, remark): [7, "residential", TEXT];
        leases (id, gateway_id, boot_id, account_id, sub_account_id, proxy_type, package_id, price,
                issued_bytes, granted_bytes, used_bytes, written_off_bytes, day, issued_at, expires_at, state):
            [51, min, max, 7, 3, "residential", 41, 0, 9, 3, 1, 0, 20_000, 1, 2, "open"],
            [53, 1, 2, 7, 0, "mobile", 0, 7, max, max, max, 5, -1, 1, 2, "ended"];
        daily_usage (account_id, sub_account_id, proxy_type, day, package_bytes, wallet_bytes):
            [7, 0, "mobile", -1, 0, max];
        refusals (account_id, sub_account_id, refusal, day, count, detail, last_at):
            [7, 3, "BALANCE_EMPTY", 20_000, 2, TEXT, 1];
        exits (id, name, proxy_type, kind, address, username, password_sealed, bind_ip, country, state, city,
               asn, weight, max_connections, status, created_at, updated_at):
            [61, "us", "residential", "direct", "", "", None::<&[u8]>, "127.0.0.1", "us", "", "", 0, 1, 0,
             "active", 1, 2],
            [62, TEXT, "mobile", "http", "h:1", "u", bytes, "", "", "", "", max, max, max, "inactive", 1, 2];
        audit_log (id, at, actor, action, account_id, subject, detail):
            [71, 1, "operator", "account.created", 7, "account:7", TEXT],
            [72, 2, "operator", "account.created", 9, "account:9", "{}"];
        directory_log (version, kind, ref_id, at): [8, "account", 7, 1], [9, "exits", 0, 2];
        static_prices (id, static_type, count, period, price, discount, back_orders, on_sale, created_at, updated_at):
            [81, "res", 1, 30, max, 100, true, false, min, max];
        stock_shelves (static_type, country): ["res", "us"];
        stock_items (id, static_type, country, listen_ip, listen_port, exit_ip, state, release_at, created_at,
                     updated_at):
            [82, "res", "us", "192.0.2.1", 65_535, "2001:db8::2", "grace", max, 1, 2],
            [83, "res", "us", "192.0.2.1", 1, "192.0.2.1", "free", None::<i64>, 1, 2];
        static_orders (id, order_no, account_id, kind, static_type, country, protocol, price_id, count, amount,
                       state, created_at, updated_at):
            [84, "16987AE6182", 7, "purchase", "res", "us", "http/socks5", 81, 2, max, "completed", 1, 2];
        static_proxies (id, account_id, order_id, price_id, stock_id, static_type, country, protocol, username,
                        password_sealed, password_tag, remark, state, expires_at, created_at, updated_at):
            [85, 7, 84, 81, 82, "res", "us", "http/socks5", "s1", bytes, none, TEXT, "grace", 1, 1, 2],
            [86, 7, 84, 81, None::<i64>, "res", "us", "http", "s2", none, bytes, "", "ended", max, 1, 2];
        static_terms (id, proxy_id, order_id, amount, starts_at, ends_at, refunded):
            [87, 85, 84, max, 0, 1, 0], [88, 86, 84, max, min, max, max];
        static_requests (id, proxy_id, account_id, kind, asked_by, reason, state, old_address, amount, created_at,
                         updated_at):
            [89, 85, 7, "replace", "account:7", TEXT, "asked", "192.0.2.1:65535", 0, 1, 2];
        static_counters (proxy_id, gateway_id, boot_id, bytes_up, bytes_down, connections, updated_at):
            [85, min, max, max, 0, 1, 2];
        static_usage (proxy_id, day, bytes_up, bytes_down, connections): [85, -1, max, 0, 1];
        jobs (id, kind, subject, run_at, state, claim, attempts, last_error, created_at, updated_at):
            [91, "static.expiry", "85", max, "waiting", max, 0, "", 1, 2],
            [92, "pruning", TEXT, min, "dead", 1, max, TEXT, 1, 2];
        events (account_id, seq, kind, data, at): [7, max, "static.expired", TEXT, 1];
        event_heads (account_id, last_seq): [7, max], [9, 0];
        notice_channels (account_id, channel, target, secret_sealed, old_secret_sealed, language, status, sent_seq,
                         last_error, created_at, updated_at):
            [7, "webhook", TEXT, bytes, none, "zh", "active", max, TEXT, 1, 2],
            [7, "email", "ann@example.com", None::<&[u8]>, None::<&[u8]>, "en", "inactive", 0, "", 1, 2];
    }
    Ok(())
}

/// An account more; gives the id that it got.
pub(crate) fn insert_account(tx: &mut Tx<'_>, name: &str) -> Result<i64, Error> {
    const INSERT: Sql = Sql::new(
        "account",
        "INSERT INTO accounts (username, username_key, email, status, api_key_hash, api_key_sealed, res_price,
                               dc_price, mobile_price, created_at, updated_at)
         VALUES (?1, ?1, '', 'active', ?2, ?2, 0, 0, 0, 0, 0) RETURNING id",
    );
    tx.insert(INSERT, params![name, name.as_bytes()])
}

/// And away again.
pub(crate) fn delete_account(tx: &mut Tx<'_>, id: i64) -> Result<(), Error> {
    tx.execute(Sql::new("gone", "DELETE FROM accounts WHERE id = ?1"), params![id]).map(drop)
}

/// A lease more; gives the id that it got.
pub(crate) fn insert_lease(tx: &mut Tx<'_>) -> Result<i64, Error> {
    const INSERT: Sql = Sql::new(
        "lease",
        "INSERT INTO leases (gateway_id, boot_id, account_id, sub_account_id, proxy_type, package_id, price,
                             issued_bytes, granted_bytes, day, issued_at, expires_at, state)
         VALUES (1, 2, 7, 0, 'mobile', 0, 1, 1, 1, 0, 0, 0, 'open') RETURNING id",
    );
    tx.insert(INSERT, &[])
}

/// An entry, and what is written of it in two other tables: one that is copied next, and one much
/// later.
pub(crate) fn insert_entry(tx: &mut Tx<'_>, n: i64) -> Result<(), Error> {
    const ENTRY: Sql = Sql::new(
        "entry",
        "INSERT INTO entries (account_id, kind, reference, memo, at) VALUES (7, 'adjust', ?1, '', 0) RETURNING id",
    );
    const LINE: Sql = Sql::new(
        "line",
        "INSERT INTO postings (entry_id, line, ledger_account, amount) VALUES (?1, ?2, 'cash', ?3)",
    );
    let id = tx.insert(ENTRY, params![&n.to_string()])?;
    tx.execute(LINE, params![id, 0, 5])?;
    tx.execute(LINE, params![id, 1, -5])?;
    insert_long_row(tx, n)
}

/// A row of a table that lies between those.
pub(crate) fn insert_between(tx: &mut Tx<'_>, n: i64) -> Result<(), Error> {
    const INSERT: Sql = Sql::new(
        "between",
        "INSERT INTO idempotency_keys (account_id, idempotency_key, input_hash, answer, created_at)
         VALUES (7, ?1, ?2, '', 0)",
    );
    tx.execute(INSERT, params![&n.to_string(), b"x"]).map(drop)
}

pub(crate) fn count_entries(tx: &mut Tx<'_>) -> Result<i64, Error> {
    tx.one(Sql::new("count", "SELECT COUNT(*) FROM entries"), &[], |row| row.i64(0))
}

/// A row of a kilobyte.
pub(crate) fn insert_long_row(tx: &mut Tx<'_>, n: i64) -> Result<(), Error> {
    const INSERT: Sql = Sql::new(
        "long",
        "INSERT INTO audit_log (at, actor, action, account_id, subject, detail) VALUES (?1, 'x', 'y', 0, 'z', ?2)",
    );
    tx.execute(INSERT, params![n, &format!("{n:>1000}")]).map(drop)
}
