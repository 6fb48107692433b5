//! Somebody who keeps asking brokers where logs end.

use std::time::Duration;

use ottla::env::{Clock as _, Env as _};
use ottla::wire::messages::list_offsets::{ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic};

use super::raw::Line;
use crate::dice::Dice;
use crate::env::SimEnv;
use crate::history::{Key, What};
use crate::run::Stage;

const LATEST: i64 = -1;

pub(super) async fn ask(stage: Stage, env: SimEnv) {
    let mut dice = Dice::new(stage.world.engine().seed(), env.life().node, "asker", 0);
    let (keys, brokers) = (stage.scenario.keys(), stage.scenario.brokers());
    let mut line: Option<Line> = None;
    while !stage.healed.is_so() {
        let every = stage.scenario.workload.ask_ends_every_ms;
        env.clock().sleep(Duration::from_micros(dice.below(2_000 * every))).await;
        let (key, broker) = (keys[dice.index(keys.len())], brokers[dice.index(brokers.len())]);
        if dice.one_in(3) || line.is_none() {
            line = Line::open(&stage, &env, broker).await;
        }
        let Some(open) = &line else { continue };
        if ask_one(&stage, &env, open, key).await.is_none() {
            line = None;
        }
    }
}

/// `None` if there is no answer at all.
async fn ask_one(stage: &Stage, env: &SimEnv, line: &Line, key: Key) -> Option<()> {
    let partition =
        ListOffsetsPartition { partition_index: key.partition, current_leader_epoch: -1, timestamp: LATEST };
    let topic = ListOffsetsTopic { name: key.topic_name(), partitions: vec![partition] };
    let request = ListOffsetsRequest { replica_id: -1, topics: vec![topic], ..ListOffsetsRequest::default() };
    let asked_ns = stage.world.engine().now_ns();
    let response = line.ask(&request, i16::MAX).await?;
    let answer = response.topics.first()?.partitions.first()?;
    if answer.error_code == 0 {
        let (offset, epoch) = (answer.offset, answer.leader_epoch);
        stage.history.record(env.life().node, What::Latest { key, offset, epoch, asked_ns });
    }
    Some(())
}
