//! Partitions move to other replicas (KIP-455).
//!
//! First the new replicas are added to the old ones. Once those are in sync the others are removed; a mere change of
//! order is made at once. Who asks again before that sets another target: replicas that were
//! being added, and are targets still, are so until they are in sync.
//!
//! Kafka ends a reassignment when the added replicas are in sync. Here as many targets must be as
//! `min.insync.replicas` asks for, too: else the removal of the others can leave fewer copies of an acknowledged
//! record than that promises.
//!
//! Whoever cancels a reassignment removes the copies that it has made, and with them may do just that: Kafka
//! allows it, and it is done as it is asked. But if then no replica is left that surely has every acknowledged
//! record, the topic must allow unclean elections.

use super::change::Target;
use super::draft::Draft;
use super::image::{LeaderRecoveryState, PartitionRegistration, TopicImage};
use super::placement::check_manual;
use super::{Controller, Decision, Refusal};
use crate::error_code::ErrorCode;
use crate::types::{BrokerId, PartitionKey};
use crate::wire::messages::alter_partition_reassignments::*;
use crate::wire::messages::list_partition_reassignments::*;

impl Controller {
    /// Begins, replaces and cancels reassignments. Each partition succeeds or fails by itself.
    pub fn alter_partition_reassignments(
        &self,
        request: &AlterPartitionReassignmentsRequest,
    ) -> Decision<AlterPartitionReassignmentsResponse> {
        let allow_change = request.allow_replication_factor_change;
        let mut draft = Draft::new(self);
        let mut responses = Vec::new();
        for topic in &request.topics {
            let mut partitions = Vec::new();
            for asked in &topic.partitions {
                let outcome = draft.reassign(&topic.name, asked, allow_change);
                let code = outcome.as_ref().map_or_else(|refusal| refusal.code, |()| ErrorCode::None);
                partitions.push(ReassignablePartitionResponse {
                    partition_index: asked.partition_index,
                    error_code: code.code(),
                    error_message: outcome.err().map(|refusal| refusal.message),
                });
            }
            responses.push(ReassignableTopicResponse { name: topic.name.clone(), partitions });
        }
        draft.atomic(AlterPartitionReassignmentsResponse {
            throttle_time_ms: 0,
            allow_replication_factor_change: allow_change,
            error_code: ErrorCode::None.code(),
            error_message: None,
            responses,
        })
    }

    /// The reassignments under way: all, or those of the partitions listed.
    pub fn list_partition_reassignments(
        &self,
        request: &ListPartitionReassignmentsRequest,
    ) -> ListPartitionReassignmentsResponse {
        let image = self.image();
        let of_topic = |topic: &TopicImage, indexes: &mut dyn Iterator<Item = i32>| {
            let ongoing = |index| Some((index, topic.partitions.get(&index)?));
            let partitions = indexes.filter_map(ongoing).filter(|(_, it)| it.is_reassigning());
            let partitions: Vec<_> = partitions.map(|(index, it)| listed(index, it)).collect();
            let name = topic.name.to_string();
            (!partitions.is_empty()).then_some(OngoingTopicReassignment { name, partitions })
        };
        let topics = match &request.topics {
            None => image
                .topics()
                .filter_map(|topic| of_topic(topic, &mut topic.partitions.keys().copied()))
                .collect(),
            Some(asked) => asked
                .iter()
                .filter_map(|it| {
                    of_topic(image.topic_named(&it.name)?, &mut it.partition_indexes.iter().copied())
                })
                .collect(),
        };
        ListPartitionReassignmentsResponse {
            throttle_time_ms: 0,
            error_code: ErrorCode::None.code(),
            error_message: None,
            topics,
        }
    }
}

fn listed(partition_index: i32, partition: &PartitionRegistration) -> OngoingPartitionReassignment {
    let ids = |brokers: &[BrokerId]| brokers.iter().map(|id| id.0).collect::<Vec<_>>();
    OngoingPartitionReassignment {
        partition_index,
        replicas: ids(&partition.replicas),
        adding_replicas: ids(&partition.adding),
        removing_replicas: ids(&partition.removing),
    }
}

impl Draft<'_> {
    fn reassign(
        &mut self,
        name: &str,
        asked: &ReassignablePartition,
        allow_change: bool,
    ) -> Result<(), Refusal> {
        let unknown = |what: String| Refusal::new(ErrorCode::UnknownTopicOrPartition, what);
        let topic = (self.image().topic_named(name))
            .ok_or_else(|| unknown(format!("Unable to find a topic named {name}.")))?;
        let index = asked.partition_index;
        let key = PartitionKey { topic_id: topic.id, index };
        let partition = (topic.partitions.get(&index))
            .ok_or_else(|| unknown(format!("Unable to find partition {name}:{index}.")))?;
        match &asked.replicas {
            Some(replicas) => {
                let targets = check_manual(self.image(), replicas, None)?;
                let stay = partition.replicas.iter().filter(|id| !partition.removing.contains(id)).count();
                if !allow_change && stay != targets.len() {
                    let message =
                        format!("The replication factor is changed from {stay} to {}", targets.len());
                    return Err(Refusal::new(ErrorCode::InvalidReplicationFactor, message));
                }
                let partition = partition.clone();
                self.alter(key, |target| retarget(target, &targets, &partition));
                Ok(())
            }
            None => self.cancel(key, name),
        }
    }

    fn cancel(&mut self, key: PartitionKey, name: &str) -> Result<(), Refusal> {
        let image = self.image();
        let topic = image.topic(key.topic_id).expect("it was just found");
        let partition = &topic.partitions[&key.index];
        if !partition.is_reassigning() {
            let message = "No partition reassignment is in progress.";
            return Err(Refusal::new(ErrorCode::NoReassignmentInProgress, message));
        }
        let replicas = original(partition);
        let mut isr: Vec<BrokerId> =
            partition.isr.iter().copied().filter(|id| replicas.contains(id)).collect();
        let mut unclean = false;
        if isr.is_empty() && !partition.elr.iter().any(|id| replicas.contains(id)) {
            let has_directory =
                |id: BrokerId| partition.directory(id).is_some_and(|dir| image.has_online_dir(id, dir));
            let alive = replicas.iter().copied().find(|&id| image.is_active(id) && has_directory(id));
            let Some(leader) = alive.filter(|_| self.allows_unclean(topic)) else {
                let message = format!(
                    "Unable to revert partition assignment for {name}:{} because it would require an \
                     unclean leader election.",
                    key.index
                );
                return Err(Refusal::new(ErrorCode::InvalidReplicaAssignment, message));
            };
            isr.push(leader);
            unclean = true;
        }
        self.alter(key, |target| {
            (target.isr, target.replicas) = (isr, replicas);
            target.adding.clear();
            target.removing.clear();
            if unclean {
                target.recovery = LeaderRecoveryState::Recovering;
            }
        });
        Ok(())
    }
}

/// The replicas without those that a reassignment is adding.
fn original(partition: &PartitionRegistration) -> Vec<BrokerId> {
    partition.replicas.iter().copied().filter(|id| !partition.adding.contains(id)).collect()
}

/// The targets first, so that the first one is the preferred leader at once. Replicas that were being added, are
/// targets no more, and hold nothing that anybody relies on are dropped.
fn retarget(target: &mut Target, targets: &[BrokerId], old: &PartitionRegistration) {
    let original = original(old);
    let useless = |id: &BrokerId| {
        let relied_on = old.isr.contains(id) || old.elr.contains(id);
        old.adding.contains(id) && !relied_on
    };
    let leaves = |id: &BrokerId| !targets.contains(id) && !useless(id);
    target.removing = old.replicas.iter().copied().filter(leaves).collect();
    target.removing.sort_unstable();
    target.adding = targets.iter().copied().filter(|id| !original.contains(id)).collect();
    target.adding.sort_unstable();
    target.replicas = targets.iter().chain(&target.removing).copied().collect();
}
