//! What clients saw, beside what the broker had said of itself by then.

use std::collections::BTreeMap;

use ottla::env::Event;
use ottla::types::PartitionKey;

use super::Evidence;
use crate::history::{ClientEvent, Key, What};

/// How far a partition has come, by all that was said of it: the furthest of any of its lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Shown {
    pub(super) high_watermark: i64,
    pub(super) counted_end: i64,
}

/// Calls `look` with every event of a client and what was shown of each partition before. Partitions whose
/// topic's id nobody was told are not known.
pub(super) fn walk<T>(
    evidence: &Evidence,
    mut look: impl FnMut(&ClientEvent, &dyn Fn(Key) -> Option<Shown>) -> Option<T>,
) -> Option<T> {
    let mut ids = BTreeMap::new();
    let mut shown: BTreeMap<PartitionKey, Shown> = BTreeMap::new();
    let mut observed = evidence.observed.iter().peekable();
    evidence.events.iter().find_map(|event| {
        while let Some(said) = observed.next_if(|said| said.time_ns <= event.time_ns) {
            take(&said.event, &mut shown);
        }
        if let What::Named { topic, id } = event.what {
            ids.insert(topic, ottla::types::Uuid(id));
        }
        let of = |key: Key| {
            let topic_id = *ids.get(&key.topic)?;
            Some(shown.get(&PartitionKey { topic_id, index: key.partition }).copied().unwrap_or_default())
        };
        look(event, &of)
    })
}

fn take(event: &Event, shown: &mut BTreeMap<PartitionKey, Shown>) {
    let (partition, high_watermark, counted_end) = match event {
        Event::ReplicaOpened { partition, high_watermark, .. } => {
            (partition, high_watermark.0, high_watermark.0)
        }
        Event::PositionsMoved { partition, high_watermark, counted_end, .. } => {
            (partition, high_watermark.0, counted_end.0)
        }
        _ => return,
    };
    let known = shown.entry(*partition).or_default();
    known.high_watermark = known.high_watermark.max(high_watermark.0);
    known.counted_end = known.counted_end.max(counted_end.0);
}
