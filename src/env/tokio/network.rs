//! TCP.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

use crate::env::{Listener, Network, NetworkError, ReadHalf, Stream, WriteHalf};

/// Connections that the kernel keeps for us until they are accepted.
const BACKLOG: i32 = 1024;

/// Segments handed to the kernel in one call. Its own limit is 1,024; beyond this many the call's fixed cost
/// no longer shows, while the array of slices stays small on the stack.
const SLICES_PER_WRITE: usize = 128;

/// The machine's TCP, IPv4 and IPv6.
#[derive(Debug, Clone, Copy)]
pub struct TokioNetwork;

impl Network for TokioNetwork {
    type Listener = TokioListener;
    type Stream = TokioStream;

    /// The address may be taken over from a process that just ended (SO_REUSEADDR), never shared.
    async fn bind(&self, address: SocketAddr) -> Result<TokioListener, NetworkError> {
        let everywhere = address.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED);
        let opened = match open(address) {
            Err(error) if everywhere && is_without_ipv6(&error) => {
                open(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), address.port()))
            }
            opened => opened,
        };
        opened.map_err(|error| NetworkError::Bind(address, error.to_string()))
    }

    async fn look_up(&self, host: &str) -> Result<IpAddr, NetworkError> {
        let first = resolve(host, 0).await?.first().map(SocketAddr::ip);
        first.ok_or_else(|| NetworkError::Unresolved(host.to_owned(), "it has no address".to_owned()))
    }

    /// Tries every address that the name resolves to, in the resolver's order; the last failure is told.
    async fn connect(&self, host: &str, port: u16) -> Result<TokioStream, NetworkError> {
        let mut failure = NetworkError::Unresolved(host.to_owned(), "it has no address".to_owned());
        for address in resolve(host, port).await? {
            match TcpStream::connect(address).await.and_then(TokioStream::new) {
                Ok(stream) => return Ok(stream),
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    failure = NetworkError::Refused(address.to_string());
                }
                Err(error) => {
                    failure = NetworkError::Other(format!("cannot connect to {address}: {error}"));
                }
            }
        }
        Err(failure)
    }
}

fn open(address: SocketAddr) -> io::Result<TokioListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        // Whatever `net.ipv6.bindv6only` says. It matters to the unspecified address alone.
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    let listener = TcpListener::from_std(socket.into())?;
    let local = listener.local_addr()?;
    Ok(TokioListener { listener, local })
}

/// Whether this says that the machine has no IPv6: the kernel lacks it, or it is switched off.
fn is_without_ipv6(error: &io::Error) -> bool {
    let not_supported = Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error());
    error.raw_os_error() == not_supported || error.kind() == io::ErrorKind::AddrNotAvailable
}

/// A bound socket.
#[derive(Debug)]
pub struct TokioListener {
    listener: TcpListener,
    local: SocketAddr,
}

impl Listener for TokioListener {
    type Stream = TokioStream;

    async fn accept(&mut self) -> Result<(TokioStream, SocketAddr), NetworkError> {
        let (stream, peer) = self.listener.accept().await.map_err(network_error)?;
        Ok((TokioStream::new(stream).map_err(network_error)?, peer))
    }

    fn local_address(&self) -> SocketAddr {
        self.local
    }
}

/// A connection, without Nagle's delay: whoever writes has gathered what there is.
#[derive(Debug)]
pub struct TokioStream {
    stream: TcpStream,
    local: SocketAddr,
}

impl TokioStream {
    fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        let local = stream.local_addr()?;
        Ok(Self { stream, local })
    }
}

impl Stream for TokioStream {
    type Read = TokioReadHalf;
    type Write = TokioWriteHalf;

    fn local_address(&self) -> SocketAddr {
        self.local
    }

    fn split(self) -> (TokioReadHalf, TokioWriteHalf) {
        let (read, write) = self.stream.into_split();
        (TokioReadHalf(read), TokioWriteHalf(write))
    }
}

/// The reading half of a connection.
#[derive(Debug)]
pub struct TokioReadHalf(OwnedReadHalf);

impl ReadHalf for TokioReadHalf {
    async fn read(&mut self, into: &mut BytesMut) -> Result<usize, NetworkError> {
        assert!(into.capacity() > into.len(), "a read needs spare capacity");
        self.0.read_buf(into).await.map_err(network_error)
    }
}

/// The writing half of a connection. Dropping it says that no more bytes will come.
#[derive(Debug)]
pub struct TokioWriteHalf(OwnedWriteHalf);

impl WriteHalf for TokioWriteHalf {
    async fn write(&mut self, segments: &mut Vec<Bytes>) -> Result<(), NetworkError> {
        let mut next = 0;
        let written = poll_fn(|context| poll_write_all(&mut self.0, segments, &mut next, context)).await;
        segments.clear();
        written.map_err(network_error)
    }

    async fn shutdown(&mut self) -> Result<(), NetworkError> {
        self.0.shutdown().await.map_err(network_error)
    }
}

/// Writes `segments[*next..]`. A segment is released as soon as its last byte is the kernel's, so that the
/// memory behind a long response returns while the rest is still being written.
fn poll_write_all(
    stream: &mut OwnedWriteHalf,
    segments: &mut [Bytes],
    next: &mut usize,
    context: &mut Context<'_>,
) -> Poll<io::Result<()>> {
    loop {
        while segments.get(*next).is_some_and(Bytes::is_empty) {
            segments[*next] = Bytes::new();
            *next += 1;
        }
        if *next == segments.len() {
            return Poll::Ready(Ok(()));
        }
        let mut slices = [IoSlice::new(&[]); SLICES_PER_WRITE];
        let count = (segments.len() - *next).min(SLICES_PER_WRITE);
        for (slice, segment) in slices.iter_mut().zip(&segments[*next..]) {
            *slice = IoSlice::new(segment);
        }
        let mut written = ready!(Pin::new(&mut *stream).poll_write_vectored(context, &slices[..count]))?;
        if written == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        while written > 0 {
            let step = written.min(segments[*next].len());
            segments[*next].advance(step);
            written -= step;
            if segments[*next].is_empty() {
                segments[*next] = Bytes::new();
                *next += 1;
            }
        }
    }
}

async fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, NetworkError> {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    if let Ok(ip) = bare.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    match tokio::net::lookup_host((host, port)).await {
        Ok(addresses) => Ok(addresses.collect()),
        Err(error) => Err(NetworkError::Unresolved(host.to_owned(), error.to_string())),
    }
}

fn network_error(error: io::Error) -> NetworkError {
    match error.kind() {
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::NotConnected => NetworkError::Reset,
        _ => NetworkError::Other(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_says_that_there_is_no_ipv6_leads_to_ipv4() {
        use rustix::io::Errno;
        for (errno, expected) in [
            (Errno::AFNOSUPPORT, true),
            (Errno::ADDRNOTAVAIL, true),
            (Errno::ADDRINUSE, false),
            (Errno::ACCESS, false),
        ] {
            let error = io::Error::from_raw_os_error(errno.raw_os_error());
            assert_eq!(is_without_ipv6(&error), expected, "{error}");
        }
    }
}
