//! The async shell round the state machines: connections, budgets, timers, supervision.
//!
//! [`start`] takes a node from its directories to serving; [`Node::shutdown`] takes it back, in the opposite
//! order: refuse new work, answer what is owed, sync, and last of all mark the directories as left cleanly.
//! Every task has an owner, in the end the [`Node`]; dropping that stops them all at once, like a crash.

pub mod budget;
pub mod connection;
pub mod context;
mod controller_task;
pub mod directories;
pub mod flusher;
mod frames;
pub mod housekeeping;
pub mod listener;
pub mod metadata;
mod metadata_log;
mod ordering;
mod parallel;
mod preparation;
pub mod replica;
mod replicas;
pub mod service;
mod start;
mod storage;

pub use controller_task::ControllerFailure;
pub use metadata_log::MetadataLogError;
pub use replicas::OpenReplicaError;
pub use start::{StartError, start};
pub use storage::{
    DirectoryPurpose, FormatError, FormatPlan, FormattedDirectory, InitialVoters, bootstrap_records, format,
    format_by, is_formatted,
};

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use self::directories::{DirectoryFailure, LogDirectory};
use self::housekeeping::Housekeeping;
use self::listener::Listener;
use self::metadata::Metadata;
use crate::env::{Clock, Disk, Env, Task};
use crate::log::checkpoint::write_clean_shutdown;
use crate::partition::Positions;
use crate::types::{BrokerEpoch, LeaderEpoch, Offset, PartitionKey};

/// How long a shutdown waits for answers that are owed.
const DRAIN: Duration = Duration::from_secs(5);

/// A node at work. Dropping it stops everything at once, as a crash would.
pub struct Node<E: Env> {
    env: E,
    broker_epoch: BrokerEpoch,
    listeners: Vec<Listener<E>>,
    metadata: Metadata<E>,
    housekeeping: Housekeeping,
    directories: Vec<Arc<LogDirectory>>,
    /// Syncs and preparations.
    workers: Vec<E::Task>,
    housekeeper: E::Task,
    supervisor: E::Task,
    controller: E::Task,
    stop_controller: oneshot::Sender<()>,
    failures: mpsc::Receiver<NodeFailure>,
    /// A failure was told already.
    has_failed: bool,
    /// Held until everything else is done.
    locks: Vec<<E::Disk as Disk>::Lock>,
}

/// Why a node stopped of itself.
#[derive(Debug, thiserror::Error)]
pub enum NodeFailure {
    /// The controller failed.
    #[error("the controller has failed: {0}")]
    Controller(#[from] ControllerFailure),
    /// The last log directory, or the one with the metadata, failed.
    #[error("{0}; the node cannot go on without it")]
    Directory(#[from] DirectoryFailure),
    /// A log could not be closed.
    #[error("a log could not be closed: {0}")]
    Close(String),
}

/// One replica at one moment: plain data for whoever watches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaSnapshot {
    /// The partition.
    pub key: PartitionKey,
    /// Its topic's name and index.
    pub name: String,
    /// The leader epoch in force.
    pub leader_epoch: LeaderEpoch,
    /// Its positions.
    pub positions: Positions,
    /// The end of what is surely on disk.
    pub durable_end: Offset,
    /// Where its files are.
    pub path: PathBuf,
}

impl<E: Env> Node<E> {
    /// Where the node listens for clients: the addresses that the sockets are bound to.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners.iter().map(Listener::address).collect()
    }

    /// All replicas, as plain data.
    pub fn snapshot(&self) -> Vec<ReplicaSnapshot> {
        let published = self.metadata.current();
        let replicas = published.replicas.values();
        replicas.map(|replica| replica.snapshot()).collect()
    }

    /// Waits until the node cannot go on. Cancel-safe.
    pub async fn failed(&mut self) -> NodeFailure {
        match self.failures.recv().await {
            Some(failure) => {
                self.has_failed = true;
                failure
            }
            None => std::future::pending().await,
        }
    }

    /// Stops cleanly: no new work, what is owed is answered, everything is durable, and the directories say so.
    ///
    /// # Errors
    ///
    /// [`NodeFailure`] if something could not be made durable. The directory concerned is then not marked, and
    /// recovers at the next start.
    pub async fn shutdown(mut self) -> Result<(), NodeFailure> {
        let deadline = self.env.clock().now() + DRAIN;
        for listener in self.listeners {
            listener.shutdown(deadline).await;
        }
        // The controller ends after the command under way.
        let _ = self.stop_controller.send(());
        self.controller.join().await;
        let mut failure = self.failures.try_recv().ok();
        let has_failed = self.has_failed || failure.is_some();
        let replicas = Arc::clone(&self.metadata.current().replicas);
        // Of what lies in a directory that has failed nobody knows anything.
        let online = replicas.values().filter(|replica| replica.directory().is_online());
        let closing: Vec<_> = online.cloned().collect();
        let close = |replica: Arc<replica::Replica<E>>| async move {
            let outcome = replica.close().await;
            outcome.map_err(|error| (Arc::clone(replica.directory()), format!("{}: {error}", replica.name())))
        };
        for outcome in parallel::for_each(&self.env, "close-replica", CLOSING_AT_ONCE, closing, close).await {
            if let Err((directory, reason)) = outcome {
                directory.report_failure(&reason);
                failure.get_or_insert(NodeFailure::Close(reason));
            }
        }
        self.housekeeping.finish().await;
        self.housekeeper.join().await;
        drop(self.workers);
        drop(self.supervisor);
        if !has_failed && let Err(error) = mark_clean(&self.env, &self.directories, self.broker_epoch).await {
            failure.get_or_insert(error);
        }
        drop(self.locks);
        failure.map_or(Ok(()), Err)
    }
}

/// The last thing a clean shutdown does: it says of every directory that nothing in it needs recovery.
async fn mark_clean<E: Env>(
    env: &E,
    directories: &[Arc<LogDirectory>],
    broker_epoch: BrokerEpoch,
) -> Result<(), NodeFailure> {
    for directory in directories.iter().filter(|directory| directory.is_online()) {
        let marked = write_clean_shutdown(env.disk(), directory.path(), broker_epoch).await;
        marked.map_err(|error| NodeFailure::Close(error.to_string()))?;
    }
    Ok(())
}

/// Logs that are closed at the same time.
const CLOSING_AT_ONCE: usize = 8;

#[cfg(test)]
mod tests;
