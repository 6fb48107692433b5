//! What happened, event by event: always hashed, kept when asked for.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::engine::NodeId;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceEvent {
    /// Virtual time in nanoseconds since the run began.
    pub time_ns: u64,
    /// Whose event it is; node 0 is the harness.
    pub node: NodeId,
    /// What kind of event.
    pub kind: Kind,
    /// Two numbers that say which one; what they mean depends on the kind.
    pub a: u64,
    /// See `a`.
    pub b: u64,
    /// For people.
    pub text: Cow<'static, str>,
}

/// The kinds of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[repr(u8)]
pub enum Kind {
    /// A task was polled: slot, generation.
    Poll,
    /// A timer fired: its sequence number.
    Timer,
    /// A task began: slot, generation.
    Spawn,
    /// A task ended: slot, generation.
    End,
    /// A task panicked.
    Panic,
    /// A node's process started, stopped, died, paused or went on; or its power went or came.
    Node,
    /// A fault was injected or lifted.
    Fault,
    /// A connection was opened, accepted, closed or reset: connection.
    Connection,
    /// Bytes left: connection, fingerprint.
    Send,
    /// Bytes arrived: connection, length.
    Deliver,
    /// A disk operation that changes nothing: inode, length.
    DiskRead,
    /// A disk operation that changes something: inode, fingerprint.
    DiskWrite,
    /// A sync of a file or a directory: inode, whether it worked.
    DiskSync,
    /// What a crash left on a disk: inode, fingerprint.
    DiskCrash,
    /// A node said what happened inside it.
    Observe,
    /// A client's call or its result.
    Client,
}

impl Kind {
    fn label(self) -> &'static str {
        match self {
            Self::Poll => "poll",
            Self::Timer => "timer",
            Self::Spawn => "spawn",
            Self::End => "end",
            Self::Panic => "PANIC",
            Self::Node => "node",
            Self::Fault => "FAULT",
            Self::Connection => "conn",
            Self::Send => "send",
            Self::Deliver => "deliver",
            Self::DiskRead => "read",
            Self::DiskWrite => "write",
            Self::DiskSync => "sync",
            Self::DiskCrash => "lost",
            Self::Observe => "inside",
            Self::Client => "client",
        }
    }

    /// Whether a reader of a timeline wants to see it: the scheduler's own events drown the others.
    pub fn is_telling(self) -> bool {
        !matches!(self, Self::Poll | Self::Timer | Self::Spawn | Self::End)
    }
}

impl fmt::Display for TraceEvent {
    /// Columns: virtual time in seconds, node, kind, text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, nanos) = (self.time_ns / 1_000_000_000, self.time_ns % 1_000_000_000);
        let micros = nanos / 1_000;
        write!(f, "{seconds:>4}.{micros:06}  {:<8} {:<8} {}", self.node, self.kind.label(), self.text)
    }
}

/// How much of a trace to keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// The hash alone.
    Nothing,
    /// The last so many telling events.
    Last(usize),
    /// Everything.
    All,
}

/// The trace of one run.
#[derive(Debug)]
pub struct Trace {
    keep: Keep,
    digest: Digest,
    count: u64,
    events: VecDeque<TraceEvent>,
}

impl Trace {
    /// An empty trace.
    pub fn new(keep: Keep) -> Self {
        Self { keep, digest: Digest::new(), count: 0, events: VecDeque::new() }
    }

    /// Notes an event. The text is made only if it is kept, and is not hashed: all that distinguishes two
    /// events must be in their numbers.
    pub fn note(
        &mut self,
        (time_ns, node): (u64, NodeId),
        kind: Kind,
        (a, b): (u64, u64),
        text: impl FnOnce() -> Cow<'static, str>,
    ) {
        self.count += 1;
        self.digest.word(time_ns);
        self.digest.word(u64::from(node.0) << 8 | kind as u64);
        self.digest.word(a);
        self.digest.word(b);
        match self.keep {
            Keep::Nothing => return,
            Keep::Last(_) if !kind.is_telling() => return,
            Keep::Last(limit) => {
                if self.events.len() == limit {
                    self.events.pop_front();
                }
            }
            Keep::All => {}
        }
        self.events.push_back(TraceEvent { time_ns, node, kind, a, b, text: text() });
    }

    /// The hash of everything noted so far.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// How many events were noted.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Takes out the events that were kept.
    pub fn take_events(&mut self) -> Vec<TraceEvent> {
        std::mem::take(&mut self.events).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noted(keep: Keep) -> Trace {
        let mut trace = Trace::new(keep);
        for n in 0..10 {
            trace.note((n, NodeId(1)), Kind::Poll, (n, 0), || "poll".into());
            trace.note((n, NodeId(1)), Kind::Client, (n, 0), || format!("call {n}").into());
        }
        trace
    }

    #[test]
    fn what_is_kept_does_not_change_the_hash() {
        let all = noted(Keep::All);
        assert_eq!(all.digest(), noted(Keep::Nothing).digest());
        assert_eq!(all.digest(), noted(Keep::Last(3)).digest());
        assert_eq!(all.count(), 20);
    }

    #[test]
    fn a_ring_keeps_the_last_telling_events() {
        let events = noted(Keep::Last(3)).take_events();
        let texts: Vec<_> = events.iter().map(|event| event.text.as_ref()).collect();
        assert_eq!(texts, ["call 7", "call 8", "call 9"]);
    }

    #[test]
    fn a_line_has_time_node_kind_and_text() {
        let event = TraceEvent {
            time_ns: 1_500_000,
            node: NodeId(2),
            kind: Kind::Fault,
            a: 0,
            b: 0,
            text: "power loss".into(),
        };
        assert_eq!(event.to_string(), "   0.001500  node-2   FAULT    power loss");
    }
}
