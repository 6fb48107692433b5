//! Whole commands, from the command line to what they print, against a broker of the tests.
#![expect(clippy::unwrap_used, reason = "in a test, a panic is the report")]

#[path = "support/command.rs"]
mod command;
#[path = "support/fake_broker.rs"]
mod fake_broker;

use command::{Outcome, Written, ottla, ottla_into};
use fake_broker::FakeBroker;
use ottla::env::tokio::TokioEnv;
use ottla::error_code::ErrorCode;
use ottla::wire::ApiKey;

#[tokio::test]
async fn topics_come_and_go() {
    let env = TokioEnv::new().unwrap();
    let broker = FakeBroker::start(&env).await;
    let server = broker.server();
    let created = ottla(&env, &server, "topics create orders --partitions 2 --config a=b", "").await;
    assert!(created.ok);
    assert_eq!(created.stdout, "created topic orders: 2 partitions, replication factor 1\n");
    let again = ottla(&env, &server, "topics create orders", "").await;
    assert!(!again.ok);
    insta::assert_snapshot!(
        again.stderr,
        @"error: topic orders: TOPIC_ALREADY_EXISTS (36): Topic 'orders' already exists."
    );
    let list = ottla(&env, &server, "topics list", "").await;
    insta::assert_snapshot!(list.stdout, @r"
    TOPIC   PARTITIONS  REPLICATION
    orders  2           1
    ");
    let described = ottla(&env, &server, "topics describe", "").await;
    insta::assert_snapshot!(described.stdout, @r"
    topic orders
    id    AAAAAAAAAAAAAAAAAAAD6A
    set   cleanup.policy=compact
    note  1 replica of a partition, the cluster's default is 3
    PARTITION  LEADER  EPOCH  AR  ISR  OSR  ELR
    0          1       5      1   1    -    -
    1          1       5      1   1    -    -

    PARTITION  REPLICA  STATE   LOG START  HIGH WATERMARK  LOG END
    0          1        leader  0          0               0
    1          1        leader  0          0               0
    ");
    assert_eq!(ottla(&env, &server, "topics delete orders", "").await.stdout, "deleted topic orders\n");
    let missing = ottla(&env, &server, "topics describe orders", "").await;
    insta::assert_snapshot!(missing.stderr, @r"
    error: topic orders: UNKNOWN_TOPIC_OR_PARTITION (3)
    hint: `ottla topics list` shows what there is, `ottla topics create NAME` makes a topic
    ");
}

#[tokio::test]
async fn a_server_that_takes_connections_and_is_silent_may_lack_its_quorum() {
    let env = TokioEnv::new().unwrap();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let server = silent.local_addr().unwrap().to_string();
    let status = ottla(&env, &server, "cluster status", "").await;
    assert!(!status.ok && status.stdout.is_empty());
    let expected = format!("error: {server} takes connections and answers nothing (no answer to ApiVersions");
    assert!(status.stderr.starts_with(&expected), "{}", status.stderr);
    let reason = "as a broker does until it has found the leader of its quorum";
    assert!(status.stderr.contains(reason), "{}", status.stderr);
}

#[tokio::test]
async fn a_cluster_tells_how_it_stands() {
    let env = TokioEnv::new().unwrap();
    let broker = FakeBroker::start(&env).await;
    broker.create("orders", 2);
    let server = broker.server();
    let status = ottla(&env, &server, "cluster status", "").await;
    assert!(status.ok);
    assert_eq!(status.stderr, "");
    // The columns are as wide as an address is whose port has five digits, as those have that systems give away.
    insta::assert_snapshot!(status.stdout.replace(&server, "127.0.0.1:PORT_"), @r"
    cluster  fake
    quorum   leader 1 in epoch 5, high watermark 7
    NODE  ROLE    LOG END  LAG  CAUGHT UP
    1     leader  8        0    now

    brokers  1
    BROKER  ADDRESS          RACK  STATE  LEADERS  REPLICAS
    1       127.0.0.1:PORT_  -     alive  2        2

    1 topic with 2 partitions: each has its leader, and all its replicas are in sync

    1 topic has fewer replicas than the cluster's default of 3; kafka-reassign-partitions adds some
      orders (1)
    ");
    // Kafka of before 2.7 tells of none of this.
    let lacks = [ApiKey::DescribeCluster, ApiKey::DescribeTopicPartitions, ApiKey::DescribeQuorum];
    broker.state.lock().unwrap().lacks = lacks.to_vec();
    let old = ottla(&env, &server, "cluster status", "").await;
    assert!(old.ok, "{}", old.stderr);
    assert!(old.stdout.contains("\nquorum   not told: "), "{}", old.stdout);
    assert!(old.stdout.contains("\n1 topic with 2 partitions: each has its leader"), "{}", old.stdout);
    let described = ottla(&env, &server, "topics describe orders", "").await;
    assert!(
        described.stdout.contains("\n0          1       5      1   1    -    ?\n"),
        "{}",
        described.stdout
    );
    let few = ottla(&env, &server, "topics create few --replication-factor 1", "").await;
    assert!(few.ok);
    assert_eq!(few.stderr, "note: 1 replica of a partition, the cluster's default is 3\n");
}

#[tokio::test]
async fn what_is_produced_is_consumed() {
    let env = TokioEnv::new().unwrap();
    let broker = FakeBroker::start(&env).await;
    broker.create("t", 1);
    let server = broker.server();
    let produced =
        ottla(&env, &server, "produce t --key-separator = --compression zstd", "a=1\nb=2\nc=3").await;
    assert!(produced.ok);
    assert_eq!((&*produced.stdout, &*produced.stderr), ("", "3 records acknowledged\n"));
    let all = ottla(&env, &server, "consume t --from-beginning -e --print-key --separator :", "").await;
    assert!(all.ok);
    assert_eq!((&*all.stdout, &*all.stderr), ("a:1\nb:2\nc:3\n", ""));
    let one = ottla(&env, &server, "consume t --offset 1 --partition 0 -n 1", "").await;
    assert_eq!(one.stdout, "2\n");
    let none = ottla(&env, &server, "consume t -e", "").await;
    assert!(none.ok);
    assert_eq!(none.stdout, "");
    let following = ottla(&env, &server, "consume t --from-beginning", "").await;
    assert!(following.ok, "an interrupt is how following ends");
    assert_eq!(following.stdout, "1\n2\n3\n");
}

#[tokio::test]
async fn a_closed_pipe_is_no_error() {
    let env = TokioEnv::new().unwrap();
    let broker = FakeBroker::start(&env).await;
    broker.create("t", 1);
    let server = broker.server();
    ottla(&env, &server, "produce t", "1\n2\n3\n").await;
    let outcome = ottla_into(&env, &server, "consume t --from-beginning", "", Written::closed()).await;
    assert!(outcome.ok);
    assert_eq!(outcome.stderr, "");
}

#[tokio::test]
async fn failures_say_what_to_do() {
    let env = TokioEnv::new().unwrap();
    let broker = FakeBroker::start(&env).await;
    broker.create("t", 1);
    let server = broker.server();
    let said = |outcome: Outcome| {
        assert!(!outcome.ok);
        assert_eq!(outcome.stdout, "");
        outcome.stderr
    };
    insta::assert_snapshot!(said(ottla(&env, "127.0.0.1:1", "topics list", "").await), @r"
    error: cannot reach 127.0.0.1:1: connection to 127.0.0.1:1 refused
    hint: is a broker running? start one with `ottla dev`, or name another with --bootstrap-server
    ");
    insta::assert_snapshot!(said(ottla(&env, "nonsense", "topics list", "").await), @r#"
    error: "nonsense" is not an address
    hint: give --bootstrap-server as host:port, for example 127.0.0.1:9092
    "#);
    insta::assert_snapshot!(said(ottla(&env, &server, "consume missing", "").await), @r"
    error: topic missing: UNKNOWN_TOPIC_OR_PARTITION (3)
    hint: `ottla topics list` shows what there is, `ottla topics create NAME` makes a topic
    ");
    insta::assert_snapshot!(said(ottla(&env, &server, "produce t --partition 5", "x").await), @r"
    error: topic t has 1 partition, none with index 5
    hint: partitions are counted from 0
    ");
    insta::assert_snapshot!(
        said(ottla(&env, &server, "consume t --partition 0 --offset 9", "").await),
        @"error: offset 9 of t-0 is out of range, and auto.offset.reset=none"
    );
    insta::assert_snapshot!(said(ottla(&env, &server, "produce t --key-separator =", "a=1\nb\nc=3\n").await), @r#"
    1 record acknowledged
    error: line 2: no key separator "="
    hint: lines before it were sent, this one and the rest were not
    "#);
    broker.state.lock().unwrap().refuse_produce = Some(ErrorCode::PolicyViolation);
    insta::assert_snapshot!(said(ottla(&env, &server, "produce t", "a\nb\n").await), @r"
    0 records acknowledged
    2 records not written (lines 1-2): POLICY_VIOLATION (44)
    ");
}
