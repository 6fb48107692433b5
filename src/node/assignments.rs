//! Tells the controller in which directories this broker's replicas lie, where its metadata have another (KIP-858).
//!
//! A replica that was begun anew in the place of a lost directory is the one case of a broker with a single
//! directory: until the controller knows where it lies, it lets it into no ISR, and nothing else would tell.

use std::collections::BTreeMap;
use std::time::Duration;

use super::controller_channel::ControllerChannel;
use super::metadata::{Metadata, Published};
use super::publisher::Registered;
use crate::client::futures::race;
use crate::env::{Clock, Env};
use crate::error_code::ErrorCode;
use crate::types::{BrokerEpoch, BrokerId, Uuid};
use crate::wire::messages::assign_replicas_to_dirs::*;

/// The pause before the controller is told once more.
const RETRY_BACKOFF: Duration = Duration::from_millis(500);

/// How long an answer may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// The task that tells.
pub(super) struct Assignments<E: Env> {
    pub(super) env: E,
    pub(super) own: BrokerId,
    pub(super) channel: ControllerChannel<E>,
    pub(super) registered: Registered,
    pub(super) metadata: Metadata<E>,
}

impl<E: Env> Assignments<E> {
    /// Works for as long as it is kept.
    pub(super) async fn run(self) {
        loop {
            let published = self.metadata.current();
            let request = self.registered.epoch().and_then(|epoch| request(&published, self.own, epoch));
            // What the controller has taken in comes back with the metadata.
            let news = self.metadata.reached(published.end + 1);
            match request {
                Some(request) => {
                    self.tell(&request).await;
                    let pause = self.env.clock().sleep_until(self.env.clock().now() + RETRY_BACKOFF);
                    let _ = race(news, pause).await;
                }
                None => news.await,
            }
        }
    }

    async fn tell(&self, request: &AssignReplicasToDirsRequest) {
        let deadline = self.env.clock().now() + REQUEST_TIMEOUT;
        let answer = self.channel.ask(request, deadline, |response| {
            let code = ErrorCode::from_code(response.error_code).unwrap_or(ErrorCode::UnknownServerError);
            (code != ErrorCode::NotController).then_some(code)
        });
        match answer.await {
            Ok(ErrorCode::None) => {}
            Ok(code) => tracing::info!(%code, "the controller does not take in where replicas lie"),
            Err(error) => tracing::info!(%error, "the controller does not know yet where replicas lie"),
        }
    }
}

/// Where the replicas lie that are not where the metadata have them; `None` if all are, or if the metadata do not
/// know this run of the broker yet.
fn request<E: Env>(
    published: &Published<E>,
    own: BrokerId,
    epoch: BrokerEpoch,
) -> Option<AssignReplicasToDirsRequest> {
    published.image.broker(own).filter(|broker| broker.epoch == epoch)?;
    let mut directories: BTreeMap<Uuid, Vec<TopicData>> = BTreeMap::new();
    for (key, replica) in &*published.replicas {
        let here = replica.directory().id();
        let registered = published.image.partition(key.topic_id, key.index);
        if registered.and_then(|partition| partition.directory(own)).is_none_or(|there| there == here) {
            continue;
        }
        let topics = directories.entry(here).or_default();
        let partition = PartitionData { partition_index: key.index };
        match topics.last_mut().filter(|last| last.topic_id == key.topic_id) {
            Some(last) => last.partitions.push(partition),
            None => topics.push(TopicData { topic_id: key.topic_id, partitions: vec![partition] }),
        }
    }
    let directories: Vec<DirectoryData> =
        directories.into_iter().map(|(id, topics)| DirectoryData { id, topics }).collect();
    (!directories.is_empty()).then_some(AssignReplicasToDirsRequest {
        broker_id: own.0,
        broker_epoch: epoch.0,
        directories,
    })
}
