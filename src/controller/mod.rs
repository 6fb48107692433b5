//! The controller: who are the brokers, what topics there are, who leads them. Decide, record, replay.
//!
//! A decision looks at the metadata and a request and returns records and a response; it changes nothing.
//! Only [`Metadata::replay`] does, for the active controller as for everybody who reads the log (rule 4).
//! The shell appends a decision's records, replays them at once, and sends the response when they are
//! committed.
//!
//! | file | what it decides or knows |
//! |---|---|
//! | [`image`] | the metadata at one offset |
//! | [`replay`], [`snapshot`] | how a record changes it, and which records make it |
//! | [`cluster`] | what a new log begins with; controllers; producer ids |
//! | [`features`] | which features are on |
//! | [`brokers`], [`heartbeats`] | registration, fencing, shutdown; and when each broker was heard of |
//! | `draft`, `change` | decisions of several parts; what becomes of a partition: ISR, ELR, leader, epochs |
//! | [`alter_partition`] | the ISRs that leaders ask for |
//! | [`elections`] | elections that are asked for, or called by a timer |
//! | [`reassignment`], [`directories`] | to which brokers, and into which of their directories, replicas move |
//! | [`topics`] | creation and deletion of topics |
//! | [`partitions`] | more partitions for a topic |
//! | [`placement`] | which brokers get the replicas |
//! | [`configs`] | changes of configuration |
//! | [`names`] | what a topic may be called |
//!
//! # What is not in the log
//!
//! The sessions of brokers are known to the active controller alone ([`Heartbeats`]); everything else that it
//! decides by is replayed. Decisions that depend on them take `now`.
//!
//! # Features
//!
//! A cluster is formatted at metadata.version 30 (4.3-IV0), the only level whose records this version writes,
//! and eligible.leader.replicas.version 1. No other feature is finalized: transaction.version 2 and the groups'
//! features need coordinators that are not built yet. The records of level 30 for access control, quotas,
//! SCRAM and delegation tokens are never written here; in a foreign log they stop the node.

pub mod alter_partition;
pub mod brokers;
mod change;
pub mod cluster;
pub mod configs;
pub mod directories;
mod draft;
pub mod elections;
pub mod features;
pub mod heartbeats;
pub mod image;
pub mod names;
pub mod partitions;
pub mod placement;
pub mod reassignment;
pub mod replay;
pub mod shared;
pub mod snapshot;
pub mod topics;

#[cfg(test)]
mod tests;

pub use heartbeats::Heartbeats;
pub use image::Image;
pub use replay::{Metadata, ReplayError};

use crate::config::server::ServerConfig;
use crate::config::{Layers, Texts};
use crate::error_code::ErrorCode;
use crate::types::{BrokerId, LeaderEpoch, Offset};
use crate::wire::metadata::MetadataRecord;

/// The most partitions, and the most records, that one request may make: Kafka's limit.
pub const MAX_RECORDS_PER_REQUEST: usize = 10_000;

/// What a request leads to.
#[derive(Debug, Clone, PartialEq)]
#[must_use = "records that nobody appends change nothing"]
pub struct Decision<R> {
    /// The records to append, in order.
    pub records: Vec<MetadataRecord>,
    /// Whether they must be appended as one batch: all or none. Else any number of them, from the first on, is
    /// a decision too, though not all of it; they may be appended in several batches, with nothing between them.
    pub atomic: bool,
    /// What to answer once they are committed.
    pub response: R,
}

impl<R> Decision<R> {
    /// Records that must be appended as one batch, and an answer.
    pub fn atomic(records: Vec<MetadataRecord>, response: R) -> Self {
        Self { records, atomic: true, response }
    }

    /// An answer without records.
    pub fn answer(response: R) -> Self {
        Self::atomic(Vec::new(), response)
    }
}

/// An error of one item of a request: the code and a message for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Refusal {
    /// Kafka's code.
    pub code: ErrorCode,
    /// Why, in words.
    pub message: String,
}

impl Refusal {
    /// A refusal with a message of its own.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

/// What the controller's own `server.properties` says.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The id of the cluster.
    pub cluster_id: String,
    /// The id of this node.
    pub node_id: BrokerId,
    /// The partitions of a topic whose creation does not say.
    pub num_partitions: i32,
    /// The replicas of a partition where a topic's creation does not say.
    pub default_replication_factor: i16,
    /// Whether topics can be deleted.
    pub delete_topics: bool,
    /// The static configuration.
    pub texts: Texts,
}

impl Settings {
    /// The controller's part of a server's configuration.
    pub fn new(cluster_id: String, config: &ServerConfig) -> Self {
        Self {
            cluster_id,
            node_id: config.node_id,
            num_partitions: config.num_partitions,
            default_replication_factor: config.default_replication_factor,
            delete_topics: config.delete_topics,
            texts: config.texts.clone(),
        }
    }
}

/// The controller: its settings, and the metadata that its decisions build on. The decisions are methods,
/// one file per kind.
#[derive(Debug, Clone, PartialEq)]
pub struct Controller {
    settings: Settings,
    metadata: Metadata,
}

impl Controller {
    /// A controller that has replayed nothing yet.
    pub fn new(settings: Settings) -> Self {
        Self { settings, metadata: Metadata::empty() }
    }

    /// The metadata as replayed so far.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Applies a record: see [`Metadata::replay`].
    ///
    /// # Errors
    /// If it cannot be applied; the node must stop.
    pub fn replay(
        &mut self,
        offset: Offset,
        epoch: LeaderEpoch,
        record: &MetadataRecord,
    ) -> Result<(), ReplayError> {
        self.metadata.replay(offset, epoch, record)
    }

    /// Notes a control record: see [`Metadata::skip`].
    pub fn skip(&mut self, offset: Offset, epoch: LeaderEpoch) {
        self.metadata.skip(offset, epoch);
    }

    fn image(&self) -> &Image {
        self.metadata.current()
    }

    fn layers(&self) -> Layers<'_> {
        self.image().layers(self.settings.node_id, &self.settings.texts)
    }
}
