//! Where customers may go: the destination guard in its default profile, and what stays closed
//! even where loopback is open.

use crate::lab::{
    Lab, PASSWORD, Scripted, Then, USER, connect, request, socks_connect, socks_connect_name, socks_login,
};

/// Closed by number (S5-16, S5-17, HP-60).
const CLOSED: [&str; 24] = [
    "127.0.0.1",
    "127.8.9.10",
    "0.0.0.0",
    "10.0.0.1",
    "100.64.0.1",
    "169.254.169.254",
    "172.16.0.1",
    "192.168.0.1",
    "192.0.0.1",
    "198.18.0.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::ffff:10.0.0.1",
    "::ffff:127.0.0.1",
    "::127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b:1::a00:1",
    "fe80::1",
    "fd00:ec2::254",
    "ff02::1",
    "2002:7f00:1::1",
];

/// Names that lead to closed addresses.
const HOSTS: &str = "rebound.example.com=127.0.0.1,metadata.example.com=169.254.169.254,\
                     six.example.com=::1,mapped.example.com=::ffff:10.0.0.1,origin.test=127.0.0.1";

fn right(request: &[u8]) -> Vec<u8> {
    [&socks_login(USER, PASSWORD), request].concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closed_destinations_are_refused_by_number_and_by_name() {
    let lab = Lab::strict(&[("TOLLGATE_GATEWAY__HOSTS", HOSTS)]).await;
    let port = lab.origin.address().port();
    let names = [
        "rebound.example.com",
        "REBOUND.example.com.",
        "metadata.example.com",
        "six.example.com",
        "mapped.example.com",
        "localhost",
    ];
    let numbers = CLOSED.iter().map(|ip| match ip.contains(':') {
        true => format!("[{ip}]"),
        false => (*ip).to_owned(),
    });
    for host in numbers.chain(names.map(str::to_owned)) {
        for sent in [connect(format!("{host}:{port}")), request("GET", &format!("http://{host}:{port}/"), "")]
        {
            let (_, told) = lab.ask(&sent).await;
            assert_eq!((told.status, told.name.as_str()), (403, "HOST_BLOCKED"), "HP-60: {host}");
            assert!(told.head.contains("error=destination_ip_prohibited"), "HP-60: {host}: {}", told.head);
        }
    }
    let by_number =
        CLOSED.map(|ip| socks_connect(std::net::SocketAddr::new(ip.parse().expect("an address"), port)));
    let by_name = names.map(|name| socks_connect_name(name, port));
    for sent in by_number.into_iter().chain(by_name) {
        let answer = lab.send(right(&sent)).await.rest().await;
        assert_eq!(answer[..6], [5, 2, 1, 0, 5, 2], "S5-17: {sent:?}");
    }
    // The numbers in disguise are no names (S5-16).
    for host in ["2130706433", "0x7f000001", "0177.0.0.1", "127.1", "0x7f.1"] {
        let answer = lab.send(right(&socks_connect_name(host, port))).await.rest().await;
        assert_eq!(answer[..6], [5, 2, 1, 0, 5, 1], "S5-16: {host}");
    }
    assert_eq!(lab.origin.connections(), 0, "HP-60: not a packet");
    assert_eq!(lab.billed().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_platform_itself_and_blocked_ports_are_closed_in_the_lab_too() {
    let lab =
        Lab::with(&[("TOLLGATE_GATEWAY__HOSTS", HOSTS), ("TOLLGATE_GATEWAY__BLOCKED_PORTS", "25,465")]).await;
    let world = &lab.world;
    for own in [world.gateway(), world.api_address(), world.metrics()] {
        for host in ["127.0.0.1", "[::ffff:127.0.0.1]", "origin.test", "0.0.0.0"] {
            let target = format!("{host}:{}", own.port());
            for sent in [connect(&target), request("GET", &format!("http://{target}/"), "")] {
                let (_, told) = lab.ask(sent).await;
                assert_eq!((told.status, told.name.as_str()), (403, "HOST_BLOCKED"), "HP-25 HP-63: {target}");
            }
        }
        let answer = lab.send(right(&socks_connect(own))).await.rest().await;
        assert_eq!(answer[5], 2, "HP-25 HP-63: {own}");
    }
    for (row, sent, status, name) in [
        ("HP-63", "CONNECT unix:/var/run/docker.sock HTTP/1.1\r\n{auth}\r\n".to_owned(), 400, "BAD_REQUEST"),
        (
            "HP-63",
            "GET unix:///var/run/docker.sock HTTP/1.1\r\nHost: a\r\n{auth}\r\n".to_owned(),
            501,
            "UNSUPPORTED",
        ),
        ("HP-64", connect("127.0.0.1:25"), 403, "PORT_BLOCKED"),
        ("HP-64", connect("mail.example.com:465"), 403, "PORT_BLOCKED"),
        ("HP-64", request("GET", "http://127.0.0.1:25/", ""), 403, "PORT_BLOCKED"),
    ] {
        let (_, told) = lab.ask(lab.fill(&sent)).await;
        assert_eq!((told.status, told.name.as_str()), (status, name), "{row}: {sent}");
    }
    let answer = lab.send(right(&socks_connect_name("mail.example.com", 25))).await.rest().await;
    assert_eq!(answer[5], 2, "HP-64");
    lab.costs(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redirects_are_the_clients_business_and_names_are_tidied() {
    let lab = Lab::with(&[("TOLLGATE_GATEWAY__HOSTS", HOSTS)]).await;
    let answer =
        "HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/latest/\r\nContent-Length: 0\r\n\r\n";
    let origin = Scripted::start(answer, Then::Stay).await;
    let (_, told) = lab.ask(request("GET", &format!("http://{}/", origin.address()), "")).await;
    assert_eq!(told.head, answer, "HP-62");
    assert_eq!(origin.heard().len(), 1, "HP-62");
    let port = origin.address().port();
    for host in ["Origin.TEST", "origin.test.", "%6frigin%2Etest"] {
        let (_, told) =
            lab.ask(connect(format!("{host}:{port}")).replace(&format!("Host: {host}"), "Host: a")).await;
        assert_eq!(told.status, 200, "HP-66: {host}: {}", told.head);
        let (_, told) = lab
            .ask(
                request("GET", &format!("http://{host}:{port}/"), "")
                    .replace(&format!("Host: {host}"), "Host: a"),
            )
            .await;
        assert_eq!(told.status, 302, "HP-66: {host}");
        let heard = origin.heard().pop().expect("a request");
        assert!(
            heard.contains(&format!("\r\nHost: origin.test:{port}\r\n"))
                || heard.contains(&format!("\r\nHost: origin.test.:{port}\r\n")),
            "HP-07 HP-66: {heard}"
        );
    }
}
