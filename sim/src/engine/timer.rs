//! Timers: ordered by time, ties by a random number.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use super::Engine;

/// Names a timer that is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimerKey {
    at_ns: u64,
    tie: u64,
    sequence: u64,
}

/// What happens when a timer fires.
pub(super) enum Timer {
    Wake(Waker),
    Run(Box<dyn FnOnce() + Send>),
}

/// All timers that are set.
#[derive(Default)]
pub(super) struct Timers {
    timers: BTreeMap<TimerKey, Timer>,
    sequence: u64,
}

impl Timers {
    pub(super) fn insert(&mut self, at_ns: u64, tie: u64, timer: Timer) -> TimerKey {
        self.sequence += 1;
        let key = TimerKey { at_ns, tie, sequence: self.sequence };
        self.timers.insert(key, timer);
        key
    }

    pub(super) fn remove(&mut self, key: TimerKey) -> Option<Timer> {
        self.timers.remove(&key)
    }

    fn replace_waker(&mut self, key: TimerKey, waker: &Waker) {
        if let Some(Timer::Wake(old)) = self.timers.get_mut(&key)
            && !old.will_wake(waker)
        {
            *old = waker.clone();
        }
    }

    /// The next timer to fire: its time, its sequence number and what to do.
    pub(super) fn pop(&mut self) -> Option<(u64, u64, Timer)> {
        let (key, timer) = self.timers.pop_first()?;
        Some((key.at_ns, key.sequence, timer))
    }

    pub(super) fn take_all(&mut self) -> Vec<Timer> {
        std::mem::take(&mut self.timers).into_values().collect()
    }
}

/// Waits until a virtual time. Dropping it takes its timer away.
pub struct Sleep {
    engine: Engine,
    at_ns: u64,
    timer: Option<TimerKey>,
}

impl Sleep {
    pub(super) fn new(engine: Engine, at_ns: u64) -> Self {
        Self { engine, at_ns, timer: None }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.engine.now_ns() >= self.at_ns {
            return Poll::Ready(());
        }
        match self.timer {
            Some(key) => self.engine.core().timers.replace_waker(key, context.waker()),
            None => {
                let timer = Timer::Wake(context.waker().clone());
                self.timer = Some(self.engine.set_timer(self.at_ns, timer));
            }
        }
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(key) = self.timer {
            self.engine.cancel(key);
        }
    }
}
