//! What the command line tells of a cluster that loses its nodes.

use ottla::env::tokio::TokioEnv;

use crate::cluster::{Cluster, NODES, PATIENCE, pause};
use crate::command;

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_tells_what_is_wrong_and_why() {
    let env = TokioEnv::new().unwrap();
    let mut cluster = Cluster::start().await;
    cluster.create("t", &[("min.insync.replicas", "2")]).await;
    cluster.produce("t", 0..20).await;
    cluster.wait_until_all_have("t", 20).await;
    let server = |cluster: &Cluster| cluster.running().next().unwrap().address.to_string();
    let well = command::ottla(&env, &server(&cluster), "cluster status", "").await;
    assert!(
        well.stdout
            .ends_with("1 topic with 1 partition: each has its leader, and all its replicas are in sync\n")
    );
    assert!(well.ok && well.stderr.is_empty(), "{}", well.stderr);
    let described = command::ottla(&env, &server(&cluster), "topics describe t", "").await;
    for id in 1..=NODES {
        let row = described
            .stdout
            .lines()
            .find(|line| line.starts_with(&format!("0          {id}        ")))
            .unwrap();
        let words: Vec<&str> = row.split_whitespace().collect();
        assert_eq!(words[words.len() - 3..], ["0", "20", "20"], "{}", described.stdout);
    }

    let controller = format!("127.0.0.1:{}", cluster.ports().next().unwrap());
    let asked = command::ottla(&env, &controller, "cluster status", "").await;
    assert!(!asked.ok && asked.stderr.contains("a controller listens there"), "{}", asked.stderr);

    // One is gone: its replicas are missing, and the reason is told.
    let leader = cluster.leader("t").await;
    let gone = (leader + 1) % NODES;
    cluster.crash(gone);
    cluster.wait_for("t", |partition| partition.isr.len() == NODES - 1).await;
    let id = gone + 1;
    let reason = format!(
        "\n1 partition is under-replicated\n  replica {id} is out of the ISR: broker {id} is fenced\n    t  0\n"
    );
    let mut status = String::new();
    // The leader may notice before the controller does, all the more if that has to be elected first.
    for _ in 0..PATIENCE.as_millis() / 50 {
        status = command::ottla(&env, &server(&cluster), "cluster status", "").await.stdout;
        if status.ends_with(&reason) {
            break;
        }
        pause().await;
    }
    assert!(status.ends_with(&reason), "{status}");
    let described = command::ottla(&env, &server(&cluster), "topics describe t", "").await;
    assert!(described.stdout.contains(&format!("broker {id} is fenced")), "{}", described.stdout);

    // So is the quorum: what is left says what it knows. A leader of it goes on for as long as it may hope.
    cluster.crash(leader);
    let mut status = command::ottla(&env, &server(&cluster), "cluster status", "").await;
    for _ in 0..PATIENCE.as_millis() / 50 {
        if status.stdout.contains("\nthe quorum has no leader that answers: ") {
            break;
        }
        pause().await;
        status = command::ottla(&env, &server(&cluster), "cluster status", "").await;
    }
    assert!(status.ok, "{}", status.stderr);
    assert!(status.stdout.contains("\nthe quorum has no leader that answers: "), "{}", status.stdout);
    assert!(
        status.stdout.contains(&format!("\nbroker {} is not fenced, but", leader + 1)),
        "{}",
        status.stdout
    );
}
