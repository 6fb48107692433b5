//! Group commit: who has appended asks for a sync; the next one starts when the last has ended.
//!
//! There is no timer. While a replica's sync runs, appends go on, and whatever arrives meanwhile is covered by
//! the one that follows: a slow disk makes larger groups. Several replicas sync at once, up to a bound.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;

use crate::env::Env;

/// Something that syncs.
pub trait Flushable: Send + Sync + 'static {
    /// Syncs once and draws the consequences. Says whether another sync is wanted already.
    fn flush(self: &Arc<Self>) -> impl Future<Output = bool> + Send;
}

/// Where one flushable stands. It lives behind the flushable's own lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FlushState {
    /// Nothing to do.
    #[default]
    Idle,
    /// Waits for its turn; whatever is appended now will be covered.
    Queued,
    /// A sync runs, and nothing was appended since it began.
    Running,
    /// A sync runs, and another one has to follow.
    RunningWanted,
}

impl FlushState {
    /// A sync is wanted. Says whether to put the flushable into the queue.
    #[must_use]
    pub fn want(&mut self) -> bool {
        let queue = *self == Self::Idle;
        *self = match *self {
            Self::Idle | Self::Queued => Self::Queued,
            Self::Running | Self::RunningWanted => Self::RunningWanted,
        };
        queue
    }

    /// Its turn has come: what is appended from now on is not covered.
    pub fn begin(&mut self) {
        assert_eq!(*self, Self::Queued, "a sync begins out of the queue");
        *self = Self::Running;
    }

    /// The sync has ended. Says whether to put the flushable back into the queue.
    #[must_use]
    pub fn end(&mut self) -> bool {
        let again = *self == Self::RunningWanted;
        assert!(again || *self == Self::Running, "a sync ends that did not run: {self:?}");
        *self = if again { Self::Queued } else { Self::Idle };
        again
    }
}

/// The queue of those who want a sync. Clones share it.
#[derive(Debug)]
pub struct FlushQueue<T> {
    inner: Arc<Inner<T>>,
}

#[derive(Debug)]
struct Inner<T> {
    waiting: Mutex<VecDeque<Arc<T>>>,
    /// One permit for each that waits.
    count: Semaphore,
}

impl<T> Default for FlushQueue<T> {
    /// An empty queue.
    fn default() -> Self {
        Self { inner: Arc::new(Inner { waiting: Mutex::new(VecDeque::new()), count: Semaphore::new(0) }) }
    }
}

impl<T: Flushable> FlushQueue<T> {
    /// Puts a flushable to the end. To be called when [`FlushState::want`] says so, and only then.
    pub fn push(&self, flushable: Arc<T>) {
        self.inner.waiting.lock().unwrap_or_else(PoisonError::into_inner).push_back(flushable);
        self.inner.count.add_permits(1);
    }

    /// Starts `workers` tasks that sync whatever is in the queue. They end when their handles are dropped, and
    /// with the last of them the queue is emptied: what waits there owns this queue in its turn.
    pub fn start<E: Env>(&self, env: &E, workers: usize) -> Vec<E::Task> {
        assert!(workers > 0, "somebody has to sync");
        let shared = Arc::new(EmptiedAtLast(self.clone()));
        let work = |_| {
            let shared = Arc::clone(&shared);
            env.spawn("flusher", async move {
                let queue = &shared.0;
                loop {
                    let flushable = queue.next().await;
                    if flushable.flush().await {
                        queue.push(flushable);
                    }
                }
            })
        };
        (0..workers).map(work).collect()
    }

    async fn next(&self) -> Arc<T> {
        self.inner.count.acquire().await.expect("the queue is never closed").forget();
        let next = self.inner.waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        next.expect("there are as many permits as entries")
    }
}

/// What the workers share. When the last of them is gone nobody syncs any more.
struct EmptiedAtLast<T>(FlushQueue<T>);

impl<T> Drop for EmptiedAtLast<T> {
    fn drop(&mut self) {
        let inner = &self.0.inner;
        let waiting = std::mem::take(&mut *inner.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        inner.count.forget_permits(waiting.len());
    }
}

impl<T> Clone for FlushQueue<T> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_appended_during_a_sync_is_covered_by_the_next() {
        let mut state = FlushState::default();
        assert!(state.want(), "the first goes into the queue");
        assert!(!state.want(), "the second is covered by the same sync");
        state.begin();
        assert!(!state.want(), "it is not queued twice");
        assert!(state.end(), "but it is not forgotten");
        state.begin();
        assert!(!state.end());
        assert!(state.want());
    }
}
