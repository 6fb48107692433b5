//! What the tests of the log share.
#![allow(dead_code, reason = "every test file uses a part of it")]

pub(crate) mod batches;
pub(crate) mod indexes;
pub(crate) mod logs;
pub(crate) mod memory_disk;

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

/// Drives a future whose every wait is over at the next poll.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
    }
}
