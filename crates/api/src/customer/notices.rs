//! Where the account's events are sent: its webhook and its mail address.

use axum::extract::State;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use tollgate_core::Core;
use tollgate_core::notices::{self, ChannelChange, ChannelKind, ChannelStatus};
use tollgate_types::{Cents, Language, Zone};
use utoipa::ToSchema;

use crate::callers::Caller;
use crate::envelope::{Answer, DoneEnvelope, Envelope, done, ok};
use crate::params::Params;
use crate::words::Switch;

/// 语言,zh:中文,en:英文
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(example = "zh")]
pub(crate) enum NoticeLanguage {
    Zh,
    En,
}

impl From<NoticeLanguage> for Language {
    fn from(word: NoticeLanguage) -> Self {
        match word {
            NoticeLanguage::Zh => Self::Zh,
            NoticeLanguage::En => Self::En,
        }
    }
}

impl From<Language> for NoticeLanguage {
    fn from(language: Language) -> Self {
        match language {
            Language::Zh => Self::Zh,
            Language::En => Self::En,
        }
    }
}

/// How far a channel has got with the account's events.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeliveryRecord {
    /// Every event up to this number is delivered or given up.
    #[schema(example = 7, minimum = 0)]
    sent_seq: i64,
    /// How many events are waiting.
    #[schema(example = 0, minimum = 0)]
    pending: i64,
    /// Failures in a row with the next one.
    #[schema(example = 0, minimum = 0)]
    attempts: i64,
    /// When it is tried again after a failure; absent where it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "2025-09-14 06:22:26", nullable = false)]
    retry_time: Option<String>,
    /// Why it failed last; empty where it did not.
    #[schema(example = "")]
    last_error: String,
    /// How many events were given up, undelivered.
    #[schema(example = 0, minimum = 0)]
    given_up: i64,
}

impl DeliveryRecord {
    fn new(channel: &ChannelStatus, zone: &Zone) -> Self {
        Self {
            sent_seq: channel.sent_seq,
            pending: channel.pending,
            attempts: channel.attempts,
            retry_time: channel.retry_at.map(|at| zone.show(at)),
            last_error: channel.last_error.clone(),
            given_up: channel.given_up,
        }
    }
}

/// The webhook.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WebhookRecord {
    /// Where events are posted to.
    #[schema(example = "https://example.com/hooks/tollgate")]
    url: String,
    /// 状态; inactive too once the endpoint has answered 410
    #[schema(inline)]
    status: Switch,
    /// Until when the secret before signs too; absent where it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "2025-09-15 06:22:26", nullable = false)]
    old_secret_until: Option<String>,
    /// How far it has got.
    delivery: DeliveryRecord,
    /// 创建时间
    #[schema(example = "2025-09-14 06:22:26")]
    create_time: String,
    /// 更新时间
    #[schema(example = "2025-09-14 06:22:26")]
    update_time: String,
}

impl WebhookRecord {
    fn new(channel: ChannelStatus, zone: &Zone) -> Self {
        Self {
            delivery: DeliveryRecord::new(&channel, zone),
            url: channel.target,
            status: Switch::of(channel.active),
            old_secret_until: channel.old_secret_until.map(|at| zone.show(at)),
            create_time: zone.show(channel.created_at),
            update_time: zone.show(channel.updated_at),
        }
    }
}

/// Where notices are mailed to.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EmailRecord {
    /// 邮箱
    #[schema(example = "user@example.com")]
    email: String,
    /// 语言
    #[schema(inline)]
    language: NoticeLanguage,
    /// 状态
    #[schema(inline)]
    status: Switch,
    /// How far it has got.
    delivery: DeliveryRecord,
    /// 创建时间
    #[schema(example = "2025-09-14 06:22:26")]
    create_time: String,
    /// 更新时间
    #[schema(example = "2025-09-14 06:22:26")]
    update_time: String,
}

impl EmailRecord {
    fn new(channel: ChannelStatus, zone: &Zone) -> Self {
        Self {
            delivery: DeliveryRecord::new(&channel, zone),
            email: channel.target,
            language: channel.language.into(),
            status: Switch::of(channel.active),
            create_time: zone.show(channel.created_at),
            update_time: zone.show(channel.updated_at),
        }
    }
}

/// Where the account's events are sent, and what else it wants to be told of.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NoticeSettings {
    /// The webhook; absent where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    webhook: Option<WebhookRecord>,
    /// The mail address; absent where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    email: Option<EmailRecord>,
    /// Whether this platform sends mail.
    email_available: bool,
    /// The balance (美分) at or below which `wallet.low` is told; 0 for never
    #[schema(example = 500, minimum = 0)]
    low_balance: i64,
}

/// 获取通知设置
///
/// Where this account's events are sent, and how far each channel has got.
#[utoipa::path(get, path = "/api/users/notices", tag = "通知",
    responses((status = 200, body = Envelope<NoticeSettings>)))]
pub(crate) async fn settings(caller: Caller, State(core): State<Core>) -> Answer<NoticeSettings> {
    let settings = notices::settings(&core, caller.account).await?;
    let zone = core.zone();
    ok(NoticeSettings {
        webhook: settings.webhook.map(|channel| WebhookRecord::new(channel, zone)),
        email: settings.email.map(|channel| EmailRecord::new(channel, zone)),
        email_available: settings.has_mail,
        low_balance: settings.low_balance.get(),
    })
}

/// A webhook, made or changed: what is absent stays.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct WebhookChange {
    /// Where events are posted to: https, a host with a public address, no credentials, no fragment. Required the
    /// first time
    #[schema(example = "https://example.com/hooks/tollgate", min_length = 1, max_length = 2048)]
    url: Option<String>,
    /// 状态; active the first time
    #[schema(inline)]
    status: Option<Switch>,
}

/// A webhook, with its secret where that is told.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WebhookSet {
    /// What every message is signed with (Standard Webhooks). Told when the webhook is made and when its secret is
    /// changed, and never again.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD", nullable = false)]
    secret: Option<String>,
    /// The webhook.
    webhook: WebhookRecord,
}

impl WebhookSet {
    fn new(channel: ChannelStatus, secret: Option<SecretString>, zone: &Zone) -> Self {
        let secret = secret.map(|secret| secret.expose_secret().to_owned());
        Self { secret, webhook: WebhookRecord::new(channel, zone) }
    }
}

/// 设置 Webhook
///
/// Makes or changes the webhook. A new one is told of what happens from now on. One that is switched on again goes on
/// where it was, but for events older than three days. Whatever waits is tried at once.
#[utoipa::path(post, path = "/api/users/notices/webhook", tag = "通知", request_body = WebhookChange,
    responses((status = 200, body = Envelope<WebhookSet>)))]
pub(crate) async fn set_webhook(
    caller: Caller,
    State(core): State<Core>,
    Params(params): Params<WebhookChange>,
) -> Answer<WebhookSet> {
    let change = ChannelChange {
        target: params.url,
        active: params.status.map(Switch::is_on),
        ..ChannelChange::default()
    };
    let (channel, secret) = notices::set_webhook(&core, caller.account, change).await?;
    ok(WebhookSet::new(channel, secret, core.zone()))
}

/// For how long a webhook's old secret stays.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct SecretRotation {
    /// For how many hours messages are signed with the old secret too, 非必传, 默认24
    #[schema(example = 24, minimum = 0, maximum = 168)]
    keep_old_hours: Option<i64>,
}

/// 更换 Webhook 密钥
///
/// Gives the webhook another secret. Messages are signed with both for a while, so that the receiver can change over.
#[utoipa::path(post, path = "/api/users/notices/webhook/rotate-secret", tag = "通知", request_body = SecretRotation,
    responses(
        (status = 200, body = Envelope<WebhookSet>),
        (status = 404, description = "40400: there is no webhook"),
    ))]
pub(crate) async fn rotate_secret(
    caller: Caller,
    State(core): State<Core>,
    Params(params): Params<SecretRotation>,
) -> Answer<WebhookSet> {
    let rotated = notices::rotate_webhook_secret(&core, caller.account, params.keep_old_hours).await;
    let (channel, secret) = rotated?;
    ok(WebhookSet::new(channel, Some(secret), core.zone()))
}

/// 删除 Webhook
///
/// What it has not been told of stays in the account's events.
#[utoipa::path(post, path = "/api/users/notices/webhook/delete", tag = "通知", responses(
    (status = 200, body = DoneEnvelope),
    (status = 404, description = "40400: there is no webhook"),
))]
pub(crate) async fn delete_webhook(caller: Caller, State(core): State<Core>) -> Answer<()> {
    notices::delete_channel(&core, caller.account, ChannelKind::Webhook).await?;
    done()
}

/// A mail address for notices, made or changed: what is absent stays.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct EmailChange {
    /// 邮箱, 默认为账号邮箱
    #[schema(example = "user@example.com", min_length = 3, max_length = 254)]
    email: Option<String>,
    /// 语言, 默认zh
    #[schema(inline)]
    language: Option<NoticeLanguage>,
    /// 状态; active the first time
    #[schema(inline)]
    status: Option<Switch>,
}

/// 设置邮件通知
///
/// Makes or changes where notices are mailed to. It starts and goes on as the webhook does.
#[utoipa::path(post, path = "/api/users/notices/email", tag = "通知", request_body = EmailChange, responses(
    (status = 200, body = Envelope<EmailRecord>),
    (status = 409, description = "40900: this platform sends no mail"),
))]
pub(crate) async fn set_email(
    caller: Caller,
    State(core): State<Core>,
    Params(params): Params<EmailChange>,
) -> Answer<EmailRecord> {
    let change = ChannelChange {
        target: params.email,
        language: params.language.map(Language::from),
        active: params.status.map(Switch::is_on),
    };
    let channel = notices::set_email(&core, caller.account, change).await?;
    ok(EmailRecord::new(channel, core.zone()))
}

/// 删除邮件通知
#[utoipa::path(post, path = "/api/users/notices/email/delete", tag = "通知", responses(
    (status = 200, body = DoneEnvelope),
    (status = 404, description = "40400: there is no mail address"),
))]
pub(crate) async fn delete_email(caller: Caller, State(core): State<Core>) -> Answer<()> {
    notices::delete_channel(&core, caller.account, ChannelKind::Email).await?;
    done()
}

/// 测试通知
///
/// Sends an event `notice.tested` on every channel that is active. Once a minute at most.
#[utoipa::path(post, path = "/api/users/notices/test", tag = "通知", responses(
    (status = 200, body = DoneEnvelope),
    (status = 404, description = "40400: no channel is active"),
    (status = 429, description = "42900: too soon again, or too many requests; `Retry-After` says when to come back"),
))]
pub(crate) async fn test(caller: Caller, State(core): State<Core>) -> Answer<()> {
    notices::test(&core, caller.account).await?;
    done()
}

/// Which balance to be told of.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct LowBalance {
    /// 余额提醒(美分), 必填: `wallet.low` is told when the balance falls to this or below; 0 for never
    #[schema(example = 500, minimum = 0, maximum = 1000000000000i64)]
    low_balance: i64,
}

/// 设置余额提醒
#[utoipa::path(post, path = "/api/users/wallet/remind", tag = "通知", request_body = LowBalance,
    responses((status = 200, body = DoneEnvelope)))]
pub(crate) async fn remind_of_balance(
    caller: Caller,
    State(core): State<Core>,
    Params(params): Params<LowBalance>,
) -> Answer<()> {
    notices::set_low_balance(&core, caller.account, Cents::new(params.low_balance)).await?;
    done()
}
