//! The logs of all replicas, batch by batch, as far as the nodes have said what is in them.
//!
//! A process that dies between a write and the word about it leaves batches that nobody knows of: what is
//! compared must be known on both sides.

use std::collections::BTreeMap;

use ottla::env::Event;
use ottla::types::{LeaderEpoch, Offset, PartitionKey};

use crate::engine::NodeId;

/// A batch, without its offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Batch {
    pub(super) end: Offset,
    pub(super) epoch: LeaderEpoch,
    pub(super) crc: u32,
}

/// One replica's log.
#[derive(Debug, Clone, Default)]
pub(super) struct Log {
    pub(super) start: Offset,
    pub(super) batches: BTreeMap<Offset, Batch>,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Logs(BTreeMap<(NodeId, PartitionKey), Log>);

impl Logs {
    /// Takes in what a node said.
    pub(super) fn take(&mut self, node: NodeId, event: &Event) {
        match event {
            Event::ReplicaOpened { partition, log_start, log_end, .. } => {
                let log = self.0.entry((node, *partition)).or_default();
                log.start = log_start.offset();
                log.cut(log_end.offset());
            }
            Event::LogTruncated { partition, to, .. } => {
                self.0.entry((node, *partition)).or_default().cut(to.offset());
            }
            Event::BatchAppended { partition, batch_epoch, base_offset, end, crc } => {
                let log = self.0.entry((node, *partition)).or_default();
                log.cut(*base_offset);
                log.batches.insert(*base_offset, Batch { end: *end, epoch: *batch_epoch, crc: *crc });
            }
            Event::PositionsMoved { partition, log_start, .. } => {
                self.0.entry((node, *partition)).or_default().start = log_start.offset();
            }
            _ => {}
        }
    }

    /// The log of a replica; empty if nobody has said anything about it.
    pub(super) fn of(&self, node: NodeId, partition: PartitionKey) -> Log {
        self.0.get(&(node, partition)).cloned().unwrap_or_default()
    }

    /// The batches of a replica that begin within these offsets and end there, too.
    pub(super) fn within(
        &self,
        node: NodeId,
        partition: PartitionKey,
        from: Offset,
        to: Offset,
    ) -> Vec<(Offset, Batch)> {
        let Some(log) = self.0.get(&(node, partition)).filter(|_| from < to) else { return Vec::new() };
        let batches = log.batches.range(from..to).filter(|(_, batch)| batch.end <= to);
        batches.map(|(base, batch)| (*base, *batch)).collect()
    }
}

impl Log {
    fn cut(&mut self, end: Offset) {
        self.batches.retain(|_, batch| batch.end <= end);
    }
}
