//! A pedant: speaks to the broker without a producer in between, sends what a good one never would, and writes
//! down the answers. Whatever was refused must not appear; whatever was appended must stay.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use ottla::client::connection::Connection;
use ottla::env::{Clock as _, Env as _};
use ottla::error_code::ErrorCode;
use ottla::types::{ProducerEpoch, ProducerId};
use ottla::wire::batch::HEADER_LEN;
use ottla::wire::batch_builder::{BatchBuilder, BatchOptions, NewRecord};
use ottla::wire::compression::Scratch;
use ottla::wire::messages::init_producer_id::InitProducerIdRequest;
use ottla::wire::messages::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};

use super::{BROKER_PORT, client_config, payload};
use crate::dice::Dice;
use crate::engine::NodeId;
use crate::env::SimEnv;
use crate::history::{Acks, Key, Value, What};
use crate::run::Stage;

const PATIENCE: Duration = Duration::from_secs(5);
/// Less than our own, so that we hear what the broker says when the time is up and a sync is not.
const BROKER_PATIENCE: Duration = Duration::from_millis(400);
/// Up to this version a Produce request names its topic.
const NAMES_UNTIL: i16 = 12;
/// Batches that a producer sends in good order: one more than the broker has to remember.
const IN_ORDER: i32 = 6;
const ALL: i16 = -1;

pub(super) async fn insist(stage: Stage, env: SimEnv) {
    let mut dice = Dice::new(stage.world.engine().seed(), env.life().node, "pedant", 0);
    let keys = stage.scenario.keys();
    let mut next: Value = u64::from(env.life().node.0) << 32;
    while !stage.healed.is_so() {
        env.clock().sleep(Duration::from_millis(dice.below(6_000))).await;
        let key = keys[dice.index(keys.len())];
        // Which may lead that partition or not.
        let brokers = stage.scenario.brokers();
        let broker = brokers[dice.index(brokers.len())];
        if let Some(mut round) = Round::begin(&stage, &env, broker, key, next).await {
            // A round ends early when the broker is not there, or not well.
            let _ = round.play().await;
            next = round.next;
        }
    }
}

/// One producer id's short life.
struct Round<'a> {
    stage: &'a Stage,
    env: &'a SimEnv,
    key: Key,
    connection: Connection<SimEnv>,
    producer_id: ProducerId,
    epoch: ProducerEpoch,
    next: Value,
}

/// What to send.
struct Case {
    name: &'static str,
    value: Value,
    epoch: i16,
    sequence: i32,
    acks: i16,
    spoil: fn(&mut [u8]),
    expected: ErrorCode,
}

/// The broker gave no answer, or one that says nothing: the round is over.
struct Unanswered;

impl<'a> Round<'a> {
    async fn begin(stage: &'a Stage, env: &'a SimEnv, broker: NodeId, key: Key, next: Value) -> Option<Self> {
        let config = client_config(stage, env);
        let connection = Connection::open(env, &broker.to_string(), BROKER_PORT, &config).await.ok()?;
        let request = InitProducerIdRequest {
            transactional_id: None,
            transaction_timeout_ms: 60_000,
            ..Default::default()
        };
        let deadline = env.clock().now() + PATIENCE;
        let call = connection.start(&request, i16::MAX, deadline).ok()?;
        let given = env.clock().timeout_at(deadline, call.wait()).await?.ok()?;
        let (producer_id, epoch) = (ProducerId(given.producer_id), ProducerEpoch(given.producer_epoch));
        let case = "in need of a producer id".to_owned();
        let (code, offset) = (given.error_code, -1);
        let answered = What::Answered { key, case, expected: 0, expected_offset: None, code, offset };
        stage.history.record(env.life().node, answered);
        (given.error_code == 0).then_some(Self { stage, env, key, connection, producer_id, epoch, next })
    }

    async fn play(&mut self) -> Result<(), Unanswered> {
        let mut appended = Vec::new();
        for sequence in 0..IN_ORDER {
            let case = self.case("in order", 0, sequence, ErrorCode::None);
            appended.push((case.value, self.send(&case, None).await?));
        }
        let (value, offset) = appended[1];
        let again = Case { value, ..self.case("sent again", 0, 1, ErrorCode::None) };
        self.send(&again, Some(offset)).await?;
        let gap = self.case("behind a gap", 0, IN_ORDER + 3, ErrorCode::OutOfOrderSequenceNumber);
        self.send(&gap, None).await?;
        let damaged = self.case("damaged", 0, IN_ORDER, ErrorCode::CorruptMessage);
        self.send(&Case { spoil: damage, ..damaged }, None).await?;
        let miscounted = self.case("miscounted", 0, IN_ORDER, ErrorCode::InvalidRecord);
        self.send(&Case { spoil: miscount, ..miscounted }, None).await?;
        let acks = self.case("acks 5", 0, IN_ORDER, ErrorCode::InvalidRequiredAcks);
        self.send(&Case { acks: 5, ..acks }, None).await?;
        let late = self.case("a new epoch that does not begin", 1, 1, ErrorCode::OutOfOrderSequenceNumber);
        self.send(&late, None).await?;
        self.send(&self.case("a new epoch", 1, 0, ErrorCode::None), None).await?;
        let fenced = self.case("the old epoch", 0, IN_ORDER, ErrorCode::InvalidProducerEpoch);
        self.send(&fenced, None).await?;
        Ok(())
    }

    fn case(&self, name: &'static str, epoch: i16, sequence: i32, expected: ErrorCode) -> Case {
        Case { name, value: self.next + 1, epoch, sequence, acks: ALL, spoil: |_| {}, expected }
    }

    /// Sends one batch and writes down what became of it. Returns the offset that it is said to have.
    async fn send(&mut self, case: &Case, expected_offset: Option<i64>) -> Result<i64, Unanswered> {
        let (key, value, node) = (self.key, case.value, self.env.life().node);
        if value > self.next {
            self.next = value;
            self.stage.history.record(node, What::Send { key, value, acks: Acks::All });
        }
        let answer = self.ask(case).await;
        let failed = |certain, error| What::Failed { key, value, certain, error };
        let Some((code, offset)) = answer else {
            self.stage.history.record(node, failed(false, "no answer".to_owned()));
            return Err(Unanswered);
        };
        let expected = case.expected.code();
        let case = case.name.to_owned();
        self.stage
            .history
            .record(node, What::Answered { key, case, expected, expected_offset, code, offset });
        let what = match code == ErrorCode::None.code() {
            true => What::Acked { key, value, offset: Some(offset) },
            false => failed(code == expected, format!("answered with {code}")),
        };
        self.stage.history.record(node, what);
        if code == expected { Ok(offset) } else { Err(Unanswered) }
    }

    async fn ask(&mut self, case: &Case) -> Option<(i16, i64)> {
        let partition_data =
            vec![PartitionProduceData { index: self.key.partition, records: Some(self.batch(case)) }];
        let topic_data =
            vec![TopicProduceData { name: self.key.topic_name(), partition_data, ..Default::default() }];
        let timeout_ms = BROKER_PATIENCE.as_millis() as i32;
        let request = ProduceRequest { acks: case.acks, timeout_ms, topic_data, ..Default::default() };
        let deadline = self.env.clock().now() + PATIENCE;
        let call = self.connection.start(&request, NAMES_UNTIL, deadline).ok()?;
        let response = self.env.clock().timeout_at(deadline, call.wait()).await?.ok()?;
        let partition = response.responses.first()?.partition_responses.first()?.clone();
        Some((partition.error_code, partition.base_offset))
    }

    fn batch(&self, case: &Case) -> Bytes {
        let mut builder = BatchBuilder::new();
        let value = payload::encode(case.value, 20);
        let timestamp = self.env.clock().wall().0;
        builder.add(&NewRecord { timestamp, value: Some(&value), ..NewRecord::default() });
        let options = BatchOptions {
            producer_id: self.producer_id,
            producer_epoch: ProducerEpoch(self.epoch.0 + case.epoch),
            base_sequence: case.sequence,
            ..BatchOptions::default()
        };
        let mut bytes = BytesMut::from(&builder.finish(&options, &mut Scratch::default())[..]);
        (case.spoil)(&mut bytes);
        bytes.freeze()
    }
}

/// Turns a bit of the records over.
fn damage(batch: &mut [u8]) {
    let last = batch.len() - 1;
    batch[last] ^= 1;
}

/// Claims a record too many, under a checksum that is right.
fn miscount(batch: &mut [u8]) {
    const LAST_OFFSET_DELTA: usize = 23;
    const CRC: usize = 17;
    const COVERED: usize = 21;
    batch[LAST_OFFSET_DELTA + 3] += 1;
    batch[HEADER_LEN - 1] += 1;
    let crc = crc32c::crc32c(&batch[COVERED..]).to_be_bytes();
    batch[CRC..CRC + 4].copy_from_slice(&crc);
}
