//! Many things that wait, a few at a time.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use crate::env::{Env, Task};

/// Runs `work` on every item, `limit` at a time, and returns the outcomes in the order of the items. A future
/// that has begun runs to its end unless this one is dropped.
pub(super) async fn for_each<E, T, R, F>(
    env: &E,
    name: &'static str,
    limit: usize,
    items: Vec<T>,
    work: impl Fn(T) -> F + Clone + Send + Sync + 'static,
) -> Vec<R>
where
    E: Env,
    T: Send + 'static,
    R: Send + 'static,
    F: Future<Output = R> + Send,
{
    let count = items.len();
    let queue: Arc<Mutex<VecDeque<(usize, T)>>> =
        Arc::new(Mutex::new(items.into_iter().enumerate().collect()));
    let outcomes: Arc<Mutex<Vec<Option<R>>>> = Arc::new(Mutex::new((0..count).map(|_| None).collect()));
    let worker = |_| {
        let (queue, outcomes, work) = (Arc::clone(&queue), Arc::clone(&outcomes), work.clone());
        env.spawn(name, async move {
            while let Some((index, item)) = next(&queue) {
                let outcome = work(item).await;
                outcomes.lock().unwrap_or_else(PoisonError::into_inner)[index] = Some(outcome);
            }
        })
    };
    let workers: Vec<E::Task> = (0..limit.min(count)).map(worker).collect();
    for worker in workers {
        worker.join().await;
    }
    let mut outcomes = outcomes.lock().unwrap_or_else(PoisonError::into_inner);
    outcomes.drain(..).map(|outcome| outcome.expect("every worker ran to its end")).collect()
}

fn next<T>(queue: &Mutex<VecDeque<(usize, T)>>) -> Option<(usize, T)> {
    queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
}
