//! Somebody who operates the cluster while it is used: has preferred leaders elected, moves partitions to other
//! brokers, and deletes a topic and creates it again under the same name, over and over. What is written to that
//! topic goes by its id, so that it is known which of them a record was for.

use std::time::Duration;

use bytes::Bytes;
use ottla::client::admin::Admin;
use ottla::env::{Clock as _, Env as _};
use ottla::types::Uuid;
use ottla::wire::batch::split;
use ottla::wire::batch_builder::{BatchBuilder, BatchOptions, NewRecord};
use ottla::wire::compression::Scratch;
use ottla::wire::messages::alter_partition_reassignments::{
    AlterPartitionReassignmentsRequest, ReassignablePartition, ReassignableTopic,
};
use ottla::wire::messages::elect_leaders::ElectLeadersRequest;
use ottla::wire::messages::fetch::{FetchPartition, FetchRequest, FetchTopic};
use ottla::wire::messages::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use ottla::wire::messages::update_features::{FeatureUpdateKey, UpdateFeaturesRequest};
use ottla::wire::records::RecordIter;

use super::raw::Line;
use super::{client_config, new_topic, payload};
use crate::dice::Dice;
use crate::env::SimEnv;
use crate::history::{Acks, Key, Value, What};
use crate::run::Stage;

const ELR_FEATURE: &str = "eligible.leader.replicas.version";
const EXPANDED_MAX: u64 = 1_000_000;
const ALL: i16 = -1;
/// Less than our own patience.
const BROKER_PATIENCE_MS: i32 = 2_000;

pub(super) async fn operate(stage: Stage, env: SimEnv) {
    let dice = Dice::new(stage.world.engine().seed(), env.life().node, "operator", 0);
    let admin = Admin::new(&env, client_config(&stage, &env), 0).expect("the addresses are well-formed");
    let next = u64::from(env.life().node.0) << 32;
    let mut operator = Operator { stage, env, dice, admin, next, made: 0, scratch: None };
    while !operator.stage.healed.is_so() {
        let every = operator.stage.scenario.workload.operate_every_ms;
        let pause = Duration::from_micros(operator.dice.below(2_000 * every));
        operator.env.clock().sleep(pause).await;
        // What comes of it nobody has to know: the oracles see.
        let _ = operator.act().await;
    }
}

struct Operator {
    stage: Stage,
    env: SimEnv,
    dice: Dice,
    admin: Admin<SimEnv>,
    next: Value,
    /// How often the topic was created.
    made: u32,
    scratch: Option<Scratchpad>,
}

/// The topic that comes and goes.
struct Scratchpad {
    key: Key,
    id: Uuid,
    /// Up to where it was read.
    offset: i64,
    /// The end of what was acknowledged there.
    acked_end: i64,
}

impl Operator {
    async fn act(&mut self) -> Option<()> {
        match self.dice.below(10) {
            0 | 1 => self.elect_preferred().await,
            2..=4 => self.reassign().await,
            5 => self.upgrade().await,
            6 if self.dice.coin() => self.begin_anew().await,
            _ => self.write_and_read().await,
        }
    }

    /// To any broker: what it cannot do itself it forwards.
    async fn line(&mut self) -> Option<Line> {
        let brokers = self.stage.scenario.brokers();
        let broker = brokers[self.dice.index(brokers.len())];
        Line::open(&self.stage, &self.env, broker).await
    }

    async fn elect_preferred(&mut self) -> Option<()> {
        let request = ElectLeadersRequest {
            election_type: 0,
            topic_partitions: None,
            ..ElectLeadersRequest::default()
        };
        self.line().await?.ask(&request, i16::MAX).await.map(drop)
    }

    /// Moves a partition to as many brokers as it has now; seldom takes that back, where nothing may be lost
    /// with the copies that this gives up.
    async fn reassign(&mut self) -> Option<()> {
        let keys = self.stage.scenario.keys();
        let key = keys[self.dice.index(keys.len())];
        let mut brokers = self.stage.scenario.brokers();
        for end in (1..brokers.len()).rev() {
            brokers.swap(end, self.dice.index(end + 1));
        }
        brokers.truncate(self.stage.scenario.cluster.copies().replicas as usize);
        let cancels = self.dice.one_in(5) && self.stage.scenario.losses().kinds.is_empty();
        let replicas = (!cancels).then(|| brokers.iter().map(|node| node.0 as i32).collect());
        let partition = ReassignablePartition { partition_index: key.partition, replicas };
        let topic = ReassignableTopic { name: key.topic_name(), partitions: vec![partition] };
        let request = AlterPartitionReassignmentsRequest {
            topics: vec![topic],
            ..AlterPartitionReassignmentsRequest::default()
        };
        self.line().await?.ask(&request, i16::MAX).await.map(drop)
    }

    /// A cluster that was formatted without eligible leader replicas gets them.
    async fn upgrade(&mut self) -> Option<()> {
        let update = FeatureUpdateKey {
            feature: ELR_FEATURE.to_owned(),
            max_version_level: 1,
            ..FeatureUpdateKey::default()
        };
        let request =
            UpdateFeaturesRequest { feature_updates: vec![update], ..UpdateFeaturesRequest::default() };
        self.line().await?.ask(&request, i16::MAX).await.map(drop)
    }

    /// Deletes the topic and creates it again, once everything that was acknowledged there was read.
    async fn begin_anew(&mut self) -> Option<()> {
        if self.scratch.is_some() {
            let end = self.read(true).await?;
            // A leader that is new, or leads no more, may not know of all that is committed.
            let pad = self.scratch.take_if(|pad| pad.acked_end <= end)?;
            self.record(What::Drained { key: pad.key, end });
        }
        let name = Key { topic: Key::SCRATCH, partition: 0 }.topic_name();
        let _ = self.admin.delete_topics(std::slice::from_ref(&name)).await;
        let created = self.admin.create_topics(&[new_topic(&self.stage.scenario, &name, 1)], false).await;
        let (_, topic) = created.ok()?.into_iter().next()?;
        let id = topic.ok()?.id;
        self.made += 1;
        let key = Key { topic: Key::SCRATCH + self.made, partition: 0 };
        self.record(What::Named { topic: key.topic, id: id.0 });
        self.record(What::Sought { key, offset: 0 });
        self.scratch = Some(Scratchpad { key, id, offset: 0, acked_end: 0 });
        Some(())
    }

    async fn write_and_read(&mut self) -> Option<()> {
        if self.scratch.is_none() {
            return self.begin_anew().await;
        }
        self.write().await;
        self.read(false).await.map(drop)
    }

    async fn write(&mut self) -> Option<()> {
        let (key, topic_id) = self.scratch.as_ref().map(|pad| (pad.key, pad.id))?;
        self.next += 1;
        let value = self.next;
        self.record(What::Send { key, value, acks: Acks::All });
        let mut builder = BatchBuilder::new();
        let (payload, timestamp) = (payload::encode(value, 20), self.env.clock().wall().0);
        builder.add(&NewRecord { timestamp, value: Some(&payload), ..NewRecord::default() });
        let batch = builder.finish(&BatchOptions::default(), &mut Scratch::default());
        let data = TopicProduceData {
            topic_id,
            partition_data: vec![PartitionProduceData { index: 0, records: Some(batch) }],
            ..TopicProduceData::default()
        };
        let request = ProduceRequest {
            acks: ALL,
            timeout_ms: BROKER_PATIENCE_MS,
            topic_data: vec![data],
            ..ProduceRequest::default()
        };
        let error = "nobody leads".to_owned();
        let mut outcome = What::Failed { key, value, certain: true, error };
        for broker in self.stage.scenario.brokers() {
            let Some(line) = Line::open(&self.stage, &self.env, broker).await else { continue };
            // It is sent once, to whoever leads: one that leads no more may have appended it before it said so.
            if self.fetch(&line).await.is_none() {
                continue;
            }
            let answer = line.ask(&request, i16::MAX).await.and_then(|answer| {
                let partition = answer.responses.first()?.partition_responses.first()?.clone();
                Some((partition.error_code, partition.base_offset))
            });
            outcome = match answer {
                Some((0, offset)) => {
                    if let Some(pad) = &mut self.scratch {
                        pad.acked_end = pad.acked_end.max(offset + 1);
                    }
                    What::Acked { key, value, offset: Some(offset) }
                }
                other => {
                    What::Failed { key, value, certain: false, error: format!("answered with {other:?}") }
                }
            };
            break;
        }
        self.record(outcome);
        Some(())
    }

    /// Reads what there is; or everything up to the end, which it returns. `None` if that did not work.
    async fn read(&mut self, to_the_end: bool) -> Option<i64> {
        for broker in self.stage.scenario.brokers() {
            let Some(line) = Line::open(&self.stage, &self.env, broker).await else { continue };
            while let Some((records, high_watermark)) = self.fetch(&line).await {
                let before = self.scratch.as_ref()?.offset;
                self.take(records.as_ref());
                let reached = self.scratch.as_ref()?.offset;
                if reached >= high_watermark || !to_the_end || reached == before {
                    return (reached >= high_watermark || !to_the_end).then_some(reached);
                }
            }
        }
        None
    }

    /// What a leader has from where the reader is, and how far it is committed.
    async fn fetch(&mut self, line: &Line) -> Option<(Option<Bytes>, i64)> {
        let pad = self.scratch.as_ref()?;
        let partition = FetchPartition {
            fetch_offset: pad.offset,
            partition_max_bytes: 1 << 20,
            ..FetchPartition::default()
        };
        let topic = FetchTopic { topic_id: pad.id, partitions: vec![partition], ..FetchTopic::default() };
        let request = FetchRequest { max_bytes: 1 << 20, topics: vec![topic], ..FetchRequest::default() };
        let response = line.ask(&request, i16::MAX).await?;
        let data = response.responses.into_iter().next()?.partitions.into_iter().next()?;
        (data.error_code == 0).then_some((data.records, data.high_watermark))
    }

    fn take(&mut self, records: Option<&Bytes>) {
        let Some(mut pad) = self.scratch.take() else { return };
        let (mut polled, mut scratch) = (Vec::new(), Scratch::default());
        for batch in records.into_iter().flat_map(split) {
            let Ok(batch) = batch else { break };
            let iter = RecordIter::new(&batch, EXPANDED_MAX, &mut scratch);
            for record in iter.into_iter().flatten().flatten() {
                match payload::decode(record.value.as_deref().unwrap_or_default()) {
                    Ok(value) => polled.push((record.offset.0, value)),
                    Err(detail) => {
                        let what = What::Garbled { key: pad.key, offset: record.offset.0, detail };
                        self.record(what);
                    }
                }
            }
            pad.offset = batch.header.next_offset().0;
        }
        if !polled.is_empty() {
            self.record(What::Polled { key: pad.key, records: polled });
        }
        self.scratch = Some(pad);
    }

    fn record(&self, what: What) {
        self.stage.history.record(self.env.life().node, what);
    }
}
