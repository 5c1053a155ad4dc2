//! Absolute-form HTTP: one request and its response, streamed both ways at once.
//!
//! What is metered is what is forwarded: the request as it is written to the origin and the response
//! as it is written to the client, heads included. What the gateway says itself is free.
//!
//! Bodies travel verbatim; [`tollgate_wire::body`] only says where they end. A response that breaks
//! off is never ended as if it were whole. The connection to the origin is kept for the next request
//! of the same caller to the same target on the same client connection, and for nothing else.

use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, Ordering};

use tollgate_types::Refusal;
use tollgate_wire::Parsed;
use tollgate_wire::body::BodyReader;
use tollgate_wire::http::{self, Framing, Limits, RequestHead, ResponseHead, Version};

use crate::funds::{Direction, denial};
use crate::relay::meter::{Broke, Meter};
use crate::stream::{Buffered, Stream, fill, say};

/// Interim (1xx) responses before the final one.
const MAX_INTERIM: usize = 32;
/// The bytes of the line that ends a head.
const BLANK_LINE: usize = 2;

/// How an exchange ended.
#[derive(Debug)]
pub(crate) enum Exchanged {
    /// Both messages are whole; the connections are as they say.
    Whole {
        /// The client's connection takes another request.
        client_stays: bool,
        /// The origin's connection does.
        upstream_stays: bool,
    },
    /// The origin agreed to another protocol: from here on it is a tunnel.
    Upgraded,
    /// It failed before a byte of the response was relayed, so that it can still be refused.
    Refuse(Refusal, &'static str),
    /// The origin closed a kept connection instead of answering: the request may be sent again on
    /// a new one.
    Stale,
    /// It failed with the response under way. `reset` where only a reset shows the client that what
    /// it has is not the whole.
    Broken {
        /// Break off rather than end.
        reset: bool,
    },
}

/// One request and its response.
pub(crate) struct Exchange<'e> {
    pub(crate) client: &'e mut Buffered,
    pub(crate) upstream: &'e Stream,
    /// What was read from the upstream and has not been used yet.
    pub(crate) unread: &'e mut Vec<u8>,
    pub(crate) head: &'e RequestHead,
    /// The largest head that the response may have.
    pub(crate) limits: &'e Limits,
    /// Says, when the response comes, whether the client's connection may go on after it.
    pub(crate) may_stay: &'e (dyn Fn() -> bool + Sync),
}

impl Exchange<'_> {
    /// Sends the request and relays the response, until `cut` resolves at the latest. `reused` says that
    /// a request went over the upstream's connection before.
    pub(crate) async fn run(
        self,
        meter: &Meter<'_>,
        cut: impl Future<Output = ()>,
        reused: bool,
    ) -> Exchanged {
        let Self { client, upstream, unread, head, limits, may_stay } = self;
        let progress = Progress::default();
        let up = Upload { client: &client.stream, upstream, meter, sent: &progress.sent };
        let down =
            Download { client: &client.stream, upstream, meter, limits, head, may_stay, progress: &progress };
        let ended =
            both(up.run(head, &mut client.buf), down.run(unread), meter, cut, client.stream.reset()).await;
        progress.conclude(ended, head, reused)
    }
}

/// Runs both directions until the response is whole or something broke. `reset` resolves when the client
/// has reset its connection.
async fn both(
    up: impl Future<Output = Result<(), Failure>>,
    down: impl Future<Output = Result<Final, Failure>>,
    meter: &Meter<'_>,
    cut: impl Future<Output = ()>,
    reset: impl Future<Output = ()>,
) -> Result<Final, Failure> {
    let (mut up, mut down) = (std::pin::pin!(up), std::pin::pin!(down));
    let (mut cut, mut reset) = (std::pin::pin!(cut), std::pin::pin!(reset));
    let mut uploading = true;
    loop {
        tokio::select! {
            uploaded = &mut up, if uploading => {
                uploading = false;
                match uploaded {
                    // An origin may answer and close without reading all of the request.
                    Ok(()) | Err(Failure::Flow(Broke::Writing(Direction::Up)) | Failure::ClientEnded) => {}
                    Err(failure) => return Err(failure),
                }
            }
            response = &mut down => return response,
            () = meter.idle() => return Err(Failure::Flow(Broke::Idle)),
            () = &mut cut => return Err(Failure::Cut),
            () = &mut reset => return Err(Failure::Flow(Broke::Reading(Direction::Up))),
        }
    }
}

/// How far an exchange has got, seen by both directions.
#[derive(Default)]
struct Progress {
    /// The request has been sent as a whole.
    sent: AtomicBool,
    /// The origin said something.
    answered: AtomicBool,
    /// A byte of it has been relayed.
    relayed: AtomicBool,
    /// The response ends with the connection or the stream, so that its end proves nothing to the
    /// client.
    ends_with_close: AtomicBool,
}

/// The last response of an exchange, relayed as a whole.
struct Final {
    upgraded: bool,
    client_stays: bool,
    upstream_stays: bool,
}

/// Why a direction stopped short.
enum Failure {
    Flow(Broke),
    /// The client ended before its request was whole.
    ClientEnded,
    /// The request's body breaks the rules.
    BadBody,
    /// The origin ended or broke off before its response was whole.
    UpstreamEnded,
    /// The origin's response breaks the rules.
    BadResponse,
    Cut,
}

impl Failure {
    /// Whether the origin's connection ended or broke off.
    fn is_upstreams(&self) -> bool {
        match self {
            Self::UpstreamEnded => true,
            Self::Flow(broke) => broke.is_upstream(),
            Self::ClientEnded | Self::BadBody | Self::BadResponse | Self::Cut => false,
        }
    }
}

impl From<Broke> for Failure {
    fn from(broke: Broke) -> Self {
        Self::Flow(broke)
    }
}

impl Progress {
    fn conclude(&self, ended: Result<Final, Failure>, head: &RequestHead, reused: bool) -> Exchanged {
        let failure = match ended {
            Ok(last) if last.upgraded => return Exchanged::Upgraded,
            Ok(last) => {
                return Exchanged::Whole {
                    client_stays: last.client_stays,
                    upstream_stays: last.upstream_stays,
                };
            }
            Err(failure) => failure,
        };
        if self.relayed.load(Ordering::Relaxed) {
            return Exchanged::Broken { reset: self.ends_with_close.load(Ordering::Relaxed) };
        }
        let unanswered = !self.answered.load(Ordering::Relaxed);
        let gone = failure.is_upstreams();
        if gone && reused && unanswered && head.framing() == Framing::None && is_idempotent(&head.method) {
            return Exchanged::Stale;
        }
        match failure {
            Failure::Flow(Broke::Denied(denied)) => Exchanged::Refuse(denied.refusal(), denial(denied)),
            Failure::Flow(Broke::Idle) => Exchanged::Refuse(Refusal::Timeout, "the target did not answer"),
            Failure::UpstreamEnded
            | Failure::Flow(Broke::Reading(Direction::Down) | Broke::Writing(Direction::Up)) => {
                Exchanged::Refuse(Refusal::BadGateway, "the target closed the connection without an answer")
            }
            Failure::BadResponse => Exchanged::Refuse(Refusal::BadGateway, "the target's answer is not HTTP"),
            Failure::BadBody => Exchanged::Refuse(Refusal::BadRequest, "the request body is malformed"),
            Failure::Cut
            | Failure::ClientEnded
            | Failure::Flow(Broke::Reading(Direction::Up) | Broke::Writing(Direction::Down)) => {
                Exchanged::Broken { reset: false }
            }
        }
    }
}

/// Bytes behind those that were to go first, in one piece: once. Then as they are.
fn behind<'b>(lead: &mut Vec<u8>, bytes: &'b [u8]) -> Cow<'b, [u8]> {
    if lead.is_empty() {
        return Cow::Borrowed(bytes);
    }
    let mut whole = std::mem::take(lead);
    whole.extend_from_slice(bytes);
    Cow::Owned(whole)
}

/// RFC 9110 §9.2.2.
fn is_idempotent(method: &str) -> bool {
    matches!(method, "GET" | "HEAD" | "OPTIONS" | "TRACE" | "PUT" | "DELETE")
}

/// The request, on its way to the origin.
struct Upload<'e> {
    client: &'e Stream,
    upstream: &'e Stream,
    meter: &'e Meter<'e>,
    sent: &'e AtomicBool,
}

impl Upload<'_> {
    async fn run(self, head: &RequestHead, buf: &mut Vec<u8>) -> Result<(), Failure> {
        let mut lead = Vec::with_capacity(1024);
        head.write_forward(&mut lead, true);
        let mut body = BodyReader::new(head.framing());
        loop {
            let step = body.advance(buf).map_err(|_| Failure::BadBody)?;
            let take = step.take.min(buf.len());
            let bytes = behind(&mut lead, buf.get(..take).unwrap_or_default());
            self.meter.send(Direction::Up, self.upstream, &bytes).await?;
            drop(bytes);
            buf.drain(..take);
            if step.done {
                // Not before: an answer that comes while bytes of this request still wait here must
                // not have them taken for the next one.
                self.sent.store(true, Ordering::Relaxed);
                return Ok(());
            }
            if fill(self.client, buf).await.map_err(|_| Broke::Reading(Direction::Up))? == 0 {
                self.upstream.finish();
                return Err(Failure::ClientEnded);
            }
        }
    }
}

/// The response, on its way to the client.
struct Download<'e> {
    client: &'e Stream,
    upstream: &'e Stream,
    meter: &'e Meter<'e>,
    limits: &'e Limits,
    head: &'e RequestHead,
    may_stay: &'e (dyn Fn() -> bool + Sync),
    progress: &'e Progress,
}

impl Download<'_> {
    async fn run(self, buf: &mut Vec<u8>) -> Result<Final, Failure> {
        for _ in 0..MAX_INTERIM {
            let response = self.next_head(buf).await?;
            match response.status {
                // What still waits to be sent would be taken for what goes into the tunnel.
                101 if self.head.upgrade().is_some() && self.is_sent() => {
                    self.relay_head(&response).await?;
                    return Ok(Final { upgraded: true, client_stays: false, upstream_stays: false });
                }
                101 => return Err(Failure::BadResponse),
                100..=199 => {
                    // A client of HTTP/1.0 does not know interim responses (RFC 9110 §15.2).
                    if self.head.version != Version::Http10 {
                        self.relay_head(&response).await?;
                    }
                }
                // To Extended CONNECT it would say that the other protocol is spoken (RFC 8441 §5).
                200..=299 if self.head.version == Version::Http2 && self.head.upgrade().is_some() => {
                    return Err(Failure::BadResponse);
                }
                _ => return self.last(&response, buf).await,
            }
        }
        Err(Failure::BadResponse)
    }

    async fn next_head(&self, buf: &mut Vec<u8>) -> Result<ResponseHead, Failure> {
        loop {
            if !buf.is_empty() {
                self.progress.answered.store(true, Ordering::Relaxed);
            }
            match http::response_head(buf, self.limits).map_err(|_| Failure::BadResponse)? {
                Parsed::Done(head, consumed) => {
                    buf.drain(..consumed.min(buf.len()));
                    return Ok(head);
                }
                Parsed::Need => self.read(buf).await?,
            }
        }
    }

    /// The final response: its head, then its body to the end.
    async fn last(&self, response: &ResponseHead, buf: &mut Vec<u8>) -> Result<Final, Failure> {
        let framing = response.framing(&self.head.method);
        let until_close = framing == Framing::UntilClose;
        let unchunk = framing == Framing::Chunked && self.head.version != Version::Http11;
        let sent = self.is_sent();
        let client_stays = self.head.keep_alive() && sent && !until_close && !unchunk && (self.may_stay)();
        // A stream of HTTP/2 can be broken off whatever the framing.
        let breaks_off = until_close || unchunk || self.head.version == Version::Http2;
        self.progress.ends_with_close.store(breaks_off, Ordering::Relaxed);
        let lead = self.begin_head(response, !client_stays, unchunk).await?;
        self.relay_body(BodyReader::new(framing), unchunk, lead, buf).await?;
        let upstream_stays = response.keep_alive() && sent && !until_close && buf.is_empty();
        Ok(Final { upgraded: false, client_stays, upstream_stays })
    }

    /// Whether the request has been sent as a whole.
    fn is_sent(&self) -> bool {
        self.progress.sent.load(Ordering::Relaxed)
    }

    /// A head that no body follows.
    async fn relay_head(&self, response: &ResponseHead) -> Result<(), Failure> {
        let bytes = self.begin_head(response, false, false).await?;
        self.send(&bytes).await
    }

    /// Relays a head, and gives what of it is still to be sent: in one piece with the body, if that is
    /// there.
    async fn begin_head(
        &self,
        response: &ResponseHead,
        close: bool,
        unchunk: bool,
    ) -> Result<Vec<u8>, Failure> {
        let mut bytes = Vec::with_capacity(1024);
        let own = response.write_back(&mut bytes, self.head.version, close, unchunk);
        if own == 0 {
            return Ok(bytes);
        }
        // What this hop adds for itself was not asked for by the customer, and is not billed.
        let blank_line = bytes.split_off(bytes.len().saturating_sub(BLANK_LINE));
        let hop = bytes.split_off(bytes.len().saturating_sub(own));
        self.send(&bytes).await?;
        say(self.client, &hop).await.map_err(|_| Broke::Writing(Direction::Down))?;
        Ok(blank_line)
    }

    async fn relay_body(
        &self,
        mut body: BodyReader,
        unchunk: bool,
        mut lead: Vec<u8>,
        buf: &mut Vec<u8>,
    ) -> Result<(), Failure> {
        loop {
            let mut data = Vec::new();
            let step = if unchunk {
                body.decode(buf, |segment| data.extend_from_slice(segment))
            } else {
                body.advance(buf)
            };
            let step = step.map_err(|_| Failure::BadResponse)?;
            let take = step.take.min(buf.len());
            let bytes = if unchunk { data.as_slice() } else { buf.get(..take).unwrap_or_default() };
            let bytes = behind(&mut lead, bytes);
            self.send(&bytes).await?;
            drop(bytes);
            buf.drain(..take);
            if step.done {
                return Ok(());
            }
            match fill(self.upstream, buf).await {
                Ok(0) => return body.finish().map_err(|_| Failure::UpstreamEnded),
                Ok(_) => {}
                Err(_) => return Err(Broke::Reading(Direction::Down).into()),
            }
        }
    }

    async fn read(&self, buf: &mut Vec<u8>) -> Result<(), Failure> {
        match fill(self.upstream, buf).await {
            Ok(0) => Err(Failure::UpstreamEnded),
            Ok(_) => Ok(()),
            Err(_) => Err(Broke::Reading(Direction::Down).into()),
        }
    }

    async fn send(&self, bytes: &[u8]) -> Result<(), Failure> {
        Ok(self.meter.send_noting(Direction::Down, self.client, bytes, &self.progress.relayed).await?)
    }
}
