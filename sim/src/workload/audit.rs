//! The auditor: reads every partition from its beginning to its end, when all is over, and asks where records
//! of some timestamps are.

use std::collections::BTreeMap;
use std::time::Duration;

use ottla::client::Consumer;
use ottla::client::consumer::{ConsumerError, FoundOffset, TopicPartition};
use ottla::env::{Clock as _, Env as _};
use ottla::types::WallMs;

use super::consume::{Reader, consumer_config};
use super::partition_of;
use crate::dice::Dice;
use crate::env::SimEnv;
use crate::history::{Key, What};
use crate::run::Stage;

const ASK: Duration = Duration::from_secs(5);
const ASK_AGAIN: Duration = Duration::from_millis(200);
/// ListOffsets' name for the record of the greatest timestamp (KIP-734).
const MAX_TIMESTAMP: WallMs = WallMs(-3);
/// How many timestamps are looked up.
const LOOKUPS: usize = 4;
/// By then a broker that was cut off has heard from the controller who leads now. Until it has, it answers as the
/// leader that it was, truly but not of the latest: where the end is, has to be asked later.
const NEWS: Duration = Duration::from_secs(10);

pub(super) async fn audit(stage: &Stage, env: SimEnv) {
    let consumer = Consumer::new(&env, consumer_config(stage, &env), 1).expect("the options fit together");
    let reader = Reader::new(stage.clone(), env.clone(), consumer);
    let keys = stage.scenario.keys();
    let partitions = keys.iter().map(|key| partition_of(*key)).collect();
    let mut auditor = Auditor { stage, env, reader, keys, partitions };
    if stage.scenario.cluster.copies().replicas > 1 {
        let clock = auditor.env.clock();
        clock.sleep_until(clock.now() + NEWS).await;
    }
    auditor.drain().await;
    auditor.look_up().await;
}

struct Auditor<'a> {
    stage: &'a Stage,
    env: SimEnv,
    reader: Reader,
    keys: Vec<Key>,
    partitions: Vec<TopicPartition>,
}

impl Auditor<'_> {
    /// Reads everything.
    async fn drain(&mut self) {
        let ends = loop {
            match self.reader.consumer.end_offsets(&self.partitions, ASK).await {
                Ok(ends) => break ends,
                Err(_) => rest(&self.env).await,
            }
        };
        let starts = self.log_starts().await;
        self.reader.keep_dates();
        for key in self.keys.clone() {
            self.reader.seek(key, starts[&key].max(0) as u64);
        }
        let mut left = self.keys.clone();
        while !left.is_empty() {
            left.retain(|&key| {
                let end = ends[&partition_of(key)].0;
                let is_drained = self.reader.position(key) as i64 >= end;
                if is_drained {
                    self.record(What::Drained { key, end });
                    self.record(What::Dated { key, records: self.reader.dates(key) });
                }
                !is_drained
            });
            if !left.is_empty() {
                self.reader.poll().await;
            }
        }
    }

    /// Asks where some records are, by the timestamps that they had when they were read.
    async fn look_up(&mut self) {
        let mut dice = Dice::new(self.stage.world.engine().seed(), self.env.life().node, "auditor", 0);
        let mut known: Vec<i64> = self
            .keys
            .iter()
            .flat_map(|key| self.reader.dates(*key))
            .map(|(_, timestamp)| timestamp)
            .collect();
        known.sort_unstable();
        let mut wanted = vec![None];
        if !known.is_empty() {
            wanted.extend((0..LOOKUPS).map(|_| Some(known[dice.index(known.len())] + dice.below(2) as i64)));
        }
        for timestamp in wanted {
            let found = loop {
                match self.look_for(timestamp).await {
                    Ok(found) => break found,
                    Err(_) => rest(&self.env).await,
                }
            };
            let starts = self.log_starts().await;
            for (&key, log_start) in self.keys.iter().zip(starts.into_values()) {
                let found = found[&partition_of(key)].map(|found| (found.offset.0, found.timestamp.0));
                self.record(What::Looked { key, timestamp, found, log_start });
            }
        }
    }

    async fn look_for(
        &mut self,
        timestamp: Option<i64>,
    ) -> Result<BTreeMap<TopicPartition, Option<FoundOffset>>, ConsumerError> {
        let wanted = timestamp.map_or(MAX_TIMESTAMP, WallMs);
        self.reader.consumer.offsets_for_time(&self.partitions, wanted, ASK).await
    }

    /// Asks where the logs start, until somebody says it.
    async fn log_starts(&mut self) -> BTreeMap<Key, i64> {
        let starts = loop {
            match self.reader.consumer.beginning_offsets(&self.partitions, ASK).await {
                Ok(starts) => break starts,
                Err(_) => rest(&self.env).await,
            }
        };
        let of = |key: &Key| (*key, starts[&partition_of(*key)].0);
        let starts: BTreeMap<Key, i64> = self.keys.iter().map(of).collect();
        for (&key, &offset) in &starts {
            self.record(What::LogStart { key, offset });
        }
        starts
    }

    fn record(&self, what: What) {
        self.stage.history.record(self.env.life().node, what);
    }
}

async fn rest(env: &SimEnv) {
    env.clock().sleep(ASK_AGAIN).await;
}
