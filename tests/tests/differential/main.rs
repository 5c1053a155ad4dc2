//! Our understanding of HTTP/1 and SOCKS5 held against that of others: hyper's server reads what the
//! gateway forwards, its client what the gateway answers, and hyper-util's SOCKS5 client enters by it.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod responses;

use std::convert::Infallible;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, Uri};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::SocksV5;
use hyper_util::rt::TokioIo;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tollgate_testkit::Origin;
use tollgate_testkit::client::base64;
use tollgate_testkit::world::{Setup, World};
use tollgate_wire::Parsed;
use tollgate_wire::body::BodyReader;
use tollgate_wire::http::{Limits, ProxyAuthorization, RequestHead, RequestTarget, Version, request_head};
use tower::Service;

const PATIENCE: Duration = Duration::from_secs(20);
const USER: &str = "ann.one";
const PASSWORD: &str = "secret-1";

/// Conversations that are made up.
const CONVERSATIONS: usize = 300;

async fn world() -> World {
    let hosts = "origin.test=127.0.0.1,six.test=::1";
    let setup = Setup::new(env!("CARGO_BIN_EXE_tollgate_under_test")).with("TOLLGATE_GATEWAY__HOSTS", hosts);
    let world = World::start(setup);
    let ann = world.customer("ann", 10_000).await;
    world.sub_account(&ann, USER, PASSWORD, 0).await;
    let exit = json!({ "name": "us", "proxy_type": "residential", "kind": "direct", "country": "us" });
    world.admin().post("/api/admin/exits", exit).await.data();
    world
}

/// A request as it is understood, by us or by hyper: field names in lower case, without those of one
/// hop, in order.
#[derive(Debug, PartialEq, Eq)]
struct Understood {
    method: String,
    target: String,
    fields: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

/// hyper's server, which remembers the requests it found.
struct Reader {
    address: SocketAddr,
    found: Arc<Mutex<Vec<Understood>>>,
    task: JoinHandle<()>,
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Reader {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let address = listener.local_addr().expect("an address");
        let found = Arc::new(Mutex::new(Vec::new()));
        let all = found.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let all = all.clone();
                let service = service_fn(move |request| remember(request, all.clone()));
                // How a connection ends is seen in what it brought.
                let serve = async move {
                    hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await
                        .ok()
                };
                tokio::spawn(serve);
            }
        });
        Self { address, found, task }
    }

    fn found(&self) -> Vec<Understood> {
        std::mem::take(&mut self.found.lock().expect("nobody panicked"))
    }
}

/// A request counts once its body is whole.
async fn remember(
    request: Request<Incoming>,
    all: Arc<Mutex<Vec<Understood>>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let Ok(body) = body.collect().await else {
        return Ok(Response::new(Full::default()));
    };
    let fields =
        head.headers.iter().map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()));
    let target = head.uri.path_and_query().map_or("*", |target| target.as_str()).to_owned();
    let fields = without_hops(fields.collect());
    let body = body.to_bytes().to_vec();
    let method = head.method.as_str().to_owned();
    all.lock().expect("nobody panicked").push(Understood { method, target, fields, body });
    Ok(Response::new(Full::default()))
}

/// What says how this hop ends or carries a body is written by each hop.
fn without_hops(mut fields: Vec<(String, Vec<u8>)>) -> Vec<(String, Vec<u8>)> {
    fields.retain(|(name, _)| {
        !["connection", "content-length", "transfer-encoding", "upgrade"].contains(&name.as_str())
    });
    // hyper keeps fields of one name together.
    fields.sort_by(|one, other| one.0.cmp(&other.0));
    fields
}

/// The requests that we find in what a client sends, up to the first that is refused, cut short, or
/// answered without an origin.
fn understood(mut bytes: &[u8]) -> Vec<Understood> {
    let mut found = Vec::new();
    let limits = Limits { fields: 100, ..Limits::default() };
    while let Ok(Parsed::Done(head, consumed)) = request_head(bytes, &limits) {
        bytes = &bytes[consumed..];
        let (mut reader, mut body) = (BodyReader::new(head.framing()), Vec::new());
        let Ok(step) = reader.decode(bytes, |run| body.extend(run)) else { break };
        if !step.done {
            break;
        }
        bytes = &bytes[step.take..];
        let here = head.max_forwards() == Some(0) || !is_ours(&head);
        match &head.form {
            RequestTarget::Absolute { target, path_and_query, .. } if !here => found.push(Understood {
                method: head.method.clone(),
                target: path_and_query.clone(),
                fields: end_to_end(&head, &target.authority(80)),
                body,
            }),
            RequestTarget::Authority(_) => break,
            RequestTarget::Absolute { .. } | RequestTarget::Origin | RequestTarget::Asterisk => {}
        }
        if !head.keep_alive() {
            break;
        }
    }
    found
}

/// Whether a request has the right credentials.
fn is_ours(head: &RequestHead) -> bool {
    matches!(head.proxy_credentials(), ProxyAuthorization::Given(given) if given.user == USER)
}

/// The fields that an origin should see, by a reading of RFC 9110 §7.6 of its own.
fn end_to_end(head: &RequestHead, host: &str) -> Vec<(String, Vec<u8>)> {
    let named: Vec<String> = head
        .fields
        .all("connection")
        .flat_map(|value| {
            String::from_utf8_lossy(value)
                .to_ascii_lowercase()
                .split(',')
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
        .map(|name| name.trim().to_owned())
        .collect();
    let mut kept = vec![("host".to_owned(), host.as_bytes().to_vec())];
    for (name, value) in head.fields.iter() {
        let name = name.to_ascii_lowercase();
        let hop = ["host", "te", "keep-alive", "http2-settings"].contains(&name.as_str());
        // A client of HTTP/1.0 cannot be told to continue, so nobody is asked.
        let hop = hop || (name == "expect" && head.version == Version::Http10);
        if hop || name.starts_with("proxy-") || named.contains(&name) {
            continue;
        }
        let value = match (name.as_str(), head.max_forwards()) {
            ("max-forwards", Some(left)) => (left - 1).to_string().into_bytes(),
            _ => value.to_vec(),
        };
        kept.push((name, value));
    }
    without_hops(kept)
}

/// Sends bytes, ends, and reads to the end.
async fn converse(gateway: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let socket = TcpSocket::new_v4().expect("a socket");
    let mut stream = socket.connect(gateway).await.expect("a gateway");
    let mut answers = Vec::new();
    let talk = async {
        // The gateway may have refused already what is still being sent.
        let _ = stream.write_all(bytes).await;
        let _ = stream.shutdown().await;
        let _ = stream.read_to_end(&mut answers).await;
    };
    timeout(PATIENCE, talk).await.expect("an end in time");
    answers
}

/// hyper must find what we find. Where a request was broken off on its way, nothing of it counts.
async fn agree(world: &World, reader: &Reader, bytes: &[u8], what: &str) -> usize {
    let expected = understood(bytes);
    let answers = converse(world.gateway(), bytes).await;
    let found = reader.found();
    let answers = answers.escape_ascii();
    assert_eq!(found, expected, "{what}: {}\nanswered {answers}", bytes.escape_ascii());
    expected.len()
}

fn credentials() -> String {
    format!("Proxy-Authorization: Basic {}\r\n", base64(format!("{USER}:{PASSWORD}").as_bytes()))
}

/// A file of the corpus, turned to an origin of ours and with credentials of ours.
fn aimed(bytes: &[u8], origin: SocketAddr) -> Option<Vec<u8>> {
    let start = bytes.windows(7).position(|seven| seven == b"http://")?;
    let after = start + 7;
    let host_end = after + bytes[after..].iter().position(|byte| b"/? \r\n".contains(byte))?;
    let line_end = host_end + bytes[host_end..].windows(2).position(|two| two == b"\r\n")? + 2;
    let (origin, ours) = (origin.to_string(), credentials());
    let parts: [&[u8]; 5] =
        [&bytes[..after], origin.as_bytes(), &bytes[host_end..line_end], ours.as_bytes(), &bytes[line_end..]];
    let whole = parts.concat();
    // The corpus has credentials of its own, and two are none.
    let theirs = b"Proxy-Authorization: Basic dTE6cDE=\r\n";
    let place = whole.windows(theirs.len()).position(|part| part.eq_ignore_ascii_case(theirs));
    Some(match place {
        Some(place) => [&whole[..place], &whole[place + theirs.len()..]].concat(),
        None => whole,
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hyper_finds_the_requests_of_the_corpus_that_we_find() {
    let (world, reader) = (world().await, Reader::start().await);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/wire/corpus/request_head");
    let (mut tried, mut forwarded) = (0, 0);
    for entry in fs::read_dir(folder).expect("the corpus") {
        let path = entry.expect("a file").path();
        let bytes = fs::read(&path).expect("a file");
        let Some(bytes) = aimed(&bytes, reader.address) else { continue };
        forwarded += agree(&world, &reader, &bytes, &path.display().to_string()).await;
        tried += 1;
    }
    assert!(tried > 20 && forwarded > 5, "{tried} files, {forwarded} requests");
}

/// A body in the chunked coding.
fn in_chunks(chunks: &[Vec<u8>], extension: &str, trailer: &str) -> Vec<u8> {
    let mut body = Vec::new();
    for chunk in chunks.iter().filter(|chunk| !chunk.is_empty()) {
        body.extend(format!("{:x}{extension}\r\n", chunk.len()).bytes());
        body.extend(chunk);
        body.extend(b"\r\n");
    }
    body.extend(format!("0\r\n{trailer}\r\n").bytes());
    body
}

/// How a body is written.
fn bodies() -> impl Strategy<Value = (String, Vec<u8>)> {
    let content = || prop::collection::vec(any::<u8>(), 0..60);
    let counted = content().prop_map(|body| (format!("Content-Length: {}\r\n", body.len()), body));
    let chunked = (
        prop::collection::vec(content(), 0..4),
        select(&["", ";a=b", ";x"][..]),
        select(&["", "X-T: v\r\n"][..]),
    )
        .prop_map(|(chunks, extension, trailer)| {
            ("Transfer-Encoding: chunked\r\n".to_owned(), in_chunks(&chunks, extension, trailer))
        });
    // What is almost right, and must be refused by us before hyper hears of it.
    let wrong = select(
        &[
            ("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
            ("Content-Length: 3\r\nContent-Length: 3\r\n", "abc"),
            ("Content-Length: 9\r\n", "abc"),
            ("Transfer-Encoding: chunked\r\n", "3\nabc\r\n0\r\n\r\n"),
            ("Transfer-Encoding: chunked\r\n", "5 \r\nhello\r\n0\r\n\r\n"),
            ("Transfer-Encoding: x, chunked\r\n", "0\r\n\r\n"),
            ("Transfer-Encoding : chunked\r\n", "0\r\n\r\n"),
        ][..],
    )
    .prop_map(|(fields, body)| (fields.to_owned(), body.as_bytes().to_vec()));
    prop_oneof![4 => Just((String::new(), Vec::new())), 4 => counted, 4 => chunked, 1 => wrong]
}

fn fields() -> impl Strategy<Value = String> {
    let name = "[A-Za-z!#$%&'*+.^_`|~-][A-Za-z0-9-]{0,12}";
    let free = (name, "[ -~]{0,20}").prop_map(|(name, value)| format!("X{name}:{value}\r\n"));
    let known = select(
        &[
            "Connection: close\r\n",
            "Connection: X-A, keep-alive\r\nX-A: 1\r\nKeep-Alive: 5\r\n",
            "TE: trailers\r\nConnection: TE\r\n",
            "Proxy-Connection: keep-alive\r\n",
            "Max-Forwards: 7\r\n",
            "Cookie: a=b\r\nCookie: c=d\r\n",
            "Accept:\t*/*  \r\nAccept: text/html\r\n",
            "Expect: 100-continue\r\n",
            "Trailer: X-T\r\n",
        ][..],
    );
    let line = prop_oneof![free, known.prop_map(str::to_owned)];
    prop::collection::vec(line, 0..5).prop_map(|lines| lines.concat())
}

/// Some requests after each other, as one client sends them; `{o}` is the origin.
fn conversations() -> impl Strategy<Value = Vec<u8>> {
    let method = select(&["GET", "POST", "PUT", "HEAD", "DELETE", "OPTIONS", "PROPFIND", "get", "M-1"][..]);
    let path = "(/[A-Za-z0-9._~!$&'()*+,;=:@%-]{0,12}){0,3}(\\?[A-Za-z0-9=&/?]{0,10})?";
    let version = prop_oneof![9 => Just("HTTP/1.1"), 1 => Just("HTTP/1.0")];
    let request = (method, path, version, fields(), bodies()).prop_map(
        |(method, path, version, fields, (framing, body))| {
            let credentials = credentials();
            let head = format!(
                "{method} http://{{o}}{path} {version}\r\nHost: {{o}}\r\n{credentials}{fields}{framing}\r\n"
            );
            [head.as_bytes(), &body].concat()
        },
    );
    prop::collection::vec(request, 1..5).prop_map(|requests| requests.concat())
}

/// Puts an address where `{o}` stands.
fn filled(bytes: &[u8], origin: SocketAddr) -> Vec<u8> {
    let (mut filled, mut rest) = (Vec::new(), bytes);
    while let Some(place) = rest.windows(3).position(|three| three == b"{o}") {
        filled.extend(&rest[..place]);
        filled.extend(origin.to_string().bytes());
        rest = &rest[place + 3..];
    }
    [&filled, rest].concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hyper_finds_the_requests_of_any_conversation_that_we_find() {
    let (world, reader) = (world().await, Reader::start().await);
    let mut runner =
        TestRunner::new_with_rng(Config::default(), TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let mut forwarded = 0;
    for number in 0..CONVERSATIONS {
        let tree = conversations().new_tree(&mut runner).expect("a conversation");
        let bytes = filled(&tree.current(), reader.address);
        forwarded += agree(&world, &reader, &bytes, &format!("conversation {number}")).await;
    }
    assert!(forwarded > CONVERSATIONS, "{forwarded} requests got through");
}

/// A tunnel by hyper-util's client; the target's name is resolved there or here.
async fn tunnel(
    world: &World,
    login: Option<(&str, &str)>,
    local_dns: bool,
    target: &str,
) -> Result<TokioIo<tokio::net::TcpStream>, String> {
    let proxy: Uri = format!("http://{}", world.gateway()).parse().expect("a URI");
    let mut client = SocksV5::new(proxy, HttpConnector::new()).local_dns(local_dns);
    if let Some((user, password)) = login {
        client = client.with_auth(user.to_owned(), password.to_owned());
    }
    let target: Uri = format!("http://{target}/").parse().expect("a URI");
    let connected = timeout(PATIENCE, client.call(target)).await.expect("an answer in time");
    connected.map_err(|error| format!("{error:?}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_socks5_client_gets_through_and_is_told_why_not() {
    let world = world().await;
    let (four, six) = (Origin::start().await, Origin::start_on("[::1]:0").await);
    let (four_port, six_port) = (four.address().port(), six.address().port());
    let right = Some((USER, PASSWORD));
    let ways = [
        (false, format!("127.0.0.1:{four_port}")),
        (false, format!("[::1]:{six_port}")),
        (false, format!("origin.test:{four_port}")),
        (false, format!("six.test:{six_port}")),
        (true, format!("localhost:{four_port}")),
    ];
    for (local_dns, target) in &ways {
        let stream = tunnel(&world, right, *local_dns, target)
            .await
            .unwrap_or_else(|error| panic!("{target}: {error}"));
        let mut stream = stream.into_inner();
        stream.write_all(b"ECHO\nping").await.expect("a tunnel");
        stream.shutdown().await.expect("a tunnel");
        let mut answer = Vec::new();
        timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("an end in time").expect("an answer");
        assert_eq!(answer, b"ping", "{target}");
    }
    let origin = format!("127.0.0.1:{four_port}");
    let refused = [
        (Some((USER, "wrong-1")), origin.as_str(), "Auth"),
        (Some(("nobody", PASSWORD)), &origin, "Auth"),
        (None, &origin, "Auth"),
        (right, "10.0.0.1:80", "NotAllowed"),
        (right, "127.0.0.1:1", "ConnectionRefused"),
        (Some(("ann.one-country-fr", PASSWORD)), &origin, "GeneralServerFailure"),
    ];
    for (login, target, why) in refused {
        let told = tunnel(&world, login, false, target).await.expect_err("a refusal");
        assert!(told.contains(why), "{login:?} {target}: {told}");
    }
    assert_eq!((four.connections(), six.connections()), (3, 2), "nothing that was refused came through");
}
