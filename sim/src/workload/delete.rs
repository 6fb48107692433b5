//! Somebody who deletes records: asks now and then that a log begin later.

use std::time::Duration;

use ottla::client::Consumer;
use ottla::client::admin::Admin;
use ottla::env::{Clock as _, Env as _};
use ottla::types::Offset;

use super::consume::consumer_config;
use super::{client_config, partition_of};
use crate::dice::Dice;
use crate::env::SimEnv;
use crate::history::What;
use crate::run::Stage;

const ASK: Duration = Duration::from_secs(2);

pub(super) async fn delete(stage: Stage, env: SimEnv) {
    let mut dice = Dice::new(stage.world.engine().seed(), env.life().node, "deleter", 0);
    let mut admin = Admin::new(&env, client_config(&stage, &env), 0).expect("the addresses are well-formed");
    let consumer = Consumer::new(&env, consumer_config(&stage, &env), 0);
    let mut consumer = consumer.expect("the options fit together");
    let keys = stage.scenario.keys();
    let record = |what| stage.history.record(env.life().node, what);
    while !stage.healed.is_so() {
        let every = stage.scenario.workload.delete_records_every_ms;
        env.clock().sleep(Duration::from_micros(dice.below(2_000 * every))).await;
        let key = keys[dice.index(keys.len())];
        let partition = partition_of(key);
        let (all, part) = (dice.one_in(6), dice.bits());
        let before = if all {
            None
        } else {
            let Ok(ends) = consumer.end_offsets(std::slice::from_ref(&partition), ASK).await else {
                continue;
            };
            Some(scaled(part, ends[&partition].0))
        };
        record(What::Deleting { key, before });
        let deleted = admin.delete_records(&key.topic_name(), key.partition, before.map(Offset)).await;
        if let Ok(low_watermark) = deleted {
            record(What::LogStart { key, offset: low_watermark.0 });
        }
    }
}

/// An offset up to `end`, by 64 random bits.
fn scaled(bits: u64, end: i64) -> i64 {
    ((u128::from(bits) * (end.max(0) as u128 + 1)) >> 64) as i64
}
