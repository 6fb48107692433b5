//! Time, as a node may read it and wait for it.

use std::future::Future;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use crate::types::{Mono, WallMs};

/// A node's clock.
///
/// 1. [`Clock::now`] never goes back. It says nothing about other nodes' clocks.
/// 2. [`Clock::wall`] may step either way and may be wrong; nothing that matters for safety reads it.
/// 3. A sleep ends at or after its deadline, never before; how much later is not promised.
/// 4. Dropping a sleep cancels it.
pub trait Clock: Clone + Send + Sync + 'static {
    /// Monotonic time.
    fn now(&self) -> Mono;

    /// Wall-clock time.
    fn wall(&self) -> WallMs;

    /// Waits until `deadline`.
    fn sleep_until(&self, deadline: Mono) -> impl Future<Output = ()> + Send;

    /// Waits for `duration`.
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send {
        self.sleep_until(self.now() + duration)
    }

    /// Runs `future` until `deadline`: `None` if that came first. A future that is ready wins over a
    /// deadline that has passed.
    fn timeout_at<F>(&self, deadline: Mono, future: F) -> impl Future<Output = Option<F::Output>> + Send
    where
        F: Future + Send,
        F::Output: Send,
    {
        async move {
            let mut future = pin!(future);
            let mut sleep = pin!(self.sleep_until(deadline));
            std::future::poll_fn(|context| {
                if let Poll::Ready(output) = future.as_mut().poll(context) {
                    return Poll::Ready(Some(output));
                }
                sleep.as_mut().poll(context).map(|()| None)
            })
            .await
        }
    }
}
