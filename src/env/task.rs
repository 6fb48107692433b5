//! A running task and its owner.

use std::future::Future;

/// A handle to a running task.
///
/// 1. Dropping the handle cancels the task: its future is dropped at its next await point, soon.
/// 2. `join` ends when the task has ended, by itself or cancelled, and its future is dropped.
/// 3. A panic in a task is not an outcome: it ends the node.
pub trait Task: Send + Sync + 'static {
    /// Asks the task to end at its next await point.
    fn cancel(&self);

    /// Waits until the task has ended.
    fn join(self) -> impl Future<Output = ()> + Send;
}
