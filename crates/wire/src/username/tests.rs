use super::*;

fn country(code: &str) -> Option<Country> {
    Some(code.parse().unwrap())
}

#[test]
fn a_bare_name_asks_for_nothing() {
    let user = parse("alice").unwrap();
    assert_eq!(user, UserName { name: "alice".to_owned(), route: RouteParams::default() });
    assert_eq!(user.route.session_minutes, 10);
}

#[test]
fn understands_every_parameter() {
    let expected = RouteParams {
        proxy_type: Some(ProxyType::Mobile),
        country: country("de"),
        state: Some("badenwürttemberg".to_owned()),
        city: Some("newyork".to_owned()),
        asn: Some(15169),
        session: Some("Ab_9".to_owned()),
        session_minutes: 1440,
    };
    for user in [
        "u.1_x-type-mob-country-DE-state-Baden_Württemberg-city-New+York-asn-15169-session-Ab_9-sesstime-1440",
        "u.1_x-ZONE-Mobile-CC-de-ST-baden württemberg-City-new_york-ASN-15169-SESSID-Ab_9-LIFETIME-1440",
        "u.1_x-lifetime-1440-sid-Ab_9-asn-15169-city-NEWYORK-st-badenWürttemberg-region-dE-zone-MOB",
    ] {
        let parsed = parse(user).unwrap();
        assert_eq!(parsed, UserName { name: "u.1_x".to_owned(), route: expected.clone() }, "{user}");
    }
}

#[test]
fn types_have_their_aliases() {
    for (word, proxy_type) in [
        ("res", ProxyType::Residential),
        ("residential", ProxyType::Residential),
        ("dc", ProxyType::Datacenter),
        ("Datacenter", ProxyType::Datacenter),
        ("mob", ProxyType::Mobile),
        ("mobile", ProxyType::Mobile),
    ] {
        assert_eq!(parse(&format!("u-type-{word}")).unwrap().route.proxy_type, Some(proxy_type));
    }
}

#[test]
fn any_country_is_no_country() {
    assert_eq!(parse("u-country-any").unwrap().route, RouteParams::default());
    assert_eq!(parse("u-cc-ANY").unwrap().route.country, None);
}

#[test]
fn refuses_what_it_cannot_follow() {
    use BadParamWhy::{Doubled, NoValue, Unknown};
    let bad = BadParamWhy::Malformed;
    let long = format!("u-session-{}", "a".repeat(65));
    let far = format!("u-city-{}", "a".repeat(129));
    let rows = [
        ("u-", "", Unknown),
        ("u-colour-red", "colour", Unknown),
        ("u-country-us-x", "x", Unknown),
        ("u--country-us", "", Unknown),
        ("u-country", "country", NoValue),
        ("u-country-us-city", "city", NoValue),
        ("u-country-us-CC-de", "CC", Doubled),
        ("u-country-any-region-any", "region", Doubled),
        ("u-session-a-sid-a", "sid", Doubled),
        ("u-type-isp", "type", bad("res, dc or mob")),
        ("u-type-", "type", bad("res, dc or mob")),
        ("u-country-", "country", bad("a two-letter country code, or any")),
        ("u-country-usa", "country", bad("a two-letter country code, or any")),
        ("u-country-u1", "country", bad("a two-letter country code, or any")),
        ("u-state-", "state", bad("the name of a place")),
        ("u-city-_+ ", "city", bad("the name of a place")),
        ("u-city-a\u{7f}", "city", bad("the name of a place")),
        (&far, "city", bad("the name of a place")),
        ("u-asn-0", "asn", bad("an autonomous system number, digits only")),
        ("u-asn-AS1", "asn", bad("an autonomous system number, digits only")),
        ("u-asn-+1", "asn", bad("an autonomous system number, digits only")),
        ("u-asn-4294967296", "asn", bad("an autonomous system number, digits only")),
        ("u-session-", "session", bad("1 to 64 letters, digits or _")),
        ("u-session-a.b", "session", bad("1 to 64 letters, digits or _")),
        ("u-session-é", "session", bad("1 to 64 letters, digits or _")),
        (&long, "session", bad("1 to 64 letters, digits or _")),
        ("u-sesstime-0", "sesstime", bad("a number of minutes from 1 to 1440")),
        ("u-sesstime-1441", "sesstime", bad("a number of minutes from 1 to 1440")),
        ("u-sesstime-65546", "sesstime", bad("a number of minutes from 1 to 1440")),
        ("u-sesstime-", "sesstime", bad("a number of minutes from 1 to 1440")),
        ("u-sesstime-1.5", "sesstime", bad("a number of minutes from 1 to 1440")),
    ];
    for (user, key, why) in rows {
        let expected = BadParam { name: "u".to_owned(), key: key.to_owned(), why };
        assert_eq!(parse(user), Err(expected), "{user}");
    }
}

#[test]
fn the_refusal_names_the_parameter() {
    let said = |user| parse(user).unwrap_err().to_string();
    assert_eq!(said("u-colour-red"), "colour: unknown parameter");
    assert_eq!(said("u-country-usa"), "country: must be a two-letter country code, or any");
    assert_eq!(said("u-asn"), "asn: has no value");
}

// A malformed name is the name of nobody, not a bad parameter.
#[test]
fn a_malformed_name_is_nobodys() {
    for (user, name) in
        [("", ""), ("é", "é"), ("ab", "ab"), ("a b c", "a b c"), ("a@b.c-country-us", "a@b.c")]
    {
        let parsed = parse(user).unwrap();
        assert_eq!(parsed.name, name);
        assert!(!is_name(&parsed.name), "{user}");
    }
    assert!(is_name("a.1") && is_name(&"Z".repeat(64)));
    assert!(!is_name(&"Z".repeat(65)));
}

// S5-10: a user name of 255 bytes says something.
#[test]
fn a_user_name_of_255_bytes_is_understood() {
    let user = format!("{}-session-{}-city-{}", "n".repeat(64), "s".repeat(64), "c".repeat(112));
    assert_eq!(user.len(), 255);
    assert!(parse(&user).is_ok());
}

#[test]
fn the_canonical_spelling() {
    let user = parse("u-sid-x-zone-res-lifetime-30-st-New_York-cc-US-asn-007").unwrap();
    assert_eq!(user.to_string(), "u-type-residential-country-us-state-newyork-asn-7-session-x-sesstime-30");
}
