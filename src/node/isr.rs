//! What the leaders on this broker ask the controller for: changes of their ISRs (KIP-497).
//!
//! One request at a time, with whatever all partitions have asked for by then: a broker that fences a thousand
//! partitions' followers asks once. A copy of a request that was sent over a connection that has gone may still
//! arrive, after those that follow it; see [`partition`](crate::partition).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::controller_channel::ControllerChannel;
use super::metadata::Metadata;
use super::publisher::Registered;
use super::replica::Replica;
use crate::env::{Clock, Env};
use crate::error_code::ErrorCode;
use crate::partition::{AlterPartition, AlteredPartition};
use crate::types::{BrokerEpoch, BrokerId, LeaderEpoch, Mono, PartitionEpoch, PartitionKey, Uuid};
use crate::wire::messages::alter_partition::*;

/// The pause before a request is sent once more.
const RETRY_BACKOFF: Duration = Duration::from_millis(50);

/// How long an answer may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// Where leaders leave what they ask for.
pub(super) type Proposals<E> = mpsc::UnboundedSender<Proposal<E>>;

/// What one leader asks for.
pub(super) struct Proposal<E: Env> {
    pub(super) replica: Arc<Replica<E>>,
    pub(super) alter: AlterPartition,
}

/// The task that asks.
pub(super) struct IsrChanges<E: Env> {
    pub(super) env: E,
    pub(super) own: BrokerId,
    pub(super) channel: ControllerChannel<E>,
    pub(super) registered: Registered,
    pub(super) metadata: Metadata<E>,
    pub(super) proposals: mpsc::UnboundedReceiver<Proposal<E>>,
    /// How often leaders look for followers that have fallen behind: half `replica.lag.time.max.ms`.
    pub(super) check_interval: Duration,
    /// When those are asked again who have no answer.
    pub(super) again: Option<(Mono, Vec<Arc<Replica<E>>>)>,
}

/// The latest proposal of each partition.
type Asked<E> = BTreeMap<PartitionKey, Proposal<E>>;

impl<E: Env> IsrChanges<E> {
    /// Works until nobody can ask any more.
    pub(super) async fn run(mut self) {
        let clock = self.env.clock().clone();
        let mut next_check = clock.now() + self.check_interval;
        loop {
            let again = self.again.as_ref().map(|(at, _)| *at);
            let until = again.into_iter().chain([next_check]).min().expect("there is a next check");
            match clock.timeout_at(until, self.proposals.recv()).await {
                Some(Some(proposal)) => self.ask(proposal).await,
                Some(None) => return,
                None => {}
            }
            let now = clock.now();
            if let Some((_, replicas)) = self.again.take_if(|(at, _)| *at <= now) {
                replicas.iter().for_each(Replica::resend_alter);
            }
            if next_check <= now {
                self.check();
                next_check = now + self.check_interval;
            }
        }
    }

    /// Looks for followers that have fallen behind.
    fn check(&self) {
        let published = self.metadata.current();
        for replica in published.replicas.values() {
            replica.check_isr(&published.brokers);
        }
    }

    /// Asks for this and all else that is wanted by now.
    async fn ask(&mut self, first: Proposal<E>) {
        let mut asked = Asked::new();
        asked.insert(first.replica.key(), first);
        while let Ok(proposal) = self.proposals.try_recv() {
            // A later one of the same partition stands for the earlier.
            asked.insert(proposal.replica.key(), proposal);
        }
        let epoch = self.registered.epoch().unwrap_or(BrokerEpoch::NONE);
        let request = request(self.own, epoch, &asked);
        let deadline = self.env.clock().now() + REQUEST_TIMEOUT;
        let outcome = match self.channel.ask_once(&request, deadline).await {
            Ok(response) if response.error_code == 0 => Ok(results(response)),
            Ok(response) => Err(code(response.error_code).to_string()),
            Err(error) => Err(error.to_string()),
        };
        let mut again = Vec::new();
        match outcome {
            Ok(mut results) => {
                for (key, Proposal { replica, alter }) in asked {
                    let open = match results.remove(&key) {
                        Some(answer) => {
                            tracing::debug!(partition = %replica.name(), ?alter, ?answer, "an ISR is decided on");
                            replica.alter_partition_answered(&alter, &answer)
                        }
                        None => true,
                    };
                    again.extend(open.then_some(replica));
                }
            }
            Err(reason) => {
                tracing::info!(reason, "the controller has not decided on the ISR");
                again.extend(asked.into_values().map(|proposal| proposal.replica));
            }
        }
        if !again.is_empty() {
            let (_, waiting) =
                self.again.get_or_insert_with(|| (self.env.clock().now() + RETRY_BACKOFF, Vec::new()));
            waiting.extend(again);
        }
    }
}

fn request<E: Env>(own: BrokerId, epoch: BrokerEpoch, asked: &Asked<E>) -> AlterPartitionRequest {
    let mut topics: Vec<TopicData> = Vec::new();
    for (key, Proposal { alter, .. }) in asked {
        let isr = alter.isr.iter();
        let isr =
            isr.map(|member| BrokerState { broker_id: member.broker.0, broker_epoch: member.broker_epoch.0 });
        let partition = PartitionData {
            partition_index: key.index,
            leader_epoch: alter.leader_epoch.0,
            new_isr_with_epochs: isr.collect(),
            // Whoever asks leads, and has recovered by that.
            leader_recovery_state: 0,
            partition_epoch: alter.partition_epoch.0,
            ..PartitionData::default()
        };
        match topics.last_mut().filter(|last| last.topic_id == key.topic_id) {
            Some(last) => last.partitions.push(partition),
            None => topics.push(TopicData { topic_id: key.topic_id, partitions: vec![partition] }),
        }
    }
    AlterPartitionRequest { broker_id: own.0, broker_epoch: epoch.0, topics }
}

/// What the controller says of each partition.
fn results(response: AlterPartitionResponse) -> BTreeMap<PartitionKey, Result<AlteredPartition, ErrorCode>> {
    let of_topic = |TopicResult { topic_id, partitions }: TopicResult| {
        partitions.into_iter().map(move |partition| result(topic_id, partition))
    };
    response.topics.into_iter().flat_map(of_topic).collect()
}

fn result(topic_id: Uuid, partition: PartitionResult) -> (PartitionKey, Result<AlteredPartition, ErrorCode>) {
    let key = PartitionKey { topic_id, index: partition.partition_index };
    let answer = match code(partition.error_code) {
        ErrorCode::None => Ok(AlteredPartition {
            leader: BrokerId(partition.leader_id),
            leader_epoch: LeaderEpoch(partition.leader_epoch),
            partition_epoch: PartitionEpoch(partition.partition_epoch),
            isr: partition.isr.into_iter().map(BrokerId).collect(),
            recovering: partition.leader_recovery_state != 0,
        }),
        code => Err(code),
    };
    (key, answer)
}

fn code(code: i16) -> ErrorCode {
    ErrorCode::from_code(code).unwrap_or(ErrorCode::UnknownServerError)
}
