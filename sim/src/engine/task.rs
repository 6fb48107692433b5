//! Tasks: a slab of futures, a queue of those that are ready, and handles to them.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Wake, Waker};

use super::Life;

type BoxedFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A task's place in the slab. The generation tells it from earlier tasks in the same place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TaskKey {
    slot: usize,
    generation: u64,
}

impl TaskKey {
    pub(super) fn numbers(self) -> (u64, u64) {
        (self.slot as u64, self.generation)
    }
}

/// The tasks that want to be polled.
#[derive(Default)]
pub(super) struct ReadyQueue(Mutex<Vec<TaskKey>>);

impl ReadyQueue {
    pub(super) fn lock(&self) -> MutexGuard<'_, Vec<TaskKey>> {
        self.0.lock().expect("one thread alone takes this lock, and no panic happens under it")
    }

    pub(super) fn push(&self, key: TaskKey) {
        self.lock().push(key);
    }
}

/// What a task's handle, its waker and the slab share.
struct Shared {
    key: TaskKey,
    ready: Arc<ReadyQueue>,
    queued: AtomicBool,
    cancelled: AtomicBool,
    ended: AtomicBool,
    joiner: Mutex<Option<Waker>>,
}

impl Wake for Shared {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.queued.swap(true, Ordering::Relaxed) {
            self.ready.push(self.key);
        }
    }
}

/// A task taken out of the slab to be polled.
pub(super) struct Running {
    pub(super) life: Life,
    pub(super) name: &'static str,
    future: BoxedFuture,
    shared: Arc<Shared>,
    waker: Waker,
}

pub(super) enum Polled {
    Pending,
    Ended,
    Panicked(String),
}

impl Running {
    /// Polls the future once. No lock may be held.
    pub(super) fn poll(&mut self) -> Polled {
        self.shared.queued.store(false, Ordering::Relaxed);
        if self.shared.cancelled.load(Ordering::Relaxed) {
            return Polled::Ended;
        }
        let mut context = Context::from_waker(&self.waker);
        match catch_unwind(AssertUnwindSafe(|| self.future.as_mut().poll(&mut context))) {
            Ok(Poll::Pending) => Polled::Pending,
            Ok(Poll::Ready(())) => Polled::Ended,
            Err(panic) => Polled::Panicked(panic_message(&*panic)),
        }
    }

    /// Drops the future, then tells whoever waits for the end. No lock may be held.
    pub(super) fn finish(self) {
        drop_quietly(self.future);
        self.shared.end();
    }
}

impl Shared {
    fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
        let joiner = self.joiner.lock().expect("no panic happens under this lock").take();
        if let Some(joiner) = joiner {
            joiner.wake();
        }
    }
}

/// A destructor that panics must not take the engine with it.
fn drop_quietly(future: BoxedFuture) {
    let _ = catch_unwind(AssertUnwindSafe(|| drop(future)));
}

/// The text of a panic.
pub(super) fn panic_message(panic: &(dyn Any + Send)) -> String {
    if let Some(text) = panic.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = panic.downcast_ref::<String>() {
        text.clone()
    } else {
        "a panic without a text".to_owned()
    }
}

/// The slab.
#[derive(Default)]
pub(super) struct Tasks {
    slots: Vec<Slot>,
    free: Vec<usize>,
    generations: u64,
}

enum Slot {
    Free,
    /// Being polled: its future is on the engine's stack.
    Taken(u64),
    Waiting(u64, Running),
}

impl Tasks {
    pub(super) fn insert(
        &mut self,
        life: Life,
        name: &'static str,
        future: BoxedFuture,
        ready: &Arc<ReadyQueue>,
    ) -> (TaskKey, TaskHandle) {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::Free);
            self.slots.len() - 1
        });
        self.generations += 1;
        let key = TaskKey { slot, generation: self.generations };
        let shared = Arc::new(Shared {
            key,
            ready: ready.clone(),
            queued: AtomicBool::new(true),
            cancelled: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            joiner: Mutex::new(None),
        });
        let waker = Waker::from(shared.clone());
        let running = Running { life, name, future, shared: shared.clone(), waker };
        self.slots[slot] = Slot::Waiting(key.generation, running);
        (key, TaskHandle(Some(shared)))
    }

    /// Takes a task out to be polled: `None` if it has ended.
    pub(super) fn take(&mut self, key: TaskKey) -> Option<Running> {
        let slot = &mut self.slots[key.slot];
        match slot {
            Slot::Waiting(generation, _) if *generation == key.generation => {}
            _ => return None,
        }
        match std::mem::replace(slot, Slot::Taken(key.generation)) {
            Slot::Waiting(_, running) => Some(running),
            Slot::Free | Slot::Taken(_) => unreachable!("the slot was just seen to wait"),
        }
    }

    pub(super) fn put_back(&mut self, key: TaskKey, running: Running) {
        assert!(matches!(self.slots[key.slot], Slot::Taken(generation) if generation == key.generation));
        self.slots[key.slot] = Slot::Waiting(key.generation, running);
    }

    /// Frees the slot of a task that was taken out and has ended.
    pub(super) fn remove(&mut self, key: TaskKey) {
        assert!(matches!(self.slots[key.slot], Slot::Taken(generation) if generation == key.generation));
        self.slots[key.slot] = Slot::Free;
        self.free.push(key.slot);
    }

    /// Takes out all tasks that wait and whose life the predicate picks.
    pub(super) fn take_all(&mut self, pick: impl Fn(Life) -> bool) -> Doomed {
        let mut doomed = Vec::new();
        for (index, slot) in self.slots.iter_mut().enumerate() {
            if matches!(slot, Slot::Waiting(_, running) if pick(running.life))
                && let Slot::Waiting(_, running) = std::mem::replace(slot, Slot::Free)
            {
                self.free.push(index);
                doomed.push(running);
            }
        }
        Doomed(doomed)
    }
}

/// Tasks to be dropped once no lock is held.
pub(super) struct Doomed(Vec<Running>);

impl Drop for Doomed {
    fn drop(&mut self) {
        for running in self.0.drain(..) {
            running.finish();
        }
    }
}

/// A handle to a task, as [`ottla::env::Task`] wants it: dropping it cancels.
pub struct TaskHandle(Option<Arc<Shared>>);

impl TaskHandle {
    /// The handle of a task that was never started.
    pub(super) fn ended() -> Self {
        Self(None)
    }

    /// Whether the task has ended.
    pub fn is_ended(&self) -> bool {
        self.0.as_ref().is_none_or(|shared| shared.ended.load(Ordering::Relaxed))
    }

    /// Lets the task run on without a handle: for the harness, whose tasks end with the run.
    pub fn detach(mut self) {
        self.0 = None;
    }
}

impl ottla::env::Task for TaskHandle {
    fn cancel(&self) {
        if let Some(shared) = &self.0 {
            shared.cancelled.store(true, Ordering::Relaxed);
            shared.wake_by_ref();
        }
    }

    async fn join(self) {
        std::future::poll_fn(|context| {
            if self.is_ended() {
                return Poll::Ready(());
            }
            if let Some(shared) = &self.0 {
                let mut joiner = shared.joiner.lock().expect("no panic happens under this lock");
                *joiner = Some(context.waker().clone());
            }
            Poll::Pending
        })
        .await;
    }
}

impl Drop for TaskHandle {
    fn drop(&mut self) {
        if !self.is_ended() {
            ottla::env::Task::cancel(self);
        }
    }
}
