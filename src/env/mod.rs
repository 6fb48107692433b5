//! The seam: everything a node needs from the world, as traits.
//!
//! A node runs unchanged on the real world ([`tokio`](self::tokio), named only where the binary starts) and
//! inside the simulator. What decides never sees this module: it gets `now` as an argument and returns what
//! should happen. What acts is generic over [`Env`].
//!
//! The traits return `impl Future + Send`: no boxing, and no way to block.

mod clock;
mod disk;
mod event;
mod network;
mod rng;
mod task;
pub mod tokio;

pub use clock::Clock;
pub use disk::{Disk, DiskError, DiskErrorKind, DiskOperation, Entry, File, OpenMode, Space};
pub use event::Event;
pub use network::{Listener, Network, NetworkError, ReadHalf, Stream, WriteHalf};
pub use rng::{Purpose, Rng, child_rng};
pub use task::Task;

use std::future::Future;

/// One node's world. Cloning it is cheap and gives a handle to the same world.
pub trait Env: Clone + Send + Sync + 'static {
    /// Time.
    type Clock: Clock;
    /// Byte streams between nodes and clients.
    type Network: Network;
    /// Files.
    type Disk: Disk;
    /// A running task.
    type Task: Task;

    /// The clock of this node.
    fn clock(&self) -> &Self::Clock;

    /// The network as this node sees it.
    fn network(&self) -> &Self::Network;

    /// The disks of this node.
    fn disk(&self) -> &Self::Disk;

    /// Starts a task. Its owner is whoever holds the returned handle: dropping that cancels the task.
    /// A panic in a task ends the node.
    fn spawn<F>(&self, name: &'static str, future: F) -> Self::Task
    where
        F: Future<Output = ()> + Send + 'static;

    /// A stream of randomness for one purpose. The same node, seed and purpose give the same stream, and
    /// a draw from one never shifts another.
    fn rng(&self, purpose: Purpose) -> Rng;

    /// What the machine's kernel calls this boot: equal before and after a crash of the process alone,
    /// different after a loss of power.
    fn boot_id(&self) -> String;

    /// What this machine is called: its host name, by which others may find it.
    fn host_name(&self) -> String;

    /// Tells whoever watches (metrics, or the simulator's oracles) what happened. Never fails, never waits.
    fn observe(&self, event: Event);
}
