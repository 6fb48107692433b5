//! The metadata quorum at work on this node: one task that owns the quorum's state machine, the metadata log and,
//! while this node leads, the controller.
//!
//! Everything reaches it as a [`Message`]: requests of peers, their answers, questions to the controller. It
//! handles all that has come, makes the log durable once for all of it, and goes on. What was committed is
//! replayed and handed to the [publisher](super::publisher), which alone may take its time with it.
//!
//! | file | |
//! |---|---|
//! | `task` | the loop, and what becomes of the quorum's effects |
//! | `active` | the controller while this node leads |
//! | `inspection` | whether the files may be opened at all |
//! | `log`, `snapshots` | the files |
//! | `peers`, `calls` | requests to other nodes |
//! | `strangers` | other nodes that are not of this quorum, or have another in mind |

mod active;
mod calls;
mod error;
mod inspection;
mod log;
mod peers;
mod snapshots;
mod strangers;
mod task;

pub(crate) use active::{Command, ControllerTimers, Desk, Undertaking};
pub(crate) use calls::{KRAFT_VERSIONS, TOPIC};
pub use error::MetadataLogError;
pub(crate) use inspection::{Inspected, RaftLogHints, inspect};
pub(crate) use log::RaftLog;
pub use strangers::QuorumRefusal;
pub(crate) use task::{RaftParts, RaftTask};

use std::sync::atomic::{AtomicI16, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use tokio::sync::{Notify, mpsc, oneshot};

use self::calls::Received;
use super::metadata::NotDecided;
use crate::quorum::{Address, Answer, Description, Destination, Failure, Request, RequestId, SnapshotId};
use crate::types::{BrokerId, LeaderEpoch, Mono};

/// What the task is told.
pub(crate) enum Message {
    /// A question to the controller.
    Decide(Command),
    /// A peer's request.
    Asked { request: Request, reply: oneshot::Sender<Answered> },
    /// A peer's answer, or why there is none.
    Answered { id: RequestId, from: Destination, outcome: Result<Received, Failure> },
    /// How the quorum stands; `None` where this node does not lead it.
    Describe(oneshot::Sender<Option<Description>>),
    /// A snapshot was written in the background.
    SnapshotWritten { id: SnapshotId, outcome: Result<(), MetadataLogError> },
    /// The node is about to stop: it hands over what it leads. Answered when nobody depends on it any more.
    Resign(oneshot::Sender<()>),
    /// Close the log and end.
    Stop,
}

/// The answer to a peer's request, and what goes with it.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) answer: Answer,
    /// The batches of a Fetch, or the piece of a snapshot.
    pub(crate) payload: Bytes,
    /// The size of the whole snapshot.
    pub(crate) snapshot_size: u64,
}

/// A handle to the task. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Raft {
    inbox: mpsc::UnboundedSender<Message>,
    leadership: Leadership,
    kraft_version: Arc<AtomicI16>,
}

impl Raft {
    /// A handle, and the inbox that the task reads.
    pub(super) fn new() -> (Self, mpsc::UnboundedReceiver<Message>) {
        let (inbox, messages) = mpsc::unbounded_channel();
        let (leadership, kraft_version) = (Leadership::default(), Arc::default());
        (Self { inbox, leadership, kraft_version }, messages)
    }

    /// Who leads, as this node knows.
    pub(crate) fn leadership(&self) -> &Leadership {
        &self.leadership
    }

    /// The level of kraft.version that this node's log says, committed or not, as for the voters.
    pub(crate) fn kraft_version(&self) -> i16 {
        self.kraft_version.load(Ordering::Relaxed)
    }

    /// Hands over a peer's request; `None` when the node stops.
    pub(crate) async fn ask(&self, request: Request) -> Option<Answered> {
        let (reply, answer) = oneshot::channel();
        self.inbox.send(Message::Asked { request, reply }).ok()?;
        answer.await.ok()
    }

    /// How the quorum stands; `None` where this node does not lead it.
    pub(crate) async fn describe(&self) -> Option<Description> {
        let (reply, answer) = oneshot::channel();
        self.inbox.send(Message::Describe(reply)).ok()?;
        answer.await.ok().flatten()
    }

    /// Has the controller on this node decide.
    pub(crate) fn decide(&self, command: Command) -> Result<(), NotDecided> {
        self.inbox.send(Message::Decide(command)).map_err(|_| NotDecided::Gone)
    }

    /// Hands over what this node leads. Ends when nobody depends on it any more.
    pub(super) async fn resign(&self) {
        let (reply, done) = oneshot::channel();
        if self.inbox.send(Message::Resign(reply)).is_ok() {
            // If the task ends before, there is nothing to wait for.
            let _ = done.await;
        }
    }

    /// Has the task close the log and end.
    pub(super) fn stop(&self) {
        // If the task has ended, it is done.
        let _ = self.inbox.send(Message::Stop);
    }
}

/// Who leads the quorum, and so is the active controller. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Leadership {
    shared: Arc<(Mutex<Leader>, Notify)>,
}

/// The leader of an epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Leader {
    pub(crate) epoch: LeaderEpoch,
    /// `None` while nobody is known to lead.
    pub(crate) id: Option<BrokerId>,
    /// Where it listens for controllers and brokers, if that is known.
    pub(crate) address: Option<Address>,
    /// Whether this node leads, and its controller is active.
    pub(crate) is_here: bool,
    /// When this changed last.
    pub(crate) since: Mono,
}

impl Default for Leader {
    fn default() -> Self {
        let (epoch, since) = (LeaderEpoch::NONE, Mono::default());
        Self { epoch, id: None, address: None, is_here: false, since }
    }
}

impl Leadership {
    /// Who leads now.
    pub(crate) fn current(&self) -> Leader {
        self.lock().clone()
    }

    /// Waits until somebody other leads than `known` says.
    pub(crate) async fn changed(&self, known: &Leader) -> Leader {
        loop {
            let notified = self.shared.1.notified();
            let current = self.current();
            if current != *known {
                return current;
            }
            notified.await;
        }
    }

    /// Says who leads from now on.
    pub(super) fn set(&self, leader: Leader) {
        let mut current = self.lock();
        let same = Leader { since: current.since, ..leader.clone() } == *current;
        if !same {
            *current = leader;
            drop(current);
            self.shared.1.notify_waiters();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Leader> {
        self.shared.0.lock().expect("nothing panics under this lock")
    }
}
