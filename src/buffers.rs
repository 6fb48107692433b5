//! A bounded pool of buffers that are used again.
//!
//! Memory that is touched for the first time costs far more than the copy into it: the kernel finds and
//! zeroes each page, and a virtual machine's host may do the same once more. A node therefore keeps a few
//! buffers and lets what passes through it pass through those.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Bytes, BytesMut};

/// The smallest size class, in bytes. What is smaller the allocator does well by itself.
const SMALLEST: usize = 4 * 1024;

/// Size classes, each twice the one before: 4 KiB to 8 MiB. Larger buffers are rare and not kept.
const CLASSES: usize = 12;

/// A pool of buffers. Clones share it. It keeps at most the bytes it was made with, whatever passes.
#[derive(Clone)]
pub struct BufferPool {
    inner: Arc<Inner>,
}

struct Inner {
    limit: usize,
    shelves: Mutex<Shelves>,
}

/// The buffers that nobody uses.
struct Shelves {
    /// By size class: a buffer's capacity is at least its class and less than the next one.
    by_class: [Vec<Vec<u8>>; CLASSES],
    /// Capacity kept, per class.
    bytes: [usize; CLASSES],
}

impl BufferPool {
    /// A pool that keeps at most `limit` bytes of unused buffers.
    pub fn new(limit: usize) -> Self {
        let shelves = Shelves { by_class: Default::default(), bytes: [0; CLASSES] };
        Self { inner: Arc::new(Inner { limit, shelves: Mutex::new(shelves) }) }
    }

    /// An empty buffer with room for `capacity` bytes. It may grow beyond that; the pool takes it back in
    /// whatever size it has then.
    pub fn take(&self, capacity: usize) -> PooledBuffer {
        let bytes = match class_that_holds(capacity) {
            Some(class) => {
                self.inner.lock().pop(class).unwrap_or_else(|| Vec::with_capacity(SMALLEST << class))
            }
            None => Vec::with_capacity(capacity),
        };
        PooledBuffer { bytes, pool: Arc::clone(&self.inner) }
    }

    /// The same as a `BytesMut`, for reading from a connection. It comes back through
    /// [`BufferPool::give_back`].
    pub fn take_mut(&self, capacity: usize) -> BytesMut {
        let mut buffer = self.take(capacity);
        let shared = Bytes::from(std::mem::take(&mut buffer.bytes));
        shared.try_into_mut().expect("nobody else has seen it")
    }

    /// Takes the memory behind `handle` back, if no other handle to it is left; else the last one frees it.
    pub fn give_back(&self, mut handle: BytesMut) {
        handle.clear();
        // Only a handle that is alone can get at memory before its own.
        if handle.try_reclaim(handle.capacity() + 1) {
            self.inner.give_back(Vec::from(handle));
        }
    }

    /// The bytes of unused buffers that it keeps.
    pub fn kept_bytes(&self) -> usize {
        self.inner.lock().bytes.iter().sum()
    }
}

impl fmt::Debug for BufferPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BufferPool({} of {} bytes kept)", self.kept_bytes(), self.inner.limit)
    }
}

impl Inner {
    fn lock(&self) -> std::sync::MutexGuard<'_, Shelves> {
        // Nothing panics under this lock; and a shelf is whole after every step anyway.
        self.shelves.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn give_back(&self, mut buffer: Vec<u8>) {
        let Some(class) = class_of(buffer.capacity()) else { return };
        if buffer.capacity() > self.limit {
            return;
        }
        buffer.clear();
        // Freeing memory is a system call for the larger classes: not under the lock.
        let _freed = self.lock().push(class, buffer, self.limit);
    }
}

impl Shelves {
    fn pop(&mut self, class: usize) -> Option<Vec<u8>> {
        let buffer = self.by_class[class].pop()?;
        self.bytes[class] -= buffer.capacity();
        Some(buffer)
    }

    /// Keeps a buffer. Where that makes too much, the class that holds most gives way, so that the pool
    /// follows what is in use now. Returns what it gave up.
    fn push(&mut self, class: usize, buffer: Vec<u8>, limit: usize) -> Vec<Vec<u8>> {
        self.bytes[class] += buffer.capacity();
        self.by_class[class].push(buffer);
        let mut freed = Vec::new();
        while self.bytes.iter().sum::<usize>() > limit {
            let fullest = (0..CLASSES).max_by_key(|&class| self.bytes[class]).expect("there are classes");
            freed.push(self.pop(fullest).expect("the class that holds most is not empty"));
        }
        freed
    }
}

/// A buffer on loan: a `Vec<u8>` that returns to its pool when dropped.
pub struct PooledBuffer {
    bytes: Vec<u8>,
    pool: Arc<Inner>,
}

impl PooledBuffer {
    /// Makes it immutable, for instance as a segment of a response. The memory returns to the pool when the
    /// last slice of it is dropped.
    pub fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for PooledBuffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Deref for PooledBuffer {
    type Target = Vec<u8>;
    fn deref(&self) -> &Vec<u8> {
        &self.bytes
    }
}

impl DerefMut for PooledBuffer {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }
}

impl fmt::Debug for PooledBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PooledBuffer({} of {} bytes)", self.bytes.len(), self.bytes.capacity())
    }
}

impl Drop for PooledBuffer {
    fn drop(&mut self) {
        self.pool.give_back(std::mem::take(&mut self.bytes));
    }
}

/// The smallest class with buffers of at least `capacity`.
fn class_that_holds(capacity: usize) -> Option<usize> {
    (0..CLASSES).find(|&class| SMALLEST << class >= capacity)
}

/// The class that a buffer of `capacity` belongs to.
fn class_of(capacity: usize) -> Option<usize> {
    (0..CLASSES).find(|&class| (SMALLEST << class..SMALLEST << (class + 1)).contains(&capacity))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MIB: usize = 1024 * 1024;

    #[test]
    fn a_segment_returns_its_buffer_with_its_last_slice() {
        let pool = BufferPool::new(MIB);
        let mut buffer = pool.take(5000);
        buffer.extend_from_slice(b"hello, world");
        let address = buffer.as_ptr();
        let segment = buffer.freeze();
        let slice = segment.slice(7..);
        drop(segment);
        assert_eq!((&slice[..], pool.kept_bytes()), (&b"world"[..], 0));
        drop(slice);
        assert_eq!(pool.kept_bytes(), 8192);
        let again = pool.take(6000);
        assert_eq!((again.as_ptr(), again.len(), pool.kept_bytes()), (address, 0, 0));
    }

    #[test]
    fn a_buffer_beyond_the_largest_class_is_not_kept() {
        let pool = BufferPool::new(64 * MIB);
        drop(pool.take(16 * MIB));
        assert_eq!(pool.kept_bytes(), 0);
        drop(pool.take(8 * MIB));
        assert_eq!(pool.kept_bytes(), 8 * MIB);
    }

    #[test]
    fn the_pool_follows_what_is_in_use() {
        let pool = BufferPool::new(4 * MIB);
        let large: Vec<_> = (0..4).map(|_| pool.take(MIB)).collect();
        drop(large);
        assert_eq!(pool.kept_bytes(), 4 * MIB);
        let small: Vec<_> = (0..16).map(|_| pool.take(64 * 1024)).collect();
        let address = small[15].as_ptr();
        drop(small);
        assert_eq!(pool.kept_bytes(), 4 * MIB, "one large buffer gave way to sixteen small ones");
        assert_eq!(pool.take(64 * 1024).as_ptr(), address);
    }

    proptest! {
        /// Whatever is taken, grown, frozen and dropped in whatever order: what is kept is bounded, what is
        /// taken has room and is empty, and no two loans share memory.
        #[test]
        fn loans_are_disjoint_and_the_rest_is_bounded(
            limit in prop_oneof![Just(0), Just(100 * 1024), Just(2 * MIB)],
            steps in prop::collection::vec((0..3u8, 0..300_000usize), 1..80),
        ) {
            let pool = BufferPool::new(limit);
            let mut loans: Vec<(u8, PooledBuffer)> = Vec::new();
            let mut frozen: Vec<(u8, Bytes)> = Vec::new();
            for (mark, (step, size)) in (0u8..).zip(steps) {
                match step {
                    0 => {
                        let mut buffer = pool.take(size);
                        prop_assert!(buffer.is_empty() && buffer.capacity() >= size);
                        buffer.resize(size, mark);
                        loans.push((mark, buffer));
                    }
                    1 if !loans.is_empty() => {
                        let (mark, mut buffer) = loans.swap_remove(size % loans.len());
                        let length = buffer.len() + size / 4;
                        buffer.resize(length, mark);
                        frozen.push((mark, buffer.freeze()));
                    }
                    _ if !frozen.is_empty() => drop(frozen.swap_remove(size % frozen.len())),
                    _ => drop(loans.pop()),
                }
                prop_assert!(pool.kept_bytes() <= limit);
                prop_assert!(loans.iter().all(|(mark, buffer)| buffer.iter().all(|byte| byte == mark)));
                prop_assert!(frozen.iter().all(|(mark, bytes)| bytes.iter().all(|byte| byte == mark)));
            }
        }
    }
}
