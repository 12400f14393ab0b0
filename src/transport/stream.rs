//! A connection, over whichever protocol sequence.

use socket2::SockRef;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWriteExt, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

/// A connection.
#[derive(Debug)]
pub enum Stream {
    /// Over TCP.
    Tcp(TcpStream),
    /// Over a local socket.
    Unix(UnixStream),
}

impl Stream {
    /// Waits until there may be octets to read, or the end of them.
    ///
    /// # Errors
    /// What the system says when the socket cannot be watched.
    pub async fn readable(&self) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => stream.readable().await,
            Stream::Unix(stream) => stream.readable().await,
        }
    }

    /// Waits until the peer sends no more, whatever is still to be read.
    ///
    /// # Errors
    /// What the system says when the socket cannot be watched.
    pub async fn ended(&self) -> io::Result<()> {
        // Nobody watches for urgent octets, and the end comes with them.
        let end = Interest::PRIORITY;
        let ready = match self {
            Stream::Tcp(stream) => stream.ready(end).await,
            Stream::Unix(stream) => stream.ready(end).await,
        };
        ready.map(drop)
    }

    /// Waits until there may be room for octets.
    ///
    /// # Errors
    /// What the system says when the socket cannot be watched.
    pub async fn writable(&self) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => stream.writable().await,
            Stream::Unix(stream) => stream.writable().await,
        }
    }

    /// Reads what is there to the end of `buffer`; 0 is the end of all.
    ///
    /// # Errors
    /// `WouldBlock` when nothing is there, and whatever else the system says.
    pub fn try_read_buf(&self, buffer: &mut impl bytes::BufMut) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.try_read_buf(buffer),
            Stream::Unix(stream) => stream.try_read_buf(buffer),
        }
    }

    /// The same past what was heard of the socket so far: tells for certain what
    /// has come in by now.
    ///
    /// # Errors
    /// As `try_read_buf`.
    pub fn read_now(&self, buffer: &mut [u8]) -> io::Result<usize> {
        (&*SockRef::from(self)).read(buffer)
    }

    /// Writes as much as there is room for.
    ///
    /// # Errors
    /// `WouldBlock` when there is no room, and whatever else the system says.
    pub fn try_write(&self, octets: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.try_write(octets),
            Stream::Unix(stream) => stream.try_write(octets),
        }
    }

    /// Tells the peer that nothing more comes.
    ///
    /// # Errors
    /// What the system says, as when the peer is gone.
    pub async fn shutdown(&mut self) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => stream.shutdown().await,
            Stream::Unix(stream) => stream.shutdown().await,
        }
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Stream::Tcp(stream) => stream.as_fd(),
            Stream::Unix(stream) => stream.as_fd(),
        }
    }
}

/// For reading that waits by itself: unlike `readable` with `try_read_buf` it
/// saves asking the system once more after a read that got all there was.
impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_read(cx, buffer),
            Stream::Unix(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::net::TcpListener;
    use std::os::unix::net;
    use tokio::task::yield_now;

    /// Reads what the other end has sent, once the system has brought it.
    async fn read(stream: &Stream, buffer: &mut [u8]) -> usize {
        loop {
            match stream.read_now(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => yield_now().await,
                read => return read.unwrap(),
            }
        }
    }

    /// Asserts what is read of a stream to whose other end is written.
    async fn assert_reads_what_came(stream: &Stream, mut peer: impl Write) {
        let mut buffer = [0; 8];
        let nothing = stream.read_now(&mut buffer).unwrap_err();
        assert_eq!(nothing.kind(), io::ErrorKind::WouldBlock);
        peer.write_all(b"word").unwrap();
        assert_eq!(read(stream, &mut buffer).await, 4);
        assert_eq!(&buffer[..4], b"word");
        drop(peer);
        assert_eq!(read(stream, &mut buffer).await, 0);
    }

    #[tokio::test]
    async fn what_has_come_by_now_is_read_without_waiting() {
        let (stream, peer) = net::UnixStream::pair().unwrap();
        stream.set_nonblocking(true).unwrap();
        let stream = UnixStream::from_std(stream).unwrap();
        assert_reads_what_came(&Stream::Unix(stream), peer).await;
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await;
        let (peer, _) = listener.accept().unwrap();
        assert_reads_what_came(&Stream::Tcp(stream.unwrap()), peer).await;
    }
}
