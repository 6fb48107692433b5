//! The records of the metadata log, as Kafka 4.3 declares them.

use crate::types::Uuid;
use crate::wire::declare::declare;

declare! {
    /// A broker registered; its epoch is this record's offset.
    message RegisterBrokerRecord, 0..=4, flexible 0.. {
        broker_id: i32, 0..;
        is_migrating_zk_broker: bool, 2..;
        incarnation_id: Uuid, 0..;
        broker_epoch: i64, 0..;
        end_points: Vec<BrokerEndpoint>, 0..;
        features: Vec<BrokerFeature>, 0..;
        rack: Option<String>, 0.., default(Some(String::new()));
        fenced: bool, 0.., default(true);
        in_controlled_shutdown: bool, 1..;
        /// The ids of the directories in use.
        log_dirs: Vec<Uuid>, 3.., tag(0);
        /// Directories that take no new replicas; null until the broker says.
        cordoned_log_dirs: Option<Vec<Uuid>>, 4.., tag(1);
    }

    /// Where a broker listens.
    struct BrokerEndpoint {
        name: String, 0..;
        host: String, 0..;
        port: u16, 0..;
        security_protocol: i16, 0..;
    }

    /// The levels of a feature that a broker supports.
    struct BrokerFeature {
        name: String, 0..;
        min_supported_version: i16, 0..;
        max_supported_version: i16, 0..;
    }

    /// A broker was removed.
    message UnregisterBrokerRecord, 0..=0, flexible 0.. {
        broker_id: i32, 0..;
        broker_epoch: i64, 0..;
    }

    /// A topic was created.
    message TopicRecord, 0..=0, flexible 0.. {
        name: String, 0..;
        topic_id: Uuid, 0..;
    }

    /// A partition was created, or stands in a snapshot.
    message PartitionRecord, 0..=2, flexible 0.. {
        partition_id: i32, 0.., default(-1);
        topic_id: Uuid, 0..;
        replicas: Vec<i32>, 0..;
        isr: Vec<i32>, 0..;
        removing_replicas: Vec<i32>, 0..;
        adding_replicas: Vec<i32>, 0..;
        leader: i32, 0.., default(-1);
        /// 0: recovered; 1: recovering from an unclean election.
        leader_recovery_state: i8, 0.., tag(0);
        leader_epoch: i32, 0.., default(-1);
        partition_epoch: i32, 0.., default(-1);
        /// Where each of `replicas` lives, in the same order.
        directories: Vec<Uuid>, 1..;
        /// The ELR (KIP-966).
        eligible_leader_replicas: Option<Vec<i32>>, 2.., tag(1);
        last_known_elr: Option<Vec<i32>>, 2.., tag(2);
    }

    /// A configuration entry was set or deleted.
    message ConfigRecord, 0..=0, flexible 0.. {
        /// 2 topic, 4 broker, 16 client metrics, 32 group.
        resource_type: i8, 0..;
        resource_name: String, 0..;
        name: String, 0..;
        /// Null: deleted.
        value: Option<String>, 0.., default(Some(String::new()));
    }

    /// A partition changed; what is at its default did not.
    message PartitionChangeRecord, 0..=2, flexible 0.. {
        partition_id: i32, 0.., default(-1);
        topic_id: Uuid, 0..;
        isr: Option<Vec<i32>>, 0.., tag(0);
        /// -1: none now; -2: not changed.
        leader: i32, 0.., default(-2), tag(1);
        replicas: Option<Vec<i32>>, 0.., tag(2);
        removing_replicas: Option<Vec<i32>>, 0.., tag(3);
        adding_replicas: Option<Vec<i32>>, 0.., tag(4);
        /// -1: not changed.
        leader_recovery_state: i8, 0.., default(-1), tag(5);
        eligible_leader_replicas: Option<Vec<i32>>, 2.., tag(6);
        last_known_elr: Option<Vec<i32>>, 2.., tag(7);
        directories: Option<Vec<Uuid>>, 1.., tag(8);
    }

    /// A broker was fenced. Read from old logs; written as BrokerRegistrationChange.
    message FenceBrokerRecord, 0..=0, flexible 0.. {
        id: i32, 0..;
        epoch: i64, 0..;
    }

    /// A broker was unfenced. Read from old logs; written as BrokerRegistrationChange.
    message UnfenceBrokerRecord, 0..=0, flexible 0.. {
        id: i32, 0..;
        epoch: i64, 0..;
    }

    /// A topic was deleted.
    message RemoveTopicRecord, 0..=0, flexible 0.. {
        topic_id: Uuid, 0..;
    }

    /// A feature was finalized at a level.
    message FeatureLevelRecord, 0..=0, flexible 0.. {
        name: String, 0..;
        /// 0: the feature is off.
        feature_level: i16, 0..;
    }

    /// A block of producer ids was given to a broker.
    message ProducerIdsRecord, 0..=0, flexible 0.. {
        broker_id: i32, 0..;
        broker_epoch: i64, 0.., default(-1);
        /// The first id of the next block.
        next_producer_id: i64, 0..;
    }

    /// A registration changed.
    message BrokerRegistrationChangeRecord, 0..=3, flexible 0.. {
        broker_id: i32, 0..;
        broker_epoch: i64, 0..;
        /// -1: unfenced; 0: not changed; 1: fenced.
        fenced: i8, 0.., tag(0);
        /// 0: not changed; 1: began.
        in_controlled_shutdown: i8, 1.., tag(1);
        /// Empty: not changed.
        log_dirs: Vec<Uuid>, 2.., tag(2);
        /// Null: not changed.
        cordoned_log_dirs: Option<Vec<Uuid>>, 3.., tag(3);
    }

    /// Nothing: written to advance the log.
    message NoOpRecord, 0..=0, flexible 0.. {}

    /// The records up to EndTransaction apply together (KIP-868).
    message BeginTransactionRecord, 0..=0, flexible 0.. {
        name: Option<String>, 0.., tag(0);
    }

    /// The transaction applies.
    message EndTransactionRecord, 0..=0, flexible 0.. {}

    /// The transaction does not apply.
    message AbortTransactionRecord, 0..=0, flexible 0.. {
        reason: Option<String>, 0.., tag(0);
    }

    /// A controller registered (KIP-919).
    message RegisterControllerRecord, 0..=0, flexible 0.. {
        controller_id: i32, 0..;
        incarnation_id: Uuid, 0..;
        zk_migration_ready: bool, 0..;
        end_points: Vec<ControllerEndpoint>, 0..;
        features: Vec<ControllerFeature>, 0..;
    }

    /// Where a controller listens.
    struct ControllerEndpoint {
        name: String, 0..;
        host: String, 0..;
        port: u16, 0..;
        security_protocol: i16, 0..;
    }

    /// The levels of a feature that a controller supports.
    struct ControllerFeature {
        name: String, 0..;
        min_supported_version: i16, 0..;
        max_supported_version: i16, 0..;
    }

    /// Where a migration from ZooKeeper stands. Read from logs that Kafka 3 began; it means nothing any more.
    message ZkMigrationStateRecord, 0..=0, flexible 0.. {
        zk_migration_state: i8, 0..;
    }

    /// A topic's ELRs were cleared.
    message ClearElrRecord, 0..=0, flexible 0.. {
        /// Empty: those of all topics.
        topic_name: String, 0..;
    }
}
