//! Money in and out of wallets by the operator's hand, and its history.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use tollgate_core::wallets::{self, Recharged};
use tollgate_core::{Actor, Core};
use tollgate_types::{AccountId, Cents};
use utoipa::ToSchema;

use crate::callers::Operator;
use crate::customer::LedgerLine;
use crate::envelope::{Answer, Envelope, List, ok, spent};
use crate::params::{Filters, Idempotency, Params, PathId, Spending};
use crate::words::PageParams;

/// Money received from outside.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct RechargeParams {
    /// Cents.
    #[schema(example = 5000, minimum = 1, maximum = 1000000000000i64)]
    amount: i64,
    /// What it stands for, e.g. the number of a payment. The same one twice credits once.
    #[schema(
        example = "payment 17",
        min_length = 1,
        max_length = 255,
        pattern = r"^[^\x00-\x1F\x7F-\x9F]*$"
    )]
    reference: String,
}

/// What a change to a wallet did.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WalletChanged {
    /// The entry that stands for it.
    entry_id: i64,
    /// False where the reference had been credited before, so that nothing was added now.
    credited: bool,
    /// The balance after it, in cents.
    #[schema(minimum = 0)]
    balance: i64,
}

impl From<Recharged> for WalletChanged {
    fn from(done: Recharged) -> Self {
        Self { entry_id: done.entry.get(), credited: done.credited, balance: done.balance.get() }
    }
}

/// Credit money received from outside
#[utoipa::path(post, path = "/api/admin/accounts/{id}/recharge", tag = "operator",
    params(("id" = i64, Path, description = "The account's id", minimum = 0)), request_body = RechargeParams,
    responses(
        (status = 200, body = Envelope<WalletChanged>),
        (status = 404, description = "40400: no such account"),
        (status = 409, description = "40900: the reference was used with another amount"),
    ))]
pub(crate) async fn recharge(
    _: Operator,
    PathId(id): PathId,
    State(core): State<Core>,
    Params(params): Params<RechargeParams>,
) -> Answer<WalletChanged> {
    let (account, amount) = (AccountId::new(id), Cents::new(params.amount));
    let recharged = wallets::recharge(&core, Actor::Operator, account, amount, params.reference).await?;
    ok(recharged.into())
}

/// A signed correction.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct AdjustParams {
    /// Cents, positive or negative; not 0.
    #[schema(example = -100, minimum = -1000000000000i64, maximum = 1000000000000i64)]
    amount: i64,
    /// Why.
    #[schema(example = "goodwill", min_length = 1, max_length = 255, pattern = r"^[^\x00-\x1F\x7F-\x9F]*$")]
    reason: String,
}

/// Correct a balance
///
/// Each call is a correction of its own, unless it repeats one by its idempotency key or because no answer was
/// heard; it may not make the balance negative.
#[utoipa::path(post, path = "/api/admin/accounts/{id}/adjust", tag = "operator",
    params(("id" = i64, Path, description = "The account's id", minimum = 0), Idempotency),
    request_body = AdjustParams,
    responses(
        (status = 200, body = Envelope<WalletChanged>),
        (status = 404, description = "40400: no such account"),
        (status = 409, description = "40900: the balance would become negative, or the idempotency key was used with \
            other parameters"),
    ))]
pub(crate) async fn adjust(
    _: Operator,
    PathId(id): PathId,
    spending: Spending,
    State(core): State<Core>,
    Params(params): Params<AdjustParams>,
) -> Answer<WalletChanged> {
    let (account, amount) = (AccountId::new(id), Cents::new(params.amount));
    let parameters = [&*params.amount.to_string(), &*params.reason];
    let (once, receipt) = spending.by_operator().of(&core, account, "admin/adjust", &parameters);
    let adjusted = wallets::adjust(&core, Actor::Operator, account, amount, params.reason, once).await?;
    spent(adjusted.map(WalletChanged::from), receipt)
}

/// An account's ledger entries
///
/// Newest first.
#[utoipa::path(get, path = "/api/admin/accounts/{id}/ledger", tag = "operator",
    params(("id" = i64, Path, description = "The account's id", minimum = 0), PageParams),
    responses(
        (status = 200, body = Envelope<List<LedgerLine>>),
        (status = 404, description = "40400: no such account"),
    ))]
pub(crate) async fn ledger(
    _: Operator,
    PathId(id): PathId,
    State(core): State<Core>,
    Filters(params): Filters<PageParams>,
) -> Answer<List<LedgerLine>> {
    let (lines, total) = wallets::ledger(&core, AccountId::new(id), params.page()?).await?;
    ok(List { records: lines.into_iter().map(|line| LedgerLine::new(line, core.zone())).collect(), total })
}
