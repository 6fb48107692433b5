//! The handles that a process holds: listener, stream and its halves.

use std::net::SocketAddr;
use std::task::Poll;

use bytes::{Bytes, BytesMut};
use ottla::env::{Listener, NetworkError, ReadHalf, Stream, WriteHalf};

use super::SimNetwork;
use super::connection::{ConnectionId, Side};

/// A bound socket.
pub struct SimListener {
    network: SimNetwork,
    address: SocketAddr,
    port: u16,
}

impl SimListener {
    pub(super) fn new(network: SimNetwork, address: SocketAddr, port: u16) -> Self {
        Self { network, address, port }
    }
}

impl Listener for SimListener {
    type Stream = SimStream;

    async fn accept(&mut self) -> Result<(SimStream, SocketAddr), NetworkError> {
        let (id, local, peer) = self.network.accept(self.port).await?;
        Ok((SimStream::new(self.network.clone(), id, Side::Server, local), peer))
    }

    fn local_address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for SimListener {
    fn drop(&mut self) {
        if self.network.is_alive() {
            let net = &self.network.net;
            net.close_listener(&mut net.state(), (self.network.life.node, self.port));
        }
    }
}

/// A connection.
pub struct SimStream {
    read: SimRead,
    write: SimWrite,
    local: SocketAddr,
}

impl SimStream {
    pub(super) fn new(network: SimNetwork, id: ConnectionId, side: Side, local: SocketAddr) -> Self {
        let handle = Handle { network, id, side };
        Self { read: SimRead(handle.clone()), write: SimWrite(handle), local }
    }
}

impl Stream for SimStream {
    type Read = SimRead;
    type Write = SimWrite;

    fn local_address(&self) -> SocketAddr {
        self.local
    }

    fn split(self) -> (SimRead, SimWrite) {
        (self.read, self.write)
    }
}

#[derive(Clone)]
struct Handle {
    network: SimNetwork,
    id: ConnectionId,
    side: Side,
}

impl Handle {
    fn drop_half(&self, reading: bool) {
        // The kernel has already closed the sockets of a process that is gone.
        if self.network.is_alive() {
            let net = &self.network.net;
            net.drop_half(&mut net.state(), self.id, self.side, reading);
        }
    }

    fn poll_read(&self, into: &mut BytesMut) -> Result<Option<usize>, NetworkError> {
        let mut guard = self.network.net.state();
        let state = &mut *guard;
        let connection = state.connections.get_mut(&self.id).ok_or(NetworkError::Reset)?;
        let end = connection.end(self.side);
        let (own, peer) = (end.node, connection.end(self.side.other()).node);
        let spare = into.capacity() - into.len();
        assert!(spare > 0, "a read needs spare capacity: zero bytes would look like the end");
        let limit = if state.dice.one_in(16) { 1 + state.dice.index(spare) } else { spare };
        let acknowledged = !state.links.of(own, peer).cut;
        let mut taken = 0;
        while taken < limit
            && let Some(bytes) = connection.take_received(self.side, limit - taken, acknowledged)
        {
            taken += bytes.len();
            into.extend_from_slice(&bytes);
        }
        let end = connection.end(self.side);
        match taken {
            0 if end.has_failed() => Err(NetworkError::Reset),
            0 if end.peer_finished() => Ok(Some(0)),
            0 => Ok(None),
            taken => Ok(Some(taken)),
        }
    }

    /// Writes as much as the window has room for; says whether that was all.
    fn poll_write(&self, segments: &mut Vec<Bytes>) -> Result<bool, NetworkError> {
        let net = &self.network.net;
        let mut state = net.state();
        let mut done = 0;
        while let Some(segment) = segments.get_mut(done) {
            if segment.is_empty() {
                done += 1;
                continue;
            }
            let connection = state.connections.get(&self.id).ok_or(NetworkError::Reset)?;
            let end = connection.end(self.side);
            if end.has_failed() {
                return Err(NetworkError::Reset);
            }
            let room = end.room();
            if room == 0 {
                break;
            }
            let bytes = segment.split_to(room.min(segment.len()));
            net.send(&mut state, self.id, self.side, bytes);
        }
        segments.drain(..done);
        Ok(segments.is_empty())
    }
}

/// The reading half.
pub struct SimRead(Handle);

impl ReadHalf for SimRead {
    async fn read(&mut self, into: &mut BytesMut) -> Result<usize, NetworkError> {
        self.0.network.check_alive().await?;
        std::future::poll_fn(|context| match self.0.poll_read(into) {
            Ok(Some(count)) => Poll::Ready(Ok(count)),
            Err(error) => Poll::Ready(Err(error)),
            Ok(None) => {
                let mut state = self.0.network.net.state();
                let connection = state.connections.get_mut(&self.0.id).expect("it was just read from");
                connection.end_mut(self.0.side).wait_to_read(context.waker());
                Poll::Pending
            }
        })
        .await
    }
}

impl Drop for SimRead {
    fn drop(&mut self) {
        self.0.drop_half(true);
    }
}

/// The writing half.
pub struct SimWrite(Handle);

impl WriteHalf for SimWrite {
    async fn write(&mut self, segments: &mut Vec<Bytes>) -> Result<(), NetworkError> {
        self.0.network.check_alive().await?;
        std::future::poll_fn(|context| match self.0.poll_write(segments) {
            Ok(true) => Poll::Ready(Ok(())),
            Err(error) => Poll::Ready(Err(error)),
            Ok(false) => {
                let mut state = self.0.network.net.state();
                let connection = state.connections.get_mut(&self.0.id).expect("it was just written to");
                connection.end_mut(self.0.side).wait_to_write(context.waker());
                Poll::Pending
            }
        })
        .await
    }

    async fn shutdown(&mut self) -> Result<(), NetworkError> {
        self.0.network.check_alive().await?;
        let net = &self.0.network.net;
        net.finish(&mut net.state(), self.0.id, self.0.side);
        Ok(())
    }
}

impl Drop for SimWrite {
    fn drop(&mut self) {
        self.0.drop_half(false);
    }
}
