//! Byte streams with back-pressure.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};

use bytes::{Bytes, BytesMut};

/// The network as one node sees it.
///
/// 1. A stream delivers bytes in order, unchanged, at most once; how they are cut into reads is arbitrary.
/// 2. A write that returned says nothing about delivery. Only an answer does.
/// 3. A peer that dies or is cut off may go unnoticed for ever: whoever waits needs a deadline.
/// 4. Nothing is promised about order between two streams.
/// 5. A write waits while the peer does not read (back-pressure).
pub trait Network: Clone + Send + Sync + 'static {
    /// A bound socket.
    type Listener: Listener<Stream = Self::Stream>;
    /// A connection.
    type Stream: Stream;

    /// Listens on an address; port 0 picks a free port. The unspecified address of IPv6 stands for every
    /// address, those of IPv4 too; on a machine without IPv6, for these alone.
    fn bind(&self, address: SocketAddr) -> impl Future<Output = Result<Self::Listener, NetworkError>> + Send;

    /// The address of a host by name or address; the first one, if it has several.
    fn look_up(&self, host: &str) -> impl Future<Output = Result<IpAddr, NetworkError>> + Send;

    /// Connects to a host by name or address. May take for ever (3).
    fn connect(
        &self,
        host: &str,
        port: u16,
    ) -> impl Future<Output = Result<Self::Stream, NetworkError>> + Send;
}

/// A bound socket.
pub trait Listener: Send + 'static {
    /// The connections it yields.
    type Stream: Stream;

    /// The next connection and its peer's address.
    fn accept(&mut self) -> impl Future<Output = Result<(Self::Stream, SocketAddr), NetworkError>> + Send;

    /// The address it is bound to.
    fn local_address(&self) -> SocketAddr;
}

/// A connection, to be split into its halves. Dropping both halves closes it.
pub trait Stream: Send + 'static {
    /// The reading half.
    type Read: ReadHalf;
    /// The writing half.
    type Write: WriteHalf;

    /// The address of this end: the one the peer dialled.
    fn local_address(&self) -> SocketAddr;

    /// Splits the stream.
    fn split(self) -> (Self::Read, Self::Write);
}

/// The reading half of a connection.
pub trait ReadHalf: Send + 'static {
    /// Reads some bytes into the spare capacity of `into` (of which there must be some) and says how many;
    /// zero is the end of the stream. Cancel-safe: a dropped future has read nothing.
    fn read(&mut self, into: &mut BytesMut) -> impl Future<Output = Result<usize, NetworkError>> + Send;
}

/// The writing half of a connection.
pub trait WriteHalf: Send + 'static {
    /// Writes all segments, in order, and leaves the list empty. If the future is dropped, any prefix may
    /// have been written: the stream must not be used again.
    fn write(&mut self, segments: &mut Vec<Bytes>) -> impl Future<Output = Result<(), NetworkError>> + Send;

    /// Says that no more bytes will come; reading goes on.
    fn shutdown(&mut self) -> impl Future<Output = Result<(), NetworkError>> + Send;
}

/// Why a network operation failed. Callers only ever give up on the stream; the text is for people.
#[derive(Debug, Clone, thiserror::Error)]
pub enum NetworkError {
    /// Nobody listens there.
    #[error("connection to {0} refused")]
    Refused(String),
    /// The name does not resolve.
    #[error("cannot resolve {0}: {1}")]
    Unresolved(String, String),
    /// The address cannot be bound.
    #[error("cannot listen on {0}: {1}")]
    Bind(SocketAddr, String),
    /// The peer closed or reset the connection.
    #[error("connection reset")]
    Reset,
    /// Anything else.
    #[error("{0}")]
    Other(String),
}
