//! Which brokers get the replicas of new partitions.
//!
//! Partitions go round the active brokers from a random start, so that leaders spread evenly. The followers
//! of a broker's partitions shift by one with each round, so that not always the same neighbour takes over.
//! Racks are not looked at yet.

use std::collections::BTreeSet;

use rand_core::Rng;

use super::Refusal;
use super::image::Image;
use crate::error_code::ErrorCode;
use crate::types::{BrokerId, Uuid};
use crate::wire::metadata::PartitionRecord;

/// Chooses `factor` replicas for each of `partitions` partitions.
pub fn place(
    image: &Image,
    partitions: usize,
    factor: i16,
    rng: &mut impl Rng,
) -> Result<Vec<Vec<BrokerId>>, Refusal> {
    let brokers: Vec<BrokerId> =
        image.brokers().map(|broker| broker.id).filter(|&id| image.is_active(id)).collect();
    let factor = usize::try_from(factor).unwrap_or(0);
    if factor == 0 || factor > brokers.len() {
        return Err(too_few(factor, brokers.len()));
    }
    let (start, shift) = (draw(rng, brokers.len()), draw(rng, brokers.len()));
    Ok((0..partitions).map(|partition| replicas(&brokers, factor, start + partition, shift)).collect())
}

fn too_few(factor: usize, alive: usize) -> Refusal {
    let why = match alive {
        0 => "All brokers are currently fenced or in controlled shutdown.".to_owned(),
        _ => format!(
            "The target replication factor of {factor} cannot be reached because only {alive} broker(s) are \
             registered and alive."
        ),
    };
    let message = format!("Unable to replicate the partition {factor} time(s): {why}");
    Refusal::new(ErrorCode::InvalidReplicationFactor, message)
}

fn replicas(brokers: &[BrokerId], factor: usize, index: usize, shift: usize) -> Vec<BrokerId> {
    let count = brokers.len();
    let leader = index % count;
    let shift = shift + index / count;
    let follower = |nth: usize| {
        // A step of 1 to count - 1: never the leader, and different for each follower.
        let step = 1 + (shift + nth) % (count - 1);
        brokers[(leader + step) % count]
    };
    std::iter::once(brokers[leader]).chain((0..factor - 1).map(follower)).collect()
}

/// The record of a new partition: in sync are the active ones among its replicas, the first of them leads.
/// `None` if none is active.
pub fn partition_record(
    image: &Image,
    topic_id: Uuid,
    index: i32,
    replicas: &[BrokerId],
) -> Option<PartitionRecord> {
    let isr: Vec<BrokerId> = replicas.iter().copied().filter(|&id| image.is_active(id)).collect();
    let ids = |brokers: &[BrokerId]| brokers.iter().map(|id| id.0).collect::<Vec<_>>();
    Some(PartitionRecord {
        partition_id: index,
        topic_id,
        leader: isr.first()?.0,
        replicas: ids(replicas),
        isr: ids(&isr),
        leader_epoch: 0,
        partition_epoch: 0,
        directories: replicas.iter().map(|&id| directory(image, id, index)).collect(),
        ..PartitionRecord::default()
    })
}

/// The directory that gets a replica: a broker's directories take turns. One that is fenced without any
/// gets Kafka's "unassigned", and will say itself where it put the replica.
fn directory(image: &Image, broker: BrokerId, index: i32) -> Uuid {
    const UNASSIGNED: Uuid = Uuid(1);
    let dirs = image.broker(broker).map_or(&[][..], |broker| &broker.log_dirs);
    let turn = usize::try_from(index).unwrap_or(0);
    if dirs.is_empty() { UNASSIGNED } else { dirs[turn % dirs.len()] }
}

/// Checks replicas that a request names itself. `factor` is that of the topic's other partitions.
pub fn check_manual(
    image: &Image,
    replicas: &[i32],
    factor: Option<usize>,
) -> Result<Vec<BrokerId>, Refusal> {
    let refuse = |why: String| Err(Refusal::new(ErrorCode::InvalidReplicaAssignment, why));
    if replicas.is_empty() {
        return refuse("The manual partition assignment includes an empty replica list.".to_owned());
    }
    let mut seen = BTreeSet::new();
    for &id in replicas {
        if image.broker(BrokerId(id)).is_none() {
            return refuse(format!(
                "The manual partition assignment includes broker {id}, but no such broker is registered."
            ));
        }
        if !seen.insert(id) {
            return refuse(format!(
                "The manual partition assignment includes the broker {id} more than once."
            ));
        }
    }
    match factor {
        Some(factor) if factor != replicas.len() => refuse(format!(
            "The manual partition assignment includes a partition with {} replica(s), but this is not \
             consistent with previous partitions, which have {factor} replica(s).",
            replicas.len()
        )),
        _ => Ok(replicas.iter().copied().map(BrokerId).collect()),
    }
}

/// The record of a new partition whose replicas a request named itself.
pub fn manual_record(
    image: &Image,
    topic_id: Uuid,
    index: i32,
    replicas: &[BrokerId],
) -> Result<PartitionRecord, Refusal> {
    partition_record(image, topic_id, index, replicas).ok_or_else(|| {
        let message = format!(
            "All brokers specified in the manual partition assignment for partition {index} are fenced or in \
             controlled shutdown."
        );
        Refusal::new(ErrorCode::InvalidReplicaAssignment, message)
    })
}

/// A number below `count`, which is not zero.
fn draw(rng: &mut impl Rng, count: usize) -> usize {
    (rng.next_u64() % count as u64) as usize
}
