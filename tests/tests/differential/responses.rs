//! hyper's client reads through the gateway what an origin answers: the same message that we
//! understand, a refusal where we understand none, and never a whole one where it broke off.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tollgate_testkit::client::base64;
use tollgate_testkit::world::World;
use tollgate_wire::Parsed;
use tollgate_wire::body::BodyReader;
use tollgate_wire::http::{Limits, response_head};

use super::{CONVERSATIONS, PASSWORD, PATIENCE, USER, in_chunks, without_hops, world};

/// What became of a response.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    /// It came whole: status, fields, body.
    Whole(u16, Vec<(String, Vec<u8>)>, Vec<u8>),
    /// It began and broke off.
    Broken(u16),
    /// The gateway answered in its place.
    Refused,
    /// The connection ended without a head.
    Nothing,
}

/// An origin that answers every request with the same bytes, and closes.
struct Teller {
    address: SocketAddr,
    answer: Arc<Mutex<Vec<u8>>>,
    task: JoinHandle<()>,
}

impl Drop for Teller {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Teller {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let address = listener.local_addr().expect("an address");
        let answer = Arc::new(Mutex::new(Vec::new()));
        let told = answer.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let answer = told.lock().expect("nobody panicked").clone();
                // A gateway that goes away is the end of its connection, not of the origin.
                tokio::spawn(async move { tell(stream, answer).await.ok() });
            }
        });
        Self { address, answer, task }
    }
}

async fn tell(mut stream: TcpStream, answer: Vec<u8>) -> std::io::Result<()> {
    let mut heard = Vec::new();
    while !heard.ends_with(b"\r\n\r\n") {
        heard.push(stream.read_u8().await?);
    }
    stream.write_all(&answer).await?;
    stream.shutdown().await?;
    stream.read_to_end(&mut heard).await?;
    Ok(())
}

/// What we make of an origin's bytes.
fn understood(mut bytes: &[u8], method: &str) -> Seen {
    let limits = Limits { fields: 100, ..Limits::default() };
    loop {
        let Ok(Parsed::Done(head, consumed)) = response_head(bytes, &limits) else { return Seen::Refused };
        bytes = &bytes[consumed..];
        if head.is_interim() {
            continue;
        }
        let (mut reader, mut body) = (BodyReader::new(head.framing(method)), Vec::new());
        let read = reader.decode(bytes, |run| body.extend(run));
        if read.is_err() || reader.finish().is_err() {
            return Seen::Broken(head.status);
        }
        let fields = head.fields.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.to_vec()));
        return Seen::Whole(head.status, end_to_end(fields.collect()), body);
    }
}

/// The fields that a client should see.
fn end_to_end(mut fields: Vec<(String, Vec<u8>)>) -> Vec<(String, Vec<u8>)> {
    let connection = fields.iter().filter(|(name, _)| name == "connection");
    let named: Vec<String> = connection
        .flat_map(|(_, value)| {
            String::from_utf8_lossy(value).split(',').map(str::to_owned).collect::<Vec<_>>()
        })
        .map(|name| name.trim().to_ascii_lowercase())
        .collect();
    fields.retain(|(name, _)| {
        let hop = ["te", "keep-alive", "proxy-authenticate", "proxy-connection"].contains(&name.as_str());
        !hop && !named.contains(name)
    });
    without_hops(fields)
}

/// What hyper's client makes of it behind the gateway.
async fn seen(world: &World, origin: SocketAddr, method: &str) -> Seen {
    let socket = TcpSocket::new_v4().expect("a socket");
    let stream = socket.connect(world.gateway()).await.expect("a gateway");
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("a connection");
    let connection = tokio::spawn(connection);
    let login = base64(format!("{USER}:{PASSWORD}").as_bytes());
    let request = Request::builder().method(method).uri(format!("http://{origin}/p"));
    let request =
        request.header("Host", origin.to_string()).header("Proxy-Authorization", format!("Basic {login}"));
    let request = request.body(Empty::<Bytes>::new()).expect("a request");
    let Ok(response) = sender.send_request(request).await else { return Seen::Nothing };
    let (head, body) = response.into_parts();
    let status = head.status.as_u16();
    let body = body.collect().await;
    connection.abort();
    if head.headers.contains_key("x-tollgate-error") {
        return Seen::Refused;
    }
    let fields =
        head.headers.iter().map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()));
    match body {
        Ok(body) => Seen::Whole(status, end_to_end(fields.collect()), body.to_bytes().to_vec()),
        Err(_) => Seen::Broken(status),
    }
}

/// How a body is written, right and wrong.
fn bodies() -> impl Strategy<Value = (String, Vec<u8>)> {
    let content = || prop::collection::vec(any::<u8>(), 0..60);
    let counted = content().prop_map(|body| (format!("Content-Length: {}\r\n", body.len()), body));
    let until_close = content().prop_map(|body| (String::new(), body));
    let chunks = prop::collection::vec(content(), 0..4);
    let chunked = (chunks, select(&["", ";a=b"][..]), select(&["", "X-T: v\r\n"][..]));
    let chunked = chunked.prop_map(|(chunks, extension, trailer)| {
        ("Transfer-Encoding: chunked\r\n".to_owned(), in_chunks(&chunks, extension, trailer))
    });
    let wrong = select(
        &[
            ("Content-Length: 9\r\n", "abc"),
            ("Content-Length: 3\r\nContent-Length: 4\r\n", "abcd"),
            ("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", "3\r\nabc\r\n0\r\n\r\n"),
            ("Content-Length: x\r\n", "abc"),
            ("Transfer-Encoding: gzip\r\n", "abc"),
            ("Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n"),
            ("Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n0\r\n"),
            ("Transfer-Encoding: chunked\r\n", "3\nabc\r\n0\r\n\r\n"),
            ("Transfer-Encoding: chunked\r\n", "-3\r\nabc\r\n0\r\n\r\n"),
            ("X\0Y: z\r\n", "abc"),
        ][..],
    )
    .prop_map(|(fields, body)| (fields.to_owned(), body.as_bytes().to_vec()));
    prop_oneof![3 => counted, 2 => until_close, 3 => chunked, 2 => wrong]
}

fn responses() -> impl Strategy<Value = Vec<u8>> {
    let interim = prop_oneof![8 => Just(""), 1 => Just("HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n")];
    let version = prop_oneof![9 => Just("HTTP/1.1"), 1 => Just("HTTP/1.0")];
    let status = select(
        &["200 OK", "201 ", "204 No Content", "304 Not Modified", "404 Not \u{e9} Found", "500 X"][..],
    );
    let field = prop_oneof![
        ("[A-Za-z][A-Za-z0-9-]{0,10}", "[ -~]{0,20}")
            .prop_map(|(name, value)| format!("X{name}: {value}\r\n")),
        select(
            &[
                "Connection: close\r\n",
                "Connection: X-A\r\nX-A: 1\r\n",
                "Keep-Alive: timeout=5\r\n",
                "Set-Cookie: a=b\r\nSet-Cookie: c=d\r\n",
                "Proxy-Authenticate: Basic\r\n",
                "X-Folded: a\r\n  b\r\n",
            ][..]
        )
        .prop_map(str::to_owned),
    ];
    let fields = prop::collection::vec(field, 0..4).prop_map(|lines| lines.concat());
    (interim, version, status, fields, bodies()).prop_map(
        |(interim, version, status, fields, (framing, body))| {
            let head = format!("{interim}{version} {status}\r\n{fields}{framing}\r\n");
            [head.as_bytes(), &body].concat()
        },
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hyper_sees_the_responses_that_we_understand_and_no_whole_one_that_broke_off() {
    let (world, teller) = (world().await, Teller::start().await);
    let mut runner =
        TestRunner::new_with_rng(Config::default(), TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let (mut whole, mut other) = (0, 0);
    for number in 0..CONVERSATIONS {
        let bytes = responses().new_tree(&mut runner).expect("a response").current();
        let method = ["GET", "HEAD", "GET", "OPTIONS"][number % 4];
        *teller.answer.lock().expect("nobody panicked") = bytes.clone();
        let expected = understood(&bytes, method);
        let seen = timeout(PATIENCE, seen(&world, teller.address, method)).await.expect("an end in time");
        // What breaks off before anything of it was passed on can still be refused; where an interim
        // response was passed on, nothing can.
        let fits = match (&seen, &expected) {
            (Seen::Refused, Seen::Broken(_)) => true,
            (Seen::Nothing, Seen::Refused | Seen::Broken(_)) => bytes.starts_with(b"HTTP/1.1 103 "),
            (seen, expected) => seen == expected,
        };
        assert!(fits, "response {number} to {method}: {}\n{seen:?}\n{expected:?}", bytes.escape_ascii());
        match seen {
            Seen::Whole(..) => whole += 1,
            Seen::Broken(_) | Seen::Refused | Seen::Nothing => other += 1,
        }
    }
    assert!(whole > CONVERSATIONS / 2 && other > CONVERSATIONS / 20, "{whole} whole, {other} not");
}
