//! Clusters as they may be, and what is said of them.

use super::*;
use crate::client::admin::{BrokerDescription, PartitionDescription, QuorumReplica};
use crate::error_code::ErrorCode;
use crate::types::{LeaderEpoch, Uuid};

const NOW: i64 = 1_700_000_000_000;

fn ids(ids: &[i32]) -> Vec<BrokerId> {
    ids.iter().copied().map(BrokerId).collect()
}

/// Node, log end, and how many milliseconds ago it had all.
type Voter = (i32, i64, Option<i64>);

fn quorum(leader: i32, voters: &[Voter], observers: &[Voter]) -> Quorum {
    let replica = |&(id, log_end, age): &Voter| QuorumReplica {
        id: BrokerId(id),
        directory: Uuid::ZERO,
        log_end: (log_end >= 0).then_some(Offset(log_end)),
        last_fetch: None,
        last_caught_up: age.map(|age| WallMs(NOW - age)),
    };
    Quorum::Led(QuorumDescription {
        leader: Some(BrokerId(leader)),
        leader_epoch: LeaderEpoch(4),
        high_watermark: Some(Offset(812)),
        voters: voters.iter().map(replica).collect(),
        observers: observers.iter().map(replica).collect(),
    })
}

fn broker(id: i32, fenced: bool) -> BrokerDescription {
    let rack = Some(format!("rack-{}", id % 2));
    BrokerDescription { id: BrokerId(id), host: "10.0.0.1".to_owned(), port: 9092, rack, fenced }
}

/// Three brokers and three voters, all well, no topics.
fn cluster(fenced: &[i32]) -> Seen {
    let known = (1..=3).map(|id| (BrokerId(id), broker(id, fenced.contains(&id))));
    Seen {
        cluster_id: "MkU3OEVBNTcwNTJENDM2Qk".to_owned(),
        quorum: quorum(1, &[(1, 815, Some(0)), (2, 815, Some(312)), (3, 814, Some(480))], &[]),
        brokers: Brokers { known: known.collect(), silent: BTreeMap::new() },
        topics: BTreeMap::new(),
        reassignments: BTreeMap::new(),
        min_isr: BTreeMap::new(),
        log_ends: BTreeMap::new(),
        default_replicas: Some(3),
        now: WallMs(NOW),
    }
}

fn partition(leader: i32, replicas: &[i32], isr: &[i32], elr: &[i32]) -> PartitionDescription {
    PartitionDescription {
        leader: (leader >= 0).then_some(BrokerId(leader)),
        leader_epoch: LeaderEpoch(4),
        replicas: ids(replicas),
        isr: ids(isr),
        elr: Some(ids(elr)),
        last_known_elr: Vec::new(),
        offline: Vec::new(),
    }
}

fn topic(partitions: Vec<PartitionDescription>) -> TopicDescription {
    TopicDescription { id: Uuid(7), internal: false, partitions: (0..).zip(partitions).collect() }
}

impl Seen {
    fn with(mut self, name: &str, min_isr: usize, partitions: Vec<PartitionDescription>) -> Self {
        self.topics.insert(name.to_owned(), topic(partitions));
        self.min_isr.insert(name.to_owned(), min_isr);
        self
    }

    fn ending(mut self, broker: i32, topic: &str, index: i32, end: i64) -> Self {
        let ends = self.log_ends.entry(BrokerId(broker)).or_default();
        ends.insert((topic.to_owned(), index), Ok(Offset(end)));
        self
    }
}

/// What is said of partitions: all after the tables.
fn health(seen: &Seen) -> String {
    let text = text::status(seen);
    text.split("\n\n").skip(2).collect::<Vec<_>>().join("\n\n")
}

#[test]
fn a_cluster_that_is_well() {
    let all = [1, 2, 3];
    let seen = cluster(&[])
        .with("orders", 2, vec![partition(1, &all, &all, &[]), partition(2, &[2, 3, 1], &all, &[])])
        .with("payments", 2, vec![partition(3, &[3, 1, 2], &all, &[])]);
    insta::assert_snapshot!(text::status(&seen), @r"
    cluster  MkU3OEVBNTcwNTJENDM2Qk
    quorum   leader 1 in epoch 4, high watermark 812
    NODE  ROLE    LOG END  LAG  CAUGHT UP
    1     leader  815      0    now
    2     voter   815      0    0.3 s ago
    3     voter   814      1    0.4 s ago

    brokers  3
    BROKER  ADDRESS        RACK    STATE  LEADERS  REPLICAS
    1       10.0.0.1:9092  rack-1  alive  1        3
    2       10.0.0.1:9092  rack-0  alive  1        3
    3       10.0.0.1:9092  rack-1  alive  1        3

    2 topics with 3 partitions: each has its leader, and all its replicas are in sync
    ");
    insta::assert_snapshot!(health(&cluster(&[])), @"no topics");
}

#[test]
fn a_broker_that_is_gone_takes_replicas_along() {
    let mut seen = cluster(&[3]);
    let down = [(1, 815, Some(0)), (2, 815, Some(312)), (3, 701, Some(431_000))];
    seen.quorum = quorum(1, &down, &[(4, 815, Some(90)), (5, -1, None)]);
    let under = || partition(1, &[1, 2, 3], &[1, 2], &[]);
    let all = vec![under(), under(), partition(1, &[1, 2], &[1, 2], &[]), under()];
    let seen = seen.with("orders", 2, all).with("payments", 1, vec![partition(2, &[3, 2], &[2], &[])]);
    insta::assert_snapshot!(text::status(&seen), @r"
    cluster  MkU3OEVBNTcwNTJENDM2Qk
    quorum   leader 1 in epoch 4, high watermark 812
    NODE  ROLE      LOG END  LAG  CAUGHT UP
    1     leader    815      0    now
    2     voter     815      0    0.3 s ago
    3     voter     701      114  7 min ago
    4     observer  815      0    0.0 s ago
    5     observer  -        -    never

    brokers  3, 1 fenced
    BROKER  ADDRESS        RACK    STATE   LEADERS  REPLICAS
    1       10.0.0.1:9092  rack-1  alive   4        4
    2       10.0.0.1:9092  rack-0  alive   1        5
    3       10.0.0.1:9092  rack-1  fenced  0        4

    voter 3 is down or behind: of the 3 in the quorum no other may go
      start it, or read the log there
    broker 3 is fenced: it is stopped, cut off, or not caught up yet
      start it, or read the log there

    2 topics with 5 partitions

    4 partitions are under-replicated
      replica 3 is out of the ISR: broker 3 is fenced
        orders    0-1, 3
        payments  0

    2 topics have fewer replicas than the cluster's default of 3; kafka-reassign-partitions adds some
      orders (2), payments (2)
    ");
}

#[test]
fn a_partition_is_told_of_where_it_is_worst() {
    let seen = cluster(&[2, 3]).with(
        "t",
        2,
        vec![
            partition(-1, &[2, 3], &[], &[2]),
            partition(1, &[1, 2, 3], &[1], &[2, 3]),
            partition(1, &[1], &[1], &[]),
        ],
    );
    insta::assert_snapshot!(health(&seen), @r"
    brokers 2,3 are fenced: they are stopped, cut off, or not caught up yet
      start them, or read the log there

    1 topic with 3 partitions

    1 partition has no leader: nobody writes or reads there
      no leader: the last ISR/ELR member 2 cannot lead: broker 2 is fenced
      start it: there is no other replica that could lead
        t  0

    1 partition is below min.insync.replicas: acks=all is refused, and nothing more is committed
      1 in sync, 2 needed
      replica 2 is out of the ISR: broker 2 is fenced
      replica 3 is out of the ISR: broker 3 is fenced
        t  1

    1 topic has fewer replicas than the cluster's default of 3; kafka-reassign-partitions adds some
      t (1)
    ");
}

#[test]
fn replicas_that_are_behind_say_by_how_much() {
    let behind = || partition(1, &[1, 2, 3], &[1, 3], &[]);
    let seen = cluster(&[]).with("t", 2, vec![behind(), behind(), behind(), behind()]);
    let seen = seen.ending(1, "t", 0, 100).ending(2, "t", 0, 88).ending(1, "t", 1, 2000).ending(2, "t", 1, 0);
    let mut seen = seen.ending(1, "t", 2, 5).ending(2, "t", 2, 5).ending(1, "t", 3, 5);
    let refused = AdminError::Refused { error: ErrorCode::KafkaStorageError, message: None };
    seen.log_ends.get_mut(&BrokerId(2)).unwrap().insert(("t".to_owned(), 3), Err(refused));
    insta::assert_snapshot!(health(&seen), @r"
    1 topic with 4 partitions

    4 partitions are under-replicated
      replica 2 is out of the ISR: broker 2 is alive and behind by 12 to 2000 records
        t  0-1
      replica 2 is out of the ISR: broker 2 is alive and has caught up, it is about to be in sync
        t  2
      replica 2 is out of the ISR: broker 2 is alive; its log end is unknown: broker 2 answers KAFKA_STORAGE_ERROR (56)
        t  3
    ");
    let one = cluster(&[]).with("t", 2, vec![behind()]).ending(1, "t", 0, 100).ending(2, "t", 0, 99);
    assert!(health(&one).contains("broker 2 is alive and behind by 1 record\n"));
}

#[test]
fn whom_to_ask_is_who_is_there_and_whom_it_follows() {
    let offline = PartitionDescription { offline: ids(&[2]), ..partition(1, &[1, 2], &[1], &[]) };
    let seen = cluster(&[3]).with(
        "t",
        2,
        vec![
            partition(1, &[1, 2, 3], &[1], &[]),
            partition(2, &[2, 1], &[2, 1], &[]),
            partition(1, &[1, 3], &[1], &[]),
            partition(-1, &[1, 2], &[], &[]),
            offline,
        ],
    );
    let asked = seen.whom_to_ask();
    let asked: Vec<_> = asked
        .iter()
        .map(|(id, partitions)| (id.0, partitions.iter().map(|it| it.index).collect::<Vec<_>>()))
        .collect();
    assert_eq!(asked, [(1, vec![0]), (2, vec![0])]);
}

#[test]
fn why_nobody_leads() {
    let last_known = PartitionDescription { last_known_elr: ids(&[3]), ..partition(-1, &[1, 3], &[], &[]) };
    let failed = PartitionDescription { offline: ids(&[2]), ..partition(-1, &[2], &[2], &[]) };
    let mut seen = cluster(&[3]).with(
        "t",
        1,
        vec![
            partition(-1, &[3, 1], &[3], &[]),
            partition(-1, &[1, 3], &[], &[1]),
            failed,
            last_known,
            partition(-1, &[1, 2], &[], &[]),
            partition(-1, &[4, 3], &[], &[4, 3]),
        ],
    );
    seen.default_replicas = Some(1);
    insta::assert_snapshot!(health(&seen), @r"
    broker 3 is fenced: it is stopped, cut off, or not caught up yet
      start it, or read the log there

    1 topic with 6 partitions

    6 partitions have no leader: nobody writes or reads there
      no leader: ISR and ELR are empty, replica 3 led last: broker 3 is fenced
      start it, or have one lead that may lack more: kafka-leader-election --election-type unclean
        t  3
      no leader: ISR and ELR are empty: nobody is known to have all that was acknowledged
      have one lead that may lack some of it: kafka-leader-election --election-type unclean
        t  4
      no leader: replica 1 may lead, and its broker is there: its election is due
        t  1
      no leader: the last ISR/ELR member 2 cannot lead: its directory on broker 2 has failed
      start it: there is no other replica that could lead
        t  2
      no leader: the last ISR/ELR member 3 cannot lead: broker 3 is fenced
      start it, or give up what is only there: kafka-leader-election --election-type unclean
        t  0
      no leader: the last ISR/ELR members 4,3 cannot lead: broker 4 is not among the brokers, broker 3 is fenced
      start one of them: there is no other replica that could lead
        t  5
    ");
    seen.quorum = Quorum::Silent("no answer in time".to_owned());
    assert!(health(&seen).contains("replica 1 may lead, and its broker is there: it is elected as soon as"));
}

#[test]
fn a_quorum_that_cannot_be_asked() {
    let mut seen = cluster(&[]);
    seen.quorum = Quorum::Silent("127.0.0.1:9092 has not answered in time".to_owned());
    seen.brokers.silent.insert(BrokerId(2), "connection to 10.0.0.1:9092 refused".to_owned());
    insta::assert_snapshot!(text::status(&seen), @r"
    cluster  MkU3OEVBNTcwNTJENDM2Qk
    quorum   no leader answers

    brokers  3
    BROKER  ADDRESS        RACK    STATE      LEADERS  REPLICAS
    1       10.0.0.1:9092  rack-1  alive      0        0
    2       10.0.0.1:9092  rack-0  no answer  0        0
    3       10.0.0.1:9092  rack-1  alive      0        0

    the quorum has no leader that answers: 127.0.0.1:9092 has not answered in time
      until it has one, nothing is elected, created or changed, and who has gone since is not known to be gone
      more than half of its voters must be there: start those that are not
    broker 2 is not fenced, but does not answer: connection to 10.0.0.1:9092 refused
      it has just gone, or its advertised.listeners are not for clients here

    no topics
    ");
    seen.quorum = Quorum::Untold("the broker does not support DescribeQuorum".to_owned());
    assert!(
        text::status(&seen).contains("\nquorum   not told: the broker does not support DescribeQuorum\n")
    );
}

#[test]
fn replicas_that_are_being_added_are_not_missed() {
    let moving = || partition(1, &[1, 2, 3], &[1, 2], &[]);
    let mut seen = cluster(&[]).with("t", 2, vec![moving(), moving()]);
    for index in [0, 1] {
        let reassignment = Reassignment { adding: ids(&[3]), removing: ids(&[1]) };
        seen.reassignments.insert(("t".to_owned(), index), reassignment);
    }
    insta::assert_snapshot!(health(&seen), @r"
    1 topic with 2 partitions

    2 partitions are being reassigned
      replicas to come: 3; to go: 1
        t  0-1
    ");
}

#[test]
fn long_lists_are_bounded() {
    let mut seen = cluster(&[3]);
    for id in 4..100 {
        seen.brokers.known.insert(BrokerId(id), broker(id, id == 99));
    }
    for number in 0..200 {
        let name = format!("topic-{number:03}");
        let odd = (0..60).map(|index| match index % 2 {
            0 => partition(1, &[1, 2, 3], &[1, 2], &[]),
            _ => partition(1, &[1, 2, 4 + number % 30], &[1, 2], &[]),
        });
        seen = seen.with(&name, 2, odd.collect());
    }
    seen.default_replicas = Some(4);
    let text = text::status(&seen);
    assert!(text.lines().count() < 200, "{text}");
    assert!(text.contains("\nand 49 more\n"), "brokers");
    assert!(text.lines().any(|line| line.starts_with("99 ") && line.contains("fenced")), "{text}");
    assert!(text.contains("\n12000 partitions are under-replicated\n"));
    assert!(text.contains("  topic-009  0, 2, 4, 6, 8, 10, 12, 14, 16, 18, and 20 more\n"), "{text}");
    assert!(text.contains("    and 5700 partitions of 190 more topics\n"), "{text}");
    assert!(text.contains(" more partitions for other reasons\n"), "{text}");
    assert!(text.contains("topic-009 (3) and 190 more\n"), "{text}");
}
