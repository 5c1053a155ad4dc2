//! What an event says to people: the subject and the text of its mail.

use serde_json::Value;
use tollgate_types::Language;

use crate::form::Form;
use crate::words::{Both, Field, words_of};

/// A subject and a text. Neither has control characters, save the text's line ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// One line.
    pub subject: String,
    /// Plain text; lines end in `\n`.
    pub body: String,
}

/// The text of an event, by its name and its data, in a language. What the data lack is left out,
/// and an event without words of its own is told of by its name.
pub fn text(event: &str, data: &Value, language: Language) -> Text {
    let words = words_of(event, data);
    let pick = |both: Both| language.pick(both.zh, both.en);
    let lines: String = words.fields.iter().filter_map(|field| line(field, data, language)).collect();
    let named = Form::Plain.write(&Value::from(event), language).unwrap_or_default();
    let (hello, bye) = match language {
        Language::Zh => ("您好！", format!("此邮件由系统自动发送（{named}），请勿回复。")),
        Language::En => {
            ("Hello,", format!("This mail was sent automatically ({named}); please do not reply."))
        }
    };
    let gap = if lines.is_empty() { "" } else { "\n" };
    Text {
        subject: pick(words.subject).to_owned(),
        body: format!("{hello}\n\n{}\n{gap}{lines}\n{bye}\n", pick(words.lead)),
    }
}

/// `Label: value` and a line end; `None` where there is no such value.
fn line(field: &Field, data: &Value, language: Language) -> Option<String> {
    let value = field.form.write(data.get(field.key)?, language)?;
    Some(match language {
        Language::Zh => format!("{}：{value}\n", field.label.zh),
        Language::En => format!("{}: {value}\n", field.label.en),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// Every event, with data as it has.
    fn events() -> Vec<(&'static str, Value)> {
        let gb = 1_u64 << 30;
        vec![
            (
                "package.threshold_reached",
                json!({"proxy_type": "residential", "remaining_bytes": gb, "expire_time": "2026-03-01 00:00:00", "reason": "traffic"}),
            ),
            (
                "package.threshold_reached",
                json!({"proxy_type": "mobile", "remaining_bytes": gb, "expire_time": "2026-03-01 00:00:00", "reason": "days"}),
            ),
            ("package.exhausted", json!({"proxy_type": "datacenter"})),
            ("package.expired", json!({"proxy_type": "mobile", "package_id": 7, "unused_bytes": 5 * gb / 2})),
            ("package.rebuy_succeeded", json!({"proxy_type": "mobile", "package_id": 8, "amount": 1234})),
            ("package.rebuy_insufficient", json!({"proxy_type": "mobile", "amount": 1234, "balance": 56})),
            ("package.rebuy_failed", json!({"proxy_type": "mobile", "reason": "price_changed"})),
            ("wallet.low", json!({"balance": 499, "threshold": 500})),
            ("static.order_completed", json!({"order_no": "S1", "count": 3, "amount": 1500})),
            (
                "static.expiring",
                json!({"proxy_id": 9, "proxy_address": "192.0.2.9", "expire_time": "2026-03-01 00:00:00"}),
            ),
            (
                "static.renewed",
                json!({"proxy_id": 9, "proxy_address": "192.0.2.9", "amount": 500, "expire_time": "2026-04-01 00:00:00"}),
            ),
            (
                "static.renewal_insufficient",
                json!({"proxy_id": 9, "proxy_address": "192.0.2.9", "amount": 500, "balance": 1}),
            ),
            (
                "static.renewal_failed",
                json!({"proxy_id": 9, "proxy_address": "192.0.2.9", "reason": "price_changed"}),
            ),
            (
                "static.expired",
                json!({"proxy_id": 9, "proxy_address": "192.0.2.9", "grace_until": "2026-03-04 00:00:00"}),
            ),
            (
                "static.replaced",
                json!({"proxy_id": 9, "old_address": "192.0.2.9", "proxy_address": "192.0.2.10"}),
            ),
            ("static.refunded", json!({"proxy_id": 9, "amount": 250})),
            ("notice.tested", json!({})),
        ]
    }

    #[test]
    fn an_event_is_told_with_what_it_has() {
        let data = json!({"proxy_type": "residential", "amount": 1234, "balance": 56});
        let en = text("package.rebuy_insufficient", &data, Language::En);
        assert_eq!(en.subject, "No traffic package was bought: balance too low");
        assert_eq!(
            en.body,
            "Hello,\n\nYour wallet's balance is too low for buying your traffic package again. Please top it up.\n\n\
             Type: residential\nAmount needed: $12.34\nWallet balance: $0.56\n\n\
             This mail was sent automatically (package.rebuy_insufficient); please do not reply.\n"
        );
        let zh = text("package.rebuy_insufficient", &data, Language::Zh);
        assert_eq!(zh.subject, "余额不足，流量包未能自动续购");
        assert_eq!(
            zh.body,
            "您好！\n\n钱包余额不足，流量包未能自动续购。请充值。\n\n\
             类型：住宅\n所需金额：$12.34\n钱包余额：$0.56\n\n\
             此邮件由系统自动发送（package.rebuy_insufficient），请勿回复。\n"
        );
    }

    #[test]
    fn every_event_says_all_its_data_in_both_languages() {
        for (event, data) in events() {
            for language in Language::ALL {
                let told = text(event, &data, language);
                let lines =
                    told.body.lines().filter(|line| line.contains(": ") || line.contains('：')).count();
                let unsaid = usize::from(event == "package.threshold_reached"); // its reason is the subject
                let fields = data.as_object().map_or(0, serde_json::Map::len) - unsaid;
                assert_eq!(lines, fields, "{event}: {}", told.body);
                assert_ne!(told.subject, text("no.such_event", &json!({}), language).subject, "{event}");
            }
        }
    }

    #[test]
    fn what_is_missing_or_of_another_kind_is_left_out() {
        for (event, data) in events() {
            let odd: Value =
                data.as_object().into_iter().flatten().map(|(key, _)| (key.clone(), json!([null]))).collect();
            for language in Language::ALL {
                let bare = text(event, &json!({}), language).body;
                assert!(bare.lines().count() >= 5, "{event}: {bare}");
                assert_eq!(text(event, &odd, language).body, bare, "{event}");
                assert_eq!(text(event, &json!(null), language).body, bare, "{event}");
            }
        }
    }

    #[test]
    fn an_unknown_event_is_told_of_by_its_name() {
        let told = text("coupon.granted", &json!({"amount": 5}), Language::En);
        assert_eq!(told.subject, "A notice about your account");
        assert!(told.body.contains("(coupon.granted)"), "{}", told.body);
    }

    proptest! {
        #[test]
        fn nothing_in_the_data_breaks_a_line(event in ".{0,30}", word in "(?s).{0,300}", which in 0_usize..17) {
            let (known, data) = &events()[which];
            let data: Value =
                data.as_object().into_iter().flatten().map(|(key, _)| (key.clone(), json!(word))).collect();
            for language in Language::ALL {
                for told in [text(known, &data, language), text(&event, &data, language)] {
                    prop_assert!(told.subject.chars().all(|c| !c.is_control()));
                    prop_assert!(told.body.chars().all(|c| c == '\n' || !c.is_control()));
                    let fewest = text(known, &json!({}), language).body.lines().count();
                    prop_assert!(told.body.lines().count() <= fewest + 7);
                }
            }
        }
    }
}
