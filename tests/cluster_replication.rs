//! Three nodes on real sockets: what is acknowledged is on all of them, and survives the loss of its leader.
#![expect(clippy::unwrap_used, reason = "in a test, a panic is the report")]

#[path = "support/cluster.rs"]
mod cluster;
#[path = "support/command.rs"]
mod command;
#[path = "cluster/configs.rs"]
mod configs;
#[path = "cluster/controllers.rs"]
mod controllers;
#[path = "cluster/deleting.rs"]
mod deleting;
#[path = "cluster/following.rs"]
mod following;
#[path = "cluster/moves.rs"]
mod moves;
#[path = "support/node.rs"]
mod node;
#[path = "cluster/status.rs"]
mod status;
#[path = "support/tree.rs"]
mod tree;

use cluster::{Cluster, NODES, PATIENCE};
use node::{batch, produce_request};
use ottla::env::{Clock as _, Env as _};
use ottla::types::Offset;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_acknowledged_survives_its_leader() {
    let mut cluster = Cluster::start().await;
    cluster.create("t", &[("min.insync.replicas", "2")]).await;
    cluster.produce("t", 0..200).await;
    cluster.wait_until_all_have("t", 200).await;

    let first = cluster.leader("t").await;
    let epoch = cluster.partition("t").await.leader_epoch;
    cluster.crash(first);
    cluster.produce("t", 200..300).await;
    let second = cluster.leader("t").await;
    assert_ne!(second, first, "another leads");
    let partition = cluster.partition("t").await;
    assert!(partition.leader_epoch > epoch, "{partition:?}");
    cluster.wait_until_all_have("t", 300).await;
    cluster.check("t", 300).await;

    cluster.restart(first).await;
    cluster.wait_for("t", |partition| partition.isr.len() == NODES).await;
    cluster.wait_until_all_have("t", 300).await;

    // A clean stop hands over, and the one that was away leads as well as another.
    let leader = cluster.leader("t").await;
    cluster.stop(leader).await;
    cluster.produce("t", 300..350).await;
    cluster.restart(leader).await;
    cluster.wait_for("t", |partition| partition.isr.len() == NODES).await;
    cluster.wait_until_all_have("t", 350).await;
    cluster.check("t", 350).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_that_has_what_nobody_acknowledged_cuts_it_off() {
    let mut cluster = Cluster::start().await;
    // Two in sync are needed: so the others are eligible, and the leader commits nothing alone.
    cluster.create("t", &[("min.insync.replicas", "2")]).await;
    cluster.produce("t", 0..20).await;
    cluster.wait_until_all_have("t", 20).await;
    // The leader alone appends more, which the others never hear of.
    let leader = cluster.leader("t").await;
    for other in (0..NODES).filter(|other| *other != leader) {
        cluster.crash(other);
    }
    let node = cluster.nodes[leader].as_ref().unwrap();
    let connection = node.connect().await;
    let deadline = connection.env().clock().now() + PATIENCE;
    let lost = connection.start(&produce_request(1, vec![("t", 0, batch(&["lost"]))]), 12, deadline);
    assert_eq!(lost.unwrap().wait().await.unwrap().responses[0].partition_responses[0].error_code, 0);
    assert_eq!(cluster.replicas("t")[0].positions.log_end.offset(), Offset(21));
    assert_eq!(cluster.replicas("t")[0].positions.high_watermark.offset(), Offset(20));
    drop(connection);
    cluster.crash(leader);

    let others: Vec<usize> = (0..NODES).filter(|other| *other != leader).collect();
    let (first, second) = tokio::join!(cluster.open(others[0]), cluster.open(others[1]));
    (cluster.nodes[others[0]], cluster.nodes[others[1]]) = (Some(first), Some(second));
    cluster.produce("t", 20..30).await;
    cluster.restart(leader).await;
    cluster.wait_for("t", |partition| partition.isr.len() == NODES).await;
    cluster.wait_until_all_have("t", 30).await;
    cluster.check("t", 30).await;
}
