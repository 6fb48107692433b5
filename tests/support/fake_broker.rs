//! A broker for tests of the drivers: real sockets, one node, logs in memory, deduplication by number; and
//! connections that it cuts before or after it has carried out a request.
#![allow(dead_code, reason = "every test file uses a part of it")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::{Bytes, BytesMut};

use ottla::env::tokio::TokioEnv;
use ottla::env::{Env, Listener, Network, ReadHalf, Stream, WriteHalf};
use ottla::error_code::ErrorCode;
use ottla::types::{LeaderEpoch, Offset, Uuid};
use ottla::wire::batch::{BatchHeader, HEADER_LEN, increment_sequence, stamp};
use ottla::wire::frame::{FrameDecoder, encode_response};
use ottla::wire::header::RequestHeader;
use ottla::wire::messages::api_versions::{ApiVersion, ApiVersionsRequest, ApiVersionsResponse};
use ottla::wire::messages::create_topics::{CreatableTopicResult, CreateTopicsRequest, CreateTopicsResponse};
use ottla::wire::messages::delete_topics::{DeletableTopicResult, DeleteTopicsRequest, DeleteTopicsResponse};
use ottla::wire::messages::describe_cluster::{
    DescribeClusterBroker, DescribeClusterRequest, DescribeClusterResponse,
};
use ottla::wire::messages::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResourceResult, DescribeConfigsResponse, DescribeConfigsResult,
};
use ottla::wire::messages::describe_quorum::{
    DescribeQuorumRequest, DescribeQuorumResponse, PartitionResult, ReplicaState, TopicResult,
};
use ottla::wire::messages::describe_topic_partitions::{
    DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse,
    DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
};
use ottla::wire::messages::fetch::{FetchRequest, FetchResponse, FetchableTopicResponse, PartitionData};
use ottla::wire::messages::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};
use ottla::wire::messages::list_offsets::{
    ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsResponse, ListOffsetsTopicResponse,
};
use ottla::wire::messages::metadata::{
    MetadataRequest, MetadataResponse, MetadataResponseBroker, MetadataResponsePartition,
    MetadataResponseTopic,
};
use ottla::wire::messages::produce::{
    PartitionProduceResponse, ProduceRequest, ProduceResponse, TopicProduceResponse,
};
use ottla::wire::{ApiKey, Message, Reader, Request};

const NODE: i32 = 1;
const LEADER_EPOCH: i32 = 5;

/// The broker. Dropping it ends it, connections and all.
pub(crate) struct FakeBroker {
    pub(crate) address: SocketAddr,
    pub(crate) state: Arc<Mutex<State>>,
    _task: <TokioEnv as Env>::Task,
}

#[derive(Default)]
pub(crate) struct State {
    topics: BTreeMap<String, (Uuid, Vec<Log>)>,
    /// Every so many Produce requests, the connection is cut: first before, next time after the append.
    pub(crate) cut_every: u64,
    produced: u64,
    next_producer_id: i64,
    /// APIs that the broker pretends not to have.
    pub(crate) lacks: Vec<ApiKey>,
    /// The highest version it takes of any API.
    pub(crate) version_max: Option<i16>,
    pub(crate) refuse_produce: Option<ErrorCode>,
    /// The other broker of two, each of which takes itself for the leader.
    pub(crate) other: Option<SocketAddr>,
    /// How much later than the other it was elected: 0 or 1. Its id is as much higher.
    pub(crate) rank: i32,
}

/// A producer's epoch, its last number, and the numbers and offsets of its batches.
type Known = (i16, i32, Vec<(i32, i64)>);

#[derive(Default)]
struct Log {
    batches: Vec<Bytes>,
    end: i64,
    producers: BTreeMap<i64, Known>,
}

impl FakeBroker {
    pub(crate) async fn start(env: &TokioEnv) -> Self {
        let mut listener = env.network().bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_address();
        let state = Arc::new(Mutex::new(State { next_producer_id: 7, ..State::default() }));
        let (shared, env2) = (state.clone(), env.clone());
        let task = env.spawn("fake-broker", async move {
            let mut connections = Vec::new();
            while let Ok((stream, _)) = listener.accept().await {
                let serve = serve(stream, shared.clone(), address);
                connections.push(env2.spawn("fake-connection", serve));
            }
        });
        Self { address, state, _task: task }
    }

    pub(crate) fn server(&self) -> String {
        self.address.to_string()
    }

    pub(crate) fn create(&self, name: &str, partitions: usize) {
        self.state.lock().unwrap().create(name, partitions);
    }
}

async fn serve(stream: impl Stream, state: Arc<Mutex<State>>, address: SocketAddr) {
    let (mut read, mut write) = stream.split();
    let mut decoder = FrameDecoder::new(100 << 20);
    let mut buffer = BytesMut::new();
    loop {
        buffer.reserve(64 << 10);
        match read.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        while let Some(frame) = decoder.next(&mut buffer).unwrap() {
            let answer = state.lock().unwrap().answer(&frame, address);
            match answer {
                Answer::Send(mut segments) => {
                    if write.write(&mut segments).await.is_err() {
                        return;
                    }
                }
                Answer::Nothing => {}
                Answer::Cut => return,
            }
        }
    }
}

enum Answer {
    Send(Vec<Bytes>),
    Nothing,
    Cut,
}

impl State {
    fn create(&mut self, name: &str, partitions: usize) -> Uuid {
        let id = Uuid(1000 + self.topics.len() as u128);
        let logs = (0..partitions).map(|_| Log::default()).collect();
        self.topics.insert(name.to_owned(), (id, logs));
        id
    }

    fn answer(&mut self, frame: &Bytes, address: SocketAddr) -> Answer {
        let mut reader = Reader::new(frame);
        let header = RequestHeader::decode(&mut reader).unwrap();
        let body = &mut reader;
        let answer = match ApiKey::from_code(header.api_key).unwrap() {
            ApiKey::ApiVersions => self.versions(&header, body),
            ApiKey::Metadata => respond(&header, body, |request| self.metadata(request, address)),
            ApiKey::InitProducerId => respond(&header, body, |_: InitProducerIdRequest| {
                self.next_producer_id += 1;
                InitProducerIdResponse { producer_id: self.next_producer_id, ..Default::default() }
            }),
            ApiKey::Produce => return self.produce(&header, body),
            ApiKey::Fetch => respond(&header, body, |request| self.fetch(&request)),
            ApiKey::ListOffsets => respond(&header, body, |request| self.list(&request)),
            ApiKey::CreateTopics => respond(&header, body, |request| self.create_topics(&request)),
            ApiKey::DeleteTopics => respond(&header, body, |request| self.delete_topics(&request)),
            ApiKey::DescribeConfigs => respond(&header, body, |request| describe_configs(&request)),
            ApiKey::DescribeCluster => {
                respond(&header, body, |_: DescribeClusterRequest| describe_cluster(address))
            }
            ApiKey::DescribeQuorum => respond(&header, body, |_: DescribeQuorumRequest| describe_quorum()),
            ApiKey::DescribeTopicPartitions => {
                respond(&header, body, |request| self.describe_partitions(request))
            }
            key => panic!("the fake broker does not know {key}"),
        };
        Answer::Send(answer)
    }

    fn versions(&self, header: &RequestHeader, body: &mut Reader<'_>) -> Vec<Bytes> {
        let known = [
            ApiKey::Produce,
            ApiKey::Fetch,
            ApiKey::ListOffsets,
            ApiKey::Metadata,
            ApiKey::ApiVersions,
            ApiKey::CreateTopics,
            ApiKey::DeleteTopics,
            ApiKey::InitProducerId,
            ApiKey::DescribeConfigs,
            ApiKey::DescribeQuorum,
            ApiKey::DescribeCluster,
            ApiKey::DescribeTopicPartitions,
        ];
        let version_max = self.version_max.unwrap_or(i16::MAX);
        let api_keys = known.into_iter().filter(|key| !self.lacks.contains(key)).map(|key| ApiVersion {
            api_key: key.code(),
            min_version: key.versions().min,
            max_version: key.versions().max.min(version_max),
        });
        let mut response = ApiVersionsResponse { api_keys: api_keys.collect(), ..Default::default() };
        if header.api_version > version_max {
            response.error_code = ErrorCode::UnsupportedVersion.code();
            return encode_response::<ApiVersionsRequest>(0, header.correlation_id, &response).unwrap();
        }
        respond(header, body, |_: ApiVersionsRequest| response)
    }

    fn metadata(&mut self, request: MetadataRequest, address: SocketAddr) -> MetadataResponse {
        let (rank, own) = (self.rank, NODE + self.rank);
        let names: Vec<String> = match request.topics {
            Some(topics) => topics.into_iter().filter_map(|topic| topic.name).collect(),
            None => self.topics.keys().cloned().collect(),
        };
        let topics = names.into_iter().map(|name| {
            if request.allow_auto_topic_creation && !self.topics.contains_key(&name) {
                self.create(&name, 1);
            }
            let Some((topic_id, logs)) = self.topics.get(&name) else {
                let error_code = ErrorCode::UnknownTopicOrPartition.code();
                return MetadataResponseTopic { error_code, name: Some(name), ..Default::default() };
            };
            let partitions = (0..logs.len() as i32).map(|partition_index| MetadataResponsePartition {
                partition_index,
                leader_id: own,
                leader_epoch: LEADER_EPOCH + rank,
                replica_nodes: vec![own],
                isr_nodes: vec![own],
                ..Default::default()
            });
            let (topic_id, partitions) = (*topic_id, partitions.collect());
            MetadataResponseTopic { name: Some(name), topic_id, partitions, ..Default::default() }
        });
        let topics = topics.collect();
        let broker = |node_id, address: SocketAddr| {
            let (host, port) = (address.ip().to_string(), i32::from(address.port()));
            MetadataResponseBroker { node_id, host, port, rack: None }
        };
        let other = self.other.map(|address| broker(NODE + 1 - rank, address));
        MetadataResponse {
            brokers: other.into_iter().chain([broker(own, address)]).collect(),
            cluster_id: Some("fake".into()),
            controller_id: NODE,
            topics,
            ..Default::default()
        }
    }

    fn describe_partitions(
        &mut self,
        request: DescribeTopicPartitionsRequest,
    ) -> DescribeTopicPartitionsResponse {
        let named: Vec<String> = request.topics.into_iter().map(|topic| topic.name).collect();
        let names = if named.is_empty() { self.topics.keys().cloned().collect() } else { named };
        let topics = names.into_iter().map(|name| {
            let Some((topic_id, logs)) = self.topics.get(&name) else {
                let error_code = ErrorCode::UnknownTopicOrPartition.code();
                return DescribeTopicPartitionsResponseTopic {
                    error_code,
                    name: Some(name),
                    ..Default::default()
                };
            };
            let partition = |partition_index| DescribeTopicPartitionsResponsePartition {
                partition_index,
                leader_id: NODE,
                leader_epoch: LEADER_EPOCH,
                replica_nodes: vec![NODE],
                isr_nodes: vec![NODE],
                ..Default::default()
            };
            let (topic_id, partitions) = (*topic_id, (0..logs.len() as i32).map(partition).collect());
            DescribeTopicPartitionsResponseTopic {
                name: Some(name),
                topic_id,
                partitions,
                ..Default::default()
            }
        });
        DescribeTopicPartitionsResponse { topics: topics.collect(), ..Default::default() }
    }

    fn topic(&mut self, name: &str, id: Uuid) -> &mut (Uuid, Vec<Log>) {
        if id == Uuid::ZERO {
            return self.topics.get_mut(name).unwrap();
        }
        self.topics.values_mut().find(|topic| topic.0 == id).unwrap()
    }

    fn produce(&mut self, header: &RequestHeader, body: &mut Reader<'_>) -> Answer {
        let request = ProduceRequest::decode(body, header.api_version).unwrap();
        self.produced += 1;
        let turn = if self.cut_every == 0 { 1 } else { self.produced % (2 * self.cut_every) };
        if self.cut_every > 0 && turn == 0 {
            return Answer::Cut;
        }
        let refuse = self.refuse_produce;
        let mut responses = Vec::new();
        for topic in &request.topic_data {
            let logs = &mut self.topic(&topic.name, topic.topic_id).1;
            let answers = topic.partition_data.iter().map(|data| {
                let records = data.records.as_ref().unwrap();
                let outcome = match refuse {
                    Some(code) => Err(code),
                    None => logs[data.index as usize].append(records),
                };
                PartitionProduceResponse {
                    index: data.index,
                    base_offset: outcome.unwrap_or(-1),
                    error_code: outcome.err().unwrap_or(ErrorCode::None).code(),
                    ..Default::default()
                }
            });
            let (name, topic_id) = (topic.name.clone(), topic.topic_id);
            responses.push(TopicProduceResponse { name, topic_id, partition_responses: answers.collect() });
        }
        if turn == self.cut_every {
            return Answer::Cut;
        }
        if request.acks == 0 {
            return Answer::Nothing;
        }
        let response = ProduceResponse { responses, ..Default::default() };
        Answer::Send(
            encode_response::<ProduceRequest>(header.api_version, header.correlation_id, &response).unwrap(),
        )
    }

    fn fetch(&mut self, request: &FetchRequest) -> FetchResponse {
        let mut responses = Vec::new();
        for topic in &request.topics {
            let logs = &self.topic(&topic.topic, topic.topic_id).1;
            let partitions = topic.partitions.iter().map(|asked| {
                let log = &logs[asked.partition as usize];
                let mut data = PartitionData {
                    partition_index: asked.partition,
                    high_watermark: log.end,
                    last_stable_offset: log.end,
                    ..Default::default()
                };
                if asked.fetch_offset > log.end {
                    data.error_code = ErrorCode::OffsetOutOfRange.code();
                }
                let later =
                    |batch: &&Bytes| BatchHeader::parse(batch).unwrap().last_offset().0 >= asked.fetch_offset;
                let batches: Vec<Bytes> = log.batches.iter().filter(later).take(3).cloned().collect();
                data.records = Some(Bytes::from(batches.concat()));
                data
            });
            let partitions = partitions.collect();
            let (topic, topic_id) = (topic.topic.clone(), topic.topic_id);
            responses.push(FetchableTopicResponse { topic, topic_id, partitions });
        }
        FetchResponse { responses, ..Default::default() }
    }

    fn list(&mut self, request: &ListOffsetsRequest) -> ListOffsetsResponse {
        let topics = request.topics.iter().map(|topic| {
            let logs = &self.topics[&topic.name].1;
            let partitions = topic.partitions.iter().map(|asked| ListOffsetsPartitionResponse {
                partition_index: asked.partition_index,
                offset: match asked.timestamp {
                    -1 => logs[asked.partition_index as usize].end,
                    -2 => 0,
                    _ => -1,
                },
                ..Default::default()
            });
            ListOffsetsTopicResponse { name: topic.name.clone(), partitions: partitions.collect() }
        });
        ListOffsetsResponse { topics: topics.collect(), ..Default::default() }
    }

    fn create_topics(&mut self, request: &CreateTopicsRequest) -> CreateTopicsResponse {
        let topics = request.topics.iter().map(|topic| {
            let name = topic.name.clone();
            if self.topics.contains_key(&name) {
                let error_code = ErrorCode::TopicAlreadyExists.code();
                let error_message = Some(format!("Topic '{name}' already exists."));
                return CreatableTopicResult { name, error_code, error_message, ..Default::default() };
            }
            let num_partitions = topic.num_partitions.max(1);
            let topic_id = self.create(&name, num_partitions as usize);
            let error_message = None;
            let replication_factor = 1;
            CreatableTopicResult {
                name,
                topic_id,
                num_partitions,
                replication_factor,
                error_message,
                ..Default::default()
            }
        });
        CreateTopicsResponse { topics: topics.collect(), ..Default::default() }
    }

    fn delete_topics(&mut self, request: &DeleteTopicsRequest) -> DeleteTopicsResponse {
        let named = request.topics.iter().filter_map(|topic| topic.name.clone());
        let names: Vec<String> = named.chain(request.topic_names.iter().cloned()).collect();
        let responses = names.into_iter().map(|name| {
            let gone = self.topics.remove(&name).is_some();
            let error = if gone { ErrorCode::None } else { ErrorCode::UnknownTopicOrPartition };
            DeletableTopicResult { name: Some(name), error_code: error.code(), ..Default::default() }
        });
        DeleteTopicsResponse { responses: responses.collect(), ..Default::default() }
    }
}

impl Log {
    fn append(&mut self, records: &Bytes) -> Result<i64, ErrorCode> {
        let header = BatchHeader::verify(records).map_err(|_| ErrorCode::CorruptMessage)?;
        if header.producer_id.0 >= 0 {
            let (epoch, sequence) = (header.producer_epoch.0, header.base_sequence);
            let known = self.producers.entry(header.producer_id.0).or_insert((epoch, -1, Vec::new()));
            if epoch < known.0 {
                return Err(ErrorCode::InvalidProducerEpoch);
            }
            if epoch > known.0 {
                *known = (epoch, -1, Vec::new());
            }
            if let Some((_, offset)) = known.2.iter().rev().take(5).find(|batch| batch.0 == sequence) {
                return Ok(*offset);
            }
            if sequence != increment_sequence(known.1, 1) {
                return Err(ErrorCode::OutOfOrderSequenceNumber);
            }
            known.1 = header.last_sequence();
            known.2.push((sequence, self.end));
        }
        let base = self.end;
        let stamped = stamp(records, Offset(base), LeaderEpoch(LEADER_EPOCH), None);
        let mut batch = BytesMut::from(&stamped[..]);
        batch.extend_from_slice(&records[HEADER_LEN..]);
        self.batches.push(batch.freeze());
        self.end += i64::from(header.last_offset_delta) + 1;
        Ok(base)
    }
}

/// `default.replication.factor` of the broker is 3; a topic has one config of its own.
fn describe_configs(request: &DescribeConfigsRequest) -> DescribeConfigsResponse {
    const BROKER: i8 = 4;
    let results = request.resources.iter().map(|resource| {
        let (name, value, config_source) = match resource.resource_type {
            BROKER => ("default.replication.factor", "3", 4),
            _ => ("cleanup.policy", "compact", 1),
        };
        let asked = resource.configuration_keys.as_ref();
        let config = DescribeConfigsResourceResult {
            name: name.into(),
            value: Some(value.into()),
            config_source,
            ..Default::default()
        };
        DescribeConfigsResult {
            resource_type: resource.resource_type,
            resource_name: resource.resource_name.clone(),
            configs: vec![config]
                .into_iter()
                .filter(|config| asked.is_none_or(|keys| keys.contains(&config.name)))
                .collect(),
            ..Default::default()
        }
    });
    DescribeConfigsResponse { results: results.collect(), ..Default::default() }
}

fn describe_cluster(address: SocketAddr) -> DescribeClusterResponse {
    let (host, port) = (address.ip().to_string(), i32::from(address.port()));
    DescribeClusterResponse {
        cluster_id: "fake".to_owned(),
        controller_id: NODE,
        brokers: vec![DescribeClusterBroker { broker_id: NODE, host, port, ..Default::default() }],
        ..Default::default()
    }
}

/// One voter, which leads.
fn describe_quorum() -> DescribeQuorumResponse {
    let voter = ReplicaState {
        replica_id: NODE,
        log_end_offset: 8,
        last_fetch_timestamp: 1000,
        last_caught_up_timestamp: 1000,
        ..Default::default()
    };
    let partition = PartitionResult {
        leader_id: NODE,
        leader_epoch: LEADER_EPOCH,
        high_watermark: 7,
        current_voters: vec![voter],
        ..Default::default()
    };
    let topic_name = "__cluster_metadata".to_owned();
    let topics = vec![TopicResult { topic_name, partitions: vec![partition] }];
    DescribeQuorumResponse { topics, ..Default::default() }
}

fn respond<R: Request>(
    header: &RequestHeader,
    body: &mut Reader<'_>,
    answer: impl FnOnce(R) -> R::Response,
) -> Vec<Bytes> {
    let request = R::decode(body, header.api_version).unwrap();
    encode_response::<R>(header.api_version, header.correlation_id, &answer(request)).unwrap()
}
