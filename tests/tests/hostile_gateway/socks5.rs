//! SOCKS5 in lab and strict profile.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket};
use tollgate_testkit::Origin;
use tollgate_testkit::world::{World, eventually};

use crate::lab::{End, Lab, PASSWORD, Raw, USER, connect, socks_connect, socks_connect_name, socks_login};

/// After the reply code: reserved, and an unspecified IPv4 address.
const NOWHERE: [u8; 8] = [0, 1, 0, 0, 0, 0, 0, 0];

/// What a case does after sending.
#[derive(Clone, Copy, PartialEq)]
enum After {
    /// The gateway ends the connection.
    Ends,
    /// It waits for more.
    Waits,
    /// The client ends its direction, then the gateway the connection.
    Finish,
}

/// A reply to a request as a whole, after a right login.
fn logged_in(rep: u8) -> Vec<u8> {
    [&[5, 2, 1, 0, 5, rep][..], &NOWHERE].concat()
}

fn right(request: &[u8]) -> Vec<u8> {
    [&socks_login(USER, PASSWORD), request].concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handshakes() {
    use After::{Ends, Finish, Waits};
    let lab = Lab::open().await;
    let other_version = [&[5, 1, 2, 5][..], &right(&[])[4..]].concat();
    let cases: &[(&str, Vec<u8>, Vec<u8>, After)] = &[
        ("S5-01", vec![5, 1, 2], vec![5, 2], Waits),
        ("S5-02", vec![5, 1, 0], vec![5, 0xff], Ends),
        ("S5-03", vec![5, 0], vec![5, 0xff], Ends),
        ("S5-05 not listed", vec![5, 2, 0, 2], vec![5, 2], Waits),
        ("S5-08", other_version, vec![5, 2, 1, 1], Ends),
        ("S5-11 wrong password", socks_login(USER, "wrong-1"), vec![5, 2, 1, 1], Ends),
        ("S5-11 unknown user", socks_login("nobody", PASSWORD), vec![5, 2, 1, 1], Ends),
        ("S5-11 no password", socks_login(USER, ""), vec![5, 2, 1, 1], Ends),
        ("S5-11 no user", socks_login("", PASSWORD), vec![5, 2, 1, 1], Ends),
        ("S5-10 password of 255", socks_login(USER, &"p".repeat(255)), vec![5, 2, 1, 1], Ends),
        ("S5-10 host of 255", right(&socks_connect_name(&"h.".repeat(128)[..255], 80)), logged_in(1), Ends),
        ("S5-14 empty name", right(&[5, 1, 0, 3, 0, 0, 80]), logged_in(1), Ends),
        ("S5-14 cut short", right(&[5, 1, 0, 3, 50, b'a', b'b']), vec![5, 2, 1, 0], Finish),
        ("S5-14 address type", right(&[5, 1, 0, 5, 1, 2, 3, 4, 0, 80]), logged_in(8), Ends),
        ("S5-15 BIND", right(&[5, 2, 0, 1, 127, 0, 0, 1, 0, 80]), logged_in(7), Ends),
        ("S5-15 unknown", right(&[5, 9, 0, 1, 127, 0, 0, 1, 0, 80]), logged_in(7), Ends),
        ("S5-18 port 0", right(&[5, 1, 0, 1, 127, 0, 0, 1, 0, 0]), logged_in(1), Ends),
        ("SOCKS4", b"\x04\x01\x00\x50\x7f\x00\x00\x01\x00".to_vec(), vec![0, 0x5b, 0, 0, 0, 0, 0, 0], Ends),
    ];
    for (row, sent, answer, after) in cases {
        let mut raw = lab.send(sent).await;
        if *after == Finish {
            raw.finish().await;
        }
        match after {
            Waits => assert_eq!(raw.exactly(answer.len()).await, *answer, "{row}"),
            Ends | Finish => assert_eq!(raw.rest().await, *answer, "{row}"),
        }
    }
    assert_eq!(lab.origin.connections(), 0);
    lab.costs(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn targets_by_number_and_by_name() {
    let long_name = format!("a{}.test", ["a"; 62].map(|a| a.repeat(3)).join("."));
    assert_eq!(long_name.len(), 253);
    let hosts = format!("origin.test=127.0.0.1,six.test=::1,{long_name}=127.0.0.1");
    let settings = [("TOLLGATE_GATEWAY__HOSTS", hosts.as_str())];
    let lab = Lab::with(&settings).await;
    let six = Origin::start_on("[::1]:0").await;
    let (four_port, six_port) = (lab.origin.address().port(), six.address().port());
    let cases = [
        ("S5-13 IPv4", socks_connect(lab.origin.address())),
        ("S5-13 IPv6", socks_connect(six.address())),
        ("S5-13 name", socks_connect_name("origin.test", four_port)),
        ("S5-13 name with IPv6 only", socks_connect_name("six.test", six_port)),
        ("S5-13 IPv4 within IPv6", {
            let mapped = "::ffff:127.0.0.1".parse().expect("an address");
            socks_connect(std::net::SocketAddr::new(mapped, four_port))
        }),
        ("S5-13 IPv4 as text", socks_connect_name("127.0.0.1", four_port)),
        ("S5-10 name of 253", socks_connect_name(&long_name, four_port)),
        ("HP-66 dot and case", socks_connect_name("ORIGIN.Test.", four_port)),
    ];
    let count = cases.len() as u64;
    for (row, request) in cases {
        let mut raw = lab.send(right(&request)).await;
        assert_eq!(raw.exactly(4).await, [5, 2, 1, 0], "{row}");
        let reply = raw.exactly(4).await;
        assert_eq!(reply[..3], [5, 0, 0], "{row}");
        let bound = raw.exactly(if reply[3] == 4 { 18 } else { 6 }).await;
        assert!(matches!(reply[3], 1 | 4) && bound.ends_with(&bound[bound.len() - 2..]), "{row}");
        assert_ne!(bound[bound.len() - 2..], [0, 0], "{row}: the port that it leaves from");
        raw.say("ECHO\nping").await;
        assert_eq!(raw.exactly(4).await, b"ping", "{row}");
    }
    lab.costs(count * (5 + 4 + 4)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_names_slow_hands_and_listed_addresses() {
    let lab = Lab::without_exits(&[]).await;
    let (city, name, session) = ("c".repeat(60), "n".repeat(64), "s".repeat(64));
    lab.exit(json!({ "kind": "direct", "country": "us", "city": city, "asn": 64500 })).await;
    lab.world.sub_account(&lab.ann, &name, PASSWORD, 0).await;
    let place = format!("type-residential-country-us-asn-64500-city-{city}");
    let user = format!("{name}-{place}-session-{session}-sesstime-1440");
    assert_eq!(user.len(), 255);
    let mut raw =
        lab.send([socks_login(&user, PASSWORD), socks_connect(lab.origin.address())].concat()).await;
    assert_eq!(raw.exactly(6).await, [5, 2, 1, 0, 5, 0], "S5-10");

    // S5-06: the whole handshake, a byte at a time.
    let mut raw = lab.dial().await;
    for byte in right(&socks_connect(lab.origin.address())) {
        raw.say([byte]).await;
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    assert_eq!(raw.exactly(6).await, [5, 2, 1, 0, 5, 0], "S5-06");

    // S5-05: a listed peer that offers a password is asked for it, and then it must be right.
    let ip = json!({ "ip": "127.0.0.1" });
    lab.world.api(&lab.ann.key).post("/api/users/proxy/add-whitelist", ip).await.data();
    eventually("the address is listed", Duration::from_secs(2), async || {
        let mut raw = lab.send([5, 1, 0]).await;
        (raw.exactly(2).await == [5, 0]).then_some(())
    })
    .await;
    let mut raw = lab.send([5, 2, 0, 2]).await;
    assert_eq!(raw.exactly(2).await, [5, 2], "S5-05");
    let mut raw = lab.send(socks_login(USER, "wrong-1")).await;
    assert_eq!(raw.rest().await, [5, 2, 1, 1], "S5-05");
    lab.costs(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_not_enter_learns_nothing_from_the_answer() {
    let lab = Lab::open().await;
    let idle = lab.world.sub_account(&lab.ann, "ann.idle", PASSWORD, 0).await;
    let off = json!({ "id": idle, "status": "inactive" });
    lab.world.api(&lab.ann.key).post("/api/users/subuser/update", off).await.data();
    // S5-11: who is blocked and knows the password is told so, by the reply to the request.
    let request = [socks_login("ann.idle", PASSWORD), socks_connect(lab.origin.address())].concat();
    eventually("the sub-account is blocked", Duration::from_secs(2), async || {
        let answer = lab.send(&request).await.rest().await;
        (answer == logged_in(2)).then_some(())
    })
    .await;

    // That they also take the same time is so by construction (`gateway::identify`): a test that
    // decided by the clock would fail on a busy machine and prove nothing on a quiet one.
    for (user, password) in [(USER, "wrong-1"), ("nobody", "wrong-1"), ("ann.idle", "wrong-1")] {
        let mut raw = lab.dial().await;
        raw.say(socks_login(user, password)).await;
        assert_eq!(raw.rest().await, [5, 2, 1, 1], "{user}");
    }
    lab.costs(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn targets_that_are_not_there() {
    let lab =
        Lab::with(&[("TOLLGATE_GATEWAY__CONNECT_TIMEOUT", "1s"), ("TOLLGATE_GATEWAY__DNS_TIMEOUT", "800ms")])
            .await;
    let closed = TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("its address");
    let (full, _keep) = full_backlog().await;
    let cases: [(&str, Vec<u8>, &[u8]); 3] = [
        ("S5-18 closed", socks_connect(closed), &[5]),
        ("S5-18 silent", socks_connect(full), &[4, 6]),
        ("S5-18 no such name", socks_connect_name("nobody.invalid", 80), &[4, 6]),
    ];
    for (row, request, expected) in cases {
        let began = Instant::now();
        let answer = lab.send(right(&request)).await.rest().await;
        assert_eq!(answer.len(), 14, "{row}: {answer:?}");
        assert!(expected.contains(&answer[5]), "{row}: {answer:?}");
        assert!(began.elapsed() < Duration::from_secs(10), "{row}: {:?}", began.elapsed());
    }
    lab.costs(0).await;
}

/// A listener that nobody accepts from, with its queue full: further connections stay unanswered.
async fn full_backlog() -> (std::net::SocketAddr, Vec<Box<dyn Send>>) {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
    let listener = socket.listen(1).expect("a listener");
    let address = listener.local_addr().expect("its address");
    let mut keep: Vec<Box<dyn Send>> = vec![Box::new(listener)];
    for _ in 0..64 {
        let socket = TcpSocket::new_v4().expect("a socket");
        match tokio::time::timeout(Duration::from_millis(300), socket.connect(address)).await {
            Ok(Ok(stream)) => keep.push(Box::new(stream)),
            Ok(Err(_)) | Err(_) => return (address, keep),
        }
    }
    panic!("the queue of a listener that accepts nobody does not fill");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ends_travel() {
    const SIZE: usize = 10 << 20;
    let lab = Lab::open().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let target = listener.local_addr().expect("its address");
    let origin = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let mut request = Vec::new();
        stream.read_to_end(&mut request).await.expect("the request, to its end");
        tokio::time::sleep(Duration::from_secs(1)).await;
        stream.write_all(&vec![b'x'; SIZE]).await.expect("somebody who reads");
        request
    });
    // S5-20: the client has finished long before the answer begins.
    let mut raw = lab.send(right(&socks_connect(target))).await;
    assert_eq!(raw.exactly(14).await[..6], [5, 2, 1, 0, 5, 0]);
    raw.say("request").await;
    raw.finish().await;
    let (answer, end) = raw.until_end().await;
    assert_eq!((answer.len(), end), (SIZE, End::Closed), "S5-20");
    assert_eq!(origin.await.expect("an origin"), b"request", "S5-20");
    let mut spent = SIZE as u64 + 7;

    // S5-20, the other way round: the origin has finished, the client goes on.
    let (mut raw, _) = lab.ask(connect(lab.origin.address())).await;
    raw.say("SEND 5\n").await;
    assert_eq!(raw.exactly(5).await, b".....");
    assert_eq!(raw.rest().await, b"");
    raw.say(vec![b'y'; SIZE]).await;
    raw.finish().await;
    let received = SIZE as u64 + 7;
    eventually("the origin hears the rest", Duration::from_secs(5), async || {
        (lab.origin.received() == received).then_some(())
    })
    .await;
    spent += received + 5;

    // S5-22: the origin breaks off; what came before is billed.
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let target = listener.local_addr().expect("its address");
    let origin = tokio::spawn(async move {
        let mut stream = Raw::over(listener.accept().await.expect("a connection").0);
        stream.say([b'z'; 1000]).await;
        stream.exactly(2).await;
        stream.reset();
        // S5-22, the other way round.
        let mut stream = Raw::over(listener.accept().await.expect("a connection").0);
        stream.exactly(3).await;
        stream.say("k").await;
        let began = Instant::now();
        (stream.until_end().await, began.elapsed())
    });
    let (mut raw, _) = lab.ask(connect(target)).await;
    raw.exactly(1000).await;
    raw.say("go").await;
    let began = Instant::now();
    assert_eq!(raw.until_end().await, (vec![], End::Reset), "S5-22");
    assert!(began.elapsed() < Duration::from_secs(1), "S5-22: {:?}", began.elapsed());
    let (mut raw, _) = lab.ask(connect(target)).await;
    raw.say("abc").await;
    raw.exactly(1).await;
    raw.reset();
    let (ended, took) = origin.await.expect("an origin");
    assert_eq!(ended, (vec![], End::Reset), "S5-22");
    assert!(took < Duration::from_secs(2), "S5-22: {took:?}");
    lab.costs(spent + 1000 + 2 + 3 + 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silence_ends_with_the_handshake_timeout() {
    let lab = Lab::with(&[("TOLLGATE_GATEWAY__HANDSHAKE_TIMEOUT", "5s")]).await;
    let before = files_of(&lab.world);
    let stages: [(&str, Vec<u8>); 6] = [
        ("S5-33 after connecting", vec![]),
        ("S5-33 after the version", vec![5]),
        ("S5-33 after the greeting", vec![5, 1, 2]),
        ("S5-33 after the login", socks_login(USER, PASSWORD)),
        ("S5-33 within a request", right(&[5, 1, 0, 3, 50])),
        ("S5-33 within a head", b"GET http://a/ HTTP/1.1\r\nHost: a\r\nX-".to_vec()),
    ];
    let mut waiting = Vec::new();
    for (row, sent) in stages {
        let gateway = lab.world.gateway();
        waiting.push(tokio::spawn(async move {
            let mut raw = Raw::to(gateway).await;
            let began = Instant::now();
            raw.say(sent).await;
            raw.rest().await;
            (row, began.elapsed())
        }));
    }
    // A drop every now and then does not buy time.
    let gateway = lab.world.gateway();
    waiting.push(tokio::spawn(async move {
        let mut raw = Raw::to(gateway).await;
        let began = Instant::now();
        for _ in 0..8 {
            raw.say("G").await;
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        raw.rest().await;
        ("S5-33 drop by drop", began.elapsed())
    }));
    for stage in waiting {
        let (row, took) = stage.await.expect("a stage");
        assert!((4.0..6.0).contains(&took.as_secs_f64()), "{row}: {took:?}");
    }
    eventually("no file descriptor is left over", Duration::from_secs(5), async || {
        (files_of(&lab.world) <= before).then_some(())
    })
    .await;
    lab.costs(0).await;
}

/// How many file descriptors the program holds.
pub(crate) fn files_of(world: &World) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", world.pid())).expect("its own child's").count()
}
