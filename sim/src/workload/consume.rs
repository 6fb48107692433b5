//! A consumer: reads every partition, goes back now and then, rests now and then.

use std::collections::BTreeMap;
use std::time::Duration;

use ottla::client::consumer::{ConsumerRecord, OffsetReset, Start, TopicPartition};
use ottla::client::{Consumer, ConsumerConfig};
use ottla::env::{Clock as _, Env as _};
use ottla::types::Offset;

use super::{client_config, partition_of, payload, take_complaint};
use crate::dice::Dice;
use crate::env::SimEnv;
use crate::history::{Key, What};
use crate::run::Stage;

const POLL: Duration = Duration::from_millis(500);
const REST: Duration = Duration::from_millis(100);
const ASK: Duration = Duration::from_secs(5);

/// Some consumers take small bites: less than a batch, or than a segment.
pub(super) fn consumer_config(stage: &Stage, env: &SimEnv) -> ConsumerConfig {
    let mut dice = Dice::new(stage.world.engine().seed(), env.life().node, "consumer config", 0);
    let defaults = ConsumerConfig::default();
    let bite = |dice: &mut Dice, usual: i32| {
        if dice.one_in(3) { dice.between(100, 20_000) as i32 } else { usual }
    };
    ConsumerConfig {
        client: client_config(stage, env),
        auto_offset_reset: OffsetReset::None,
        allow_auto_create_topics: false,
        fetch_max_bytes: bite(&mut dice, defaults.fetch_max_bytes),
        max_partition_fetch_bytes: bite(&mut dice, defaults.max_partition_fetch_bytes),
        max_poll_records: if dice.one_in(4) {
            dice.between(1, 50) as usize
        } else {
            defaults.max_poll_records
        },
        ..defaults
    }
}

pub(super) async fn consume(stage: Stage, env: SimEnv) {
    let mut dice = Dice::new(stage.world.engine().seed(), env.life().node, "consumer", 0);
    let consumer = Consumer::new(&env, consumer_config(&stage, &env), 0).expect("the options fit together");
    let mut reader = Reader::new(stage.clone(), env.clone(), consumer);
    for key in stage.scenario.keys() {
        reader.seek(key, 0);
    }
    while !stage.healed.is_so() {
        reader.poll().await;
        if dice.one_in(100) {
            let keys = stage.scenario.keys();
            let key = keys[dice.index(keys.len())];
            let reached = reader.position(key);
            reader.seek(key, dice.below(reached + 1));
        }
        if dice.one_in(10) {
            env.clock().sleep(Duration::from_millis(dice.below(1_000))).await;
        }
    }
}

/// A consumer that writes down what it does and sees.
pub(super) struct Reader {
    stage: Stage,
    env: SimEnv,
    pub(super) consumer: Consumer<SimEnv>,
    keys: BTreeMap<TopicPartition, Key>,
    /// Offsets and timestamps of what was read, for whoever asks for them.
    dates: Option<BTreeMap<Key, Vec<(i64, i64)>>>,
}

impl Reader {
    pub(super) fn new(stage: Stage, env: SimEnv, consumer: Consumer<SimEnv>) -> Self {
        let keys = stage.scenario.keys().into_iter().map(|key| (partition_of(key), key)).collect();
        Self { stage, env, consumer, keys, dates: None }
    }

    /// Remembers from now on when which record was written.
    pub(super) fn keep_dates(&mut self) {
        self.dates = Some(BTreeMap::new());
    }

    /// Offsets and timestamps of the records read so far, in order.
    pub(super) fn dates(&self, key: Key) -> Vec<(i64, i64)> {
        self.dates.as_ref().and_then(|dates| dates.get(&key)).cloned().unwrap_or_default()
    }

    /// Goes on to read a partition at this offset.
    pub(super) fn seek(&mut self, key: Key, offset: u64) {
        let offset = offset as i64;
        self.stage.history.record(self.env.life().node, What::Sought { key, offset });
        self.consumer.assign(partition_of(key), Start::Offset(Offset(offset)));
    }

    /// Up to where a partition was read.
    pub(super) fn position(&self, key: Key) -> u64 {
        self.consumer.position(&partition_of(key)).map_or(0, |offset| offset.0 as u64)
    }

    /// Polls once and writes down what came.
    pub(super) async fn poll(&mut self) {
        match self.consumer.poll(POLL).await {
            Ok(records) => self.take(&records),
            Err(error) => {
                if let Some(partition) = take_complaint(&self.stage, &self.env, &error) {
                    self.begin_anew(&partition).await;
                }
                self.env.clock().sleep(REST).await;
            }
        }
    }

    /// Goes on from the log's start, if somebody says where that is; else the next poll complains again.
    async fn begin_anew(&mut self, partition: &TopicPartition) {
        let asked = self.consumer.beginning_offsets(std::slice::from_ref(partition), ASK).await;
        if let Ok(starts) = asked {
            let (key, offset) = (self.keys[partition], starts[partition].0);
            self.stage.history.record(self.env.life().node, What::LogStart { key, offset });
            self.seek(key, offset.max(0) as u64);
        }
    }

    fn take(&mut self, records: &[ConsumerRecord]) {
        let node = self.env.life().node;
        let mut polled: BTreeMap<Key, Vec<(i64, u64)>> = BTreeMap::new();
        for record in records {
            let partition = TopicPartition { topic: record.topic.clone(), partition: record.partition };
            let (key, offset) = (self.keys[&partition], record.offset.0);
            match payload::decode(record.value.as_deref().unwrap_or_default()) {
                Ok(value) => {
                    polled.entry(key).or_default().push((offset, value));
                    if let Some(dates) = &mut self.dates {
                        dates.entry(key).or_default().push((offset, record.timestamp.0));
                    }
                }
                Err(detail) => self.stage.history.record(node, What::Garbled { key, offset, detail }),
            }
        }
        for (key, records) in polled {
            self.stage.history.record(node, What::Polled { key, records });
        }
    }
}
