//! A leader asks for another ISR (KIP-497, R5).
//!
//! Each partition of a request is accepted or rejected by itself. The rejections, in this order:
//!
//! | what is wrong | error |
//! |---|---|
//! | no such topic | UNKNOWN_TOPIC_ID |
//! | no such partition | UNKNOWN_TOPIC_OR_PARTITION |
//! | an epoch is ahead of ours: we are not the active controller any more | NOT_CONTROLLER |
//! | the leader epoch is behind | FENCED_LEADER_EPOCH |
//! | it is not the leader who asks | INVALID_REQUEST |
//! | the partition epoch is behind | INVALID_UPDATE_VERSION |
//! | the ISR has somebody twice, or without a replica, or lacks the leader | INVALID_REQUEST |
//! | RECOVERING with others in sync, or after RECOVERED | INVALID_REQUEST |
//! | a member is not registered, fenced, shutting down or started anew (KIP-841, KIP-903) | INELIGIBLE_REPLICA |
//! | a member's directory on record is not in use | INELIGIBLE_REPLICA |
//!
//! The last row is ours: after the loss of a directory a replica that was begun anew in another one must be
//! on record there before it can be in sync. So who is in sync can always be elected.
//!
//! An ISR that is as it was raises the partition epoch all the same: so a leader takes back what it has asked for
//! before and had no answer to. Kafka's controller answers without a record.
//!
//! The change may end a reassignment that removes the leader. Then it is made, and yet answered with
//! NEW_LEADER_ELECTED.

use super::draft::Draft;
use super::image::{Image, LeaderRecoveryState, PartitionRegistration};
use super::{Controller, Decision};
use crate::error_code::ErrorCode;
use crate::types::{BrokerEpoch, BrokerId, LeaderEpoch, PartitionEpoch, PartitionKey};
use crate::wire::messages::alter_partition::*;
use crate::wire::metadata::PartitionChangeRecord;

impl Controller {
    /// Changes ISRs as their leaders ask.
    pub fn alter_partition(&self, request: &AlterPartitionRequest) -> Decision<AlterPartitionResponse> {
        let (id, epoch) = (BrokerId(request.broker_id), BrokerEpoch(request.broker_epoch));
        if let Err(refusal) = self.check_broker_epoch(id, epoch) {
            let error_code = refusal.code.code();
            return Decision::answer(AlterPartitionResponse { error_code, ..Default::default() });
        }
        let mut draft = Draft::new(self);
        let mut topics = Vec::new();
        for topic in &request.topics {
            let mut partitions = Vec::new();
            for asked in &topic.partitions {
                let key = PartitionKey { topic_id: topic.topic_id, index: asked.partition_index };
                let altered = draft.alter_isr(key, id, asked);
                partitions.push(match altered {
                    Ok(partition) => accepted(asked.partition_index, &partition),
                    Err(code) => rejected(asked.partition_index, code),
                });
            }
            topics.push(TopicResult { topic_id: topic.topic_id, partitions });
        }
        draft.in_order(AlterPartitionResponse { topics, ..Default::default() })
    }
}

impl Draft<'_> {
    fn alter_isr(
        &mut self,
        key: PartitionKey,
        leader: BrokerId,
        asked: &PartitionData,
    ) -> Result<PartitionRegistration, ErrorCode> {
        let isr = members(asked);
        let recovery = check(self.image(), key, leader, asked, &isr)?;
        let changed = self.alter(key, |target| {
            target.isr = isr.iter().map(|(id, _)| *id).collect();
            target.recovery = recovery;
        });
        if !changed {
            self.push(PartitionChangeRecord {
                topic_id: key.topic_id,
                partition_id: key.index,
                isr: Some(isr.iter().map(|(id, _)| id.0).collect()),
                ..PartitionChangeRecord::default()
            });
        }
        let partition = self.image().partition(key.topic_id, key.index).expect("it was checked");
        if changed && partition.leader != leader {
            return Err(ErrorCode::NewLeaderElected);
        }
        Ok(PartitionRegistration::clone(partition))
    }
}

/// The ISR asked for. Before version 3 it comes without broker epochs, and they are not checked.
fn members(asked: &PartitionData) -> Vec<(BrokerId, BrokerEpoch)> {
    let with = asked.new_isr_with_epochs.iter();
    let without = asked.new_isr.iter();
    with.map(|state| (BrokerId(state.broker_id), BrokerEpoch(state.broker_epoch)))
        .chain(without.map(|&id| (BrokerId(id), BrokerEpoch::NONE)))
        .collect()
}

fn check(
    image: &Image,
    key: PartitionKey,
    leader: BrokerId,
    asked: &PartitionData,
    isr: &[(BrokerId, BrokerEpoch)],
) -> Result<LeaderRecoveryState, ErrorCode> {
    let topic = image.topic(key.topic_id).ok_or(ErrorCode::UnknownTopicId)?;
    let partition = topic.partitions.get(&key.index).ok_or(ErrorCode::UnknownTopicOrPartition)?;
    let leader_epoch = LeaderEpoch(asked.leader_epoch);
    let partition_epoch = PartitionEpoch(asked.partition_epoch);
    if leader_epoch > partition.leader_epoch || partition_epoch > partition.partition_epoch {
        return Err(ErrorCode::NotController);
    }
    if leader_epoch < partition.leader_epoch {
        return Err(ErrorCode::FencedLeaderEpoch);
    }
    if leader != partition.leader {
        return Err(ErrorCode::InvalidRequest);
    }
    if partition_epoch < partition.partition_epoch {
        return Err(ErrorCode::InvalidUpdateVersion);
    }
    let is_valid = |(position, (id, _)): (usize, &(BrokerId, BrokerEpoch))| {
        partition.replicas.contains(id) && isr[..position].iter().all(|(earlier, _)| earlier != id)
    };
    if !isr.iter().enumerate().all(is_valid) || isr.iter().all(|(id, _)| *id != leader) {
        return Err(ErrorCode::InvalidRequest);
    }
    let recovery =
        LeaderRecoveryState::from_code(asked.leader_recovery_state).ok_or(ErrorCode::InvalidRequest)?;
    let recovered = partition.leader_recovery == LeaderRecoveryState::Recovered;
    if recovery == LeaderRecoveryState::Recovering && (isr.len() > 1 || recovered) {
        return Err(ErrorCode::InvalidRequest);
    }
    let is_eligible = |&(id, epoch): &(BrokerId, BrokerEpoch)| {
        let same_run = |current: BrokerEpoch| epoch == BrokerEpoch::NONE || epoch == current;
        image.broker(id).is_some_and(|broker| broker.is_active() && same_run(broker.epoch))
            && partition.directory(id).is_some_and(|dir| image.has_online_dir(id, dir))
    };
    if !isr.iter().all(is_eligible) {
        return Err(ErrorCode::IneligibleReplica);
    }
    Ok(recovery)
}

fn accepted(partition_index: i32, partition: &PartitionRegistration) -> PartitionResult {
    PartitionResult {
        partition_index,
        error_code: ErrorCode::None.code(),
        leader_id: partition.leader.0,
        leader_epoch: partition.leader_epoch.0,
        isr: partition.isr.iter().map(|id| id.0).collect(),
        leader_recovery_state: partition.leader_recovery as i8,
        partition_epoch: partition.partition_epoch.0,
    }
}

fn rejected(partition_index: i32, code: ErrorCode) -> PartitionResult {
    PartitionResult { partition_index, error_code: code.code(), ..PartitionResult::default() }
}
