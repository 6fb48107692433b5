//! Several futures of one task, awaited together.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;

/// Futures under way. They run only while [`FutureSet::next`] is awaited; dropping the set drops them.
///
/// They are polled oldest first, all of them at every wake-up: meant for the few that one client has at a
/// time, and the same from run to run.
pub(crate) struct FutureSet<T> {
    futures: Vec<Pin<Box<dyn Future<Output = T> + Send>>>,
}

impl<T> FutureSet<T> {
    pub(crate) fn new() -> Self {
        Self { futures: Vec::new() }
    }

    pub(crate) fn push(&mut self, future: impl Future<Output = T> + Send + 'static) {
        self.futures.push(Box::pin(future));
    }

    /// The outcome of the first one that is ready; waits for ever while there are none. Cancel-safe.
    pub(crate) async fn next(&mut self) -> T {
        poll_fn(|context| {
            for index in 0..self.futures.len() {
                if let Poll::Ready(output) = self.futures[index].as_mut().poll(context) {
                    drop(self.futures.remove(index));
                    return Poll::Ready(output);
                }
            }
            Poll::Pending
        })
        .await
    }
}

/// What came first.
pub(crate) enum Either<A, B> {
    First(A),
    Second(B),
}

/// Awaits two futures until one is ready, and drops the other. If both are, the first wins: the same in every
/// run.
pub(crate) async fn race<A: Future, B: Future>(first: A, second: B) -> Either<A::Output, B::Output> {
    let (mut first, mut second) = (pin!(first), pin!(second));
    poll_fn(|context| {
        if let Poll::Ready(output) = first.as_mut().poll(context) {
            return Poll::Ready(Either::First(output));
        }
        second.as_mut().poll(context).map(Either::Second)
    })
    .await
}
