//! What is not as it should be in a cluster, and why; pure.
//!
//! A partition is told of once, where it is worst: without leader, below `min.insync.replicas`, under-replicated.
//! Partitions that are so for the same reasons stand together: a broker that is gone takes thousands along.

use std::collections::BTreeMap;

use super::super::brokers::Absence;
use super::{Quorum, Seen};
use crate::cli::brokers::ids;
use crate::cli::table::counted;
use crate::client::admin::{PartitionDescription, QuorumDescription, QuorumReplica};
use crate::types::{BrokerId, WallMs};

/// A voter that has been behind for as long is told of, in milliseconds.
const VOTER_BEHIND_MS: i64 = 10_000;

/// Partitions that are not as they should be, for the same reasons.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Group {
    /// Why, a sentence a line.
    pub(super) reasons: Vec<String>,
    /// Which, ascending.
    pub(super) partitions: Vec<(String, i32)>,
}

/// Partitions that are not as they should be in the same way.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Trouble {
    /// What is wrong with how many.
    pub(super) heading: String,
    /// Those that are so for the same reasons, the most first.
    pub(super) groups: Vec<Group>,
}

/// All that is not as it should be with partitions, the worst first.
pub(super) fn troubles(seen: &Seen) -> Vec<Trouble> {
    let (mut leaderless, mut below, mut under, mut moving) =
        (Gathering::default(), Gathering::default(), Gathering::default(), Gathering::default());
    for (name, topic) in &seen.topics {
        for (&index, partition) in &topic.partitions {
            let key = (name.clone(), index);
            let looked = Looked { seen, key: &key, partition };
            if let Some(reassignment) = seen.reassignments.get(&key) {
                let reason = format!(
                    "replicas to come: {}; to go: {}",
                    ids(&reassignment.adding),
                    ids(&reassignment.removing)
                );
                moving.add(key.clone(), vec![reason], Vec::new());
            }
            let missing = looked.missing();
            if partition.leader.is_none() {
                leaderless.add(key.clone(), looked.no_leader(), Vec::new());
            } else if let Some(reason) = looked.below_min_isr() {
                below.add(key.clone(), vec![reason], missing);
            } else if !missing.is_empty() {
                under.add(key.clone(), Vec::new(), missing);
            }
        }
    }
    let others = if leaderless.is_empty() && below.is_empty() { "partition" } else { "other partition" };
    let troubles = [
        leaderless.trouble("partition", "has no leader", "have no leader", "nobody writes or reads there"),
        below.trouble(
            "partition",
            "is below min.insync.replicas",
            "are below min.insync.replicas",
            "acks=all is refused, and nothing more is committed",
        ),
        under.trouble(others, "is under-replicated", "are under-replicated", ""),
        moving.trouble("partition", "is being reassigned", "are being reassigned", ""),
    ];
    troubles.into_iter().flatten().collect()
}

/// What is not as it should be with the quorum, a line each.
pub(super) fn quorum_troubles(seen: &Seen) -> Vec<String> {
    match &seen.quorum {
        Quorum::Silent(error) => vec![
            format!("the quorum has no leader that answers: {error}"),
            "  until it has one, nothing is elected, created or changed, and who has gone since is not known to be \
             gone"
                .to_owned(),
            "  more than half of its voters must be there: start those that are not".to_owned(),
        ],
        Quorum::Led(quorum) => behind(quorum, seen.now),
        Quorum::Untold(_) => Vec::new(),
    }
}

/// What is not as it should be with the brokers, a line each.
pub(super) fn broker_troubles(seen: &Seen) -> Vec<String> {
    let fenced: Vec<BrokerId> = seen.brokers.known.values().filter(|it| it.fenced).map(|it| it.id).collect();
    let mut troubles = Vec::new();
    if !fenced.is_empty() {
        let (are, they, them) = match fenced.len() {
            1 => ("broker", "is fenced: it is", "it"),
            _ => ("brokers", "are fenced: they are", "them"),
        };
        troubles.push(format!("{are} {} {they} stopped, cut off, or not caught up yet", some(&fenced)));
        troubles.push(format!("  start {them}, or read the log there"));
    }
    for (id, error) in seen.brokers.silent.iter().take(LIST_MAX) {
        troubles.push(format!("broker {id} is not fenced, but does not answer: {error}"));
        troubles.push("  it has just gone, or its advertised.listeners are not for clients here".to_owned());
    }
    if seen.brokers.silent.len() > LIST_MAX {
        let left = counted((seen.brokers.silent.len() - LIST_MAX) as u64, "more broker");
        troubles.push(format!("and {left} without answer"));
    }
    troubles
}

/// The topics with fewer replicas than is the default, and how many they have.
pub(super) fn thin_topics(seen: &Seen) -> Vec<(&str, usize)> {
    let Some(default) = seen.default_replicas else { return Vec::new() };
    let replicas = seen.topics.iter().filter_map(|(name, topic)| {
        let least = topic.partitions.values().map(|partition| partition.replicas.len()).min()?;
        Some((name.as_str(), least))
    });
    replicas.filter(|&(_, least)| least < default).collect()
}

/// How long ago a replica of the quorum had all, in milliseconds, by the leader's clock if that is told.
pub(super) fn age_ms(quorum: &QuorumDescription, replica: &QuorumReplica, now: WallMs) -> Option<i64> {
    let leader = quorum.voters.iter().find(|voter| Some(voter.id) == quorum.leader);
    let now = leader.and_then(|leader| leader.last_caught_up).unwrap_or(now);
    replica.last_caught_up.map(|at| (now.0 - at.0).max(0))
}

/// The most items of a list of sentences.
const LIST_MAX: usize = 10;

fn some(brokers: &[BrokerId]) -> String {
    let shown = ids(&brokers[..brokers.len().min(LIST_MAX)]);
    match brokers.len() {
        0..=LIST_MAX => shown,
        all => format!("{shown} and {} more", all - LIST_MAX),
    }
}

fn behind(quorum: &QuorumDescription, now: WallMs) -> Vec<String> {
    let is_behind =
        |voter: &&QuorumReplica| age_ms(quorum, voter, now).is_none_or(|age| age > VOTER_BEHIND_MS);
    let behind: Vec<BrokerId> = quorum.voters.iter().filter(is_behind).map(|voter| voter.id).collect();
    if behind.is_empty() {
        return Vec::new();
    }
    let (voters, majority) = (quorum.voters.len(), quorum.voters.len() / 2 + 1);
    let spare = (voters - behind.len()).saturating_sub(majority);
    let (noun, are, them) = match behind.len() {
        1 => ("voter", "is", "it"),
        _ => ("voters", "are", "them"),
    };
    let rest = match spare {
        0 => "no other may go".to_owned(),
        _ => format!("{spare} more may go"),
    };
    vec![
        format!("{noun} {} {are} down or behind: of the {voters} in the quorum {rest}", some(&behind)),
        format!("  start {them}, or read the log there"),
    ]
}

/// Why a replica is out of the ISR.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Cause {
    Absent(Absence),
    /// Its directory has failed.
    Offline,
    /// Its broker is there, and the replica lacks records.
    Behind,
    CaughtUp,
    /// Its broker is there; how far it is behind is not known.
    Untold(String),
}

/// A replica that is missing, why, and by how many records if that is known.
type Missing = (BrokerId, Cause, Option<i64>);

/// One partition.
struct Looked<'a> {
    seen: &'a Seen,
    key: &'a (String, i32),
    partition: &'a PartitionDescription,
}

impl Looked<'_> {
    /// The replicas out of the ISR, but those that a reassignment is still adding: as Kafka's tools count.
    fn missing(&self) -> Vec<Missing> {
        let adding = self.seen.reassignments.get(self.key).map(|it| it.adding.as_slice()).unwrap_or_default();
        let missing = self.partition.osr().into_iter().filter(|id| !adding.contains(id));
        missing
            .map(|id| {
                let (cause, records) = self.cause(id);
                (id, cause, records)
            })
            .collect()
    }

    fn cause(&self, id: BrokerId) -> (Cause, Option<i64>) {
        if let Some(absence) = self.seen.brokers.absence(id) {
            return (Cause::Absent(absence), None);
        }
        if self.partition.offline.contains(&id) {
            return (Cause::Offline, None);
        }
        let end = |id: BrokerId| match self.seen.log_ends.get(&id).and_then(|ends| ends.get(self.key)) {
            Some(Ok(end)) => Ok(*end),
            Some(Err(error)) => Err(format!("broker {id} answers {error}")),
            None => Err(self
                .seen
                .brokers
                .absence(id)
                .map_or_else(|| format!("broker {id} has not been asked"), |absence| absence.to_string())),
        };
        let Some(leader) = self.partition.leader else {
            return (Cause::Untold("nobody leads".to_owned()), None);
        };
        match (end(id), end(leader)) {
            (Ok(own), Ok(leaders)) if own < leaders => (Cause::Behind, Some(leaders - own)),
            (Ok(_), Ok(_)) => (Cause::CaughtUp, None),
            (Err(error), _) | (_, Err(error)) => (Cause::Untold(error), None),
        }
    }

    fn below_min_isr(&self) -> Option<String> {
        let min = *self.seen.min_isr.get(&self.key.0)?;
        // More cannot be asked for than there are.
        let min = min.min(self.partition.replicas.len());
        let isr = self.partition.isr.len();
        (isr < min).then(|| format!("{isr} in sync, {min} needed"))
    }

    /// Why nobody leads, and the way out.
    fn no_leader(&self) -> Vec<String> {
        const UNCLEAN: &str = "kafka-leader-election --election-type unclean";
        let PartitionDescription { replicas, isr, elr, last_known_elr, .. } = self.partition;
        let elr = elr.as_deref().unwrap_or_default();
        let eligible: Vec<BrokerId> =
            replicas.iter().copied().filter(|id| isr.contains(id) || elr.contains(id)).collect();
        if let Some(&ready) = eligible.iter().find(|&&id| self.why_not(id).is_none()) {
            let due = match self.seen.quorum {
                Quorum::Silent(_) => "it is elected as soon as the quorum has a leader",
                _ => "its election is due",
            };
            return vec![format!("no leader: replica {ready} may lead, and its broker is there: {due}")];
        }
        // An unclean election, too, needs somebody who is there.
        let others = replicas.iter().any(|&id| self.why_not(id).is_none());
        if let Some(why) = self.why_none(&eligible) {
            let (member, start) = match eligible.len() {
                1 => ("member", "start it"),
                _ => ("members", "start one of them"),
            };
            return vec![
                format!("no leader: the last ISR/ELR {member} {} cannot lead: {why}", ids(&eligible)),
                match others {
                    true => format!("{start}, or give up what is only there: {UNCLEAN}"),
                    false => format!("{start}: there is no other replica that could lead"),
                },
            ];
        }
        if let Some(why) = self.why_none(last_known_elr) {
            return vec![
                format!("no leader: ISR and ELR are empty, replica {} led last: {why}", ids(last_known_elr)),
                match others {
                    true => format!("start it, or have one lead that may lack more: {UNCLEAN}"),
                    false => "start it: there is no other replica that could lead".to_owned(),
                },
            ];
        }
        vec![
            "no leader: ISR and ELR are empty: nobody is known to have all that was acknowledged".to_owned(),
            match others {
                true => format!("have one lead that may lack some of it: {UNCLEAN}"),
                false => format!(
                    "start one of the brokers {}, and have it lead though it may lack some of it: {UNCLEAN}",
                    ids(replicas)
                ),
            },
        ]
    }

    /// Why each of these cannot lead; `None` if there are none.
    fn why_none(&self, replicas: &[BrokerId]) -> Option<String> {
        let why: Vec<String> = replicas.iter().filter_map(|&id| self.why_not(id)).collect();
        (!why.is_empty()).then(|| why.join(", "))
    }

    fn why_not(&self, id: BrokerId) -> Option<String> {
        let absence = self.seen.brokers.absence(id).map(|absence| absence.to_string());
        let offline = || self.partition.offline.contains(&id).then(|| offline(id));
        absence.or_else(offline)
    }
}

fn offline(id: BrokerId) -> String {
    format!("its directory on broker {id} has failed")
}

/// What is wrong with a partition as a whole, and with its replicas one by one.
type Reasons = (Vec<String>, Vec<(BrokerId, Cause)>);

/// Partitions by the reasons that they have.
#[derive(Default)]
struct Gathering {
    groups: BTreeMap<Reasons, Gathered>,
}

#[derive(Default)]
struct Gathered {
    partitions: Vec<(String, i32)>,
    /// By how many records replicas are behind, at least and at most.
    behind: BTreeMap<BrokerId, (i64, i64)>,
}

impl Gathering {
    fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    fn add(&mut self, partition: (String, i32), reasons: Vec<String>, missing: Vec<Missing>) {
        let causes = missing.iter().map(|(id, cause, _)| (*id, cause.clone())).collect();
        let gathered = self.groups.entry((reasons, causes)).or_default();
        gathered.partitions.push(partition);
        for (id, _, records) in missing {
            if let Some(records) = records {
                let (least, most) = gathered.behind.entry(id).or_insert((records, records));
                (*least, *most) = ((*least).min(records), (*most).max(records));
            }
        }
    }

    /// `None` if there are no partitions.
    fn trouble(self, noun: &str, is: &str, are: &str, what: &str) -> Option<Trouble> {
        let groups = self.groups.into_iter().map(|((mut reasons, causes), gathered)| {
            reasons.extend(causes.iter().map(|(id, cause)| reason(*id, cause, gathered.behind.get(id))));
            Group { reasons, partitions: gathered.partitions }
        });
        let mut groups: Vec<Group> = groups.collect();
        groups.sort_by_key(|group| std::cmp::Reverse(group.partitions.len()));
        let count: usize = groups.iter().map(|group| group.partitions.len()).sum();
        let verb = if count == 1 { is } else { are };
        let what = if what.is_empty() { String::new() } else { format!(": {what}") };
        let heading = format!("{} {verb}{what}", counted(count as u64, noun));
        (count > 0).then_some(Trouble { heading, groups })
    }
}

fn reason(id: BrokerId, cause: &Cause, behind: Option<&(i64, i64)>) -> String {
    let why = match cause {
        Cause::Absent(absence) => absence.to_string(),
        Cause::Offline => offline(id),
        Cause::Behind => match behind {
            Some((least, most)) if least == most => {
                format!("broker {id} is alive and behind by {}", counted(most.unsigned_abs(), "record"))
            }
            Some((least, most)) => format!("broker {id} is alive and behind by {least} to {most} records"),
            None => format!("broker {id} is alive and behind"),
        },
        Cause::CaughtUp => format!("broker {id} is alive and has caught up, it is about to be in sync"),
        Cause::Untold(why) => format!("broker {id} is alive; its log end is unknown: {why}"),
    };
    format!("replica {id} is out of the ISR: {why}")
}
