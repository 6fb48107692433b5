//! The auditor: reads every partition from its beginning to its end, when all is over.

use std::time::Duration;

use ottla::client::Consumer;
use ottla::env::{Clock as _, Env as _};

use super::consume::{Reader, consumer_config};
use super::partition_of;
use crate::env::SimEnv;
use crate::history::What;
use crate::run::Stage;

const ASK: Duration = Duration::from_secs(5);
const ASK_AGAIN: Duration = Duration::from_millis(200);

pub(super) async fn audit(stage: &Stage, env: SimEnv) {
    let consumer = Consumer::new(&env, consumer_config(stage, &env), 1).expect("the options fit together");
    let mut reader = Reader::new(stage.clone(), env.clone(), consumer);
    let keys = stage.scenario.keys();
    let partitions: Vec<_> = keys.iter().map(|key| partition_of(*key)).collect();
    let ends = loop {
        match reader.consumer.end_offsets(&partitions, ASK).await {
            Ok(ends) => break ends,
            Err(_) => env.clock().sleep(ASK_AGAIN).await,
        }
    };
    for &key in &keys {
        reader.seek(key, 0);
    }
    let mut left = keys;
    while !left.is_empty() {
        left.retain(|key| {
            let end = ends[&partition_of(*key)].0;
            let is_drained = reader.position(*key) as i64 >= end;
            if is_drained {
                stage.history.record(env.life().node, What::Drained { key: *key, end });
            }
            !is_drained
        });
        if !left.is_empty() {
            reader.poll().await;
        }
    }
}
