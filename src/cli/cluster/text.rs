//! How a cluster stands, for people; pure.

use std::collections::BTreeMap;

use super::health::{Group, Trouble, age_ms, broker_troubles, quorum_troubles, thin_topics, troubles};
use super::{Quorum, Seen};
use crate::cli::table::{counted, ranges, table};
use crate::client::admin::{BrokerDescription, QuorumDescription, QuorumReplica};
use crate::types::BrokerId;

/// The most rows of a table.
const ROWS_MAX: usize = 50;

/// The most reasons of one trouble, topics of one reason, and names in a line.
const ITEMS_MAX: usize = 10;

/// All of it.
pub(super) fn status(seen: &Seen) -> String {
    let mut text = format!("cluster  {}\n", seen.cluster_id);
    text.push_str(&quorum(seen));
    text.push_str(&brokers(seen));
    text.push('\n');
    text.push_str(&health(seen));
    text
}

fn quorum(seen: &Seen) -> String {
    let quorum = match &seen.quorum {
        Quorum::Led(quorum) => quorum,
        Quorum::Silent(_) => return "quorum   no leader answers\n\n".to_owned(),
        Quorum::Untold(why) => return format!("quorum   not told: {why}\n\n"),
    };
    let leader = quorum.leader.map_or_else(|| "no leader".to_owned(), |leader| format!("leader {leader}"));
    let committed = quorum.high_watermark.map_or_else(|| "not known yet".to_owned(), |it| it.to_string());
    let mut text =
        format!("quorum   {leader} in epoch {}, high watermark {committed}\n", quorum.leader_epoch);
    let voters = quorum.voters.iter().map(|voter| {
        let role = if Some(voter.id) == quorum.leader { "leader" } else { "voter" };
        row(seen, quorum, voter, role)
    });
    let observers = quorum.observers.iter().map(|observer| row(seen, quorum, observer, "observer"));
    let rows: Vec<Vec<String>> = voters.chain(observers).collect();
    text.push_str(&bounded_table(&["NODE", "ROLE", "LOG END", "LAG", "CAUGHT UP"], rows));
    text.push('\n');
    text
}

fn row(seen: &Seen, quorum: &QuorumDescription, replica: &QuorumReplica, role: &str) -> Vec<String> {
    let dash = || "-".to_owned();
    let leader = quorum.voters.iter().find(|voter| Some(voter.id) == quorum.leader);
    let end = leader.and_then(|leader| leader.log_end);
    let lag = end.zip(replica.log_end).map(|(end, own)| (end - own).max(0).to_string());
    let age = if role == "leader" {
        "now".to_owned()
    } else {
        age_ms(quorum, replica, seen.now).map_or_else(|| "never".to_owned(), ago)
    };
    vec![
        replica.id.to_string(),
        role.to_owned(),
        replica.log_end.map_or_else(dash, |end| end.to_string()),
        lag.unwrap_or_else(dash),
        age,
    ]
}

/// How long ago, in the unit that says it shortest.
fn ago(millis: i64) -> String {
    match millis {
        ..10_000 => format!("{}.{} s ago", millis / 1000, millis % 1000 / 100),
        10_000..120_000 => format!("{} s ago", millis / 1000),
        120_000..7_200_000 => format!("{} min ago", millis / 60_000),
        7_200_000..172_800_000 => format!("{} h ago", millis / 3_600_000),
        _ => format!("{} days ago", millis / 86_400_000),
    }
}

fn brokers(seen: &Seen) -> String {
    let known = &seen.brokers.known;
    let fenced = known.values().filter(|broker| broker.fenced).count();
    let mut text = format!("brokers  {}", known.len());
    if fenced > 0 {
        text.push_str(&format!(", {fenced} fenced"));
    }
    text.push('\n');
    let counts = counts(seen);
    let state = |broker: &BrokerDescription| match (broker.fenced, seen.brokers.silent.get(&broker.id)) {
        (true, _) => "fenced",
        (false, Some(_)) => "no answer",
        (false, None) => "alive",
    };
    let mut listed: Vec<&BrokerDescription> = known.values().collect();
    if listed.len() > ROWS_MAX {
        // What has to be looked at must be among what is shown.
        listed.sort_by_key(|broker| state(broker) == "alive");
    }
    let rows = listed.into_iter().map(|broker| {
        let (leaders, replicas) = counts.get(&broker.id).copied().unwrap_or_default();
        vec![
            broker.id.to_string(),
            format!("{}:{}", broker.host, broker.port),
            broker.rack.clone().unwrap_or_else(|| "-".to_owned()),
            state(broker).to_owned(),
            leaders.to_string(),
            replicas.to_string(),
        ]
    });
    let heading = ["BROKER", "ADDRESS", "RACK", "STATE", "LEADERS", "REPLICAS"];
    text.push_str(&bounded_table(&heading, rows.collect()));
    text
}

/// How many partitions each broker leads, and has.
fn counts(seen: &Seen) -> BTreeMap<BrokerId, (usize, usize)> {
    let mut counts: BTreeMap<BrokerId, (usize, usize)> = BTreeMap::new();
    for partition in seen.topics.values().flat_map(|topic| topic.partitions.values()) {
        for &replica in &partition.replicas {
            counts.entry(replica).or_default().1 += 1;
        }
        if let Some(leader) = partition.leader {
            counts.entry(leader).or_default().0 += 1;
        }
    }
    counts
}

fn health(seen: &Seen) -> String {
    let mut text = String::new();
    for line in quorum_troubles(seen).into_iter().chain(broker_troubles(seen)) {
        text.push_str(&format!("{line}\n"));
    }
    if !text.is_empty() {
        text.push('\n');
    }
    let partitions: usize = seen.topics.values().map(|topic| topic.partitions.len()).sum();
    let all = format!(
        "{} with {}",
        counted(seen.topics.len() as u64, "topic"),
        counted(partitions as u64, "partition")
    );
    let troubles = troubles(seen);
    if seen.topics.is_empty() {
        text.push_str("no topics\n");
    } else if troubles.is_empty() {
        text.push_str(&format!("{all}: each has its leader, and all its replicas are in sync\n"));
    } else {
        text.push_str(&format!("{all}\n"));
    }
    troubles.iter().for_each(|trouble| text.push_str(&trouble_text(trouble)));
    text.push_str(&thin(seen));
    text
}

fn trouble_text(trouble: &Trouble) -> String {
    let mut text = format!("\n{}\n", trouble.heading);
    for group in trouble.groups.iter().take(ITEMS_MAX) {
        group.reasons.iter().for_each(|reason| text.push_str(&format!("  {reason}\n")));
        text.push_str(&partitions_text(group));
    }
    let left: usize = trouble.groups.iter().skip(ITEMS_MAX).map(|group| group.partitions.len()).sum();
    if left > 0 {
        text.push_str(&format!("  and {} for other reasons\n", counted(left as u64, "more partition")));
    }
    text
}

/// A line for each topic: its name and the indexes.
fn partitions_text(group: &Group) -> String {
    let mut topics: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for (name, index) in &group.partitions {
        topics.entry(name).or_default().push(u64::from(index.unsigned_abs()));
    }
    let shown = || topics.iter().take(ITEMS_MAX);
    let width = shown().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for (name, indexes) in shown() {
        text.push_str(&format!("    {name:width$}  {}\n", ranges(indexes)));
    }
    if topics.len() > ITEMS_MAX {
        let left: usize = topics.values().skip(ITEMS_MAX).map(Vec::len).sum();
        let rest = counted((topics.len() - ITEMS_MAX) as u64, "more topic");
        text.push_str(&format!("    and {} of {rest}\n", counted(left as u64, "partition")));
    }
    text
}

fn thin(seen: &Seen) -> String {
    let thin = thin_topics(seen);
    if thin.is_empty() {
        return String::new();
    }
    let default = seen.default_replicas.expect("there is something to compare with");
    let verb = if thin.len() == 1 { "has" } else { "have" };
    let shown: Vec<String> =
        thin.iter().take(ITEMS_MAX).map(|(name, replicas)| format!("{name} ({replicas})")).collect();
    let rest = match thin.len() {
        0..=ITEMS_MAX => String::new(),
        all => format!(" and {} more", all - ITEMS_MAX),
    };
    format!(
        "\n{} {verb} fewer replicas than the cluster's default of {default}; kafka-reassign-partitions adds some\n  \
         {}{rest}\n",
        counted(thin.len() as u64, "topic"),
        shown.join(", ")
    )
}

fn bounded_table(heading: &[&str], mut rows: Vec<Vec<String>>) -> String {
    let left = rows.len().saturating_sub(ROWS_MAX);
    rows.truncate(ROWS_MAX);
    let mut text = table(heading, &rows);
    if left > 0 {
        text.push_str(&format!("and {left} more\n"));
    }
    text
}
