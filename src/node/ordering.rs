//! Answers leave in the order of their requests.

use std::collections::VecDeque;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};

use super::budget::Permit;
use super::service::{Answer, Reply, Response};

/// Requests of one connection that may be under way at once. Kafka serves one at a time; more of them share
/// one disk sync and one system call, and beyond this many nothing is gained.
const IN_FLIGHT_MAX: usize = 512;

/// Bytes of finished responses that may wait for a peer that does not read, before no more of its requests
/// are served.
const FINISHED_BYTES_MAX: usize = 1024 * 1024;

/// A batch is closed at this many bytes: more in one write saves nothing more.
const BATCH_BYTES: usize = 256 * 1024;

/// A segment up to this many bytes is copied together with its neighbours: cheaper than one more entry in the
/// kernel's list.
const COPY_MAX: usize = 1024;

/// Small segments are gathered in blocks of this many bytes. A connection keeps one.
const SMALL_BLOCK: usize = 4 * 1024;

/// Entries that a batch keeps room for between writes.
const ENTRIES_KEPT: usize = 32;

/// The bytes given to the network in one call, so that a peer that reads slowly can be told from one that
/// does not read.
const WRITE_MAX: usize = 1024 * 1024;

/// The replies that a connection owes, in order.
#[derive(Debug, Default)]
pub(super) struct Owed {
    replies: VecDeque<Reply>,
    in_flight: usize,
    finished_bytes: usize,
}

impl Owed {
    /// Whether one more request may be served.
    pub(super) fn has_room(&self) -> bool {
        self.in_flight < IN_FLIGHT_MAX && self.finished_bytes < FINISHED_BYTES_MAX
    }

    /// Whether every request has been answered.
    pub(super) fn is_empty(&self) -> bool {
        self.in_flight == 0
    }

    /// The reply to the next request.
    pub(super) fn push(&mut self, reply: Reply) {
        self.in_flight += 1;
        self.finished_bytes += finished_bytes(&reply);
        self.replies.push_back(reply);
    }

    /// The oldest reply. It stays in flight until [`Owed::answered`].
    pub(super) fn pop(&mut self) -> Option<Reply> {
        let reply = self.replies.pop_front()?;
        self.finished_bytes -= finished_bytes(&reply);
        Some(reply)
    }

    /// Frees memory, the peer being silent.
    pub(super) fn shrink(&mut self) {
        self.replies.shrink_to_fit();
    }

    /// `count` replies have been written.
    pub(super) fn answered(&mut self, count: usize) {
        self.in_flight = self.in_flight.checked_sub(count).expect("what was answered was in flight");
    }
}

fn finished_bytes(reply: &Reply) -> usize {
    match reply {
        Reply::Now(Answer::Respond(response)) => response.size(),
        Reply::Now(Answer::Nothing | Answer::Close(_)) | Reply::Later(_) => 0,
    }
}

/// Gathers answers into batches to be written.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// The reply whose turn it is.
    head: Option<Reply>,
    /// Small segments that are not in `segments` yet.
    small: BytesMut,
    segments: VecDeque<Bytes>,
    permits: Vec<Permit>,
    bytes: usize,
    answers: usize,
    closing: Option<String>,
}

/// What a batch came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Gathered {
    /// There is something to write, or to count as answered.
    Batch,
    /// The connection is to be closed, for this reason.
    Close(String),
}

impl Batch {
    /// Takes replies from `next`, in order, as long as they are ready. Pending if none is.
    pub(super) fn poll_gather(
        &mut self,
        mut next: impl FnMut() -> Option<Reply>,
        context: &mut Context<'_>,
    ) -> Poll<Gathered> {
        while self.bytes < BATCH_BYTES && self.closing.is_none() {
            let Some(reply) = self.head.take().or_else(&mut next) else { break };
            match reply {
                Reply::Now(answer) => self.add(answer),
                Reply::Later(mut future) => match future.as_mut().poll(context) {
                    Poll::Ready(answer) => self.add(answer),
                    Poll::Pending => {
                        self.head = Some(Reply::Later(future));
                        break;
                    }
                },
            }
        }
        if self.answers > 0 {
            self.flush_small();
            return Poll::Ready(Gathered::Batch);
        }
        match self.closing.take() {
            Some(reason) => Poll::Ready(Gathered::Close(reason)),
            None => Poll::Pending,
        }
    }

    /// Moves the next part of the batch into `into`. When there is none left, says how many answers it was.
    pub(super) fn next_write(&mut self, into: &mut Vec<Bytes>) -> Result<(), usize> {
        let mut room = WRITE_MAX;
        while let Some(segment) = self.segments.front_mut().filter(|_| room > 0) {
            let piece = segment.split_to(segment.len().min(room));
            room -= piece.len();
            into.push(piece);
            if segment.is_empty() {
                self.segments.pop_front();
            }
        }
        if !into.is_empty() {
            return Ok(());
        }
        self.permits.clear();
        self.permits.shrink_to(ENTRIES_KEPT);
        self.segments.shrink_to(ENTRIES_KEPT);
        self.bytes = 0;
        Err(std::mem::take(&mut self.answers))
    }

    fn add(&mut self, answer: Answer) {
        match answer {
            Answer::Respond(response) => {
                self.answers += 1;
                self.add_response(response);
            }
            Answer::Nothing => self.answers += 1,
            Answer::Close(reason) => self.closing = Some(reason),
        }
    }

    fn add_response(&mut self, response: Response) {
        assert_frame(&response);
        self.permits.extend(response.permit);
        for segment in response.segments {
            self.bytes += segment.len();
            if segment.len() <= COPY_MAX {
                self.add_small(&segment);
            } else {
                self.flush_small();
                self.segments.push_back(segment);
            }
        }
    }

    fn add_small(&mut self, segment: &[u8]) {
        if self.small.capacity() - self.small.len() < segment.len() {
            self.flush_small();
            // Takes the last block again, once the network has let go of it.
            self.small.reserve(SMALL_BLOCK);
        }
        self.small.extend_from_slice(segment);
    }

    fn flush_small(&mut self) {
        if !self.small.is_empty() {
            self.segments.push_back(self.small.split().freeze());
        }
    }
}

/// A wrong length would make the client take all that follows for something else.
fn assert_frame(response: &Response) {
    let prefix = response.segments.first().and_then(|segment| segment.first_chunk::<4>());
    let announced = prefix.map(|prefix| i64::from(i32::from_be_bytes(*prefix)));
    let size = i64::try_from(response.size()).expect("a response fits in memory");
    assert_eq!(announced, Some(size - 4), "a response begins with its length");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::budget::Budget;
    use std::task::Waker;
    use tokio::sync::oneshot;

    fn response(body: &[u8]) -> Answer {
        let length = i32::try_from(body.len()).expect("a test's response is small");
        let segments = vec![Bytes::copy_from_slice(&length.to_be_bytes()), Bytes::copy_from_slice(body)];
        Answer::Respond(Response { segments, permit: None })
    }

    fn gather(batch: &mut Batch, owed: &mut Owed) -> Poll<Gathered> {
        batch.poll_gather(|| owed.pop(), &mut Context::from_waker(Waker::noop()))
    }

    /// The bodies in a batch, each of one byte, and the number of answers.
    fn written(batch: &mut Batch) -> (Vec<u8>, usize) {
        let mut bytes = Vec::new();
        loop {
            let mut segments = Vec::new();
            match batch.next_write(&mut segments) {
                Ok(()) => bytes.extend(segments.iter().flat_map(|segment| segment.iter().copied())),
                Err(answers) => return (bytes.chunks(5).map(|frame| frame[4]).collect(), answers),
            }
        }
    }

    #[test]
    fn answers_leave_in_order_and_all_that_are_ready_together() {
        let (mut owed, mut batch) = (Owed::default(), Batch::default());
        let (tell, told) = oneshot::channel();
        owed.push(Reply::Now(response(b"a")));
        owed.push(Reply::later(async { told.await.expect("the test answers") }));
        owed.push(Reply::Now(Answer::Nothing));
        owed.push(Reply::Now(response(b"c")));
        owed.push(Reply::later(async { response(b"d") }));

        assert_eq!(gather(&mut batch, &mut owed), Poll::Ready(Gathered::Batch));
        assert_eq!(written(&mut batch), (b"a".to_vec(), 1));
        assert_eq!(gather(&mut batch, &mut owed), Poll::Pending, "the second is not ready");
        tell.send(response(b"b")).expect("it waits");
        assert_eq!(gather(&mut batch, &mut owed), Poll::Ready(Gathered::Batch));
        assert_eq!(written(&mut batch), (b"bcd".to_vec(), 4));
        assert!(!owed.is_empty(), "in flight until they are counted as answered");
        owed.answered(5);
        assert!(owed.is_empty());
    }

    #[test]
    fn what_was_answered_before_a_close_is_written_first_and_nothing_after() {
        let (mut owed, mut batch) = (Owed::default(), Batch::default());
        owed.push(Reply::Now(response(b"a")));
        owed.push(Reply::Now(Answer::Close("enough".to_owned())));
        owed.push(Reply::Now(response(b"b")));
        assert_eq!(gather(&mut batch, &mut owed), Poll::Ready(Gathered::Batch));
        assert_eq!(written(&mut batch), (b"a".to_vec(), 1));
        assert_eq!(gather(&mut batch, &mut owed), Poll::Ready(Gathered::Close("enough".to_owned())));
    }

    #[test]
    fn a_permit_lives_until_its_response_is_written() {
        let budget = Budget::new("test", 10);
        let (mut owed, mut batch) = (Owed::default(), Batch::default());
        let Answer::Respond(mut large) = response(&[1; 3 * WRITE_MAX]) else { panic!("it is a response") };
        large.permit = budget.try_acquire(10);
        owed.push(Reply::Now(Answer::Respond(large)));
        assert!(!owed.has_room(), "too much is waiting for the peer");
        assert_eq!(gather(&mut batch, &mut owed), Poll::Ready(Gathered::Batch));
        let mut sizes = Vec::new();
        let answers = loop {
            let mut segments = Vec::new();
            match batch.next_write(&mut segments) {
                Ok(()) => sizes.push(segments.iter().map(Bytes::len).sum::<usize>()),
                Err(answers) => break answers,
            }
            assert_eq!(budget.available(), 0);
        };
        assert_eq!((sizes, answers), (vec![WRITE_MAX, WRITE_MAX, WRITE_MAX, 4], 1));
        assert_eq!(budget.available(), 10);
    }

    #[test]
    fn small_segments_become_few() {
        let (mut owed, mut batch) = (Owed::default(), Batch::default());
        for _ in 0..IN_FLIGHT_MAX {
            assert!(owed.has_room());
            owed.push(Reply::Now(response(&[7; 28])));
        }
        assert!(!owed.has_room());
        assert_eq!(gather(&mut batch, &mut owed), Poll::Ready(Gathered::Batch));
        let mut segments = Vec::new();
        assert_eq!(batch.next_write(&mut segments), Ok(()));
        assert!(segments.len() <= IN_FLIGHT_MAX * 32 / SMALL_BLOCK + 1, "{} segments", segments.len());
        assert_eq!(segments.iter().map(Bytes::len).sum::<usize>(), IN_FLIGHT_MAX * 32);
    }
}
