//! A consumer that reads from the replica of its rack (KIP-392): asks any broker, goes where the leader sends it,
//! and stays there until that one has no answer for it.

use std::time::Duration;

use bytes::Bytes;
use ottla::env::{Clock as _, Env as _};
use ottla::error_code::ErrorCode;
use ottla::wire::batch::split;
use ottla::wire::compression::Scratch;
use ottla::wire::messages::fetch::{FetchPartition, FetchRequest, FetchTopic, PartitionData};
use ottla::wire::records::RecordIter;

use super::payload;
use super::raw::Line;
use crate::dice::Dice;
use crate::engine::NodeId;
use crate::env::SimEnv;
use crate::history::{Key, What};
use crate::run::Stage;

/// Up to this version a Fetch request names its topic.
const NAMES_UNTIL: i16 = 12;
const WAIT_MS: i32 = 300;
const REST: Duration = Duration::from_millis(100);
const EXPANDED_MAX: u64 = 10_000_000;

pub(super) async fn read(stage: Stage, env: SimEnv) {
    let mut dice = Dice::new(stage.world.engine().seed(), env.life().node, "rack reader", 0);
    let racks = stage.scenario.cluster.racks().len();
    let rack = format!("rack-{}", dice.index(racks) + 1);
    let keys = stage.scenario.keys();
    let mut readers: Vec<Reader> =
        keys.into_iter().map(|key| Reader::new(&stage, &env, &rack, key)).collect();
    while !stage.healed.is_so() {
        let reader = dice.index(readers.len());
        readers[reader].step(&mut dice).await;
    }
}

/// How far one partition was read.
struct Reader {
    stage: Stage,
    env: SimEnv,
    rack: String,
    key: Key,
    /// Whom to ask; anybody if it is not known.
    from: Option<NodeId>,
    line: Option<Line>,
    offset: i64,
    /// The leader epoch of the last record.
    epoch: i32,
}

impl Reader {
    fn new(stage: &Stage, env: &SimEnv, rack: &str, key: Key) -> Self {
        let (stage, env, rack) = (stage.clone(), env.clone(), rack.to_owned());
        let reader = Self { stage, env, rack, key, from: None, line: None, offset: 0, epoch: -1 };
        reader.record(What::Sought { key, offset: 0 });
        reader
    }

    /// Asks once, and takes what comes.
    async fn step(&mut self, dice: &mut Dice) {
        let brokers = self.stage.scenario.brokers();
        if self.from.is_none() {
            self.turn_to(Some(brokers[dice.index(brokers.len())]));
        }
        match self.ask().await {
            Some(data) => self.take(&data, dice),
            None => self.turn_to(None),
        }
        if self.from.is_none() {
            self.env.clock().sleep(REST).await;
        }
    }

    fn turn_to(&mut self, from: Option<NodeId>) {
        if from.is_none() || from != self.from {
            self.line = None;
        }
        self.from = from;
    }

    async fn ask(&mut self) -> Option<PartitionData> {
        if self.line.is_none() {
            self.line = Line::open(&self.stage, &self.env, self.from?).await;
        }
        let partition = FetchPartition {
            partition: self.key.partition,
            fetch_offset: self.offset,
            last_fetched_epoch: self.epoch,
            partition_max_bytes: 1 << 20,
            ..FetchPartition::default()
        };
        let topic = self.key.topic_name();
        let request = FetchRequest {
            max_wait_ms: WAIT_MS,
            min_bytes: 1,
            max_bytes: 1 << 20,
            topics: vec![FetchTopic { topic, partitions: vec![partition], ..FetchTopic::default() }],
            rack_id: self.rack.clone(),
            ..FetchRequest::default()
        };
        let response = self.line.as_ref()?.ask(&request, NAMES_UNTIL).await?;
        let mut topics = response.responses.into_iter().filter(|_| response.error_code == 0);
        topics.next()?.partitions.into_iter().next()
    }

    fn take(&mut self, data: &PartitionData, dice: &mut Dice) {
        if data.preferred_read_replica >= 0 {
            return self.turn_to(u32::try_from(data.preferred_read_replica).ok().map(NodeId));
        }
        let parted = data.diverging_epoch.epoch >= 0;
        if data.error_code != ErrorCode::None.code() || parted {
            // Who has not what was read may be behind, or have been left out: others will tell. Nobody may say
            // that what was read is not there, save where it parts from it.
            if parted && data.diverging_epoch.end_offset < self.offset {
                let detail =
                    format!("{} has {:?}", self.from.expect("it has answered"), data.diverging_epoch);
                self.record(What::PositionLost { key: self.key, offset: self.offset, detail });
                self.offset = data.diverging_epoch.end_offset.max(0);
                self.epoch = -1;
                self.record(What::Sought { key: self.key, offset: self.offset });
            }
            return self.turn_to(None);
        }
        self.take_records(data.records.as_ref());
        // Racks and leaders change: ask somebody else now and then.
        if dice.one_in(30) {
            self.turn_to(None);
        }
    }

    fn take_records(&mut self, records: Option<&Bytes>) {
        let (mut polled, mut scratch, from) = (Vec::new(), Scratch::default(), self.offset);
        for batch in records.into_iter().flat_map(split) {
            // An answer may end inside a batch.
            let Ok(batch) = batch else { break };
            let iter = RecordIter::new(&batch, EXPANDED_MAX, &mut scratch);
            for record in iter.into_iter().flatten() {
                let (offset, value) = match record.as_ref() {
                    Ok(record) => {
                        (record.offset.0, payload::decode(record.value.as_deref().unwrap_or_default()))
                    }
                    Err(error) => (self.offset, Err(error.to_string())),
                };
                match value {
                    Ok(value) if offset >= from => polled.push((offset, value)),
                    Ok(_) => {}
                    Err(detail) => self.record(What::Garbled { key: self.key, offset, detail }),
                }
            }
            self.offset = self.offset.max(batch.header.next_offset().0);
            self.epoch = batch.header.partition_leader_epoch.0;
        }
        if !polled.is_empty() {
            self.record(What::Polled { key: self.key, records: polled });
        }
    }

    fn record(&self, what: What) {
        self.stage.history.record(self.env.life().node, what);
    }
}
