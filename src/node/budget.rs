//! Memory budgets: what passes through a node is admitted before it is held.
//!
//! Clients, replication and control each have a budget of their own, so that none can starve another. Who
//! wants to hold bytes takes a [`Permit`] first and keeps it as long as the bytes: a request's from before
//! its body is read, a response's until it is written.
//!
//! A peer's word alone takes nothing: a large request's permit is taken once the first part of its body is
//! there, and while others wait ([`Budget::is_wanted`]) a request that has stopped arriving loses it, with its
//! connection (see [`connection`](super::connection)). So neighbours are served however much is announced.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Semaphore;

/// A number of bytes, given out in permits, first come first served. Clones share it.
#[derive(Clone)]
pub struct Budget {
    inner: Arc<Inner>,
}

struct Inner {
    name: &'static str,
    total: usize,
    free: Semaphore,
    /// How many wait.
    waiting: AtomicUsize,
}

impl Budget {
    /// A budget of `total` bytes; its name is for messages.
    pub fn new(name: &'static str, total: usize) -> Self {
        assert!(total <= Semaphore::MAX_PERMITS, "a budget of {total} bytes is beyond any machine");
        Self {
            inner: Arc::new(Inner { name, total, free: Semaphore::new(total), waiting: AtomicUsize::new(0) }),
        }
    }

    /// Waits until `bytes` are free and everyone who asked before has been served. A request that the whole
    /// budget could not hold is refused at once: it would wait for ever, and all others behind it.
    ///
    /// Whoever already holds a permit and waits here for another one may wait for himself. Take what may be
    /// needed in one permit, or use [`Budget::try_acquire`] for the second.
    pub async fn acquire(&self, bytes: usize) -> Result<Permit, TooLarge> {
        let units = self.units(bytes)?;
        let _waiting = Waiting::new(&self.inner.waiting);
        let taken = self.inner.free.acquire_many(units).await.expect("a budget is never closed");
        taken.forget();
        Ok(self.permit(bytes))
    }

    /// Whether somebody waits for bytes.
    pub fn is_wanted(&self) -> bool {
        self.inner.waiting.load(Ordering::Relaxed) > 0
    }

    /// Takes `bytes` if they are free and nobody waits.
    pub fn try_acquire(&self, bytes: usize) -> Option<Permit> {
        let units = self.units(bytes).ok()?;
        let taken = self.inner.free.try_acquire_many(units).ok()?;
        taken.forget();
        Some(self.permit(bytes))
    }

    /// All bytes of this budget, free or not.
    pub fn total(&self) -> usize {
        self.inner.total
    }

    /// The bytes that are free. With somebody waiting, what is free is his and not counted here.
    pub fn available(&self) -> usize {
        self.inner.free.available_permits()
    }

    fn units(&self, bytes: usize) -> Result<u32, TooLarge> {
        let refused = TooLarge { budget: self.inner.name, bytes, total: self.inner.total };
        if bytes > self.inner.total {
            return Err(refused);
        }
        u32::try_from(bytes).map_err(|_| refused)
    }

    fn permit(&self, bytes: usize) -> Permit {
        Permit { budget: self.clone(), bytes }
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Budget({}: {} of {} bytes free)", self.inner.name, self.available(), self.total())
    }
}

/// One who waits, until dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(waiting: &'a AtomicUsize) -> Self {
        waiting.fetch_add(1, Ordering::Relaxed);
        Self(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Bytes taken from a budget. They return when it is dropped.
#[derive(Debug)]
#[must_use = "a permit that is dropped gives its bytes back"]
pub struct Permit {
    budget: Budget,
    bytes: usize,
}

impl Permit {
    /// How many bytes it stands for.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes over the bytes of another permit of the same budget.
    pub fn merge(&mut self, mut other: Self) {
        assert!(
            Arc::ptr_eq(&self.budget.inner, &other.budget.inner),
            "permits of {} and {} do not mix",
            self.budget.inner.name,
            other.budget.inner.name
        );
        self.bytes += std::mem::take(&mut other.bytes);
    }

    /// Splits `bytes` off into a permit of their own.
    pub fn split(&mut self, bytes: usize) -> Self {
        assert!(bytes <= self.bytes, "cannot split {bytes} bytes off a permit of {}", self.bytes);
        self.bytes -= bytes;
        self.budget.permit(bytes)
    }

    /// Gives back all but `bytes`, if it has more.
    pub fn shrink_to(&mut self, bytes: usize) {
        let excess = self.bytes.saturating_sub(bytes);
        drop(self.split(excess));
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.budget.inner.free.add_permits(self.bytes);
        }
    }
}

/// More was asked for than the budget could ever give.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{bytes} bytes are more than the memory budget for {budget}, {total} bytes")]
pub struct TooLarge {
    /// The budget's name.
    pub budget: &'static str,
    /// What was asked for.
    pub bytes: usize,
    /// What there is in all.
    pub total: usize,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;
    use std::future::Future;
    use std::pin::Pin;
    use std::task::{Context, Poll, Waker};

    fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn permits_merge_split_and_shrink_without_losing_a_byte() {
        let budget = Budget::new("clients", 100);
        let mut first = budget.try_acquire(60).expect("60 of 100 are free");
        let second = first.split(20);
        assert_eq!((first.bytes(), second.bytes(), budget.available()), (40, 20, 40));
        first.merge(second);
        assert_eq!((first.bytes(), budget.available()), (60, 40));
        first.shrink_to(10);
        first.shrink_to(50);
        assert_eq!((first.bytes(), budget.available()), (10, 90));
        drop(first);
        assert_eq!(budget.available(), 100);
    }

    #[test]
    fn more_than_the_whole_is_refused_and_waits_for_nobody() {
        let budget = Budget::new("clients", 100);
        let mut request = Box::pin(budget.acquire(101));
        let Poll::Ready(Err(error)) = poll(request.as_mut()) else { panic!("it must be refused at once") };
        assert_eq!(error, TooLarge { budget: "clients", bytes: 101, total: 100 });
        assert!(budget.try_acquire(101).is_none());
        assert_eq!(budget.available(), 100);
    }

    #[derive(Debug, Clone)]
    enum Step {
        Acquire(usize),
        TryAcquire(usize),
        /// Gives up one of those that wait.
        Cancel(usize),
        /// Drops one of the permits.
        Release(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..=120usize).prop_map(Step::Acquire),
            (0..=120usize).prop_map(Step::TryAcquire),
            (0..8usize).prop_map(Step::Cancel),
            (0..8usize).prop_map(Step::Release),
        ]
    }

    /// The budget, in words: a number, and a queue in which nobody overtakes.
    struct Model {
        free: usize,
        held: Vec<(u32, usize)>,
        queue: VecDeque<(u32, usize)>,
    }

    impl Model {
        fn serve(&mut self) {
            while let Some(&(id, bytes)) = self.queue.front() {
                if bytes > self.free {
                    break;
                }
                self.free -= bytes;
                self.held.push((id, bytes));
                self.queue.pop_front();
            }
        }
    }

    proptest! {
        #[test]
        fn a_budget_is_a_number_and_a_queue(steps in prop::collection::vec(step(), 1..60)) {
            let budget = Budget::new("test", 100);
            let mut model = Model { free: 100, held: Vec::new(), queue: VecDeque::new() };
            let mut held: Vec<(u32, Permit)> = Vec::new();
            let mut waiting = Vec::new();
            for (id, step) in (0u32..).zip(steps) {
                match step {
                    Step::Acquire(bytes) => {
                        let budget = budget.clone();
                        waiting.push((id, Box::pin(async move { budget.acquire(bytes).await })));
                        // What cannot wait is not queued; a request for nothing never waits.
                        if bytes == 0 {
                            model.held.push((id, 0));
                        } else if bytes <= 100 {
                            model.queue.push_back((id, bytes));
                        }
                    }
                    Step::TryAcquire(bytes) => {
                        let free = bytes <= model.free && model.queue.is_empty() || bytes == 0;
                        let permit = budget.try_acquire(bytes);
                        prop_assert_eq!(permit.is_some(), free);
                        if let Some(permit) = permit {
                            held.push((id, permit));
                            model.free -= bytes;
                            model.held.push((id, bytes));
                        }
                    }
                    Step::Cancel(which) if which < waiting.len() => {
                        let (id, _) = waiting.remove(which);
                        model.queue.retain(|&(other, _)| other != id);
                    }
                    Step::Release(which) if which < held.len() => {
                        let (id, _) = held.remove(which);
                        let index = model.held.iter().position(|&(other, _)| other == id);
                        let (_, bytes) = model.held.remove(index.expect("the model holds it too"));
                        model.free += bytes;
                    }
                    Step::Cancel(_) | Step::Release(_) => {}
                }
                model.serve();
                waiting.retain_mut(|(id, request)| match poll(request.as_mut()) {
                    Poll::Ready(Ok(permit)) => {
                        held.push((*id, permit));
                        false
                    }
                    Poll::Ready(Err(TooLarge { .. })) => false,
                    Poll::Pending => true,
                });
                let mut real: Vec<_> = held.iter().map(|(id, permit)| (*id, permit.bytes())).collect();
                real.sort_unstable();
                model.held.sort_unstable();
                prop_assert_eq!(real, model.held.clone());
                prop_assert_eq!(budget.is_wanted(), !model.queue.is_empty());
                if model.queue.is_empty() {
                    prop_assert_eq!(budget.available(), model.free);
                }
            }
        }
    }
}
