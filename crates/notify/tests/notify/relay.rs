//! A mail relay that follows a script.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

use crate::common::Listener;

/// Says nothing more, for ever.
pub(crate) const HANG: &str = "hang";
/// Ends the connection.
pub(crate) const CLOSE: &str = "close";

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// What a relay says to what. A relay without changes is kind, and offers whatever it can.
#[derive(Clone, Default)]
pub(crate) struct Script {
    /// Instead of the kind answer, to `greeting`, a verb, or `message` (the end of the data).
    pub(crate) answers: HashMap<&'static str, String>,
    /// TLS by STARTTLS.
    pub(crate) starttls: Option<TlsAcceptor>,
    /// TLS from the first byte.
    pub(crate) tls: Option<TlsAcceptor>,
}

impl Script {
    pub(crate) fn answering(verb: &'static str, answer: impl Into<String>) -> Self {
        Self::default().and(verb, answer)
    }

    pub(crate) fn and(mut self, verb: &'static str, answer: impl Into<String>) -> Self {
        self.answers.insert(verb, answer.into());
        self
    }

    pub(crate) fn with_starttls(mut self, acceptor: TlsAcceptor) -> Self {
        self.starttls = Some(acceptor);
        self
    }

    fn answer(&self, verb: &str, secure: bool) -> String {
        if let Some(answer) = self.answers.get(verb) {
            return answer.clone();
        }
        let offers = if self.starttls.is_some() && !secure { "250-STARTTLS\r\n" } else { "" };
        match verb {
            "greeting" => "220 relay.test".to_owned(),
            "EHLO" => format!("250-relay.test\r\n{offers}250-8BITMIME\r\n250 AUTH PLAIN LOGIN"),
            "STARTTLS" => "220 go ahead".to_owned(),
            "AUTH" => "235 welcome".to_owned(),
            "DATA" => "354 go ahead".to_owned(),
            "QUIT" => "221 bye".to_owned(),
            _ => "250 ok".to_owned(),
        }
    }
}

/// What a relay heard, line by line. A line heard under TLS begins with `tls `.
pub(crate) struct Heard(mpsc::Receiver<String>);

impl Heard {
    /// Everything up to now; to be asked when the sender is done.
    pub(crate) fn all(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.0.try_recv().ok()).collect()
    }
}

/// Starts a relay.
pub(crate) async fn relay(script: Script) -> (Listener, Heard) {
    let (sender, receiver) = mpsc::channel(100_000);
    let script = Arc::new(script);
    let listener = Listener::start(move |stream| {
        let (script, heard) = (script.clone(), sender.clone());
        async move {
            let Some(acceptor) = &script.tls else {
                return converse(Box::new(stream), &script, &heard, false).await.unwrap_or_default();
            };
            if let Ok(stream) = acceptor.accept(stream).await {
                converse(Box::new(stream), &script, &heard, true).await.unwrap_or_default();
            }
        }
    });
    (listener.await, Heard(receiver))
}

/// The conversation; `None` where the client left, or the script did.
async fn converse(
    stream: Box<dyn Stream>,
    script: &Script,
    heard: &mpsc::Sender<String>,
    mut secure: bool,
) -> Option<()> {
    let mut stream = BufReader::new(stream);
    say(&mut stream, &script.answer("greeting", secure)).await?;
    loop {
        let line = hear(&mut stream, heard, secure).await?;
        let verb = line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
        let answer = script.answer(&verb, secure);
        say(&mut stream, &answer).await?;
        match verb.as_str() {
            "QUIT" => return None,
            "DATA" if answer.starts_with('3') => {
                while hear(&mut stream, heard, secure).await? != "." {}
                say(&mut stream, &script.answer("message", secure)).await?;
            }
            "AUTH" => {
                let mut answer = answer;
                while answer.starts_with("334") {
                    hear(&mut stream, heard, secure).await?;
                    answer = script.answer("login", secure);
                    say(&mut stream, &answer).await?;
                }
            }
            "STARTTLS" if answer.starts_with("220") => {
                let upgraded = script.starttls.as_ref()?.accept(stream.into_inner()).await.ok()?;
                let upgraded: Box<dyn Stream> = Box::new(upgraded);
                (stream, secure) = (BufReader::new(upgraded), true);
            }
            _ => {}
        }
    }
}

async fn say(stream: &mut BufReader<Box<dyn Stream>>, answer: &str) -> Option<()> {
    match answer {
        HANG => std::future::pending().await,
        CLOSE => None,
        _ => stream.write_all(format!("{answer}\r\n").as_bytes()).await.ok(),
    }
}

async fn hear(
    stream: &mut BufReader<Box<dyn Stream>>,
    heard: &mpsc::Sender<String>,
    secure: bool,
) -> Option<String> {
    let mut line = String::new();
    if stream.read_line(&mut line).await.ok()? == 0 {
        return None;
    }
    let line = line.strip_suffix("\r\n").expect("every line ends in CR LF").to_owned();
    let kept = format!("{}{line}", if secure { "tls " } else { "" });
    heard.try_send(kept).expect("room for what is heard");
    Some(line)
}
