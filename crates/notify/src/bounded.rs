//! A stream that is listened to for so many bytes only.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream from which a number of bytes is read in all, and what comes with the last of them. Then
/// reading fails with [`io::ErrorKind::QuotaExceeded`]; writing goes on.
#[derive(Debug)]
pub(crate) struct Bounded<S> {
    inner: S,
    left: usize,
}

impl<S> Bounded<S> {
    pub(crate) fn new(inner: S, bytes: usize) -> Self {
        Self { inner, left: bytes }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Bounded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.left == 0 {
            return Poll::Ready(Err(io::ErrorKind::QuotaExceeded.into()));
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, buf))?;
        self.left = self.left.saturating_sub(buf.filled().len() - before);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Bounded<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;

    use super::*;

    #[tokio::test]
    async fn gives_no_more_once_the_bound_is_reached() {
        let mut stream = Bounded::new(&b"0123456789"[..], 4);
        let mut two = [0; 2];
        assert_eq!(stream.read(&mut two).await.unwrap(), 2);
        assert_eq!(stream.read(&mut two).await.unwrap(), 2);
        assert_eq!(stream.read(&mut two).await.unwrap_err().kind(), io::ErrorKind::QuotaExceeded);

        let mut read = Vec::new();
        Bounded::new(&b"0123"[..], 5).read_to_end(&mut read).await.unwrap();
        assert_eq!(read, b"0123");
    }
}
