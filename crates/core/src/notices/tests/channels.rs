//! Making, changing and showing channels.

use tollgate_testkit::on_both_databases;
use tollgate_types::Language;

use super::*;
use crate::notices::{ChannelKind, delete_channel, rotate_webhook_secret, set_email, set_low_balance};
use crate::notices::{set_webhook, settings, test as try_out};
use crate::{Conflict, Noun, Rule, audit_log};

fn invalid(field: &'static str, rule: Rule) -> Error {
    Error::Invalid { field, rule }
}

on_both_databases! {
    async fn a_webhooks_secret_is_told_once_and_then_never_again(database) {
        let house = House::on(&database).await;
        let ann = house.account("ann").await;
        let none = set_webhook(&house.core, ann, switched(true)).await.unwrap_err();
        assert_eq!(none, invalid("url", Rule::Required), "nothing to change yet");
        let (status, secret) = set_webhook(&house.core, ann, to("https://a.example/1")).await.unwrap();
        let secret = secret.expect("a secret");
        assert_eq!(secret.expose_secret().len(), "whsec_".len() + 44);
        assert!(status.active && status.sent_seq == 0 && status.old_secret_until.is_none());

        let (status, again) = set_webhook(&house.core, ann, to("https://a.example/2")).await.unwrap();
        assert!(again.is_none(), "the secret stays");
        assert_eq!(status.target, "https://a.example/2");
        house.happen(ann, 1).await;
        house.work().await;
        assert_eq!(parts(&house.courier.taken()[0]).2, [secret.expose_secret()]);
        let shown = format!("{:?}", settings(&house.core, ann).await.unwrap());
        assert!(!shown.contains("whsec_"), "{shown}");

        let lines = audit_log::list(&house.core, Some(ann), crate::Page::new(None, None).unwrap()).await;
        let lines = format!("{:?}", lines.unwrap());
        assert!(lines.contains("notices.channel_made") && lines.contains("notices.channel_changed"));
        assert!(!lines.contains("a.example") && !lines.contains("whsec_"), "{lines}");
    }

    async fn a_rotated_secret_signs_first_and_the_old_one_beside_it_for_a_while(database) {
        let house = House::on(&database).await;
        let ann = house.account("ann").await;
        let none = rotate_webhook_secret(&house.core, ann, None).await.unwrap_err();
        assert_eq!(none, Error::NotFound(Noun::NoticeChannel));
        let (_, first) = set_webhook(&house.core, ann, to("https://a.example/1")).await.unwrap();
        let first = first.unwrap();
        let (status, second) = rotate_webhook_secret(&house.core, ann, None).await.unwrap();
        let a_day = Duration::from_secs(24 * 3600);
        assert_eq!(status.old_secret_until, Some(house.clock.now().plus(a_day)));
        let signed_with = async || {
            house.happen(ann, 1).await;
            house.work().await;
            let letters = house.courier.taken();
            parts(letters.last().unwrap()).2.into_iter().map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(signed_with().await, [second.expose_secret(), first.expose_secret()]);
        house.clock.advance(a_day - Duration::from_secs(1));
        assert_eq!(signed_with().await.len(), 2);
        house.clock.advance(Duration::from_secs(1));
        assert_eq!(signed_with().await, [second.expose_secret()], "the day is over");
        assert_eq!(house.webhook(ann).await.old_secret_until, None);

        let (_, third) = rotate_webhook_secret(&house.core, ann, Some(0)).await.unwrap();
        assert_eq!(signed_with().await, [third.expose_secret()], "the second was given away, perhaps");
        for hours in [-1, 169] {
            let refused = rotate_webhook_secret(&house.core, ann, Some(hours)).await.unwrap_err();
            assert_eq!(refused, invalid("keep_old_hours", Rule::Range { min: 0, max: 168 }));
        }
    }

    async fn urls_that_cannot_be_sent_to_are_refused(database) {
        let house = House::on(&database).await;
        let ann = house.account("ann").await;
        let long = format!("https://a.example/{}", "x".repeat(2048));
        for (url, rule) in [
            ("", Rule::Length { min: 1, max: 2048 }),
            (long.as_str(), Rule::Length { min: 1, max: 2048 }),
            ("a.example", Rule::Url),
            ("ftp://a.example/", Rule::Url),
            ("https://", Rule::Url),
            ("https:///path", Rule::Url),
            ("https://ann:secret@a.example/", Rule::Url),
            ("https://a.example/#part", Rule::Url),
            ("https://a.example#part", Rule::Url),
            ("https://[a.example/", Rule::Url),
            ("https://a.example/ b", Rule::Characters),
            ("https://a.example/\r\nx: y", Rule::Characters),
            ("https://a.example\\@b.example/", Rule::Characters),
            ("http://a.example/", Rule::Https),
            ("https://10.0.0.1/", Rule::Unreachable),
        ] {
            let refused = set_webhook(&house.core, ann, to(url)).await.unwrap_err();
            assert_eq!(refused, invalid("url", rule), "{url:?}");
        }
        assert_eq!(settings(&house.core, ann).await.unwrap().webhook, None);
        assert!(set_webhook(&house.core, ann, to("https://a.example/a@b?c=@")).await.is_ok());
    }

    async fn mail_goes_to_the_accounts_own_address_unless_it_names_another(database) {
        let house = House::on(&database).await;
        let ann = house.account("ann").await;
        let status = set_email(&house.core, ann, ChannelChange::default()).await.unwrap();
        assert_eq!((status.target.as_str(), status.language), ("ann@example.com", Language::Zh));
        house.happen(ann, 1).await;
        house.work().await;
        let change = ChannelChange { language: Some(Language::En), ..to("desk@example.com") };
        set_email(&house.core, ann, change).await.unwrap();
        let kept = set_email(&house.core, ann, switched(true)).await.unwrap();
        assert_eq!((kept.target.as_str(), kept.language), ("desk@example.com", Language::En));
        house.happen(ann, 1).await;
        house.work().await;
        let ways: Vec<_> = house.courier.taken().into_iter().map(|letter| letter.way).collect();
        assert!(matches!(&ways[0], Way::Mail { to, language: Language::Zh } if to == "ann@example.com"));
        assert!(matches!(&ways[1], Way::Mail { to, language: Language::En } if to == "desk@example.com"));
        for bad in ["nobody", "a b@example.com", "a@b\r\nBcc: c@d", "ann@unsuitable", ""] {
            let refused = set_email(&house.core, ann, to(bad)).await.unwrap_err();
            assert!(matches!(refused, Error::Invalid { field: "email", .. }), "{bad:?}: {refused:?}");
        }
    }

    async fn where_no_mail_is_sent_none_is_promised(database) {
        let clock = Arc::new(FakeClock::new(tollgate_testkit::database::NOW));
        let courier = Arc::new(FakeCourier { has_no_mail: true, ..FakeCourier::default() });
        let core = open(database.open(), &clock, &courier).await;
        let house = House { core, clock, courier };
        let ann = house.account("ann").await;
        let refused = set_email(&house.core, ann, ChannelChange::default()).await.unwrap_err();
        assert_eq!(refused, Error::Conflict(Conflict::NoMail));
        assert!(!settings(&house.core, ann).await.unwrap().has_mail);
    }

    async fn a_new_channel_is_told_of_what_comes_and_not_of_what_was(database) {
        let house = House::on(&database).await;
        let ann = house.account("ann").await;
        house.happen(ann, 3).await;
        set_webhook(&house.core, ann, to("https://a.example/1")).await.unwrap();
        house.work().await;
        assert_eq!(house.courier.numbers(), [0i64; 0]);
        house.happen(ann, 2).await;
        assert_eq!(house.webhook(ann).await.pending, 2);
        house.work().await;
        assert_eq!(house.courier.numbers(), [4, 5]);
        assert_eq!(house.webhook(ann).await.pending, 0);
    }

    async fn a_channel_switched_on_again_goes_on_but_for_what_is_stale(database) {
        let house = House::on(&database).await;
        let ann = house.subscriber("ann").await;
        set_webhook(&house.core, ann, switched(false)).await.unwrap();
        house.happen(ann, 2).await;
        house.clock.advance(Duration::from_secs(3 * 24 * 3600));
        house.happen(ann, 1).await;
        house.work().await;
        assert_eq!(house.courier.numbers(), [0i64; 0], "it is switched off");
        house.clock.advance(Duration::from_secs(1));
        let (status, _) = set_webhook(&house.core, ann, switched(true)).await.unwrap();
        assert_eq!(status.pending, 1);
        house.work().await;
        assert_eq!(house.courier.numbers(), [3]);
    }

    async fn a_deleted_channel_is_told_nothing_and_a_new_one_has_another_secret(database) {
        let house = House::on(&database).await;
        let ann = house.account("ann").await;
        let (_, first) = set_webhook(&house.core, ann, to("https://a.example/1")).await.unwrap();
        house.happen(ann, 1).await;
        delete_channel(&house.core, ann, ChannelKind::Webhook).await.unwrap();
        house.work().await;
        assert_eq!(house.courier.numbers(), [0i64; 0]);
        assert_eq!(house.rest().await, None, "no job is left");
        let again = delete_channel(&house.core, ann, ChannelKind::Webhook).await.unwrap_err();
        assert_eq!(again, Error::NotFound(Noun::NoticeChannel));
        let (_, second) = set_webhook(&house.core, ann, to("https://a.example/1")).await.unwrap();
        assert_ne!(first.unwrap().expose_secret(), second.unwrap().expose_secret());
    }

    async fn channels_are_tried_out_once_a_minute_at_most(database) {
        let house = House::on(&database).await;
        let ann = house.account("ann").await;
        let nothing = try_out(&house.core, ann).await.unwrap_err();
        assert_eq!(nothing, Error::NotFound(Noun::NoticeChannel));
        set_webhook(&house.core, ann, to("https://a.example/1")).await.unwrap();
        set_email(&house.core, ann, ChannelChange::default()).await.unwrap();
        try_out(&house.core, ann).await.unwrap();
        house.clock.advance(Duration::from_secs(20));
        let soon = try_out(&house.core, ann).await.unwrap_err();
        assert_eq!(soon, Error::TooSoon(Duration::from_secs(40)));
        house.clock.advance(Duration::from_secs(40));
        try_out(&house.core, ann).await.unwrap();
        house.work().await;
        let letters = house.courier.taken();
        assert_eq!(letters.len(), 4, "two tests, two channels");
        assert!(letters.iter().all(|letter| letter.kind == "notice.tested"));
        let data: Value = serde_json::from_str(&letters[0].data).unwrap();
        assert_eq!(data, json!({ "channels": ["email", "webhook"] }));
    }

    async fn the_balance_to_be_told_of_is_kept(database) {
        let house = House::on(&database).await;
        let ann = house.account("ann").await;
        assert_eq!(settings(&house.core, ann).await.unwrap().low_balance, Cents::ZERO);
        set_low_balance(&house.core, ann, Cents::new(500)).await.unwrap();
        assert_eq!(settings(&house.core, ann).await.unwrap().low_balance, Cents::new(500));
        let refused = set_low_balance(&house.core, ann, Cents::new(-1)).await.unwrap_err();
        assert!(matches!(refused, Error::Invalid { field: "low_balance", .. }));
        let nobody = AccountId::new(3_000_000_000);
        assert_eq!(set_low_balance(&house.core, nobody, Cents::ZERO).await, Err(Error::NotFound(Noun::Account)));
        assert_eq!(settings(&house.core, nobody).await.unwrap_err(), Error::NotFound(Noun::Account));
    }
}
