//! Peers that are not who this node takes them for: of another cluster, or with another id; and a quorum with other
//! voters. This node's configuration is wrong then, or theirs. It does not guess which, and does not go on where the
//! quorum that it looks for cannot be.

use std::collections::{BTreeMap, BTreeSet};

use super::calls::Received;
use crate::error_code::ErrorCode;
use crate::quorum::{Destination, Failure, Peer, Quorum, Response};
use crate::types::{BrokerId, LeaderEpoch};
use crate::wire::control::LeaderChangeMessage;

/// Why this node cannot be part of the quorum.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QuorumRefusal {
    /// Those whom it asks are of another cluster.
    #[error(
        "{} of another cluster than this node, whose log directories are of cluster {cluster_id} \
         (INCONSISTENT_CLUSTER_ID): name the controllers of that cluster in controller.quorum.voters and \
         controller.quorum.bootstrap.servers, or, to have this node in theirs, name empty directories in log.dirs \
         and format them with the id of their cluster",
        are(peers)
    )]
    OtherCluster {
        /// The cluster of this node's directories.
        cluster_id: String,
        /// The addresses of the others.
        peers: Vec<String>,
    },
    /// Those whom it asks are not the nodes that the voters' list says.
    #[error(
        "{} other nodes than controller.quorum.voters says, or of another cluster: correct it, so that it is the \
         same on every node and each id stands with the address of that node's own controller",
        are(peers)
    )]
    OtherNodes {
        /// Their addresses.
        peers: Vec<String>,
    },
    /// Another node has this one's id, and leads.
    #[error(
        "the node at {address}, which leads the quorum, has the id of this node, {id}: give this one a node.id of \
         its own, and directories that are formatted for it"
    )]
    UsedId {
        /// The id.
        id: BrokerId,
        /// Where the other listens.
        address: String,
    },
    /// The quorum has other voters.
    #[error(
        "controller.quorum.voters names the nodes {} here, and {} at node {leader}, which leads the quorum: make it \
         the same on every node",
        list(ours),
        list(theirs)
    )]
    OtherVoters {
        /// Who leads.
        leader: BrokerId,
        /// The voters by whom it was elected.
        theirs: BTreeSet<BrokerId>,
        /// Those that this node is configured with.
        ours: BTreeSet<BrokerId>,
    },
    /// This node's own log is of a quorum with other voters.
    #[error(
        "controller.quorum.voters names the nodes {}, but the metadata log was written under a leader that was \
         elected by {}: two lists can elect two leaders, and what one has committed is lost; make it what it was, \
         on every node, or, if this node's metadata are not wanted, format empty directories",
        list(ours),
        list(before)
    )]
    ChangedVoters {
        /// The voters of the last election that the log tells of.
        before: BTreeSet<BrokerId>,
        /// Those that this node is configured with.
        ours: BTreeSet<BrokerId>,
    },
}

fn are(peers: &[String]) -> String {
    match peers {
        [peer] => format!("the controller at {peer} is"),
        peers => format!("the controllers at {} are", peers.join(" and ")),
    }
}

fn list(ids: &BTreeSet<BrokerId>) -> String {
    ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Who was elected in an epoch, and by which voters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Elected {
    epoch: LeaderEpoch,
    leader: BrokerId,
    voters: BTreeSet<BrokerId>,
}

impl Elected {
    pub(super) fn new(epoch: LeaderEpoch, change: &LeaderChangeMessage) -> Self {
        let voters = change.voters.iter().map(|voter| BrokerId(voter.voter_id)).collect();
        Self { epoch, leader: BrokerId(change.leader_id), voters }
    }

    /// That this election, the last in this node's own log, was by the voters that this node is configured with.
    pub(super) fn check_unchanged(&self, ours: BTreeSet<BrokerId>) -> Result<(), QuorumRefusal> {
        match ours.is_empty() || self.voters == ours {
            true => Ok(()),
            false => Err(QuorumRefusal::ChangedVoters { before: self.voters.clone(), ours }),
        }
    }

    /// That the leader was elected by the voters that this node is configured with: else a majority of theirs and
    /// one of ours need have nobody in common. Voters that stand in the log are the same everywhere.
    fn check(&self, quorum: &Quorum) -> Result<(), QuorumRefusal> {
        let voters = quorum.voters();
        let ours: BTreeSet<BrokerId> = voters.current().iter().map(|voter| voter.key.id).collect();
        if !voters.is_reconfigurable() && !ours.is_empty() && self.voters != ours {
            let (leader, theirs) = (self.leader, self.voters.clone());
            return Err(QuorumRefusal::OtherVoters { leader, theirs, ours });
        }
        Ok(())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    OtherCluster,
    OtherNode,
}

/// Those that were noticed, until a leader is found.
#[derive(Debug, Default)]
pub(super) struct Strangers {
    known: BTreeMap<Peer, (String, What)>,
    /// The epoch of the last leader that has served this node in this run. Once there was one, this node is one of
    /// the cluster, and it is the others who are not.
    served: Option<LeaderEpoch>,
    /// The last election that the log tells of.
    elected: Option<Elected>,
    /// It was seen once who elected the leader.
    settled: bool,
}

impl Strangers {
    pub(super) fn new(elected: Option<Elected>) -> Self {
        Self { elected, ..Self::default() }
    }

    /// Takes note of an election that fetched batches tell of.
    ///
    /// # Errors
    ///
    /// [`QuorumRefusal::OtherVoters`]: the batches are not to be appended.
    pub(super) fn note_election(&mut self, elected: Elected, quorum: &Quorum) -> Result<(), QuorumRefusal> {
        self.elected = Some(elected);
        self.check_election(quorum)
    }

    /// What the log told of earlier epochs when it was opened was checked then.
    fn check_election(&self, quorum: &Quorum) -> Result<(), QuorumRefusal> {
        match &self.elected {
            Some(elected) if self.served == Some(elected.epoch) => elected.check(quorum),
            _ => Ok(()),
        }
    }

    /// Whether others may be told who leads. Not before it was seen, once, who elected that leader: what follows
    /// from it, a registration say, would be of this node in a quorum that is not its own.
    pub(super) fn is_settled(&mut self, quorum: &Quorum) -> bool {
        let voters = quorum.voters();
        let epoch = quorum.epoch();
        let by_ours = |elected: &Elected| elected.epoch == epoch && elected.check(quorum).is_ok();
        let by_whom = || {
            let seen = self.served == Some(epoch) || self.elected.as_ref().is_some_and(by_ours);
            seen && quorum.log().last_epoch() == epoch
        };
        let known = || voters.is_reconfigurable() || voters.current().is_empty();
        self.settled = self.settled || quorum.leads().is_some() || known() || by_whom();
        self.settled
    }

    /// Takes note of what a peer has answered, before the quorum has seen it.
    ///
    /// # Errors
    ///
    /// [`QuorumRefusal::UsedId`]
    pub(super) fn note(
        &mut self,
        from: &Destination,
        outcome: &Result<Received, Failure>,
        quorum: &Quorum,
        own: BrokerId,
    ) -> Result<(), QuorumRefusal> {
        let what = match outcome {
            Err(Failure::OtherCluster) => What::OtherCluster,
            // A voter whose directory was lost is another voter, too, where directories are known.
            Ok(received) if is_refused_key(&received.response) && !quorum.voters().is_reconfigurable() => {
                What::OtherNode
            }
            Ok(received) => {
                if let Response::Fetch(response) = &received.response {
                    let known = &response.known;
                    let is_own = known.leader.as_ref().is_some_and(|leader| leader.id == own);
                    // Who leads with the id of this node refuses its Fetch, and knows an epoch that this node has not
                    // led. Anybody else who names it as the leader remembers what it has lost with its disk.
                    let refuses = known.error == ErrorCode::InvalidRequest;
                    if is_own && refuses && known.epoch > quorum.epoch() {
                        return Err(QuorumRefusal::UsedId { id: own, address: text(from) });
                    }
                    if known.error == ErrorCode::None {
                        self.served = Some(known.epoch);
                    }
                }
                self.known.remove(&from.peer);
                return Ok(());
            }
            Err(_) => return Ok(()),
        };
        let address = text(from);
        if self.known.insert(from.peer, (address.clone(), what)).is_none() {
            let reason = match what {
                What::OtherCluster => "it is of another cluster",
                What::OtherNode => "it is another node than controller.quorum.voters says",
            };
            tracing::warn!(address, reason, "a controller is not who it should be");
        }
        Ok(())
    }

    /// That the quorum which this node looks for may be where it looks: enough voters are left that may be of its
    /// cluster.
    pub(super) fn check(
        &mut self,
        quorum: &Quorum,
        bootstrap: usize,
        cluster_id: &str,
    ) -> Result<(), QuorumRefusal> {
        self.check_election(quorum)?;
        if self.served.is_some() || quorum.leads().is_some() || self.known.is_empty() {
            return Ok(());
        }
        let voters = quorum.voters().current();
        let is_voter = |peer: &Peer| matches!(peer, Peer::Node(id) if voters.get(*id).is_some());
        let strangers = self.known.keys().filter(|peer| voters.is_empty() || is_voter(peer)).count();
        let enough = match voters.is_empty() {
            true => strangers < bootstrap,
            false => voters.len() - strangers >= voters.majority(),
        };
        if enough {
            return Ok(());
        }
        let peers: Vec<String> = self.known.values().map(|(address, _)| address.clone()).collect();
        Err(match self.known.values().all(|(_, what)| *what == What::OtherCluster) {
            true => QuorumRefusal::OtherCluster { cluster_id: cluster_id.to_owned(), peers },
            false => QuorumRefusal::OtherNodes { peers },
        })
    }
}

fn text(peer: &Destination) -> String {
    format!("{}:{}", peer.address.host, peer.address.port)
}

/// Whether the answer says that the request was meant for another voter.
fn is_refused_key(response: &Response) -> bool {
    let known = match response {
        Response::Vote(response) => &response.known,
        Response::BeginQuorumEpoch(known) => known,
        _ => return false,
    };
    known.error == ErrorCode::InvalidVoterKey
}
