//! Records that are deleted on all replicas, or on those that are there.

use std::time::Duration;

use ottla::client::admin::{Admin, AdminError};
use ottla::client::config::ClientConfig;
use ottla::env::tokio::TokioEnv;
use ottla::types::Offset;

use crate::cluster::{Cluster, NODES};

#[tokio::test(flavor = "multi_thread")]
async fn records_are_deleted_once_every_replica_that_lives_has_followed() {
    let mut cluster = Cluster::start().await;
    cluster.create("t", &[]).await;
    cluster.produce("t", 0..50).await;
    cluster.wait_until_all_have("t", 50).await;
    let log_starts = |cluster: &Cluster| -> Vec<i64> {
        cluster.replicas("t").iter().map(|replica| replica.positions.log_start.offset().0).collect()
    };
    assert_eq!(cluster.admin().delete_records("t", 0, Some(Offset(20))).await.unwrap(), Offset(20));
    assert_eq!(log_starts(&cluster), [20, 20, 20]);
    assert_eq!(cluster.admin().delete_records("t", 0, Some(Offset(7))).await.unwrap(), Offset(20));

    // One that is away and not fenced yet is waited for, as long as there is time.
    let leader = cluster.leader("t").await;
    let other = (leader + 1) % NODES;
    let request_timeout = Duration::from_millis(300);
    let impatient = ClientConfig { request_timeout, ..cluster.client() };
    let mut impatient = Admin::new(&TokioEnv::new().unwrap(), impatient, 0).unwrap();
    assert!(impatient.describe_topics(&["t".to_owned()]).await.is_ok(), "it knows the leader");
    cluster.crash(other);
    let outcome = impatient.delete_records("t", 0, Some(Offset(30))).await;
    assert!(matches!(outcome, Err(AdminError::Unknown(_))), "{outcome:?}");
    // Nobody waits for one that is fenced.
    assert_eq!(cluster.admin().delete_records("t", 0, None).await.unwrap(), Offset(50));
    assert_eq!(log_starts(&cluster), [50, 50]);
    cluster.restart(other).await;
    // Until the leader hears that it is back, it does not wait for it.
    cluster.wait_for("t", |partition| partition.isr.len() == NODES).await;
    assert_eq!(cluster.admin().delete_records("t", 0, None).await.unwrap(), Offset(50));
    assert_eq!(log_starts(&cluster), [50, 50, 50]);
}
