//! A broker says in which of its directories its replicas lie (KIP-858).

use super::draft::Draft;
use super::{Controller, Decision};
use crate::error_code::ErrorCode;
use crate::types::{BrokerEpoch, BrokerId, PartitionKey, Uuid};
use crate::wire::messages::assign_replicas_to_dirs::*;

impl Controller {
    /// Notes where replicas lie. One in a directory that is not in use leaves the ISR; one that comes from such
    /// a directory has begun anew, and leaves the ELR too. Each partition succeeds or fails by itself.
    pub fn assign_replicas_to_dirs(
        &self,
        request: &AssignReplicasToDirsRequest,
    ) -> Decision<AssignReplicasToDirsResponse> {
        let (id, epoch) = (BrokerId(request.broker_id), BrokerEpoch(request.broker_epoch));
        if let Err(refusal) = self.check_broker_epoch(id, epoch) {
            let error_code = refusal.code.code();
            return Decision::answer(AssignReplicasToDirsResponse { error_code, ..Default::default() });
        }
        let mut draft = Draft::new(self);
        let mut directories = Vec::new();
        for directory in &request.directories {
            let mut topics = Vec::new();
            for topic in &directory.topics {
                let mut partitions = Vec::new();
                for &PartitionData { partition_index } in &topic.partitions {
                    let key = PartitionKey { topic_id: topic.topic_id, index: partition_index };
                    let error_code = draft.assign(key, id, directory.id).code();
                    partitions.push(PartitionResult { partition_index, error_code });
                }
                topics.push(TopicResult { topic_id: topic.topic_id, partitions });
            }
            directories.push(DirectoryResult { id: directory.id, topics });
        }
        draft.in_order(AssignReplicasToDirsResponse { directories, ..Default::default() })
    }
}

impl Draft<'_> {
    fn assign(&mut self, key: PartitionKey, id: BrokerId, dir: Uuid) -> ErrorCode {
        let Some(topic) = self.image().topic(key.topic_id) else { return ErrorCode::UnknownTopicId };
        let Some(partition) = topic.partitions.get(&key.index) else {
            return ErrorCode::UnknownTopicOrPartition;
        };
        let Some(before) = partition.directory(id) else { return ErrorCode::NotLeaderOrFollower };
        let in_use = self.image().has_online_dir(id, dir);
        // What is moved lies in a directory in use before it lies in the next. This replica was begun anew.
        let begun_anew = before != dir && !before.is_reserved() && !self.image().has_online_dir(id, before);
        self.alter(key, |target| {
            target.directories.insert(id, dir);
            if begun_anew || !in_use {
                target.isr.retain(|&member| member != id);
            }
            target.lost.extend(begun_anew.then_some(id));
        });
        ErrorCode::None
    }
}
