//! Partitions and their replicas: who leads, who is in sync, who is being added, and where each log stands.
//!
//! Kafka has no API that tells a replica's positions. What it has, any replica answers, whoever leads:
//!
//! - log start and log end: ListOffsets, earliest and latest, in the name of its debugging replica (id -2);
//! - high watermark: Fetch at the log end, where there is nothing to read, as a consumer that may be served by a
//!   follower (KIP-392, version 11). A replica of a partition that nobody leads does not answer that.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Admin, AdminError, PerTopic, outcome};
use crate::client::cluster::Choice;
use crate::client::metadata::{Topic, code};
use crate::env::{Clock, Env};
use crate::error_code::ErrorCode;
use crate::types::{BrokerId, LeaderEpoch, Offset, Uuid};
use crate::wire::messages::describe_topic_partitions::{
    Cursor, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponsePartition,
    DescribeTopicPartitionsResponseTopic, TopicRequest,
};
use crate::wire::messages::fetch::{FetchPartition, FetchRequest, FetchResponse, FetchTopic, ReplicaState};
use crate::wire::messages::list_offsets::{ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic};
use crate::wire::messages::list_partition_reassignments::ListPartitionReassignmentsRequest;

/// The most partitions of one request for positions.
const PARTITIONS_PER_REQUEST: usize = 1000;

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;

/// A topic with what the cluster knows of its replicas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicDescription {
    /// Its id, or [`Uuid::ZERO`] from brokers that know none.
    pub id: Uuid,
    /// Whether it is one of the cluster's own.
    pub internal: bool,
    /// Its partitions by index.
    pub partitions: BTreeMap<i32, PartitionDescription>,
}

/// A partition with what the cluster knows of its replicas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionDescription {
    /// Who leads it, if anyone.
    pub leader: Option<BrokerId>,
    /// In which epoch, or [`LeaderEpoch::NONE`] from brokers that do not say.
    pub leader_epoch: LeaderEpoch,
    /// AR: all its replicas, the preferred leader first.
    pub replicas: Vec<BrokerId>,
    /// ISR: those in sync.
    pub isr: Vec<BrokerId>,
    /// ELR: those that may lead although they are not in sync (KIP-966); `None` if the broker does not tell.
    pub elr: Option<Vec<BrokerId>>,
    /// Who led last, if nobody leads and ISR and ELR are empty.
    pub last_known_elr: Vec<BrokerId>,
    /// Those on brokers or directories that are offline.
    pub offline: Vec<BrokerId>,
}

impl PartitionDescription {
    /// OSR: the replicas that are out of sync.
    pub fn osr(&self) -> Vec<BrokerId> {
        self.replicas.iter().copied().filter(|id| !self.isr.contains(id)).collect()
    }
}

/// Partitions by topic and index.
pub type PerPartition<T> = BTreeMap<(String, i32), T>;

/// A partition, as the question for its positions needs it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct AskedPartition {
    /// The topic's name.
    pub topic: String,
    /// The topic's id.
    pub topic_id: Uuid,
    /// The partition's index.
    pub index: i32,
}

/// Where the log of one replica stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaPositions {
    /// Its first offset.
    pub log_start: Offset,
    /// Up to where it knows records to be committed; else why it does not say.
    pub high_watermark: Result<Offset, AdminError>,
    /// The offset of the next record.
    pub log_end: Offset,
}

/// The replicas that come and go with a reassignment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reassignment {
    /// Those to be added.
    pub adding: Vec<BrokerId>,
    /// Those to be removed.
    pub removing: Vec<BrokerId>,
}

impl<E: Env> Admin<E> {
    /// Topics with what the cluster knows of their replicas, by name; `None`: all, internal ones included. Brokers
    /// before Kafka 3.7 do not tell the ELR.
    ///
    /// # Errors
    ///
    /// For all: [`AdminError`]; for single topics, in the list.
    pub async fn describe_partitions(
        &mut self,
        names: Option<&[String]>,
    ) -> Result<PerTopic<TopicDescription>, AdminError> {
        match self.described_pages(names).await {
            Err(AdminError::Unsupported(_)) => {}
            described => return described,
        }
        let described = match names {
            Some(names) => self.describe_topics(names).await?,
            None => self.list_topics().await?.into_iter().map(|(name, topic)| (name, Ok(topic))).collect(),
        };
        Ok(described.into_iter().map(|(name, topic)| (name, topic.map(from_metadata))).collect())
    }

    /// The reassignments under way.
    ///
    /// # Errors
    ///
    /// See [`AdminError`].
    pub async fn list_reassignments(
        &mut self,
        patience: Duration,
    ) -> Result<PerPartition<Reassignment>, AdminError> {
        let timeout_ms = super::timeout_ms(patience);
        let request = ListPartitionReassignmentsRequest { timeout_ms, topics: None };
        let deadline = self.env.clock().now() + patience;
        let response =
            self.ask_until(Choice::Any, &request, |response| vec![response.error_code], deadline).await?;
        outcome(response.error_code, response.error_message)?;
        let mut all = PerPartition::new();
        for topic in response.topics {
            for partition in topic.partitions {
                let (adding, removing) = (ids(&partition.adding_replicas), ids(&partition.removing_replicas));
                let key = (topic.name.clone(), partition.partition_index);
                all.insert(key, Reassignment { adding, removing });
            }
        }
        Ok(all)
    }

    /// Where a broker's replicas of these partitions stand, whoever leads them.
    ///
    /// # Errors
    ///
    /// For all: [`AdminError`]; for single partitions, in the map.
    pub async fn replica_positions(
        &mut self,
        broker: BrokerId,
        partitions: &[AskedPartition],
        patience: Duration,
    ) -> Result<PerPartition<Result<ReplicaPositions, AdminError>>, AdminError> {
        let mut positions = PerPartition::new();
        for some in partitions.chunks(PARTITIONS_PER_REQUEST) {
            let starts = self.offsets(broker, some, EARLIEST, patience).await?;
            let ends = self.offsets(broker, some, LATEST, patience).await?;
            let mut high_watermarks = self.high_watermarks(broker, some, &ends, patience).await?;
            for (key, end) in ends {
                let high_watermark = high_watermarks.remove(&key).unwrap_or_else(|| Err(no_answer()));
                let start = starts.get(&key).cloned().unwrap_or_else(|| Err(no_answer()));
                let found = start
                    .and_then(|log_start| Ok(ReplicaPositions { log_start, high_watermark, log_end: end? }));
                positions.insert(key, found);
            }
        }
        Ok(positions)
    }

    /// Where a broker's replicas of these partitions end, whoever leads them.
    ///
    /// # Errors
    ///
    /// For all: [`AdminError`]; for single partitions, in the map.
    pub async fn replica_log_ends(
        &mut self,
        broker: BrokerId,
        partitions: &[AskedPartition],
        patience: Duration,
    ) -> Result<PerPartition<Result<Offset, AdminError>>, AdminError> {
        let mut ends = PerPartition::new();
        for some in partitions.chunks(PARTITIONS_PER_REQUEST) {
            ends.extend(self.offsets(broker, some, LATEST, patience).await?);
        }
        Ok(ends)
    }

    async fn described_pages(
        &mut self,
        names: Option<&[String]>,
    ) -> Result<PerTopic<TopicDescription>, AdminError> {
        let name = |name: &String| TopicRequest { name: name.clone() };
        let topics: Vec<TopicRequest> = names.unwrap_or_default().iter().map(name).collect();
        let mut all = BTreeMap::new();
        if names.is_some() && topics.is_empty() {
            return Ok(Vec::new());
        }
        let mut cursor: Option<Cursor> = None;
        loop {
            let topics = topics.clone();
            let request = DescribeTopicPartitionsRequest { topics, cursor, ..Default::default() };
            let errors = |_: &_| Vec::new();
            let page = self.ask(Choice::Any, &request, errors).await?;
            for topic in page.topics {
                take_in(&mut all, topic);
            }
            cursor = page.next_cursor;
            if cursor.is_none() {
                return Ok(all.into_iter().collect());
            }
        }
    }

    async fn offsets(
        &mut self,
        broker: BrokerId,
        partitions: &[AskedPartition],
        timestamp: i64,
        patience: Duration,
    ) -> Result<PerPartition<Result<Offset, AdminError>>, AdminError> {
        let mut topics: Vec<ListOffsetsTopic> = Vec::new();
        for asked in partitions {
            let partition =
                ListOffsetsPartition { partition_index: asked.index, timestamp, ..Default::default() };
            match topics.last_mut().filter(|last| last.name == asked.topic) {
                Some(last) => last.partitions.push(partition),
                None => {
                    topics.push(ListOffsetsTopic { name: asked.topic.clone(), partitions: vec![partition] });
                }
            }
        }
        let request = ListOffsetsRequest { replica_id: BrokerId::DEBUGGING.0, topics, ..Default::default() };
        let response = self.ask_once(broker, &request, patience).await?;
        let mut found = PerPartition::new();
        for topic in response.topics {
            for partition in topic.partitions {
                let offset = outcome(partition.error_code, None).map(|()| Offset(partition.offset));
                found.insert((topic.name.clone(), partition.partition_index), offset);
            }
        }
        Ok(found)
    }

    async fn high_watermarks(
        &mut self,
        broker: BrokerId,
        partitions: &[AskedPartition],
        ends: &PerPartition<Result<Offset, AdminError>>,
        patience: Duration,
    ) -> Result<PerPartition<Result<Offset, AdminError>>, AdminError> {
        let request = at_ends(partitions, ends);
        if request.topics.is_empty() {
            return Ok(PerPartition::new());
        }
        let response = self.ask_once(broker, &request, patience).await?;
        outcome(response.error_code, None)?;
        Ok(told_high_watermarks(partitions, response))
    }
}

/// A Fetch that begins where each log ends.
fn at_ends(partitions: &[AskedPartition], ends: &PerPartition<Result<Offset, AdminError>>) -> FetchRequest {
    let mut topics: Vec<FetchTopic> = Vec::new();
    for asked in partitions {
        let Some(Ok(end)) = ends.get(&(asked.topic.clone(), asked.index)) else { continue };
        let partition = FetchPartition {
            partition: asked.index,
            fetch_offset: end.0,
            last_fetched_epoch: LeaderEpoch::NONE.0,
            partition_max_bytes: 1,
            ..Default::default()
        };
        match topics.last_mut().filter(|last| last.topic == asked.topic) {
            Some(last) => last.partitions.push(partition),
            None => topics.push(FetchTopic {
                topic: asked.topic.clone(),
                topic_id: asked.topic_id,
                partitions: vec![partition],
            }),
        }
    }
    // Nobody waits: what comes meanwhile is not asked for.
    let replica_state = ReplicaState { replica_id: BrokerId::DEBUGGING.0, ..Default::default() };
    FetchRequest { replica_state, max_bytes: 1, topics, ..Default::default() }
}

fn told_high_watermarks(
    partitions: &[AskedPartition],
    response: FetchResponse,
) -> PerPartition<Result<Offset, AdminError>> {
    let names: BTreeMap<Uuid, &str> =
        partitions.iter().map(|asked| (asked.topic_id, asked.topic.as_str())).collect();
    let mut found = PerPartition::new();
    for topic in response.responses {
        // From version 13 on the answer has the id only.
        let name = match topic.topic_id {
            Uuid::ZERO => topic.topic,
            id => names.get(&id).copied().unwrap_or_default().to_owned(),
        };
        for partition in topic.partitions {
            let high_watermark =
                outcome(partition.error_code, None).map(|()| Offset(partition.high_watermark));
            found.insert((name.clone(), partition.partition_index), high_watermark);
        }
    }
    found
}

/// Adds a topic of a page, or the rest of one that began on the page before.
fn take_in(
    all: &mut BTreeMap<String, Result<TopicDescription, AdminError>>,
    topic: DescribeTopicPartitionsResponseTopic,
) {
    let name = topic.name.unwrap_or_default();
    let error = code(topic.error_code);
    if !error.is_none() {
        // A topic that was there a page ago goes right now: then what is known of it is as good.
        all.entry(name).or_insert(Err(AdminError::Refused { error, message: None }));
        return;
    }
    let fresh = TopicDescription {
        id: topic.topic_id,
        internal: topic.is_internal,
        partitions: topic.partitions.iter().map(|it| (it.partition_index, partition(it))).collect(),
    };
    match all.get_mut(&name) {
        Some(Ok(known)) if known.id == fresh.id => known.partitions.extend(fresh.partitions),
        _ => {
            all.insert(name, Ok(fresh));
        }
    }
}

fn partition(told: &DescribeTopicPartitionsResponsePartition) -> PartitionDescription {
    PartitionDescription {
        leader: (told.leader_id >= 0).then_some(BrokerId(told.leader_id)),
        leader_epoch: LeaderEpoch(told.leader_epoch),
        replicas: ids(&told.replica_nodes),
        isr: ids(&told.isr_nodes),
        elr: Some(ids(told.eligible_leader_replicas.as_deref().unwrap_or_default())),
        last_known_elr: ids(told.last_known_elr.as_deref().unwrap_or_default()),
        offline: ids(&told.offline_replicas),
    }
}

fn from_metadata(topic: Topic) -> TopicDescription {
    let partitions = topic.partitions.into_iter().map(|(index, told)| {
        let partition = PartitionDescription {
            leader: told.leader,
            leader_epoch: told.leader_epoch,
            replicas: told.replicas,
            isr: told.isr,
            elr: None,
            last_known_elr: Vec::new(),
            offline: told.offline,
        };
        (index, partition)
    });
    TopicDescription { id: topic.id, internal: topic.internal, partitions: partitions.collect() }
}

fn ids(nodes: &[i32]) -> Vec<BrokerId> {
    nodes.iter().copied().map(BrokerId).collect()
}

fn no_answer() -> AdminError {
    AdminError::Refused {
        error: ErrorCode::UnknownServerError,
        message: Some("the answer leaves it out".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::messages::fetch::{FetchableTopicResponse, PartitionData};

    fn asked(topic: &str, id: u128, index: i32) -> AskedPartition {
        AskedPartition { topic: topic.to_owned(), topic_id: Uuid(id), index }
    }

    #[test]
    fn a_topic_goes_on_on_the_next_page() {
        let page = |name: &str, id: u128, error: ErrorCode, indexes: &[i32]| {
            let partition = |&partition_index: &i32| DescribeTopicPartitionsResponsePartition {
                partition_index,
                leader_id: -1,
                replica_nodes: vec![1, 2, 3],
                isr_nodes: vec![3],
                ..Default::default()
            };
            DescribeTopicPartitionsResponseTopic {
                error_code: error.code(),
                name: Some(name.to_owned()),
                topic_id: Uuid(id),
                partitions: indexes.iter().map(partition).collect(),
                ..Default::default()
            }
        };
        let mut all = BTreeMap::new();
        take_in(&mut all, page("a", 1, ErrorCode::None, &[0, 1]));
        take_in(&mut all, page("a", 1, ErrorCode::None, &[2]));
        take_in(&mut all, page("a", 1, ErrorCode::UnknownTopicOrPartition, &[]));
        take_in(&mut all, page("b", 2, ErrorCode::UnknownTopicOrPartition, &[]));
        let known = all["a"].as_ref().expect("it is known");
        assert_eq!(known.partitions.keys().copied().collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!((known.partitions[&2].leader, known.partitions[&2].osr()), (None, ids(&[1, 2])));
        assert_eq!(
            all["b"].as_ref().map_err(AdminError::code),
            Err(Some(ErrorCode::UnknownTopicOrPartition))
        );
        // Deleted and made anew between two pages: nothing of the old one stays.
        take_in(&mut all, page("a", 9, ErrorCode::None, &[1]));
        assert_eq!(all["a"].as_ref().expect("it is known").partitions.len(), 1);
    }

    #[test]
    fn a_fetch_asks_where_each_log_ends() {
        let partitions = [asked("a", 1, 0), asked("a", 1, 1), asked("b", 2, 0), asked("b", 2, 5)];
        let mut ends = PerPartition::new();
        ends.insert(("a".to_owned(), 0), Ok(Offset(7)));
        ends.insert(("a".to_owned(), 1), Err(no_answer()));
        ends.insert(("b".to_owned(), 5), Ok(Offset(0)));
        let request = at_ends(&partitions, &ends);
        let told: Vec<_> = request
            .topics
            .iter()
            .flat_map(|topic| {
                topic.partitions.iter().map(|it| (&*topic.topic, it.partition, it.fetch_offset))
            })
            .collect();
        assert_eq!(told, [("a", 0, 7), ("b", 5, 0)]);
    }

    #[test]
    fn high_watermarks_come_by_name_or_by_id() {
        let partitions = [asked("a", 1, 0), asked("b", 2, 0)];
        let data = |high_watermark, error: ErrorCode| {
            vec![PartitionData { high_watermark, error_code: error.code(), ..Default::default() }]
        };
        let responses = vec![
            FetchableTopicResponse {
                topic: "a".to_owned(),
                partitions: data(5, ErrorCode::None),
                ..Default::default()
            },
            FetchableTopicResponse {
                topic_id: Uuid(2),
                partitions: data(-1, ErrorCode::NotLeaderOrFollower),
                ..Default::default()
            },
        ];
        let response = FetchResponse { responses, ..Default::default() };
        let found = told_high_watermarks(&partitions, response);
        assert_eq!(found[&("a".to_owned(), 0)], Ok(Offset(5)));
        let refused = found[&("b".to_owned(), 0)].as_ref().map_err(AdminError::code);
        assert_eq!(refused, Err(Some(ErrorCode::NotLeaderOrFollower)));
    }
}
