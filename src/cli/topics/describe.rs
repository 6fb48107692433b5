//! A topic with its partitions and replicas, for people.

use std::collections::BTreeMap;

use crate::cli::brokers::{BROKER_PATIENCE, Brokers, ids};
use crate::cli::table::{counted, table};
use crate::client::Admin;
use crate::client::admin::{
    AskedPartition, ConfigEntry, ConfigSource, PartitionDescription, ReplicaPositions, TopicDescription,
};
use crate::env::Env;
use crate::types::BrokerId;

/// Where replicas stand, or why that is not known.
pub(super) type Positions = BTreeMap<(i32, BrokerId), Result<ReplicaPositions, String>>;

/// Asks every replica of a topic that is there.
pub(super) async fn ask_replicas<E: Env>(
    admin: &mut Admin<E>,
    brokers: &mut Brokers,
    name: &str,
    topic: &TopicDescription,
) -> Positions {
    let mut of_broker: BTreeMap<BrokerId, Vec<AskedPartition>> = BTreeMap::new();
    for (&index, partition) in &topic.partitions {
        for &id in &partition.replicas {
            let asked = AskedPartition { topic: name.to_owned(), topic_id: topic.id, index };
            of_broker.entry(id).or_default().push(asked);
        }
    }
    let mut positions = Positions::new();
    for (id, partitions) in of_broker {
        let mut told = BTreeMap::new();
        if brokers.absence(id).is_none() {
            match admin.replica_positions(id, &partitions, BROKER_PATIENCE).await {
                Ok(found) => told = found,
                Err(error) => brokers.lost(id, &error),
            }
        }
        let absence = brokers.absence(id);
        for asked in partitions {
            let key = (asked.topic, asked.index);
            let known = match (told.remove(&key), &absence) {
                (Some(found), _) => found.map_err(|error| format!("broker {id} answers {error}")),
                (None, Some(absence)) => Err(absence.to_string()),
                (None, None) => Err(format!("broker {id} leaves it out of its answer")),
            };
            positions.insert((key.1, id), known);
        }
    }
    positions
}

/// A topic, its partitions and its replicas.
pub(super) fn text(
    name: &str,
    topic: &TopicDescription,
    configs: &[ConfigEntry],
    default_replicas: Option<usize>,
    positions: &Positions,
) -> String {
    let mut text = format!("topic {name}\nid    {}\n", topic.id);
    let own = configs.iter().filter(|entry| entry.source == ConfigSource::Topic);
    let own: Vec<String> =
        own.map(|entry| format!("{}={}", entry.name, entry.value.as_deref().unwrap_or("(secret)"))).collect();
    if !own.is_empty() {
        text.push_str(&format!("set   {}\n", own.join(", ")));
    }
    let least = topic.partitions.values().map(|partition| partition.replicas.len()).min();
    if let Some(note) = least.and_then(|least| fewer_than_default(least, default_replicas)) {
        text.push_str(&format!("note  {note}\n"));
    }
    text.push_str(&partitions(topic));
    text.push('\n');
    text.push_str(&replicas(topic, positions));
    text
}

/// What there is to say of a topic with so few replicas.
pub(super) fn fewer_than_default(replicas: usize, default: Option<usize>) -> Option<String> {
    let default = default.filter(|&default| replicas < default)?;
    Some(format!(
        "{} of a partition, the cluster's default is {default}",
        counted(replicas as u64, "replica")
    ))
}

fn partitions(topic: &TopicDescription) -> String {
    let known = topic.partitions.values().any(|partition| !partition.last_known_elr.is_empty());
    let mut heading = vec!["PARTITION", "LEADER", "EPOCH", "AR", "ISR", "OSR", "ELR"];
    heading.extend(known.then_some("LAST KNOWN ELR"));
    let row = |(index, partition): (&i32, &PartitionDescription)| {
        let leader = partition.leader.map_or_else(|| "none".to_owned(), |leader| leader.to_string());
        let mut row = vec![
            index.to_string(),
            leader,
            partition.leader_epoch.to_string(),
            ids(&partition.replicas),
            ids(&partition.isr),
            ids(&partition.osr()),
            // Not even whether it is empty.
            partition.elr.as_deref().map_or_else(|| "?".to_owned(), ids),
        ];
        row.extend(known.then(|| ids(&partition.last_known_elr)));
        row
    };
    let rows: Vec<Vec<String>> = topic.partitions.iter().map(row).collect();
    table(&heading, &rows)
}

fn replicas(topic: &TopicDescription, positions: &Positions) -> String {
    let mut rows = Vec::new();
    for (&index, partition) in &topic.partitions {
        for &id in &partition.replicas {
            rows.push(replica(index, id, partition, positions.get(&(index, id))));
        }
    }
    let mut heading = vec!["PARTITION", "REPLICA", "STATE", "LOG START", "HIGH WATERMARK", "LOG END", "NOTE"];
    let notes = heading.len() - 1;
    if rows.iter().all(|row| row[notes].is_empty()) {
        heading.truncate(notes);
        rows.iter_mut().for_each(|row| row.truncate(notes));
    }
    table(&heading, &rows)
}

fn replica(
    index: i32,
    id: BrokerId,
    partition: &PartitionDescription,
    position: Option<&Result<ReplicaPositions, String>>,
) -> Vec<String> {
    let dash = || "-".to_owned();
    let mut row = vec![index.to_string(), id.to_string(), state(id, partition).to_owned()];
    match position {
        Some(Ok(told)) => {
            row.push(told.log_start.to_string());
            row.push(told.high_watermark.as_ref().map_or_else(|_| dash(), ToString::to_string));
            row.push(told.log_end.to_string());
            row.push(match &told.high_watermark {
                Ok(_) => String::new(),
                Err(_) if partition.leader.is_none() => "nobody leads: no high watermark is told".to_owned(),
                Err(error) => format!("no high watermark: broker {id} answers {error}"),
            });
        }
        Some(Err(why)) => row.extend([dash(), dash(), dash(), why.clone()]),
        None => row.extend([dash(), dash(), dash(), "not asked".to_owned()]),
    }
    row
}

fn state(id: BrokerId, partition: &PartitionDescription) -> &'static str {
    if partition.leader == Some(id) {
        "leader"
    } else if partition.isr.contains(&id) {
        "in sync"
    } else if partition.elr.iter().flatten().any(|eligible| *eligible == id) {
        "eligible"
    } else {
        "out of sync"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::admin::AdminError;
    use crate::error_code::ErrorCode;
    use crate::types::{LeaderEpoch, Offset, Uuid};

    fn partition(leader: Option<i32>, isr: &[i32], elr: &[i32]) -> PartitionDescription {
        let ids = |ids: &[i32]| ids.iter().copied().map(BrokerId).collect();
        PartitionDescription {
            leader: leader.map(BrokerId),
            leader_epoch: LeaderEpoch(4),
            replicas: ids(&[1, 2, 3]),
            isr: ids(isr),
            elr: Some(ids(elr)),
            last_known_elr: Vec::new(),
            offline: Vec::new(),
        }
    }

    fn topic(partitions: Vec<PartitionDescription>) -> TopicDescription {
        let partitions = (0..).zip(partitions).collect();
        TopicDescription { id: Uuid(0x0123_4567_89ab_cdef), internal: false, partitions }
    }

    fn told(log_start: i64, high_watermark: i64, log_end: i64) -> Result<ReplicaPositions, String> {
        Ok(ReplicaPositions {
            log_start: Offset(log_start),
            high_watermark: Ok(Offset(high_watermark)),
            log_end: Offset(log_end),
        })
    }

    fn config(name: &str, value: &str, source: ConfigSource) -> ConfigEntry {
        let (name, value) = (name.to_owned(), Some(value.to_owned()));
        ConfigEntry { name, value, source, read_only: false, sensitive: false }
    }

    #[test]
    fn a_topic_described() {
        let healthy = partition(Some(1), &[1, 2, 3], &[]);
        let topic = topic(vec![healthy, partition(Some(3), &[3], &[2])]);
        let configs = [
            config("retention.ms", "60000", ConfigSource::Topic),
            config("segment.bytes", "1073741824", ConfigSource::Default),
        ];
        let gone = || Err("broker 2 is fenced".to_owned());
        let positions = Positions::from([
            ((0, BrokerId(1)), told(0, 120, 122)),
            ((0, BrokerId(2)), gone()),
            ((0, BrokerId(3)), told(5, 118, 121)),
            ((1, BrokerId(1)), told(0, 7, 7)),
            ((1, BrokerId(2)), gone()),
            ((1, BrokerId(3)), told(0, 9, 11)),
        ]);
        insta::assert_snapshot!(text("orders", &topic, &configs, Some(3), &positions), @r"
        topic orders
        id    AAAAAAAAAAABI0VniavN7w
        set   retention.ms=60000
        PARTITION  LEADER  EPOCH  AR     ISR    OSR  ELR
        0          1       4      1,2,3  1,2,3  -    -
        1          3       4      1,2,3  3      1,2  2

        PARTITION  REPLICA  STATE        LOG START  HIGH WATERMARK  LOG END  NOTE
        0          1        leader       0          120             122
        0          2        in sync      -          -               -        broker 2 is fenced
        0          3        in sync      5          118             121
        1          1        out of sync  0          7               7
        1          2        eligible     -          -               -        broker 2 is fenced
        1          3        leader       0          9               11
        ");
    }

    #[test]
    fn a_topic_without_leader_and_with_few_replicas() {
        let leaderless = PartitionDescription {
            replicas: vec![BrokerId(1), BrokerId(2)],
            last_known_elr: vec![BrokerId(2)],
            ..partition(None, &[], &[])
        };
        let untold = PartitionDescription { elr: None, ..partition(Some(1), &[1], &[]) };
        let refused = AdminError::Refused { error: ErrorCode::NotLeaderOrFollower, message: None };
        let no_mark = ReplicaPositions { high_watermark: Err(refused), ..told(0, 0, 4).unwrap() };
        let positions = Positions::from([((0, BrokerId(1)), Ok(no_mark))]);
        let topic = topic(vec![leaderless, untold]);
        insta::assert_snapshot!(text("orders", &topic, &[], Some(3), &positions), @r"
        topic orders
        id    AAAAAAAAAAABI0VniavN7w
        note  2 replicas of a partition, the cluster's default is 3
        PARTITION  LEADER  EPOCH  AR     ISR  OSR  ELR  LAST KNOWN ELR
        0          none    4      1,2    -    1,2  -    2
        1          1       4      1,2,3  1    2,3  ?    -

        PARTITION  REPLICA  STATE        LOG START  HIGH WATERMARK  LOG END  NOTE
        0          1        out of sync  0          -               4        nobody leads: no high watermark is told
        0          2        out of sync  -          -               -        not asked
        1          1        leader       -          -               -        not asked
        1          2        out of sync  -          -               -        not asked
        1          3        out of sync  -          -               -        not asked
        ");
    }

    #[test]
    fn a_table_has_no_notes_where_there_is_nothing_to_note() {
        let mut alone = partition(Some(1), &[1], &[]);
        alone.replicas.truncate(1);
        let positions = Positions::from([((0, BrokerId(1)), told(0, 3, 3))]);
        insta::assert_snapshot!(text("t", &topic(vec![alone]), &[], Some(1), &positions), @r"
        topic t
        id    AAAAAAAAAAABI0VniavN7w
        PARTITION  LEADER  EPOCH  AR  ISR  OSR  ELR
        0          1       4      1   1    -    -

        PARTITION  REPLICA  STATE   LOG START  HIGH WATERMARK  LOG END
        0          1        leader  0          3               3
        ");
    }

    #[test]
    fn fewer_replicas_than_the_default_are_noted() {
        let note = fewer_than_default(1, Some(3));
        assert_eq!(note.as_deref(), Some("1 replica of a partition, the cluster's default is 3"));
        assert_eq!(fewer_than_default(3, Some(3)), None);
        assert_eq!(fewer_than_default(1, None), None);
    }
}
