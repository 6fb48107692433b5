//! Vote (key 52): a voter of the metadata quorum asks another for its vote.
//!
//! Directory ids (KIP-853) come with version 1, pre-votes (KIP-996) with 2. Kafka calls the parts of the
//! response `TopicData` and `PartitionData` too.

use crate::types::Uuid;
use crate::wire::declare::declare;
use crate::wire::{ApiKey, Request};

declare! {
    /// A candidate asks.
    message VoteRequest, 0..=2, flexible 0.. {
        cluster_id: Option<String>, 0..;
        /// Who is asked, so that a stranger at its address knows that it is not meant; -1 if unknown.
        voter_id: i32, 1.., default(-1), ignorable;
        topics: Vec<TopicData>, 0..;
    }

    /// A topic: always the metadata topic.
    struct TopicData {
        topic_name: String, 0..;
        partitions: Vec<PartitionData>, 0..;
    }

    /// A candidacy.
    struct PartitionData {
        partition_index: i32, 0..;
        /// The epoch to be elected in; of a pre-vote, the one that the candidate is in.
        replica_epoch: i32, 0..;
        /// The candidate.
        replica_id: i32, 0..;
        replica_directory_id: Uuid, 1.., ignorable;
        /// That of the voter asked.
        voter_directory_id: Uuid, 1.., ignorable;
        /// The epoch of the last record in the candidate's log.
        last_offset_epoch: i32, 0..;
        /// The candidate's log end.
        last_offset: i64, 0..;
        /// Only asked whether there would be a vote: no epoch is raised, nothing persisted.
        pre_vote: bool, 2..;
    }

    /// What the voter says.
    message VoteResponse, 0..=2, flexible 0.. {
        error_code: i16, 0..;
        topics: Vec<TopicResult>, 0..;
        /// The endpoints of all leaders named.
        node_endpoints: Vec<NodeEndpoint>, 1.., tag(0);
    }

    /// What it says of one topic.
    struct TopicResult {
        topic_name: String, 0..;
        partitions: Vec<PartitionResult>, 0..;
    }

    /// What it says of a candidacy.
    struct PartitionResult {
        partition_index: i32, 0..;
        error_code: i16, 0..;
        /// -1 if it knows none.
        leader_id: i32, 0..;
        leader_epoch: i32, 0..;
        vote_granted: bool, 0..;
    }

    /// Where a leader named in the response listens.
    struct NodeEndpoint {
        node_id: i32, 1..;
        host: String, 1..;
        port: u16, 1..;
    }
}

impl Request for VoteRequest {
    const KEY: ApiKey = ApiKey::Vote;
    type Response = VoteResponse;
}
