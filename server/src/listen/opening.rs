//! The first bytes of a connection, read before HTTP is: hyper waits for them without a deadline, we do not.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

/// What every HTTP/2 client sends first (RFC 9113 section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Bytes taken in one read; a first request mostly fits.
const READ_AHEAD: usize = 1024;

/// A stream that gives back what was read ahead.
#[derive(Debug)]
pub(super) struct Opened<S> {
    ahead: Bytes,
    stream: S,
}

/// Reads until the bytes are an HTTP/2 preface or cannot become one (or the peer closed). From there on hyper bounds the
/// peer: by pings over HTTP/2, by the time for a head over HTTP/1.1. Not cancel-safe.
pub(super) async fn open<S: AsyncRead + Unpin>(mut stream: S) -> io::Result<Opened<S>> {
    let mut ahead = BytesMut::with_capacity(READ_AHEAD);
    while ahead.len() < PREFACE.len() && PREFACE.starts_with(&ahead) {
        if stream.read_buf(&mut ahead).await? == 0 {
            break;
        }
    }
    Ok(Opened {
        ahead: ahead.freeze(),
        stream,
    })
}

impl<S: AsyncRead + Unpin> AsyncRead for Opened<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.ahead.is_empty() {
            return Pin::new(&mut self.stream).poll_read(context, buffer);
        }
        let count = self.ahead.len().min(buffer.remaining());
        buffer.put_slice(&self.ahead.split_to(count));
        if !self.ahead.has_remaining() {
            // Let go of the allocation, connections live for hours.
            self.ahead = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Opened<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    /// What the reader gets of `sent` when it comes in pieces of `piece` bytes.
    async fn replayed(sent: &[u8], piece: usize) -> Vec<u8> {
        let (mut peer, ours) = tokio::io::duplex(piece);
        let send = async {
            peer.write_all(sent).await.unwrap();
            drop(peer);
        };
        let read = async {
            let mut opened = open(ours).await.unwrap();
            let mut read = Vec::new();
            opened.read_to_end(&mut read).await.unwrap();
            read
        };
        tokio::join!(send, read).1
    }

    #[tokio::test]
    async fn loses_and_repeats_no_byte() {
        let long = [PREFACE, &[7; 3000]].concat();
        let sent = [
            &b""[..],
            b"PRI",
            b"PRINT / HTTP/1.1\r\n\r\n",
            b"GET / HTTP/1.1\r\n\r\n",
            PREFACE,
            &long,
        ];
        for (sent, piece) in sent.into_iter().flat_map(|sent| [(sent, 1), (sent, 5), (sent, 4096)]) {
            assert_eq!(replayed(sent, piece).await, sent, "in pieces of {piece}");
        }
    }
}
