//! What the parts of a connection tell each other, and how long anything may take.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use super::{Closed, first};
use crate::env::Clock;
use crate::node::budget::Budget;
use crate::node::ordering::Owed;
use crate::types::Mono;

/// After this much silence a connection frees its buffers.
const SHRINK_AFTER: Duration = Duration::from_secs(10);

/// So long a frame may not arrive at all while others wait for the memory that it holds.
const STALLED_AFTER: Duration = Duration::from_secs(5);

/// How often a frame that does not arrive is looked at: the memory may be wanted by then.
const STALLED_CHECK: Duration = Duration::from_secs(1);

/// What the parts of a connection tell each other.
#[derive(Debug)]
pub(super) struct State {
    /// Something changed that another part may wait for.
    pub(super) changed: bool,
    pub(super) owed: Owed,
    pub(super) reading: Reading,
    /// When something was last read.
    last_read: Mono,
    /// When something was last read or written.
    last_active: Mono,
    /// Since when the writer waits for the peer.
    pub(super) writing_since: Option<Mono>,
    /// No more requests are to be served, and when what is owed must be written.
    pub(super) stop: Option<Mono>,
    /// When the watch looks at its deadlines next, if nobody tells it to.
    watch_at: Mono,
    /// The watch is to look again at once.
    rearm: bool,
    /// The reader is to free memory.
    pub(super) shrink: bool,
}

/// What the reader is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// It serves a request, or waits for memory or for room to.
    Busy,
    /// It waits for a request, with buffers that could be freed or without.
    Idle { can_shrink: bool },
    /// It waits for the rest of a frame that began to arrive then, and for which memory is held or not yet.
    Frame { since: Mono, holds_memory: bool },
    /// It reads no more.
    Ended,
}

impl State {
    /// Has no more requests served, and what is owed written until `deadline` at the latest.
    pub(super) fn stop_at(&mut self, deadline: Mono) {
        self.stop = Some(self.stop.map_or(deadline, |earlier| earlier.min(deadline)));
        self.rearm = true;
        self.changed = true;
    }

    pub(super) fn has_read(&mut self, now: Mono) {
        self.reading = Reading::Busy;
        self.last_read = now;
        self.last_active = now;
    }

    pub(super) fn has_answered(&mut self, count: usize, now: Mono) {
        self.owed.answered(count);
        self.writing_since = None;
        self.last_active = now;
    }

    /// Whether every request that will ever be read has its answer.
    pub(super) fn is_over(&self) -> bool {
        self.reading == Reading::Ended && self.owed.is_empty()
    }

    /// Notes what the reader waits for. What it could free is freed in time.
    pub(super) fn wait_for_bytes(&mut self, reading: Reading) {
        self.reading = reading;
        let watched_from = match reading {
            Reading::Idle { can_shrink: true } => self.last_read + 2 * SHRINK_AFTER,
            Reading::Frame { holds_memory: true, .. } => self.last_read + 2 * STALLED_AFTER,
            Reading::Idle { .. } | Reading::Frame { .. } | Reading::Busy | Reading::Ended => return,
        };
        if self.watch_at > watched_from {
            self.rearm = true;
            self.changed = true;
        }
    }

    /// Whether what must not last longer has lasted too long at `now`; if not, when to ask again. Memory is
    /// `wanted` by others or not.
    fn judge(&mut self, now: Mono, max_idle: Duration, wanted: bool) -> Result<Mono, Closed> {
        let mut next = now + max_idle;
        let mut expired = |since: Mono, limit: Duration| {
            let end = since + limit;
            next = next.min(end);
            end <= now
        };
        if self.stop.is_some_and(|deadline| expired(deadline, Duration::ZERO)) {
            return Err(Closed::DrainStalled);
        }
        if self.writing_since.is_some_and(|since| expired(since, max_idle)) {
            return Err(Closed::WriteStalled);
        }
        match self.reading {
            Reading::Frame { since, .. } if expired(since, max_idle) => return Err(Closed::FrameStalled),
            Reading::Frame { holds_memory: true, .. } => {
                let end = self.last_read + STALLED_AFTER;
                if end <= now && wanted {
                    return Err(Closed::FrameStalled);
                }
                next = next.min(if end <= now { now + STALLED_CHECK } else { end });
            }
            Reading::Idle { .. } if self.owed.is_empty() && expired(self.last_active, max_idle) => {
                return Err(Closed::Idle);
            }
            Reading::Idle { can_shrink: true } if expired(self.last_read, SHRINK_AFTER) => {
                self.reading = Reading::Idle { can_shrink: false };
                self.shrink = true;
                self.changed = true;
                self.owed.shrink();
                return self.judge(now, max_idle, wanted);
            }
            Reading::Idle { .. } | Reading::Frame { .. } | Reading::Busy | Reading::Ended => {}
        }
        self.watch_at = next;
        Ok(next)
    }
}

/// The state, among the parts of one task.
#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
}

impl Shared {
    pub(super) fn new(now: Mono) -> Self {
        let state = State {
            changed: false,
            owed: Owed::default(),
            reading: Reading::Idle { can_shrink: false },
            last_read: now,
            last_active: now,
            writing_since: None,
            stop: None,
            watch_at: now,
            rearm: false,
            shrink: false,
        };
        Self { state: Mutex::new(state) }
    }

    pub(super) fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits until `look` finds something. Only for the parts of this connection: see `drive`.
    pub(super) async fn wait<T>(&self, mut look: impl FnMut(&mut State) -> Option<T>) -> T {
        poll_fn(|_| match self.with(&mut look) {
            Some(found) => Poll::Ready(found),
            None => Poll::Pending,
        })
        .await
    }

    /// Waits for `future`, or for the end of service.
    pub(super) async fn unless_stopped<T>(
        &self,
        future: impl Future<Output = T> + Send,
    ) -> Result<T, Closed> {
        let mut future = pin!(future);
        poll_fn(|context| {
            if self.with(|state| state.stop.is_some()) {
                return Poll::Ready(Err(Closed::Shutdown));
            }
            future.as_mut().poll(context).map(Ok)
        })
        .await
    }

    /// Lets the other parts go on first.
    pub(super) async fn give_way(&self) {
        let mut given = false;
        self.wait(|state| {
            state.changed |= !given;
            std::mem::replace(&mut given, true).then_some(())
        })
        .await;
    }
}

/// The part that ends a connection on which nothing happens. One timer serves all deadlines: when it fires,
/// it is set again by what the state says then, so that traffic never touches it.
pub(super) async fn watch(
    clock: &impl Clock,
    shared: &Shared,
    max_idle: Duration,
    budget: &Budget,
) -> Closed {
    loop {
        let now = clock.now();
        match shared.with(|state| state.judge(now, max_idle, budget.is_wanted())) {
            Err(reason) => return reason,
            Ok(next) => {
                let rearm = shared.wait(|state| std::mem::take(&mut state.rearm).then_some(()));
                first(rearm, clock.sleep_until(next)).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::service::Reply;

    const MAX_IDLE: Duration = Duration::from_secs(60);

    fn at(seconds: u64) -> Mono {
        Mono::default() + Duration::from_secs(seconds)
    }

    /// A state that was last active at 100 s.
    fn state(change: impl FnOnce(&mut State)) -> State {
        let mut state = Shared::new(at(100)).state.into_inner().expect("nobody panicked");
        change(&mut state);
        state
    }

    fn judge(state: &mut State, seconds: u64) -> Result<Mono, String> {
        state.judge(at(seconds), MAX_IDLE, false).map_err(|reason| reason.to_string())
    }

    #[test]
    fn an_idle_connection_ends_unless_something_is_owed() {
        let mut idle = state(|_| {});
        assert_eq!(judge(&mut idle, 130), Ok(at(160)));
        assert_eq!(judge(&mut idle, 160), Err("idle".to_owned()));
        let mut waiting = state(|state| state.owed.push(Reply::later(std::future::pending())));
        assert_eq!(judge(&mut waiting, 1000), Ok(at(1060)));
        waiting.has_answered(1, at(1001));
        assert_eq!(judge(&mut waiting, 1060), Ok(at(1061)));
        let mut busy = state(|state| state.reading = Reading::Busy);
        assert_eq!(judge(&mut busy, 1000), Ok(at(1060)));
    }

    #[test]
    fn a_frame_a_write_and_a_drain_have_a_time() {
        let since = |holds_memory| {
            move |state: &mut State| {
                state.reading = Reading::Frame { since: at(90), holds_memory };
            }
        };
        let mut frame = state(since(false));
        assert_eq!(judge(&mut frame, 149), Ok(at(150)));
        assert_eq!(judge(&mut frame, 150), Err("a request did not arrive in time".to_owned()));
        let mut write = state(|state| {
            state.reading = Reading::Busy;
            state.writing_since = Some(at(110));
        });
        assert_eq!(judge(&mut write, 120), Ok(at(170)));
        assert_eq!(judge(&mut write, 170), Err("the peer does not read its responses".to_owned()));
        let mut drain = state(|state| {
            state.reading = Reading::Ended;
            state.stop_at(at(120));
            state.stop_at(at(115));
            state.stop_at(at(117));
        });
        assert_eq!(judge(&mut drain, 114), Ok(at(115)));
        assert_eq!(judge(&mut drain, 115), Err("the last responses were not written in time".to_owned()));
    }

    #[test]
    fn memory_that_others_want_is_not_held_for_a_frame_that_does_not_arrive() {
        let mut frame = state(|state| {
            state.wait_for_bytes(Reading::Frame { since: at(90), holds_memory: true });
        });
        let mut judge = |seconds, wanted| frame.judge(at(seconds), MAX_IDLE, wanted).ok();
        assert_eq!(judge(104, true), Some(at(105)));
        assert_eq!(judge(120, false), Some(at(121)), "nobody wants it");
        assert_eq!(judge(121, true), None);
        let mut arriving = state(|state| {
            state.has_read(at(119));
            state.wait_for_bytes(Reading::Frame { since: at(90), holds_memory: true });
        });
        assert_eq!(arriving.judge(at(121), MAX_IDLE, true).ok(), Some(at(124)));
        let mut small = state(|state| {
            state.wait_for_bytes(Reading::Frame { since: at(90), holds_memory: false });
        });
        assert_eq!(small.judge(at(121), MAX_IDLE, true).ok(), Some(at(150)));
        // The watch sleeps long; memory that may be wanted sooner wakes it.
        small.rearm = false;
        small.wait_for_bytes(Reading::Frame { since: at(90), holds_memory: true });
        assert!(small.rearm);
    }

    #[test]
    fn silence_frees_memory_once() {
        let mut state = state(|state| {
            state.wait_for_bytes(Reading::Idle { can_shrink: true });
            state.owed.push(Reply::later(std::future::pending()));
        });
        assert_eq!((judge(&mut state, 105), state.shrink), (Ok(at(110)), false));
        assert_eq!((judge(&mut state, 110), state.shrink), (Ok(at(170)), true));
        state.shrink = false;
        assert_eq!((judge(&mut state, 120), state.shrink), (Ok(at(180)), false));
        // The watch sleeps long; memory that could be freed sooner wakes it.
        state.has_read(at(121));
        state.rearm = false;
        state.wait_for_bytes(Reading::Idle { can_shrink: true });
        assert!(state.rearm);
    }
}
