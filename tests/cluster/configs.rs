//! Configuration that acts at once, and throttles.

use ottla::client::admin::ConfigResource;
use ottla::error_code::ErrorCode;
use ottla::types::{BrokerId, Offset};

use crate::cluster::{Cluster, NODES, pause, wait_until};
use crate::moves::reassign;
use crate::node::{batch, produce};

fn topic(name: &str) -> ConfigResource {
    ConfigResource::Topic(name.to_owned())
}

/// What acks=all is answered.
async fn append(cluster: &Cluster, leader: usize, topic: &str) -> i16 {
    produce(&cluster.connect(leader).await, vec![(topic, 0, batch(&["x"]))]).await[0].error_code
}

#[tokio::test(flavor = "multi_thread")]
async fn min_insync_replicas_acts_at_once() {
    let mut cluster = Cluster::start().await;
    cluster.create("t", &[("min.insync.replicas", "1")]).await;
    let leader = cluster.leader("t").await;
    assert_eq!(append(&cluster, leader, "t").await, 0);
    let away = (0..NODES).find(|other| *other != leader).unwrap();
    cluster.crash(away);
    cluster.wait_for("t", |partition| partition.isr.len() == NODES - 1).await;
    cluster.set(topic("t"), "min.insync.replicas", "3").await;
    let leader = cluster.leader("t").await;
    append_until(&cluster, leader, ErrorCode::NotEnoughReplicas).await;
    cluster.set(topic("t"), "min.insync.replicas", "2").await;
    append_until(&cluster, leader, ErrorCode::None).await;
}

/// The controller has decided; the leader hears of it by the log.
async fn append_until(cluster: &Cluster, leader: usize, expected: ErrorCode) {
    let mut code = None;
    for _ in 0..200 {
        code = Some(append(cluster, leader, "t").await);
        if code == Some(expected.code()) {
            return;
        }
        pause().await;
    }
    panic!("{code:?} instead of {expected}");
}

#[tokio::test(flavor = "multi_thread")]
async fn leaders_go_back_to_the_preferred_replica() {
    let mut cluster = Cluster::start_with(&[("leader.imbalance.check.interval.seconds", "1")]).await;
    cluster.create("t", &[("min.insync.replicas", "1")]).await;
    let preferred = cluster.partition("t").await.replicas[0];
    let leader = cluster.leader("t").await;
    assert_eq!(BrokerId(leader as i32 + 1), preferred);
    cluster.stop(leader).await;
    cluster.wait_for("t", |partition| partition.leader.is_some_and(|leader| leader != preferred)).await;
    cluster.restart(leader).await;
    cluster.wait_for("t", |partition| partition.leader == Some(preferred)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_number_of_fetchers_changes_while_they_fetch() {
    let cluster = Cluster::start_with(&[("num.replica.fetchers", "2")]).await;
    cluster.create_spread("t", 6, NODES, &[("min.insync.replicas", "3")]).await;
    let mut end = 0;
    for fetchers in ["2", "4", "1", "3"] {
        cluster.set(ConfigResource::Broker(None), "num.replica.fetchers", fetchers).await;
        // Partition 0 through its leader, the others with it: all replicas have to follow for acks=all.
        cluster.produce("t", end..end + 50).await;
        end += 50;
    }
    cluster.wait_until_all_have("t", end as i64).await;
    let partition = cluster.partition("t").await;
    assert_eq!(partition.isr.len(), NODES);
    cluster.check("t", end).await;
}

/// A replica out of sync is kept back, on either side; one in sync is not.
#[tokio::test(flavor = "multi_thread")]
async fn a_reassignment_is_throttled() {
    for side in ["leader", "follower"] {
        let cluster = Cluster::start().await;
        cluster.create_spread("t", 1, 2, &[("min.insync.replicas", "2")]).await;
        let (rate, replicas) =
            (format!("{side}.replication.throttled.rate"), format!("{side}.replication.throttled.replicas"));
        cluster.set(ConfigResource::Broker(None), &rate, "1").await;
        cluster.set(topic("t"), &replicas, "*").await;
        let connection = cluster.connect(cluster.leader("t").await).await;
        for _ in 0..20 {
            let answers = produce(&connection, vec![("t", 0, batch(&[&"x".repeat(100_000)]))]).await;
            assert_eq!(answers[0].error_code, 0, "{side}: who is in sync is kept back: {answers:?}");
        }
        let mut brokers: Vec<i32> =
            cluster.partition("t").await.replicas.iter().map(|BrokerId(id)| *id).collect();
        let new = (1..=NODES as i32).find(|id| !brokers.contains(id)).unwrap();
        brokers.push(new);
        reassign(&cluster, "t", &brokers).await;
        let end = || {
            let replicas = cluster.nodes[new as usize - 1].as_ref().unwrap().replicas();
            let replica = replicas.iter().find(|replica| replica.name == "t-0");
            replica.map(|replica| replica.positions.log_end.offset())
        };
        wait_until("the new replica is there", || end().is_some()).await;
        for _ in 0..60 {
            pause().await;
        }
        // A Fetch takes no more than half of it, and the next is kept back.
        assert!(end().unwrap() < Offset(20), "{side}: {:?}", end());
        assert_eq!(cluster.partition("t").await.isr.len(), 2);

        cluster.set(ConfigResource::Broker(None), &rate, "100000000").await;
        cluster.wait_for("t", |partition| partition.isr.len() == NODES).await;
        cluster.wait_until_all_have("t", 20).await;
    }
}
