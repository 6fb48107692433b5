//! What followers fetch, when they count as in sync, and who reads from them.

use ottla::error_code::ErrorCode;
use ottla::types::{BrokerId, Offset};
use ottla::wire::messages::delete_records::*;
use ottla::wire::messages::describe_cluster::DescribeClusterRequest;
use ottla::wire::messages::fetch::{FetchPartition, FetchRequest, FetchTopic, PartitionData};
use ottla::wire::messages::list_offsets::*;

use crate::cluster::{Cluster, NODES};
use crate::node::{batch, call, call_at, produce};

/// F1: what the leader has deleted goes at the follower, too, though it was committed.
#[tokio::test(flavor = "multi_thread")]
async fn a_follower_whose_offset_is_out_of_range_starts_anew_where_the_leader_does() {
    let mut cluster = Cluster::start().await;
    cluster.create("t", &[("min.insync.replicas", "2")]).await;
    cluster.produce("t", 0..50).await;
    cluster.wait_until_all_have("t", 50).await;
    let leader = cluster.leader("t").await;
    let away = (0..NODES).find(|other| *other != leader).unwrap();
    cluster.crash(away);
    cluster.produce("t", 50..100).await;
    let deleted = cluster.admin().delete_records("t", 0, Some(Offset(80))).await.unwrap();
    assert_eq!(deleted, Offset(80));

    cluster.restart(away).await;
    cluster.wait_for("t", |partition| partition.isr.len() == NODES).await;
    cluster.wait_until_all_have("t", 100).await;
    let replicas = cluster.nodes[away].as_ref().unwrap().replicas();
    let replica = replicas.iter().find(|replica| replica.name == "t-0").unwrap();
    assert_eq!(replica.positions.log_start.offset(), Offset(80));
    // What it has is all that there is: it can lead.
    cluster.stop(leader).await;
    let values: Vec<_> = (80..100).map(|number| (number, number.to_string().into())).collect();
    let next = cluster.leader("t").await;
    assert_eq!(cluster.nodes[next].as_ref().unwrap().read("t").await, values);
}

/// R4: who does not catch up leaves the ISR though its broker counts as alive, and comes back when it has.
#[tokio::test(flavor = "multi_thread")]
async fn the_isr_shrinks_by_lag_and_expands_again() {
    let mut cluster =
        Cluster::start_with(&[("replica.lag.time.max.ms", "1000"), ("broker.session.timeout.ms", "12000")])
            .await;
    cluster.create("t", &[("min.insync.replicas", "1")]).await;
    cluster.produce("t", 0..10).await;
    cluster.wait_until_all_have("t", 10).await;
    let leader = cluster.leader("t").await;
    let late = (0..NODES).find(|other| *other != leader).unwrap();
    cluster.crash(late);
    // Committed only once the ISR has let the late one go: well before its session ends.
    cluster.produce("t", 10..20).await;
    let partition = cluster.partition("t").await;
    assert_eq!(partition.isr.len(), NODES - 1, "{partition:?}");
    assert_eq!(partition.leader, Some(BrokerId(leader as i32 + 1)));
    let request = DescribeClusterRequest { include_fenced_brokers: true, ..Default::default() };
    let described = call_at(&cluster.connect(leader).await, &request, 2).await;
    assert_eq!(described.brokers.iter().filter(|broker| !broker.is_fenced).count(), NODES, "{described:?}");

    cluster.restart(late).await;
    cluster.wait_for("t", |partition| partition.isr.len() == NODES).await;
    cluster.wait_until_all_have("t", 20).await;
    cluster.check("t", 20).await;
}

/// Only the leader answers, not who follows, nor who has no replica.
#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_lead_says_so_to_producers_consumers_and_deleters() {
    let cluster = Cluster::start().await;
    cluster.create_spread("t", 1, NODES - 1, &[("min.insync.replicas", "1")]).await;
    cluster.produce("t", 0..10).await;
    let leader = cluster.leader("t").await;
    for index in 0..NODES {
        let connection = cluster.connect(index).await;
        let produced = produce(&connection, vec![("t", 0, batch(&["x"]))]).await[0].error_code;
        let fetched = fetch(&cluster, index, "", 0).await.error_code;
        let partitions = vec![ListOffsetsPartition { timestamp: -2, ..ListOffsetsPartition::default() }];
        let topics = vec![ListOffsetsTopic { name: "t".to_owned(), partitions }];
        let list = ListOffsetsRequest { replica_id: -1, topics, ..ListOffsetsRequest::default() };
        let listed = call_at(&connection, &list, 7).await.topics[0].partitions[0].error_code;
        let partitions = vec![DeleteRecordsPartition { partition_index: 0, offset: 1 }];
        let topics = vec![DeleteRecordsTopic { name: "t".to_owned(), partitions }];
        let delete = DeleteRecordsRequest { topics, timeout_ms: 5_000 };
        let deleted = call(&connection, &delete).await.topics[0].partitions[0].error_code;
        let expected = if index == leader { ErrorCode::None } else { ErrorCode::NotLeaderOrFollower };
        assert_eq!([produced, fetched, listed, deleted], [expected.code(); 4], "node {index} of {leader}");
        // Kafka's replica id for looking into replicas.
        let looked = fetch_as(-2, &cluster, index, "", 1).await.error_code;
        let hosted = cluster.partition("t").await.replicas.contains(&BrokerId(index as i32 + 1));
        let expected = if hosted { ErrorCode::None } else { ErrorCode::NotLeaderOrFollower };
        assert_eq!(looked, expected.code(), "node {index}");
    }
}

/// What a consumer in a rack is answered.
async fn fetch(cluster: &Cluster, index: usize, rack: &str, from: i64) -> PartitionData {
    fetch_as(-1, cluster, index, rack, from).await
}

async fn fetch_as(replica_id: i32, cluster: &Cluster, index: usize, rack: &str, from: i64) -> PartitionData {
    let partition =
        FetchPartition { fetch_offset: from, partition_max_bytes: 1 << 20, ..FetchPartition::default() };
    let topic = FetchTopic { topic: "t".to_owned(), partitions: vec![partition], ..FetchTopic::default() };
    let request = FetchRequest {
        replica_id,
        max_wait_ms: 500,
        min_bytes: 1,
        max_bytes: 1 << 20,
        rack_id: rack.to_owned(),
        topics: vec![topic],
        ..FetchRequest::default()
    };
    call(&cluster.connect(index).await, &request).await.responses[0].partitions[0].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn kip_392_consumers_read_from_the_replica_in_their_rack() {
    let selector = "org.apache.kafka.common.replica.RackAwareReplicaSelector";
    let mut cluster = Cluster::start_with(&[("replica.selector.class", selector)]).await;
    cluster.create("t", &[("min.insync.replicas", "1")]).await;
    cluster.produce("t", 0..10).await;
    cluster.wait_until_all_have("t", 10).await;
    let leader = cluster.leader("t").await;
    let other = (0..NODES).find(|other| *other != leader).unwrap();
    let rack = |index: usize| format!("rack-{}", index + 1);

    let sent = fetch(&cluster, leader, &rack(other), 0).await;
    assert_eq!((sent.error_code, sent.preferred_read_replica), (0, other as i32 + 1));
    assert!(sent.records.is_none_or(|records| records.is_empty()), "the follower has them");
    let read = fetch(&cluster, other, &rack(other), 0).await;
    assert_eq!((read.error_code, read.high_watermark, read.preferred_read_replica), (0, 10, -1));
    assert!(read.records.is_some_and(|records| !records.is_empty()));
    // Who is in the leader's rack, in none, or in one without a replica, reads from the leader.
    for here in [rack(leader), String::new(), "elsewhere".to_owned()] {
        let read = fetch(&cluster, leader, &here, 0).await;
        assert_eq!((read.error_code, read.preferred_read_replica), (0, -1), "{here}");
        assert!(read.records.is_some_and(|records| !records.is_empty()), "{here}");
    }
    // Nobody is sent to a broker that is away.
    cluster.crash(other);
    cluster.wait_for("t", |partition| partition.isr.len() == NODES - 1).await;
    let read = fetch(&cluster, leader, &rack(other), 0).await;
    assert_eq!((read.error_code, read.preferred_read_replica), (0, -1));
}
