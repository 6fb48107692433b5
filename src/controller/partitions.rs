//! More partitions for a topic.

use std::collections::BTreeMap;

use rand_core::Rng;

use super::placement::{check_manual, manual_record, partition_record, place};
use super::topics::unknown_name;
use super::{Controller, Decision, MAX_RECORDS_PER_REQUEST, Refusal};
use crate::error_code::ErrorCode;
use crate::wire::messages::create_partitions::*;
use crate::wire::metadata::{MetadataRecord, PartitionRecord};

impl Controller {
    /// Adds partitions to topics. Placement is drawn from `rng`.
    pub fn create_partitions(
        &self,
        request: &CreatePartitionsRequest,
        rng: &mut impl Rng,
    ) -> Decision<CreatePartitionsResponse> {
        let mut records: Vec<MetadataRecord> = Vec::new();
        let mut results = Vec::new();
        let mut occurrences: BTreeMap<&str, usize> = BTreeMap::new();
        request.topics.iter().for_each(|topic| *occurrences.entry(&topic.name).or_default() += 1);
        for topic in &request.topics {
            // A name that occurs twice is answered once.
            let Some(occurrences) = occurrences.remove(topic.name.as_str()) else { continue };
            let added = if occurrences > 1 {
                Err(Refusal::new(ErrorCode::InvalidRequest, "Duplicate topic name."))
            } else {
                self.added_partitions(topic, MAX_RECORDS_PER_REQUEST - records.len(), rng)
            };
            results.push(CreatePartitionsTopicResult {
                name: topic.name.clone(),
                error_code: added.as_ref().map_or_else(|refusal| refusal.code, |_| ErrorCode::None).code(),
                error_message: added.as_ref().err().map(|refusal| refusal.message.clone()),
            });
            records.extend(added.into_iter().flatten().map(MetadataRecord::from));
        }
        if request.validate_only {
            records.clear();
        }
        Decision::atomic(records, CreatePartitionsResponse { throttle_time_ms: 0, results })
    }

    fn added_partitions(
        &self,
        topic: &CreatePartitionsTopic,
        room: usize,
        rng: &mut impl Rng,
    ) -> Result<Vec<PartitionRecord>, Refusal> {
        let existing = self.image().topic_named(&topic.name).ok_or_else(unknown_name)?;
        let have = i32::try_from(existing.partitions.len()).expect("indices are of 32 bits");
        let refuse = |message: String| Err(Refusal::new(ErrorCode::InvalidPartitions, message));
        if topic.count == have {
            return refuse(format!("Topic already has {have} partition(s)."));
        }
        if topic.count < have {
            return refuse(format!(
                "The topic {} currently has {have} partition(s); {} would not be an increase.",
                topic.name, topic.count
            ));
        }
        let additional = usize::try_from(topic.count - have).expect("it is an increase");
        if additional > room {
            let message = "Excessively large number of partitions per request.";
            return Err(Refusal::new(ErrorCode::PolicyViolation, message));
        }
        let Some(factor) = existing.partitions.values().next().map(|partition| partition.replicas.len())
        else {
            let message = format!("Invalid state: topic {} appears to have no partitions.", topic.name);
            return Err(Refusal::new(ErrorCode::UnknownServerError, message));
        };
        let image = self.image();
        let Some(assignments) = &topic.assignments else {
            let factor = i16::try_from(factor).expect("a topic's creation refuses more replicas");
            let placed = place(image, additional, factor, rng)?;
            let record = |(index, replicas): (i32, Vec<_>)| {
                partition_record(image, existing.id, index, &replicas)
                    .expect("an active broker was chosen to lead")
            };
            return Ok((have..).zip(placed).map(record).collect());
        };
        if assignments.len() != additional {
            let message = format!(
                "Attempted to add {additional} additional partition(s), but only {} assignment(s) were \
                 specified.",
                assignments.len()
            );
            return Err(Refusal::new(ErrorCode::InvalidReplicaAssignment, message));
        }
        (have..)
            .zip(assignments)
            .map(|(index, assignment)| {
                let replicas = check_manual(image, &assignment.broker_ids, Some(factor))?;
                manual_record(image, existing.id, index, &replicas)
            })
            .collect()
    }
}
