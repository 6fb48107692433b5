//! Which brokers get the replicas of new partitions.
//!
//! Partitions go round the racks, and within each rack round its brokers, both from a random start; a
//! partition's replicas go on from where its leader is. So leaders and replicas spread evenly: over racks
//! first, then over brokers, and the followers of one broker's partitions over the other brokers. A broker
//! without a rack stands in the rack of all such. When every active broker has led once, racks and brokers are
//! shuffled, so that the pattern does not come again.
//!
//! The leader is an active broker. Followers may be fenced ones, where a rack has no active one left: they will
//! come back, while the replication factor is for ever. Brokers that are shutting down, or have no directory
//! that takes replicas (KIP-1066), get none.

use std::collections::{BTreeMap, BTreeSet};

use rand_core::Rng;

use super::Refusal;
use super::image::{Image, UNASSIGNED_DIR};
use crate::error_code::ErrorCode;
use crate::types::{BrokerId, Uuid};
use crate::wire::metadata::PartitionRecord;

/// Chooses `factor` replicas for each of `partitions` partitions, the leader first.
pub fn place(
    image: &Image,
    partitions: usize,
    factor: i16,
    rng: &mut impl Rng,
) -> Result<Vec<Vec<BrokerId>>, Refusal> {
    let mut racks = Racks::new(image, rng);
    let factor = usize::try_from(factor).unwrap_or(0);
    let refuse = |why: String| {
        let message = format!("Unable to replicate the partition {factor} time(s): {why}");
        Err(Refusal::new(ErrorCode::InvalidReplicationFactor, message))
    };
    if racks.active == 0 {
        let why = "All brokers are currently fenced, or have all their log directories cordoned.";
        return refuse(why.to_owned());
    }
    if factor == 0 || factor > racks.total {
        return refuse(format!(
            "The target replication factor of {factor} cannot be reached because only {} broker(s) are \
             registered or some brokers have all their log directories cordoned.",
            racks.total
        ));
    }
    Ok((0..partitions).map(|_| racks.next(factor, rng)).collect())
}

/// The brokers of the cluster, by rack, in the order in which they are used.
struct Racks {
    racks: Vec<Rack>,
    /// The rack whose turn it is to lead.
    turn: usize,
    /// How many racks can lead.
    leading: usize,
    /// Partitions placed since the last shuffle.
    placed: usize,
    active: usize,
    total: usize,
}

#[derive(Default)]
struct Rack {
    active: Ring,
    fenced: Ring,
}

/// Brokers that take turns.
#[derive(Default)]
struct Ring {
    brokers: Vec<BrokerId>,
    /// Who is the first for the present partition.
    start: usize,
    /// How many the present partition has used.
    used: usize,
}

impl Racks {
    fn new(image: &Image, rng: &mut impl Rng) -> Self {
        let mut racks: BTreeMap<Option<&str>, Rack> = BTreeMap::new();
        let usable = image.brokers().filter(|it| !it.in_controlled_shutdown && it.takes_replicas());
        for broker in usable {
            let rack = racks.entry(broker.rack.as_deref()).or_default();
            let ring = if broker.fenced { &mut rack.fenced } else { &mut rack.active };
            ring.brokers.push(broker.id);
        }
        let mut racks: Vec<Rack> = racks.into_values().collect();
        for ring in racks.iter_mut().flat_map(Rack::rings) {
            ring.start = draw(rng, ring.brokers.len());
        }
        let count = |ring: fn(&Rack) -> &Ring| racks.iter().map(|rack| ring(rack).brokers.len()).sum();
        let active: usize = count(|rack| &rack.active);
        let fenced: usize = count(|rack| &rack.fenced);
        let leading = racks.iter().filter(|rack| !rack.active.brokers.is_empty()).count();
        let turn = draw(rng, leading);
        let mut racks = Self { racks, turn, leading, placed: 0, active, total: active + fenced };
        racks.sort();
        racks
    }

    /// The replicas of the next partition. There is an active broker, and there are `factor` brokers.
    fn next(&mut self, factor: usize, rng: &mut impl Rng) -> Vec<BrokerId> {
        if self.placed == self.active {
            shuffle(&mut self.racks, rng);
            self.racks.iter_mut().flat_map(Rack::rings).for_each(|ring| shuffle(&mut ring.brokers, rng));
            self.placed = 0;
            self.sort();
        }
        let leading = self.turn;
        let leader = self.racks[leading].active.next().expect("racks lead that have an active broker");
        let mut replicas = vec![leader];
        let mut step = 1;
        while replicas.len() < factor {
            // On from the leader's rack, round and round.
            let rack = (leading + step) % self.racks.len();
            replicas.extend(self.racks[rack].next());
            step += 1;
        }
        self.racks.iter_mut().flat_map(Rack::rings).for_each(|ring| ring.used = 0);
        // Only the rack that led goes on, so that each of its brokers leads in turn.
        self.racks[leading].rings().into_iter().for_each(Ring::turn);
        self.turn = (leading + 1) % self.leading;
        self.placed += 1;
        replicas
    }

    /// The racks that can lead come first.
    fn sort(&mut self) {
        self.racks.sort_by_key(|rack| rack.active.brokers.is_empty());
    }
}

impl Rack {
    fn rings(&mut self) -> [&mut Ring; 2] {
        [&mut self.active, &mut self.fenced]
    }

    /// A broker that the present partition has not used, an active one if there is one.
    fn next(&mut self) -> Option<BrokerId> {
        self.active.next().or_else(|| self.fenced.next())
    }
}

impl Ring {
    fn next(&mut self) -> Option<BrokerId> {
        let count = self.brokers.len();
        if self.used == count {
            return None;
        }
        self.used += 1;
        Some(self.brokers[(self.start + self.used - 1) % count])
    }

    fn turn(&mut self) {
        self.start = (self.start + 1) % self.brokers.len().max(1);
    }
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

/// The directory that gets a replica: those of a broker that take replicas take turns. Of a broker that has none
/// it is Kafka's "unassigned": the broker will say itself where it put the replica.
pub(super) fn directory(image: &Image, broker: BrokerId, index: i32) -> Uuid {
    let dirs: Vec<Uuid> = image.broker(broker).into_iter().flat_map(|broker| broker.open_dirs()).collect();
    let turn = usize::try_from(index).unwrap_or(0);
    if dirs.is_empty() { UNASSIGNED_DIR } else { dirs[turn % dirs.len()] }
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
        let Some(broker) = image.broker(BrokerId(id)) else {
            return refuse(format!(
                "The manual partition assignment includes broker {id}, but no such broker is registered."
            ));
        };
        if !broker.takes_replicas() {
            return refuse(format!(
                "The manual partition assignment includes broker {id}, but all its log directories are \
                 cordoned."
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

/// A number below `count`; 0 if there is none.
fn draw(rng: &mut impl Rng, count: usize) -> usize {
    (rng.next_u64() % count.max(1) as u64) as usize
}

/// Fisher and Yates.
fn shuffle<T>(items: &mut [T], rng: &mut impl Rng) {
    for last in (1..items.len()).rev() {
        items.swap(last, draw(rng, last + 1));
    }
}
