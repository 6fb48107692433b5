//! Oracles: what must hold, judged from what clients saw and nodes said.
//!
//! Each is one file, pure over the [`Evidence`], with a test that plants a violation.
//!
//! | oracle | what it says | source |
//! |---|---|---|
//! | `lost-write` | an acknowledged value below the highest offset read is read by somebody | Jepsen |
//! | `unseen` | every acknowledged value is read in the end | Jepsen |
//! | `vanished` | what a consumer was given stays in the log | DESIGN, "What we promise" |
//! | `position-lost` | an offset up to which a consumer has read stays in the log | DESIGN, "What we promise" |
//! | `log-start` | a log starts where it was asked to, and never earlier again | KIP-107 |
//! | `retention` | retention leaves what it is to leave | KIP-47 |
//! | `list-offsets` | a lookup by timestamp finds the record that a reader would | KIP-79, KIP-734 |
//! | `duplicate` | a value has one offset | Jepsen |
//! | `inconsistent-offsets` | an offset has one value | Jepsen |
//! | `G1a` | a value whose write failed for certain is not read | Jepsen |
//! | `nonmonotonic-poll` | a consumer's polls do not go back | Jepsen |
//! | `poll-skip` | a consumer's polls skip nothing that others read | Jepsen |
//! | `nonmonotonic-send` | a producer's sends, one after the other, have ascending offsets | Jepsen |
//! | `reordered` | an idempotent producer's records stand in the order in which they were sent | KIP-98 |
//! | `sequence` | no idempotent producer in good order is told that it is not | KIP-98 |
//! | `answers` | what is out of place, damaged or repeated is answered as by Kafka | KIP-98, KIP-467 |
//! | `ack-committed` | what is acknowledged counts already | DESIGN, "What we promise" |
//! | `read-committed` | what is read is committed already | DESIGN, "What we promise" |
//! | `garbled` | what is read is what was written | DESIGN, "What we promise" |
//! | `positions-ordered` | log start <= high watermark <= counted end <= log end | DESIGN, rule 3 |
//! | `high-watermark-monotone` | it rises until the replica restarts or truncates | Kafka's raft simulation |
//! | `committed-durable` | a log never ends below a high watermark that it has shown | DESIGN, "What we promise" |
//! | `one-leader` | an epoch has one leader, for ever | Raft; R2 |
//! | `diverged` | a leader epoch and an offset identify a batch | Raft; R1 |
//! | `leader-completeness` | what was committed is in the log of every later leader | Raft; DESIGN, "What we promise" |
//! | `high-watermark-backed` | it rises to what all in sync have counted | R3 |
//! | `cut-off` | a leader that nobody reaches commits nothing new | DESIGN, "Oracles" |
//! | `eligible` | who may be elected has all that is committed | R3, R4, E1, E2 |
//! | `too-few` | with fewer in sync than `min.insync.replicas` a leader appends nothing | R6 |
//! | `latest` | who asks where a log ends is told no less than was committed | R7; KIP-207 |
//! | `serves` | while few are away the others serve | DESIGN, "Oracles" |
//! | `quiet` | a cluster that has nothing to do does next to nothing | F3 |
//! | `metadata-agree` | images at equal offsets are equal | DESIGN, "Metadata" |
//! | `unexpected-exit` | a broker ends by itself only when its disk failed | DESIGN, "Supervision" |
//! | `prompt` | without a fault nothing takes long | DESIGN, "Syncs": no timer |
//! | `progress` | once all is healed every partition takes and gives records | DESIGN, "Oracles" |
//! | `whole` | once all is healed every partition has a leader, and all its replicas in sync | DESIGN, "Oracles" |

mod ack_committed;
mod answers;
mod committed_durable;
mod cut_off;
mod diverged;
mod duplicate;
mod eligible;
mod g1a;
mod garbled;
mod high_watermark_backed;
mod high_watermark_monotone;
mod inconsistent_offsets;
mod latest;
mod leader_completeness;
mod list_offsets;
mod log_start;
mod logs;
mod lost_write;
mod metadata_agree;
mod nonmonotonic_poll;
mod nonmonotonic_send;
mod one_leader;
mod poll_skip;
mod position_lost;
mod positions_ordered;
mod progress;
mod prompt;
mod quiet;
mod read_committed;
mod reordered;
mod retention;
mod sequence;
mod serves;
mod timeline;
mod too_few;
mod unexpected_exit;
mod unseen;
mod vanished;
mod whole;

use std::collections::BTreeMap;

use ottla::types::PartitionKey;

use crate::faults::FaultKind;
use crate::guarantee::Copies;
use crate::history::{Acks, ClientEvent, Key, Value, What};
use crate::nemesis::{Hit, Isolation};
use crate::outage::Outage;
use crate::process::Exit;
use crate::scenario::Retention;
use crate::world::Observed;

pub(crate) use self::whole::what_is_missing;

/// Everything that a run leaves to be judged.
#[derive(Debug, Clone, Default)]
pub struct Evidence {
    /// What the clients did and saw, in order.
    pub events: Vec<ClientEvent>,
    /// What the nodes said, in order.
    pub observed: Vec<Observed>,
    /// The brokers that ended by themselves.
    pub exits: Vec<Exit>,
    /// The kinds of faults that were injected.
    pub faults: Vec<FaultKind>,
    /// The faults after which a machine may have lost what it had counted, in order.
    pub losses: Vec<Hit>,
    /// The nodes that were cut off from all others.
    pub isolations: Vec<Isolation>,
    /// The times at which few were away, and nothing else was wrong.
    pub outages: Vec<Outage>,
    /// How many events of the engine there were per virtual second, and how many there may be.
    pub events_per_second: (u64, Option<u64>),
    /// How many copies there are of each record.
    pub copies: Copies,
    /// Every partition.
    pub keys: Vec<Key>,
    /// Whether producers were idempotent.
    pub idempotent: bool,
    /// What retention must leave.
    pub retention: Retention,
    /// Records have up to so many bytes.
    pub record_bytes: u64,
    /// When everything had healed, in virtual nanoseconds.
    pub healed_ns: u64,
    /// When patience ended.
    pub deadline_ns: u64,
}

/// An oracle was violated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// When, in virtual nanoseconds: the moment at which the last of the evidence came in.
    pub time_ns: u64,
    /// What exactly.
    pub message: String,
}

/// What kind of promise an oracle guards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Nothing bad happens.
    Safety,
    /// Something good happens in time.
    Liveness,
}

/// One oracle.
pub struct Oracle {
    /// Its name.
    pub name: &'static str,
    /// What it guards.
    pub class: Class,
    check: fn(&Evidence) -> Option<Violation>,
}

impl Oracle {
    /// The first violation in the evidence.
    pub fn check(&self, evidence: &Evidence) -> Option<Violation> {
        (self.check)(evidence)
    }
}

const fn safety(name: &'static str, check: fn(&Evidence) -> Option<Violation>) -> Oracle {
    Oracle { name, class: Class::Safety, check }
}

/// Every oracle; safety first.
pub const ALL: [Oracle; 37] = [
    safety("positions-ordered", positions_ordered::check),
    safety("high-watermark-monotone", high_watermark_monotone::check),
    safety("committed-durable", committed_durable::check),
    safety("one-leader", one_leader::check),
    safety("metadata-agree", metadata_agree::check),
    safety("diverged", diverged::check),
    safety("leader-completeness", leader_completeness::check),
    safety("high-watermark-backed", high_watermark_backed::check),
    safety("eligible", eligible::check),
    safety("cut-off", cut_off::check),
    safety("too-few", too_few::check),
    safety("ack-committed", ack_committed::check),
    safety("read-committed", read_committed::check),
    safety("garbled", garbled::check),
    safety("inconsistent-offsets", inconsistent_offsets::check),
    safety("duplicate", duplicate::check),
    safety("G1a", g1a::check),
    safety("nonmonotonic-poll", nonmonotonic_poll::check),
    safety("poll-skip", poll_skip::check),
    safety("nonmonotonic-send", nonmonotonic_send::check),
    safety("reordered", reordered::check),
    safety("lost-write", lost_write::check),
    safety("unseen", unseen::check),
    safety("vanished", vanished::check),
    safety("position-lost", position_lost::check),
    safety("log-start", log_start::check),
    safety("retention", retention::check),
    safety("list-offsets", list_offsets::check),
    safety("latest", latest::check),
    safety("answers", answers::check),
    safety("sequence", sequence::check),
    safety("unexpected-exit", unexpected_exit::check),
    Oracle { name: "prompt", class: Class::Liveness, check: prompt::check },
    Oracle { name: "serves", class: Class::Liveness, check: serves::check },
    Oracle { name: "quiet", class: Class::Liveness, check: quiet::check },
    Oracle { name: "progress", class: Class::Liveness, check: progress::check },
    Oracle { name: "whole", class: Class::Liveness, check: whole::check },
];

/// Whether there is an oracle of this name.
pub fn is_known(name: &str) -> bool {
    ALL.iter().any(|oracle| oracle.name == name)
}

/// A value that was acknowledged to a producer that asked for it.
struct AckedValue {
    time_ns: u64,
    key: Key,
    value: Value,
    offset: Option<i64>,
}

impl Evidence {
    /// What was acknowledged: with acks 0 nothing is, whatever the client says.
    fn acked(&self) -> Vec<AckedValue> {
        let mut acks = BTreeMap::new();
        let mut acked = Vec::new();
        for event in &self.events {
            match &event.what {
                What::Send { value, acks: asked, .. } => {
                    acks.insert(*value, *asked);
                }
                What::Acked { key, value, offset } if acks.get(value) != Some(&Acks::None) => {
                    let (time_ns, key, value, offset) = (event.time_ns, *key, *value, *offset);
                    acked.push(AckedValue { time_ns, key, value, offset });
                }
                _ => {}
            }
        }
        acked
    }

    /// Every record that some consumer got: when, from where, what.
    fn reads(&self) -> impl Iterator<Item = Read> + '_ {
        self.events.iter().flat_map(|event| {
            let (key, records) = match &event.what {
                What::Polled { key, records } => (Some(*key), records.as_slice()),
                _ => (None, [].as_slice()),
            };
            records.iter().filter_map(move |(offset, value)| {
                let (time_ns, client) = (event.time_ns, event.client);
                Some(Read { time_ns, client, key: key?, offset: *offset, value: *value })
            })
        })
    }

    /// A partition as clients call it, if anybody was told its topic's id.
    fn key_of(&self, partition: &PartitionKey) -> Option<Key> {
        self.events.iter().find_map(|event| match event.what {
            What::Named { topic, id } if id == partition.topic_id.0 => {
                Some(Key { topic, partition: partition.index })
            }
            _ => None,
        })
    }

    /// The furthest log start of each partition that anybody was told. Below it records may be gone: whether
    /// it may lie there is for `log-start` and `retention` to say.
    fn log_starts(&self) -> BTreeMap<Key, i64> {
        let mut starts = BTreeMap::new();
        for event in &self.events {
            if let What::LogStart { key, offset } = event.what {
                let furthest = starts.entry(key).or_insert(offset);
                *furthest = offset.max(*furthest);
            }
        }
        starts
    }

    /// When and up to where each partition was drained, and by whom.
    fn drains(&self) -> BTreeMap<Key, Drain> {
        let drains = self.events.iter().filter_map(|event| match event.what {
            What::Drained { key, end } => {
                Some((key, Drain { time_ns: event.time_ns, client: event.client, end }))
            }
            _ => None,
        });
        drains.collect()
    }
}

struct Read {
    time_ns: u64,
    client: u32,
    key: Key,
    offset: i64,
    value: Value,
}

struct Drain {
    time_ns: u64,
    client: u32,
    end: i64,
}

#[cfg(test)]
mod planted {
    //! Histories by hand, for the oracles' tests.

    use super::*;

    pub(super) const KEY: Key = Key { topic: 0, partition: 0 };

    /// The same partition, as nodes call it.
    pub(super) fn named() -> (u32, What) {
        (9, What::Named { topic: 0, id: 1_000 })
    }

    /// One event per line; time is the line's number in milliseconds.
    pub(super) fn history(events: Vec<(u32, What)>) -> Evidence {
        let events = events
            .into_iter()
            .enumerate()
            .map(|(n, (client, what))| ClientEvent { time_ns: n as u64 * 1_000_000, client, what })
            .collect();
        Evidence { events, keys: vec![KEY], idempotent: true, deadline_ns: u64::MAX, ..Evidence::default() }
    }

    pub(super) fn send(value: Value) -> (u32, What) {
        (1, What::Send { key: KEY, value, acks: Acks::All })
    }

    pub(super) fn send_unasked(value: Value) -> (u32, What) {
        (1, What::Send { key: KEY, value, acks: Acks::None })
    }

    pub(super) fn acked(value: Value, offset: i64) -> (u32, What) {
        (1, What::Acked { key: KEY, value, offset: Some(offset) })
    }

    pub(super) fn failed(value: Value, certain: bool) -> (u32, What) {
        (1, What::Failed { key: KEY, value, certain, error: "planted".to_owned() })
    }

    pub(super) fn sought(client: u32, offset: i64) -> (u32, What) {
        (client, What::Sought { key: KEY, offset })
    }

    pub(super) fn polled(client: u32, records: &[(i64, Value)]) -> (u32, What) {
        (client, What::Polled { key: KEY, records: records.to_vec() })
    }

    pub(super) fn starts(client: u32, offset: i64) -> (u32, What) {
        (client, What::LogStart { key: KEY, offset })
    }

    pub(super) fn deleting(client: u32, before: Option<i64>) -> (u32, What) {
        (client, What::Deleting { key: KEY, before })
    }

    pub(super) fn drained(client: u32, end: i64) -> (u32, What) {
        (client, What::Drained { key: KEY, end })
    }
}

#[cfg(test)]
mod inside {
    //! What a node said, by hand.

    use ottla::controller::Metadata;
    use ottla::env::Event;
    use ottla::types::{BrokerId, LeaderEpoch, Offset, Uuid};
    use ottla::wire::metadata::{MetadataRecord, PartitionRecord, TopicRecord};

    use super::*;
    use crate::engine::{Life, NodeId};

    const PARTITION: PartitionKey = PartitionKey { topic_id: Uuid(1_000), index: 0 };

    /// One event per line, each with the incarnation that said it.
    pub(super) fn said(events: Vec<(u64, Event)>) -> Evidence {
        let observe = |(n, (incarnation, event)): (usize, (u64, Event))| Observed {
            time_ns: n as u64,
            life: Life { node: NodeId(1), incarnation },
            event,
        };
        Evidence { observed: events.into_iter().enumerate().map(observe).collect(), ..Evidence::default() }
    }

    /// One event per line, each with the node that said it.
    pub(super) fn said_by(events: Vec<(u32, Event)>) -> Evidence {
        let mut evidence = said(events.iter().map(|(_, event)| (0, event.clone())).collect());
        for (observed, (node, _)) in evidence.observed.iter_mut().zip(events) {
            observed.life.node = NodeId(node);
        }
        evidence
    }

    pub(super) fn elected(leader_epoch: i32, epoch_start: i64) -> Event {
        Event::LeaderElected {
            partition: PARTITION,
            leader: BrokerId(1),
            leader_epoch: LeaderEpoch(leader_epoch),
            epoch_start: Offset(epoch_start),
        }
    }

    pub(super) fn isr(isr: &[i32]) -> Event {
        isr_in(0, isr)
    }

    pub(super) fn isr_in(leader_epoch: i32, isr: &[i32]) -> Event {
        let isr = isr.iter().copied().map(BrokerId).collect();
        Event::IsrTaken { partition: PARTITION, leader_epoch: LeaderEpoch(leader_epoch), isr }
    }

    pub(super) fn appended(batch_epoch: i32, base_offset: i64, end: i64, crc: u32) -> Event {
        let (base_offset, end) = (Offset(base_offset), Offset(end));
        Event::BatchAppended {
            partition: PARTITION,
            batch_epoch: LeaderEpoch(batch_epoch),
            base_offset,
            end,
            crc,
        }
    }

    /// Metadata with these partitions of one topic, each with its leader and its ISR of the replicas 1 and 2.
    pub(super) fn metadata(end: i64, partitions: &[(i32, &[i32])]) -> Event {
        let topic = TopicRecord { name: "topic-0".to_owned(), topic_id: Uuid(1_000) };
        let mut records = vec![MetadataRecord::from(topic)];
        for (partition_id, (leader, isr)) in (0..).zip(partitions) {
            let record = PartitionRecord {
                partition_id,
                topic_id: Uuid(1_000),
                replicas: vec![1, 2],
                isr: isr.to_vec(),
                leader: *leader,
                leader_epoch: 0,
                partition_epoch: 0,
                ..PartitionRecord::default()
            };
            records.push(record.into());
        }
        let mut metadata = Metadata::empty();
        for (offset, record) in (0..).map(Offset).zip(&records) {
            metadata.replay(offset, LeaderEpoch(1), record).expect("it can be applied");
        }
        let image = std::sync::Arc::new(metadata.published().clone());
        Event::MetadataCommitted { end: Offset(end), epoch: LeaderEpoch(1), image }
    }

    pub(super) fn moved(log_start: i64, high_watermark: i64, counted_end: i64, log_end: i64) -> Event {
        Event::PositionsMoved {
            partition: PARTITION,
            leader_epoch: LeaderEpoch(0),
            log_start: Offset(log_start).into(),
            high_watermark: Offset(high_watermark).into(),
            counted_end: Offset(counted_end).into(),
            log_end: Offset(log_end).into(),
        }
    }

    pub(super) fn opened(log_start: i64, high_watermark: i64, log_end: i64) -> Event {
        Event::ReplicaOpened {
            partition: PARTITION,
            log_start: Offset(log_start).into(),
            high_watermark: Offset(high_watermark).into(),
            log_end: Offset(log_end).into(),
        }
    }

    pub(super) fn cut(from: i64, to: i64) -> Event {
        Event::LogTruncated { partition: PARTITION, from: Offset(from).into(), to: Offset(to).into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_in_which_all_went_well_violates_nothing() {
        use planted::*;
        let evidence = history(vec![
            send(1),
            acked(1, 0),
            sought(2, 0),
            polled(2, &[(0, 1)]),
            send(2),
            send(3),
            failed(3, true),
            acked(2, 1),
            polled(2, &[(1, 2)]),
            sought(3, 0),
            polled(3, &[(0, 1), (1, 2)]),
            drained(3, 2),
        ]);
        for oracle in &ALL {
            assert_eq!(oracle.check(&evidence), None, "{}", oracle.name);
        }
    }
}
