//! What each event is called in mails: a subject, a sentence, and the fields below it, in both
//! languages.

use serde_json::Value;

use crate::form::Form;

/// Text in both languages.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Both {
    pub(crate) zh: &'static str,
    pub(crate) en: &'static str,
}

const fn both(zh: &'static str, en: &'static str) -> Both {
    Both { zh, en }
}

/// A line about one value of the event.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field {
    /// Its name in the event's data.
    pub(crate) key: &'static str,
    /// What it is called.
    pub(crate) label: Both,
    /// How it is written.
    pub(crate) form: Form,
}

const fn field(key: &'static str, form: Form, zh: &'static str, en: &'static str) -> Field {
    Field { key, label: both(zh, en), form }
}

/// The words of an event.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Words {
    pub(crate) subject: Both,
    pub(crate) lead: Both,
    pub(crate) fields: &'static [Field],
}

const PROXY_TYPE: Field = field("proxy_type", Form::ProxyType, "类型", "Type");
const PACKAGE: Field = field("package_id", Form::Plain, "流量包编号", "Package");
const REMAINING: Field = field("remaining_bytes", Form::Bytes, "剩余流量", "Traffic left");
const UNUSED: Field = field("unused_bytes", Form::Bytes, "未用流量", "Unused traffic");
const EXPIRES: Field = field("expire_time", Form::Plain, "到期时间", "Expires");
const EXPIRES_NOW: Field = field("expire_time", Form::Plain, "新到期时间", "New expiry");
const AMOUNT: Field = field("amount", Form::Cents, "金额", "Amount");
const NEEDED: Field = field("amount", Form::Cents, "所需金额", "Amount needed");
const REFUND: Field = field("amount", Form::Cents, "退款金额", "Refund");
const BALANCE: Field = field("balance", Form::Cents, "钱包余额", "Wallet balance");
const THRESHOLD: Field = field("threshold", Form::Cents, "提醒阈值", "Notice below");
const REASON: Field = field("reason", Form::Plain, "原因", "Reason");
const ORDER: Field = field("order_no", Form::Plain, "订单号", "Order");
const COUNT: Field = field("count", Form::Plain, "数量", "Proxies");
const PROXY: Field = field("proxy_id", Form::Plain, "代理编号", "Proxy");
const ADDRESS: Field = field("proxy_address", Form::Plain, "代理地址", "Address");
const NEW_ADDRESS: Field = field("proxy_address", Form::Plain, "新地址", "New address");
const OLD_ADDRESS: Field = field("old_address", Form::Plain, "原地址", "Old address");
const GRACE: Field = field("grace_until", Form::Plain, "保留至", "Kept until");

/// The words of an event by its name; the data tell apart what one name covers.
pub(crate) fn words_of(event: &str, data: &Value) -> Words {
    match event {
        "package.threshold_reached" => threshold(data),
        "package.exhausted" => Words {
            subject: both("流量包已用完", "Your traffic is used up"),
            lead: both(
                "您的流量包已全部用完。请续购流量包，以免业务中断。",
                "Your traffic package is used up. Buy another one to keep your proxies running.",
            ),
            fields: &[PROXY_TYPE, PACKAGE],
        },
        "package.expired" => Words {
            subject: both("流量包已到期", "Your traffic package has expired"),
            lead: both(
                "您的流量包已到期，未用流量已失效。",
                "Your traffic package has expired. Traffic that was left in it can no longer be used.",
            ),
            fields: &[PROXY_TYPE, PACKAGE, UNUSED],
        },
        "package.rebuy_succeeded" => Words {
            subject: both("流量包已自动续购", "Your traffic package was bought again"),
            lead: both(
                "已按您的设置自动续购流量包。",
                "As you have set it up, another traffic package was bought for you.",
            ),
            fields: &[PROXY_TYPE, PACKAGE, AMOUNT],
        },
        "package.rebuy_insufficient" => Words {
            subject: both("余额不足，流量包未能自动续购", "No traffic package was bought: balance too low"),
            lead: both(
                "钱包余额不足，流量包未能自动续购。请充值。",
                "Your wallet's balance is too low for buying your traffic package again. Please top it up.",
            ),
            fields: &[PROXY_TYPE, NEEDED, BALANCE],
        },
        "package.rebuy_failed" => Words {
            subject: both("流量包自动续购失败", "No traffic package was bought"),
            lead: both(
                "流量包未能自动续购，未扣费。请手动购买，或检查续购设置。",
                "Your traffic package could not be bought again, and nothing was charged. Buy one yourself, or look at your settings.",
            ),
            fields: &[PROXY_TYPE, REASON],
        },
        "wallet.low" => Words {
            subject: both("钱包余额偏低", "Your wallet's balance is low"),
            lead: both(
                "您的钱包余额已低于提醒阈值。请及时充值。",
                "Your wallet's balance has fallen below the level at which you want to be told.",
            ),
            fields: &[BALANCE, THRESHOLD],
        },
        "notice.tested" => Words {
            subject: both("测试通知", "A test notice"),
            lead: both("这是一条测试通知。", "This is a test. Nothing has happened."),
            fields: &[],
        },
        _ => static_words(event),
    }
}

fn threshold(data: &Value) -> Words {
    let fields = &[PROXY_TYPE, REMAINING, EXPIRES];
    match data.get("reason").and_then(Value::as_str) {
        Some("traffic") => Words {
            subject: both("流量即将用完", "Your traffic is running low"),
            lead: both("您的流量包所剩流量不多了。", "There is not much traffic left in your package."),
            fields,
        },
        Some("days") => Words {
            subject: both("流量包即将到期", "Your traffic package expires soon"),
            lead: both("您的流量包即将到期。", "Your traffic package expires soon."),
            fields,
        },
        _ => Words {
            subject: both("流量包提醒", "A reminder of your traffic package"),
            lead: both("您的流量包即将用完或到期。", "Your traffic package is running low, or expires soon."),
            fields,
        },
    }
}

fn static_words(event: &str) -> Words {
    match event {
        "static.order_completed" => Words {
            subject: both("静态代理订单已完成", "Your static proxies are ready"),
            lead: both("您订购的静态代理已开通。", "The static proxies that you ordered are ready for use."),
            fields: &[ORDER, COUNT, AMOUNT],
        },
        "static.expiring" => Words {
            subject: both("静态代理即将到期", "Your static proxy expires soon"),
            lead: both(
                "您的静态代理即将到期。请及时续费。",
                "Your static proxy expires soon. Renew it to keep it.",
            ),
            fields: &[PROXY, ADDRESS, EXPIRES],
        },
        "static.renewed" => Words {
            subject: both("静态代理已续费", "Your static proxy was renewed"),
            lead: both("您的静态代理已续费。", "Your static proxy was renewed."),
            fields: &[PROXY, ADDRESS, AMOUNT, EXPIRES_NOW],
        },
        "static.renewal_insufficient" => Words {
            subject: both("余额不足，静态代理未能续费", "Your static proxy was not renewed: balance too low"),
            lead: both(
                "钱包余额不足，静态代理未能自动续费。请充值。",
                "Your wallet's balance is too low for renewing your static proxy. Please top it up.",
            ),
            fields: &[PROXY, ADDRESS, NEEDED, BALANCE, EXPIRES],
        },
        "static.renewal_failed" => Words {
            subject: both("静态代理续费失败", "Your static proxy was not renewed"),
            lead: both(
                "静态代理未能自动续费，未扣费。请手动续费。",
                "Your static proxy could not be renewed, and nothing was charged. Please renew it yourself.",
            ),
            fields: &[PROXY, ADDRESS, REASON, EXPIRES],
        },
        "static.expired" => Words {
            subject: both("静态代理已到期", "Your static proxy has expired"),
            lead: both(
                "您的静态代理已到期并停用。在保留期内续费可继续使用原地址。",
                "Your static proxy has expired and is switched off. Renew it while its address is kept for you, and you keep the address.",
            ),
            fields: &[PROXY, ADDRESS, GRACE],
        },
        "static.replaced" => Words {
            subject: both("静态代理地址已更换", "Your static proxy has a new address"),
            lead: both(
                "您的静态代理已更换地址，请改用新地址。",
                "Your static proxy was given another address. Use the new one from now on.",
            ),
            fields: &[PROXY, OLD_ADDRESS, NEW_ADDRESS],
        },
        "static.refunded" => Words {
            subject: both("静态代理已退款", "Your static proxy was refunded"),
            lead: both(
                "静态代理已退订，退款已退回钱包。",
                "Your static proxy was given back, and the refund is in your wallet.",
            ),
            fields: &[PROXY, ADDRESS, REFUND],
        },
        _ => Words {
            subject: both("账号通知", "A notice about your account"),
            lead: both("您的账号有一条新通知。", "Something has happened in your account."),
            fields: &[],
        },
    }
}
