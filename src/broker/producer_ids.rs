//! Producer ids: given out one by one from blocks that the controller gives this broker.
//!
//! A block that was begun is lost when the broker stops: ids are many, and one that is given twice would let a
//! stranger's records pass for a producer's own.

use std::future::Future;

use tokio::sync::Mutex;

use crate::controller::cluster::ProducerIdBlock;
use crate::types::ProducerId;

/// The ids that this broker may still give out.
#[derive(Debug)]
pub(super) struct ProducerIds {
    block: Mutex<ProducerIdBlock>,
}

impl Default for ProducerIds {
    fn default() -> Self {
        Self { block: Mutex::new(ProducerIdBlock { first: ProducerId(0), count: 0 }) }
    }
}

impl ProducerIds {
    /// An id that nobody ever had. If none is left it takes a new block from `allocate`; whoever asks meanwhile
    /// waits for the same one.
    ///
    /// # Errors
    ///
    /// Those of `allocate`. The next one who asks tries again.
    pub(super) async fn next<X, F>(&self, allocate: impl FnOnce() -> F) -> Result<ProducerId, X>
    where
        F: Future<Output = Result<ProducerIdBlock, X>>,
    {
        let mut block = self.block.lock().await;
        if block.count == 0 {
            *block = allocate().await?;
            assert!(block.count > 0, "the controller gives no empty blocks");
        }
        let id = block.first;
        *block = ProducerIdBlock { first: ProducerId(id.0 + 1), count: block.count - 1 };
        Ok(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use tokio::sync::oneshot;

    fn poll<F: Future>(future: F) -> Poll<F::Output> {
        pin!(future).poll(&mut Context::from_waker(Waker::noop()))
    }

    fn block(first: i64, count: i64) -> ProducerIdBlock {
        ProducerIdBlock { first: ProducerId(first), count }
    }

    #[test]
    fn ids_come_from_one_block_after_the_other() {
        let ids = ProducerIds::default();
        let blocks = Cell::new(0);
        let mut given = Vec::new();
        for _ in 0..5 {
            let next = ids.next(|| async {
                blocks.set(blocks.get() + 1);
                Ok::<_, ()>(block(blocks.get() * 1000, 2))
            });
            given.push(poll(next));
        }
        let expected = [1000, 1001, 2000, 2001, 3000].map(|id| Poll::Ready(Ok(ProducerId(id))));
        assert_eq!(given, expected);
    }

    #[test]
    fn a_failure_is_told_and_the_next_one_tries_again() {
        let ids = ProducerIds::default();
        assert_eq!(poll(ids.next(|| async { Err("no controller") })), Poll::Ready(Err("no controller")));
        assert_eq!(poll(ids.next(|| async { Ok::<_, ()>(block(7, 1)) })), Poll::Ready(Ok(ProducerId(7))));
    }

    #[test]
    fn those_who_ask_at_once_wait_for_one_block() {
        let ids = ProducerIds::default();
        let (sender, receiver) = oneshot::channel();
        let mut context = Context::from_waker(Waker::noop());
        let mut first = pin!(ids.next(|| async { receiver.await.map_err(|_| ()) }));
        let mut second = pin!(ids.next(|| async { Err(()) }));
        assert_eq!(first.as_mut().poll(&mut context), Poll::Pending);
        assert_eq!(second.as_mut().poll(&mut context), Poll::Pending);
        sender.send(block(0, 1000)).expect("the first one waits");
        assert_eq!(first.as_mut().poll(&mut context), Poll::Ready(Ok(ProducerId(0))));
        assert_eq!(second.as_mut().poll(&mut context), Poll::Ready(Ok(ProducerId(1))));
    }
}
