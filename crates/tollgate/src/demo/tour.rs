//! The lines to paste, each of which works as it is.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;

use super::seed::Customer;
use crate::platform::Addresses;

/// Variables that send curl another way than the lines mean.
const MISLEADING: [&str; 7] =
    ["http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"];

/// What the lines speak of.
pub(super) struct Tour<'a> {
    pub(super) addresses: &'a Addresses,
    pub(super) customer: &'a Customer,
    pub(super) origin: SocketAddr,
    pub(super) origin_name: &'a str,
}

/// Variables in this environment that would make curl pass the proxy by, or use another.
pub(super) fn cautions(environment: &[(OsString, OsString)]) -> Vec<&'static str> {
    let is_set = |name: &&str| environment.iter().any(|(set, value)| set == *name && !value.is_empty());
    MISLEADING.into_iter().filter(is_set).collect()
}

impl Tour<'_> {
    /// Everything that a demo prints. `kept` is the data directory where it outlives the demo.
    pub(super) fn text(&self, cautions: &[&str], zone: &str, kept: Option<&Path>) -> String {
        let mut text = self.welcome(kept);
        if !cautions.is_empty() {
            // Writing to a string cannot fail.
            let _ =
                write!(text, "\n# First: your shell sends curl elsewhere.\nunset {}\n", cautions.join(" "));
        }
        text + &self.money() + &self.proxy() + &self.routes() + &self.usage(zone) + &self.statics()
    }

    fn welcome(&self, kept: Option<&Path>) -> String {
        let (api, origin, key) = (self.api(), self.origin, self.customer.exposed_key());
        let metrics = first(self.addresses.metrics.iter());
        let gateways = self.addresses.gateway.iter().map(|(address, proxy_type)| match proxy_type {
            Some(proxy_type) => format!("{address} ({proxy_type})"),
            None => format!("{address} (type by user name)"),
        });
        let gateways = gateways.collect::<Vec<_>>().join(", ");
        let kept = kept
            .map_or("a temporary folder, deleted at the end".to_owned(), |path| path.display().to_string());
        let (login, password) = self.customer.login;
        format!(
            "\
Tollgate is running. Ctrl-C ends it.

  API       http://{api}  (documentation: http://{api}/docs)
  gateway   {gateways}
  metrics   http://{metrics}/metrics
  origin    http://{origin}  (a web server to reach through the gateway; http://{origin}/stats tells what it counted)
  data      {kept}
  customer  demo, API key {key}
  logins    {login} / {password}, bob / bob-secret

Paste any of these into another shell.
"
        )
    }

    fn money(&self) -> String {
        let (me, wallet) = (self.get("me/info"), self.get("wallet/info"));
        let (packages, offer) = (self.get("traffic/packages?proxy_type=residential"), self.customer.offer);
        let buy = self
            .get(&format!("traffic/packages/purchase?traffic_package_id={offer}&payment_type=wallet_only"));
        let newcomer = &self.customer.newcomer;
        let create = self.post(
            "subuser/create",
            &format!(r#"{{"username":"{newcomer}","password":"carol-secret","res_traffic_limit":1}}"#),
        );
        format!(
            "
# The account and its wallet
{me}
{wallet}

# A sub-account of its own, limited to 1 GB of residential traffic
{create}

# What is on sale, and buying one
{packages}
{buy}
"
        )
    }

    fn proxy(&self) -> String {
        let (origin, name, port) = (self.origin, self.origin_name, self.origin.port());
        let what = "-o /dev/null -w '%{http_code}, %{size_download} bytes\\n'";
        let tunnel = self.through("http", "-p ", "", &format!("{what} http://{origin}/bytes/1000000"));
        let plain = self.through("http", "", "", &format!("{what} http://{origin}/bytes/1000000"));
        let local =
            self.through("socks5", "-4 ", "", &format!("{what} http://localhost:{port}/bytes/1000000"));
        let remote = self.through("socks5h", "", "", &format!("{what} http://{name}:{port}/bytes/1000000"));
        format!(
            "
# A megabyte through the gateway: HTTP CONNECT, plain HTTP, SOCKS5 with names resolved here and there
{tunnel}
{plain}
{local}
{remote}
"
        )
    }

    fn routes(&self) -> String {
        let origin = self.origin;
        let ip = format!("http://{origin}/ip");
        let any = self.through("http", "", "", &ip);
        let japan = self.through("http", "", "-country-jp", &ip);
        let city = self.through("http", "", "-type-mobile-country-gb-city-manchester", &ip);
        let sticky = self.through("http", "", "-session-shop1-sesstime-10", &ip);
        format!(
            "
# Where it leaves: a fresh exit each time; one in Japan; a mobile one in Manchester
for i in 1 2 3 4; do {any}; done
{japan}
{city}

# A sticky session: the same exit each time
for i in 1 2 3 4; do {sticky}; done
"
        )
    }

    fn statics(&self) -> String {
        let (origin, price) = (self.origin, self.customer.static_price);
        let order = self.post(
            "static/order/create",
            &format!(
                r#"{{"proxy_type":"res","country":"us","protocol":"http/socks5","price_package_id":{price},"payment_type":"wallet_only"}}"#
            ),
        );
        let list = self.post("static/res/list", r#"{"page_size":3}"#);
        let export = format!(
            "curl -sS -G -H 'X-API-Key: {}' --data-urlencode 'template=%login%:%password%@%ip%:%port%' \
             http://{}/api/users/static/export",
            self.customer.exposed_key(),
            self.api()
        );
        format!(
            "
# Three static addresses in the US for thirty days
{order}
{list}

# Through each of them, by HTTP and by SOCKS5: the origin sees the address that was bought
for proxy in $({export}); do
  curl -sS -x http://$proxy http://{origin}/ip; curl -sS -x socks5h://$proxy http://{origin}/ip
done

# What has happened to the account; a webhook or a mail would tell the same
{events}
",
            events = self.get("events?cursor=0")
        )
    }

    fn usage(&self, zone: &str) -> String {
        let id = self.customer.sub_account;
        let current = self.get("traffic/packages/current");
        let sub_account = self.get(&format!("subuser/{id}"));
        let days = format!("start_date=$(TZ={zone} date +%F)&end_date=$(TZ={zone} date +%F)");
        let (trend, sub_trend) =
            (self.get(&format!("traffic/trend?{days}")), self.get(&format!("traffic/{id}/trend?{days}")));
        let origin = self.origin;
        let (login, _) = self.customer.login;
        format!(
            "
# What that has used, a second later: packages, {login}, the account's day and {login}'s; what the origin counted
{current}
{sub_account}
{trend}
{sub_trend}
curl -sS http://{origin}/stats
"
        )
    }

    /// A call of the customer's.
    fn get(&self, call: &str) -> String {
        format!(
            "curl -sS -H 'X-API-Key: {}' \"http://{}/api/users/{call}\"; echo",
            self.customer.exposed_key(),
            self.api()
        )
    }

    /// A call of the customer's that says more.
    fn post(&self, call: &str, body: &str) -> String {
        format!(
            "curl -sS -H 'X-API-Key: {}' -H 'Content-Type: application/json' \\\n  \
             -d '{body}' \\\n  http://{}/api/users/{call}; echo",
            self.customer.exposed_key(),
            self.api()
        )
    }

    /// A request through the gateway.
    fn through(&self, scheme: &str, flags: &str, routing: &str, rest: &str) -> String {
        let (login, password) = self.customer.login;
        let gateway = first(self.addresses.gateway.iter().map(|(address, _)| address));
        format!("curl -sS {flags}-x {scheme}://{login}{routing}:{password}@{gateway} {rest}")
    }

    fn api(&self) -> String {
        first(self.addresses.api.iter())
    }
}

fn first<'a>(mut addresses: impl Iterator<Item = &'a SocketAddr>) -> String {
    addresses.next().map(SocketAddr::to_string).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_that_mislead_curl_are_named() {
        let set = |name: &str, value: &str| (OsString::from(name), OsString::from(value));
        let environment = [set("http_proxy", "http://x"), set("no_proxy", ""), set("PATH", "/bin")];
        assert_eq!(cautions(&environment), ["http_proxy"]);
    }

    /// The tour of a demo on the usual ports.
    fn usual(key: &str) -> String {
        let customer = Customer {
            key: key.to_owned().into(),
            sub_account: 1,
            login: ("alice", "alice-secret"),
            newcomer: "carol".to_owned(),
            offer: 1,
            static_price: 2,
        };
        let local = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let addresses = Addresses {
            api: vec![local(8080)],
            gateway: vec![(local(7000), None)],
            metrics: vec![local(9090)],
        };
        let tour = Tour {
            addresses: &addresses,
            customer: &customer,
            origin: local(8090),
            origin_name: "origin.test",
        };
        tour.text(&["no_proxy"], "UTC", None)
    }

    #[test]
    fn the_readmes_tour_is_the_demos() {
        let readme = include_str!("../../../../README.md");
        let told = readme.split("## A five-minute tour").nth(1).and_then(|rest| rest.split("\n## ").next());
        let lines =
            told.expect("the tour").split("```sh\n").skip(1).filter_map(|block| block.split("```").next());
        let printed = usual("KEY");
        let mut compared = 0;
        for line in lines.flat_map(str::lines).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            assert!(printed.lines().any(|own| own == line), "{line}\n{printed}");
            compared += 1;
        }
        assert!(compared > 15, "{compared}");
    }

    #[test]
    fn what_misleads_curl_is_unset_first() {
        let text = usual("KEY");
        let unset = text.find("\nunset no_proxy\n").expect("it is told");
        assert!(text.find("\ncurl").is_some_and(|first| unset < first), "{text}");
    }
}
