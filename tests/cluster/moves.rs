//! Partitions that move to other brokers.

use ottla::node::ReplicaSnapshot;
use ottla::types::{BrokerId, Offset};
use ottla::wire::messages::alter_partition_reassignments::{
    AlterPartitionReassignmentsRequest, ReassignablePartition, ReassignableTopic,
};

use crate::cluster::{Cluster, NODES, wait_until};
use crate::node::call;

/// Has the partition of a topic live on these brokers.
pub(crate) async fn reassign(cluster: &Cluster, topic: &str, replicas: &[i32]) {
    let partition = ReassignablePartition { partition_index: 0, replicas: Some(replicas.to_vec()) };
    let topic = ReassignableTopic { name: topic.to_owned(), partitions: vec![partition] };
    let request = AlterPartitionReassignmentsRequest { topics: vec![topic], ..Default::default() };
    let connection = cluster.running().next().unwrap().connect().await;
    let response = call(&connection, &request).await;
    assert_eq!(response.error_code, 0, "{response:?}");
    assert_eq!(response.responses[0].partitions[0].error_code, 0, "{response:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_is_moved_away_is_deleted_and_one_that_comes_back_begins_anew() {
    let mut cluster = Cluster::start().await;
    cluster.create("t", &[("min.insync.replicas", "2")]).await;
    cluster.produce("t", 0..100).await;
    cluster.wait_until_all_have("t", 100).await;
    let away = cluster.leader("t").await;
    let rest: Vec<usize> = (0..NODES).filter(|other| *other != away).collect();
    let ids = |places: &[usize]| places.iter().map(|place| *place as i32 + 1).collect::<Vec<_>>();

    reassign(&cluster, "t", &ids(&rest)).await;
    cluster.wait_for("t", |partition| partition.replicas.len() == 2 && partition.leader.is_some()).await;
    let has_none = || {
        let replicas = cluster.nodes[away].as_ref().unwrap().replicas();
        replicas.iter().all(|replica| replica.name != "t-0")
    };
    wait_until("the replica is gone", has_none).await;
    wait_until("its directory is put away", || !cluster.names(away, "t-0").contains(&"t-0".to_owned())).await;
    assert!(cluster.names(away, "t-0").iter().all(|name| name.ends_with("-delete")));
    cluster.produce("t", 100..120).await;
    cluster.check("t", 120).await;

    // It comes back while what it had waits to be removed, and once more when it was away in between.
    reassign(&cluster, "t", &[ids(&rest), ids(&[away])].concat()).await;
    cluster.wait_for("t", |partition| partition.isr.len() == NODES).await;
    cluster.wait_until_all_have("t", 120).await;
    cluster.crash(away);
    cluster.restart(away).await;
    cluster.wait_for("t", |partition| partition.isr.len() == NODES).await;
    cluster.wait_until_all_have("t", 120).await;
    assert_eq!(cluster.names(away, "t-0"), ["t-0"], "what was put away goes with the next start");
    cluster.check("t", 120).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_is_moved_away_while_its_broker_is_down_is_put_aside() {
    let mut cluster = Cluster::start().await;
    cluster.create("t", &[("min.insync.replicas", "1")]).await;
    cluster.produce("t", 0..10).await;
    cluster.wait_until_all_have("t", 10).await;
    let away = cluster.leader("t").await;
    cluster.stop(away).await;
    let rest: Vec<i32> = (0..NODES).filter(|other| *other != away).map(|place| place as i32 + 1).collect();
    reassign(&cluster, "t", &rest).await;
    cluster.wait_for("t", |partition| partition.replicas.len() == 2 && partition.leader.is_some()).await;

    cluster.restart(away).await;
    assert!(cluster.nodes[away].as_ref().unwrap().replicas().iter().all(|replica| replica.name != "t-0"));
    let names = cluster.names(away, "t-0");
    assert!(names.len() == 1 && names[0].ends_with("-stray"), "{names:?}");
    // Another may come in its place, and start without the old one's checkpoints.
    reassign(&cluster, "t", &[rest, vec![away as i32 + 1]].concat()).await;
    cluster.wait_for("t", |partition| partition.isr.len() == NODES).await;
    let here = |replica: &&ReplicaSnapshot| replica.name == "t-0";
    let replicas = cluster.nodes[away].as_ref().unwrap().replicas();
    assert_eq!(replicas.iter().find(here).unwrap().positions.log_end.offset(), Offset(10));
    let BrokerId(leader) = cluster.partition("t").await.leader.unwrap();
    assert_ne!(leader as usize, away + 1);
    cluster.check("t", 10).await;
}
