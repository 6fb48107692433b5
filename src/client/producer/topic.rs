//! One topic's records: those whose partition is not decided yet, and the partitions' lanes; pure.

use std::collections::{BTreeMap, VecDeque};

use rand_chacha::ChaCha8Rng;

use super::ProducerConfig;
use super::lane::{Done, Entry, Lane, Rules};
use super::outcome::{DeliveryError, Failure};
use crate::client::metadata::Metadata;
use crate::client::partitioner::{Sticky, partition_of_key};
use crate::types::Mono;

/// A topic that records are sent to.
#[derive(Debug, Default)]
pub(crate) struct Topic {
    /// Records whose partition is not decided: nothing is known of the topic yet.
    pub(crate) unplaced: VecDeque<(Option<i32>, Entry)>,
    pub(crate) sticky: Sticky,
    pub(crate) lanes: BTreeMap<i32, Lane>,
}

impl Topic {
    /// Puts records into lanes, in order, as far as their partition can be decided.
    pub(crate) fn place(
        &mut self,
        metadata: &Metadata,
        name: &str,
        rules: &Rules,
        rng: &mut ChaCha8Rng,
        done: &mut Done,
    ) {
        if self.unplaced.is_empty() {
            return;
        }
        let Some(known) = metadata.topic(name) else { return };
        if !known.error.is_none() && !known.error.is_retriable() {
            for (_, entry) in self.unplaced.drain(..) {
                done.push((entry.token, Err(DeliveryError::NotWritten(Failure::code(known.error)))));
            }
            return;
        }
        let count = i32::try_from(known.partitions.len()).expect("the wire counts partitions in an i32");
        if count == 0 {
            return;
        }
        let available = known.available();
        let mut waiting = VecDeque::new();
        for (explicit, entry) in self.unplaced.drain(..) {
            let partition = match (explicit, &entry.record.key) {
                (Some(explicit), _) if !known.partitions.contains_key(&explicit) => {
                    waiting.push_back((Some(explicit), entry));
                    continue;
                }
                (Some(explicit), _) => explicit,
                (None, Some(key)) => partition_of_key(key, count),
                (None, None) => self.sticky.choose(&available, count, rng),
            };
            let lane = self.lanes.entry(partition).or_insert_with(|| Lane::new(partition));
            if lane.push(entry, rules) {
                self.sticky.batch_closed(partition);
            }
        }
        self.unplaced = waiting;
    }

    /// Gives up records whose partition was not to be decided in time (`max.block.ms`).
    pub(crate) fn expire_unplaced(
        &mut self,
        now: Mono,
        config: &ProducerConfig,
        metadata: &Metadata,
        name: &str,
        done: &mut Done,
    ) {
        while let Some((partition, entry)) = self.unplaced.front()
            && entry.created + config.max_block <= now
        {
            let known = metadata.topic(name);
            let text = match (partition, known) {
                (Some(partition), Some(known)) if known.error.is_none() => {
                    format!(
                        "topic {name} has {} partitions, none with index {partition}",
                        known.partitions.len()
                    )
                }
                (_, Some(known)) if !known.error.is_none() => format!("topic {name}: {}", known.error),
                _ => format!("no metadata of topic {name}"),
            };
            done.push((entry.token, Err(DeliveryError::NotWritten(Failure::TimedOut(Some(text))))));
            self.unplaced.pop_front();
        }
    }
}
