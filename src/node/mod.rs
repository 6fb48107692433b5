//! The async shell round the state machines: connections, budgets, timers, supervision.
//!
//! [`start`] takes a node from its directories to serving; [`Node::shutdown`] takes it back, in the opposite
//! order: refuse new work, answer what is owed, sync, and last of all mark the directories as left cleanly.
//! Every task has an owner, in the end the [`Node`]; dropping that stops them all at once, like a crash.

pub(crate) mod activity;
mod assignments;
mod broker_run;
pub mod budget;
pub mod connection;
pub mod context;
pub(crate) mod controller_channel;
mod controller_registration;
pub mod directories;
mod fetchers;
pub mod flusher;
mod fold;
mod frames;
pub mod housekeeping;
mod isr;
mod lifecycle;
pub mod listener;
pub mod metadata;
mod ordering;
mod parallel;
mod preparation;
pub(crate) mod publisher;
pub(crate) mod raft;
mod reachable;
pub mod replica;
mod replicas;
mod replication;
pub mod service;
mod sockets;
mod start;
mod storage;
pub mod throttles;

pub use lifecycle::LifecycleError;
pub use raft::{MetadataLogError, QuorumRefusal};
pub use reachable::Unreachable;
pub use replicas::OpenReplicaError;
pub use sockets::try_ports;
pub use start::{StartError, start};
pub use storage::{
    DirectoryPurpose, FormatError, FormatPlan, FormattedDirectory, InitialVoters, bootstrap_records,
    cluster_id, format, format_by, is_formatted,
};

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use self::directories::{DirectoryFailure, FoundDirectory, LogDirectory};
use self::housekeeping::Housekeeping;
use self::lifecycle::{Leaving, nobody_leads};
use self::listener::Listener;
use self::metadata::Metadata;
use self::publisher::Registered;
use self::raft::Raft;
use self::replication::Replication;
use crate::client::futures::{Either, FutureSet, race};
use crate::env::{Clock, Disk, Env, Task};
use crate::log::checkpoint::write_clean_shutdown;
use crate::partition::Positions;
use crate::types::{BrokerEpoch, LeaderEpoch, Offset, PartitionKey};

/// How long a shutdown waits for answers that are owed.
const DRAIN: Duration = Duration::from_secs(5);

/// How long a shutdown waits for the controller to move away what this broker leads, and for another voter to take
/// over the quorum. A cluster that stops as a whole has nobody left to do so.
const HAND_OVER: Duration = Duration::from_secs(10);

/// A node at work. Dropping it stops everything at once, as a crash would.
pub struct Node<E: Env> {
    env: E,
    listeners: Vec<Listener<E>>,
    controller_listeners: Vec<Listener<E>>,
    registered: Registered,
    metadata: Metadata<E>,
    housekeeping: Housekeeping,
    directories: Vec<Arc<LogDirectory>>,
    /// Those of them that hold replicas.
    data_directories: Vec<Arc<LogDirectory>>,
    /// Syncs and preparations.
    workers: Vec<E::Task>,
    /// Of a controller.
    registers_controller: Option<E::Task>,
    housekeeper: Option<E::Task>,
    supervisor: E::Task,
    /// Of a broker.
    replication: Option<Replication<E>>,
    quorum: E::Task,
    raft: Raft,
    publisher: Option<E::Task>,
    stop_publisher: oneshot::Sender<()>,
    /// Of a broker.
    lifecycle: Option<E::Task>,
    leaving: Leaving,
    /// `controlled.shutdown.enable`.
    controlled_shutdown: bool,
    failures: mpsc::Receiver<NodeFailure>,
    /// A failure was told already.
    has_failed: bool,
    /// Held until everything else is done.
    locks: Vec<<E::Disk as Disk>::Lock>,
}

/// Why a node stopped of itself.
#[derive(Debug, thiserror::Error)]
pub enum NodeFailure {
    /// The metadata log has failed.
    #[error("the metadata log has failed: {0}")]
    Metadata(MetadataLogError),
    /// This node cannot be part of the quorum.
    #[error(transparent)]
    Quorum(QuorumRefusal),
    /// A committed record could not be carried out.
    #[error("a replica cannot be opened: {0}")]
    Replica(#[from] OpenReplicaError),
    /// The cluster does not take this broker.
    #[error(transparent)]
    Lifecycle(#[from] LifecycleError),
    /// The last log directory, or the one with the metadata, failed.
    #[error("{0}; the node cannot go on without it")]
    Directory(#[from] DirectoryFailure),
    /// A log could not be closed.
    #[error("a log could not be closed: {0}")]
    Close(String),
}

impl From<MetadataLogError> for NodeFailure {
    fn from(error: MetadataLogError) -> Self {
        match error {
            MetadataLogError::Refused(refusal) => Self::Quorum(refusal),
            error => Self::Metadata(error),
        }
    }
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

    /// Where the node listens for other nodes as a controller, likewise.
    pub fn controller_addresses(&self) -> Vec<SocketAddr> {
        self.controller_listeners.iter().map(Listener::address).collect()
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

    /// Waits until this node knows the leader of its quorum: that it is of the same cluster, and knows the same voters.
    ///
    /// # Errors
    ///
    /// Why the node cannot go on: it does not belong there.
    pub async fn joined(&mut self) -> Result<(), NodeFailure> {
        let raft = self.raft.clone();
        let led = async move {
            let mut leader = raft.leadership().current();
            while leader.id.is_none() {
                leader = raft.leadership().changed(&leader).await;
            }
        };
        match race(self.failed(), led).await {
            Either::First(failure) => Err(failure),
            Either::Second(()) => Ok(()),
        }
    }

    /// Waits for a sign, unless the node fails before it comes.
    async fn wait_for<T>(&mut self, sign: oneshot::Receiver<T>) -> Result<T, NodeFailure> {
        match race(self.failures.recv(), sign).await {
            Either::First(Some(failure)) => {
                self.has_failed = true;
                Err(failure)
            }
            // Whoever should give the sign has ended, and says why.
            Either::Second(Err(_)) => Err(self.failed().await),
            Either::First(None) => unreachable!("tasks that can fail are running"),
            Either::Second(Ok(sign)) => Ok(sign),
        }
    }

    /// Ends a start that came to nothing. A node that was never registered has touched nothing but its metadata log:
    /// its directories are as they were found, and are marked so again.
    async fn give_up(self, found: &[FoundDirectory]) {
        drop(self.lifecycle);
        if self.registered.epoch().is_some() {
            return;
        }
        let _ = self.stop_publisher.send(());
        if let Some(publisher) = self.publisher {
            publisher.join().await;
        }
        self.raft.stop();
        self.quorum.join().await;
        for found in found {
            if let Err(error) = found.give_mark_back(self.env.disk()).await {
                tracing::warn!(%error, "a directory that was left cleanly will be recovered at the next start");
            }
        }
    }

    /// Stops cleanly: what it leads is handed over, no new work is taken, what is owed is answered, everything is
    /// durable, and the directories say so.
    ///
    /// # Errors
    ///
    /// [`NodeFailure`] if something could not be made durable. The directory concerned is then not marked, and
    /// recovers at the next start.
    pub async fn shutdown(self) -> Result<(), NodeFailure> {
        self.leave().await;
        self.stop(HAND_OVER).await
    }

    /// The same for all nodes of a cluster, side by side. The controllers stay until every broker has left; then
    /// none waits for another to take over the quorum.
    pub async fn shutdown_all(nodes: Vec<Self>) -> Vec<Result<(), NodeFailure>> {
        let (mut leaving, mut stopping, count) = (FutureSet::new(), FutureSet::new(), nodes.len());
        for node in nodes {
            leaving.push(async move {
                node.leave().await;
                node
            });
        }
        for _ in 0..count {
            let node = leaving.next().await;
            stopping.push(node.stop(Duration::ZERO));
        }
        let mut outcomes = Vec::new();
        for _ in 0..count {
            outcomes.push(stopping.next().await);
        }
        outcomes
    }

    async fn leave(&self) {
        let leaves = self.lifecycle.is_some() && self.controlled_shutdown;
        if leaves && !self.leaving.leave(&self.env, self.raft.leadership(), HAND_OVER).await {
            tracing::warn!("the controller has not moved away what this broker leads: it stops all the same");
        }
    }

    /// Stops once it has left. Another voter has so long to take over the quorum.
    async fn stop(mut self, hand_over: Duration) -> Result<(), NodeFailure> {
        drop(self.lifecycle.take());
        let deadline = self.env.clock().now() + DRAIN;
        for listener in self.listeners {
            listener.shutdown(deadline).await;
        }
        // The publisher ends after the image at hand.
        let _ = self.stop_publisher.send(());
        if let Some(publisher) = self.publisher {
            publisher.join().await;
        }
        if let Some(replication) = self.replication {
            replication.stop().await;
        }
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
        // The quorum last: until now this node may have been the one that lets others go.
        // Where nobody takes over for long, nobody is left: the others stop, too.
        let until = self.env.clock().now() + hand_over;
        let _ = race(self.raft.resign(), nobody_leads(&self.env, self.raft.leadership(), until)).await;
        for listener in self.controller_listeners {
            listener.shutdown(deadline).await;
        }
        self.raft.stop();
        self.quorum.join().await;
        if let Some(housekeeper) = self.housekeeper {
            self.housekeeping.finish().await;
            housekeeper.join().await;
        }
        drop((self.workers, self.registers_controller));
        drop(self.supervisor);
        let failure = failure.or_else(|| self.failures.try_recv().ok());
        let mut outcome = failure.map_or(Ok(()), Err);
        let has_lost = self.data_directories.iter().any(|directory| !directory.is_online());
        if has_lost {
            broker_run::forget(&self.env, &self.data_directories).await;
        }
        if !has_failed {
            // What lay in a directory that has failed need not be there at the next start (E3).
            let epoch = self.registered.epoch().filter(|_| !has_lost).unwrap_or(BrokerEpoch::NONE);
            let marked = mark_clean(&self.env, &self.directories, epoch).await;
            outcome = outcome.and(marked);
        }
        drop(self.locks);
        outcome
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
