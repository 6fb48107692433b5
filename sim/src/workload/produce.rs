//! A producer: sends values, each once, and writes down what becomes of them.

use std::collections::BTreeSet;
use std::time::Duration;

use ottla::client::producer::{Delivery, Producer, ProducerRecord};
use ottla::client::{ProducerConfig, config};
use ottla::env::{Clock as _, Env as _, Task as _};
use ottla::wire::compression::Compression;

use super::{client_config, payload};
use crate::dice::Dice;
use crate::engine::TaskHandle;
use crate::env::SimEnv;
use crate::history::{Acks, Key, Value, What};
use crate::run::Stage;

/// How long a record may be on its way before its outcome is unknown.
const DELIVERY: Duration = Duration::from_secs(15);
/// How long a producer goes on to try once all has healed: patience ends what does not end by itself.
const PROBE_EVERY: Duration = Duration::from_millis(500);

pub(super) async fn produce(stage: Stage, env: SimEnv) {
    let producer = Producer::new(&env, producer_config(&stage, &env), 0).expect("the options fit together");
    let sender = Sender { stage, env, producer };
    sender.work().await;
}

fn producer_config(stage: &Stage, env: &SimEnv) -> ProducerConfig {
    let mut dice = Dice::new(stage.world.engine().seed(), env.life().node, "producer config", 0);
    let idempotent = stage.scenario.workload.idempotent;
    ProducerConfig {
        client: client_config(stage, env),
        acks: match stage.scenario.row.acks {
            Acks::None => config::Acks::None,
            Acks::Leader => config::Acks::Leader,
            Acks::All => config::Acks::All,
        },
        enable_idempotence: Some(idempotent),
        linger: Duration::from_millis(dice.below(20)),
        batch_size: dice.between(200, 20_000) as usize,
        delivery_timeout: DELIVERY,
        max_block: Duration::from_secs(10),
        compression_type: compression(&mut dice),
        ..ProducerConfig::default()
    }
}

/// Every other producer compresses, each in its own way.
fn compression(dice: &mut Dice) -> Compression {
    if dice.coin() { Compression::None } else { Compression::ALL[dice.index(Compression::ALL.len())] }
}

struct Sender {
    stage: Stage,
    env: SimEnv,
    producer: Producer<SimEnv>,
}

impl Sender {
    async fn work(self) {
        let mut dice = Dice::new(self.stage.world.engine().seed(), self.env.life().node, "producer", 0);
        let keys = self.stage.scenario.keys();
        let mut next: Value = u64::from(self.env.life().node.0) << 32;
        let mut outcomes: Vec<TaskHandle> = Vec::new();
        while !self.stage.healed.is_so() {
            // Mostly one record at a time, sometimes many at once.
            let count = if dice.one_in(30) { dice.between(2, 40) } else { 1 };
            for _ in 0..count {
                next += 1;
                let (key, size) = (keys[dice.index(keys.len())], self.size(&mut dice));
                let delivery = self.send(key, next, size).await;
                outcomes.push(self.follow(key, next, delivery));
            }
            let every = self.stage.scenario.workload.send_every_ms;
            self.env.clock().sleep(Duration::from_micros(dice.below(2_000 * every))).await;
            outcomes.retain(|task| !task.is_ended());
        }
        self.probe(&mut next, &mut dice).await;
        for task in outcomes {
            task.join().await;
        }
        self.producer.close(DELIVERY).await;
    }

    /// Sends to every partition until each has acknowledged something.
    async fn probe(&self, next: &mut Value, dice: &mut Dice) {
        let mut left: BTreeSet<Key> = self.stage.scenario.keys().into_iter().collect();
        while let Some(&key) = left.first() {
            *next += 1;
            let delivery = self.send(key, *next, self.size(dice)).await;
            if settle(&self.stage, &self.env, key, *next, delivery).await {
                left.remove(&key);
            } else {
                self.env.clock().sleep(PROBE_EVERY).await;
            }
        }
    }

    async fn send(&self, key: Key, value: Value, size: usize) -> Delivery {
        let acks = self.stage.scenario.row.acks;
        self.stage.history.record(self.env.life().node, What::Send { key, value, acks });
        let record = ProducerRecord::value(payload::encode(value, size));
        self.producer.send(&key.topic_name(), Some(key.partition), record).await
    }

    /// Waits for an outcome in a task of its own: outcomes of several partitions come in any order.
    fn follow(&self, key: Key, value: Value, delivery: Delivery) -> TaskHandle {
        let (stage, env) = (self.stage.clone(), self.env.clone());
        self.env.spawn("outcome", async move {
            settle(&stage, &env, key, value, delivery).await;
        })
    }

    fn size(&self, dice: &mut Dice) -> usize {
        dice.between(8, u64::from(self.stage.scenario.workload.record_bytes).max(8)) as usize
    }
}

/// Waits for an outcome and writes it down; says whether the record was acknowledged.
async fn settle(stage: &Stage, env: &SimEnv, key: Key, value: Value, delivery: Delivery) -> bool {
    let outcome = delivery.await;
    let is_acked = outcome.is_ok();
    let what = match outcome {
        Ok(acknowledged) => {
            assert_eq!(acknowledged.partition, key.partition, "the partition was named");
            What::Acked { key, value, offset: acknowledged.offset.map(|offset| offset.0) }
        }
        Err(error) => {
            let certain = matches!(error, ottla::client::producer::DeliveryError::NotWritten(_));
            What::Failed { key, value, certain, error: error.to_string() }
        }
    };
    stage.history.record(env.life().node, what);
    is_acked
}
