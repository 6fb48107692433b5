//! Elections that somebody asks for, or that a timer calls (KIP-460, E1).

use super::change::Election;
use super::draft::Draft;
use super::{Controller, Decision};
use crate::error_code::ErrorCode;
use crate::types::{BrokerId, PartitionKey};
use crate::wire::messages::elect_leaders::*;

/// The most elections that one decision on a timer makes: Kafka's number.
pub const ELECTIONS_PER_DECISION: usize = 1000;

/// What a client asks for; the numbers are Kafka's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// The preferred leader.
    Preferred,
    /// Any leader, where there is none.
    Unclean,
}

impl Controller {
    /// Elects the preferred leaders of partitions, or any leaders where there are none. If the request asks for
    /// all partitions, those are left out of the answer that have what was asked for.
    pub fn elect_leaders(&self, request: &ElectLeadersRequest) -> Decision<ElectLeadersResponse> {
        let asked = match request.election_type {
            0 => Asked::Preferred,
            1 => Asked::Unclean,
            _ => {
                let error_code = ErrorCode::InvalidRequest.code();
                return Decision::answer(ElectLeadersResponse { error_code, ..Default::default() });
            }
        };
        let mut draft = Draft::new(self);
        let results = match &request.topic_partitions {
            Some(topics) => topics.iter().map(|topic| draft.elect_listed(topic, asked)).collect(),
            None => draft.elect_everywhere(asked),
        };
        draft.in_order(ElectLeadersResponse { replica_election_results: results, ..Default::default() })
    }

    /// Gives partitions back to their preferred leaders where these can lead: what
    /// `auto.leader.rebalance.enable` asks for every `leader.imbalance.check.interval.seconds`. Says whether
    /// more may be left to do at once.
    pub fn balance_leaders(&self) -> Decision<bool> {
        let mut draft = Draft::new(self);
        for key in draft.partitions(|_, partition| !partition.has_preferred_leader()) {
            if draft.len() >= ELECTIONS_PER_DECISION {
                break;
            }
            draft.elect_preferred(key);
        }
        let more = draft.len() >= ELECTIONS_PER_DECISION;
        draft.in_order(more)
    }

    /// Elects leaders where there is none: uncleanly where a topic has come to allow that, for which Kafka looks
    /// every `unclean.leader.election.interval.ms`; and cleanly where an earlier decision was not committed to
    /// its end. Says whether more may be left to do at once.
    pub fn elect_leaderless(&self) -> Decision<bool> {
        let mut draft = Draft::new(self);
        draft.elect_leaderless(ELECTIONS_PER_DECISION);
        let more = draft.len() >= ELECTIONS_PER_DECISION;
        draft.in_order(more)
    }
}

/// An error of one partition, with its message.
type Outcome = Result<(), (ErrorCode, String)>;

impl Draft<'_> {
    fn elect_listed(&mut self, topic: &TopicPartitions, asked: Asked) -> ReplicaElectionResult {
        let mut results = Vec::new();
        for &index in &topic.partitions {
            let unknown = |what: String| Err((ErrorCode::UnknownTopicOrPartition, what));
            let outcome = match self.image().topic_named(&topic.topic) {
                None => unknown(format!("No such topic as {}", topic.topic)),
                Some(known) if !known.partitions.contains_key(&index) => {
                    unknown(format!("No such partition as {}-{index}", topic.topic))
                }
                Some(known) => {
                    let key = PartitionKey { topic_id: known.id, index };
                    self.elect(key, asked)
                }
            };
            results.push(result(index, outcome));
        }
        ReplicaElectionResult { topic: topic.topic.clone(), partition_result: results }
    }

    fn elect_everywhere(&mut self, asked: Asked) -> Vec<ReplicaElectionResult> {
        let mut topics: Vec<ReplicaElectionResult> = Vec::new();
        for key in self.partitions(|_, _| true) {
            let outcome = self.elect(key, asked);
            if outcome.as_ref().is_err_and(|(code, _)| *code == ErrorCode::ElectionNotNeeded) {
                continue;
            }
            let topic = self.image().topic(key.topic_id).expect("it was just found").name.to_string();
            if topics.last().is_none_or(|last| last.topic != topic) {
                topics.push(ReplicaElectionResult { topic, partition_result: Vec::new() });
            }
            let last = topics.last_mut().expect("one was just added");
            last.partition_result.push(result(key.index, outcome));
        }
        topics
    }

    fn elect(&mut self, key: PartitionKey, asked: Asked) -> Outcome {
        let partition = self.image().partition(key.topic_id, key.index).expect("it was just found");
        let needed = match asked {
            Asked::Preferred => !partition.has_preferred_leader(),
            Asked::Unclean => partition.leader == BrokerId::NONE,
        };
        let fail = |code, message: &str| Err((code, message.to_owned()));
        if !needed {
            let message = "Leader election not needed for topic partition.";
            return fail(ErrorCode::ElectionNotNeeded, message);
        }
        match asked {
            Asked::Preferred if !self.elect_preferred(key) => {
                fail(ErrorCode::PreferredLeaderNotAvailable, "The preferred leader was not available.")
            }
            Asked::Unclean if !self.alter(key, |target| target.election = Election::Unclean) => {
                let message = "Eligible topic partition leaders are not available.";
                fail(ErrorCode::EligibleLeadersNotAvailable, message)
            }
            _ => Ok(()),
        }
    }

    fn elect_preferred(&mut self, key: PartitionKey) -> bool {
        self.alter(key, |target| target.election = Election::Preferred)
    }
}

fn result(partition_id: i32, outcome: Outcome) -> PartitionResult {
    let (code, message) = match outcome {
        Ok(()) => (ErrorCode::None, None),
        Err((code, message)) => (code, Some(message)),
    };
    PartitionResult { partition_id, error_code: code.code(), error_message: message }
}
