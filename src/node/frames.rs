//! A connection's bytes, cut into frames.
//!
//! Small frames are slices of a buffer that the connection owns. It grows while the peer fills it, up to
//! 64 KiB, and shrinks when the peer is silent. A larger frame gets a buffer from the pool, of which it never
//! holds more than a small multiple of what has arrived, and which returns there as soon as the request has
//! been served. No frame makes the connection keep memory beyond that: what a body occupies is covered by the
//! permit that was taken for it. A large frame asks for its permit once the first 16 KiB of its body have
//! arrived in the connection's own buffer: what is only announced holds nothing.

use bytes::{Buf, Bytes, BytesMut};

use crate::buffers::BufferPool;
use crate::wire::frame::{FrameError, LENGTH_BYTES, body_length};

/// The connection's own buffer, at first and after silence, in bytes: room for a handshake.
const OWN_MIN: usize = 2 * 1024;

/// The connection's own buffer at most, in bytes; a frame beyond it is a large one.
const OWN_MAX: usize = 64 * 1024;

/// So much of a large frame's body must have arrived before memory is asked for the rest, in bytes.
const FIRST_PART: usize = 16 * 1024;

/// A large frame's buffer is at most this many times what has arrived of it.
const GROWTH: usize = 4;

/// Cuts a connection's bytes into frames.
#[derive(Debug)]
pub(super) struct FrameReader {
    limit: usize,
    pool: BufferPool,
    own: BytesMut,
    /// How large it should be: doubles when a read fills it.
    own_target: usize,
    /// How large it has become.
    own_size: usize,
    under_way: Option<UnderWay>,
    large: Option<Large>,
    /// The largest frame that this peer has sent whole: so much it may be given ahead of the bytes.
    largest: usize,
}

/// A frame whose length is known.
#[derive(Debug, Clone, Copy)]
struct UnderWay {
    length: usize,
    admitted: bool,
}

/// The body of a large frame.
#[derive(Debug)]
struct Large {
    /// What has arrived. Its capacity ends with the frame, or before.
    body: BytesMut,
    /// The rest of the same memory: the handle by which it returns to the pool.
    rest: BytesMut,
}

/// What to do next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Get memory for a frame of this length, then call [`FrameReader::admit`].
    Admit(usize),
    /// Read more bytes.
    Read,
    /// Serve this frame, then call [`FrameReader::served`].
    Serve(Bytes),
}

impl FrameReader {
    /// A reader of frames of at most `limit` bytes, which takes buffers for large ones from `pool`.
    pub(super) fn new(limit: usize, pool: BufferPool) -> Self {
        Self {
            limit,
            pool,
            own: BytesMut::new(),
            own_target: OWN_MIN,
            own_size: 0,
            under_way: None,
            large: None,
            largest: 0,
        }
    }

    /// What to do next with what has been read.
    pub(super) fn next(&mut self) -> Result<Next, FrameError> {
        let frame = match self.under_way {
            Some(frame) => frame,
            None => {
                let Some(prefix) = self.own.first_chunk::<LENGTH_BYTES>() else { return Ok(Next::Read) };
                let length = body_length(*prefix, self.limit)?;
                self.own.advance(LENGTH_BYTES);
                *self.under_way.insert(UnderWay { length, admitted: false })
            }
        };
        if !frame.admitted {
            let is_due = frame.length <= OWN_MAX || self.own.len() >= FIRST_PART;
            return Ok(if is_due { Next::Admit(frame.length) } else { Next::Read });
        }
        let body = if frame.length <= OWN_MAX {
            if self.own.len() < frame.length {
                return Ok(Next::Read);
            }
            self.own.split_to(frame.length).freeze()
        } else {
            self.move_to_large(frame.length);
            let large = self.large.as_mut().expect("it was just made");
            if large.body.len() < frame.length {
                return Ok(Next::Read);
            }
            self.largest = self.largest.max(frame.length);
            std::mem::take(&mut large.body).freeze()
        };
        self.under_way = None;
        Ok(Next::Serve(body))
    }

    /// The memory that [`Next::Admit`] asked for is granted.
    pub(super) fn admit(&mut self) {
        self.under_way.as_mut().expect("a frame is under way").admitted = true;
    }

    /// Whoever got the frame has dropped it, or keeps it for good: a large buffer that is free returns.
    pub(super) fn served(&mut self) {
        if let Some(large) = self.large.take() {
            large.give_back(&self.pool);
        }
    }

    /// Where the next bytes belong, with room for some. To be followed by [`FrameReader::filled`].
    pub(super) fn buffer(&mut self) -> &mut BytesMut {
        if let Some(frame) = self.under_way.filter(|frame| frame.admitted && frame.length > OWN_MAX) {
            return self.large_body(frame.length);
        }
        let length = self.own.len();
        let frame =
            self.under_way.map_or(0, |frame| if frame.length > OWN_MAX { FIRST_PART } else { frame.length });
        let room = frame.max(self.own_target) - length;
        // Reading on behind what is there is cheapest, as long as it leads somewhere.
        let enough = frame.saturating_sub(length).max(self.own_target / 4);
        if self.own.capacity() - length < enough && !self.own.try_reclaim(room) {
            // `BytesMut::reserve` may make it twice as large as what it was.
            let mut larger = BytesMut::with_capacity(length + room);
            larger.extend_from_slice(&self.own);
            self.own = larger;
            self.own_size = self.own_size.max(self.own.capacity());
        }
        &mut self.own
    }

    /// `count` bytes were read into [`FrameReader::buffer`].
    pub(super) fn filled(&mut self, count: usize) {
        if self.large.is_none() && count > 0 && self.own.len() == self.own.capacity() {
            self.own_target = (self.own_target * 2).min(OWN_MAX);
        }
    }

    /// Whether the peer is between two frames.
    pub(super) fn is_between_frames(&self) -> bool {
        self.under_way.is_none() && self.own.is_empty()
    }

    /// Whether memory is held for a frame that is not whole yet.
    pub(super) fn is_admitted(&self) -> bool {
        self.under_way.is_some_and(|frame| frame.admitted)
    }

    /// Whether [`FrameReader::shrink`] would free memory.
    pub(super) fn can_shrink(&self) -> bool {
        self.is_between_frames() && self.own_size > OWN_MIN
    }

    /// Frees memory, the peer being silent.
    pub(super) fn shrink(&mut self) {
        if self.can_shrink() {
            self.own = BytesMut::new();
            self.own_target = OWN_MIN;
            self.own_size = 0;
        }
    }

    /// Begins the body of a large frame, once, with what has arrived of it.
    fn move_to_large(&mut self, length: usize) {
        if self.large.is_some() {
            return;
        }
        let arrived = self.own.len().min(length);
        let ahead = (arrived * GROWTH).max(OWN_MAX);
        let mut large = Large::new(&self.pool, length.min(self.largest.max(ahead - 1)));
        large.body.extend_from_slice(&self.own[..arrived]);
        self.own.advance(arrived);
        self.large = Some(large);
    }

    /// The body of a large frame that is not whole yet, with room for more.
    fn large_body(&mut self, length: usize) -> &mut BytesMut {
        let large = self.large.as_mut().expect("`next` began it before it asked for more");
        if large.body.len() == large.body.capacity() {
            let mut larger = Large::new(&self.pool, length.min(large.body.len() * GROWTH - 1));
            larger.body.extend_from_slice(&large.body);
            std::mem::replace(large, larger).give_back(&self.pool);
        }
        &mut large.body
    }
}

impl Large {
    fn new(pool: &BufferPool, capacity: usize) -> Self {
        // One byte more, so that there is always a rest. Whoever has a choice asks for one byte less than a
        // power of two, as the pool's classes are.
        let mut body = pool.take_mut(capacity + 1);
        let rest = body.split_off(capacity);
        Self { body, rest }
    }

    fn give_back(self, pool: &BufferPool) {
        drop(self.body);
        pool.give_back(self.rest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MIB: usize = 1024 * 1024;

    /// Feeds `stream` in pieces, as a socket would, and returns the frames.
    fn read_all(reader: &mut FrameReader, mut stream: &[u8], mut piece: impl FnMut() -> usize) -> Vec<Bytes> {
        let mut frames = Vec::new();
        loop {
            match reader.next().expect("all lengths are legal") {
                Next::Admit(_) => reader.admit(),
                Next::Serve(body) => {
                    frames.push(Bytes::copy_from_slice(&body));
                    drop(body);
                    reader.served();
                }
                Next::Read if stream.is_empty() => return frames,
                Next::Read => {
                    let buffer = reader.buffer();
                    let spare = buffer.capacity() - buffer.len();
                    assert!(spare > 0, "a read needs room");
                    let count = piece().clamp(1, spare).min(stream.len());
                    buffer.extend_from_slice(&stream[..count]);
                    stream = &stream[count..];
                    reader.filled(count);
                }
            }
        }
    }

    fn framed(bodies: &[Vec<u8>]) -> Vec<u8> {
        let mut stream = Vec::new();
        for body in bodies {
            let length = i32::try_from(body.len()).expect("a test's frame is small");
            stream.extend_from_slice(&length.to_be_bytes());
            stream.extend_from_slice(body);
        }
        stream
    }

    #[test]
    fn the_same_memory_serves_all_large_frames() {
        let pool = BufferPool::new(8 * MIB);
        let mut reader = FrameReader::new(4 * MIB, pool.clone());
        let stream = framed(&[vec![7; MIB]]);
        read_all(&mut reader, &stream, || usize::MAX);
        let kept = pool.kept_bytes();
        assert!(kept >= MIB);
        for _ in 0..5 {
            assert_eq!(read_all(&mut reader, &stream, || usize::MAX), [vec![7; MIB]]);
            assert_eq!(pool.kept_bytes(), kept, "nothing was allocated, nothing lost");
        }
    }

    #[test]
    fn what_is_announced_is_not_allocated() {
        let mut reader = FrameReader::new(100 * MIB, BufferPool::new(0));
        let announced = i32::try_from(100 * MIB).expect("it fits").to_be_bytes();
        reader.buffer().extend_from_slice(&announced);
        reader.filled(4);
        let mut arrived = 0;
        while arrived < 100 * MIB {
            // Nor is memory asked for it, before the peer has sent a part.
            if arrived == FIRST_PART {
                assert_eq!(reader.next(), Ok(Next::Admit(100 * MIB)));
                reader.admit();
            }
            assert_eq!(reader.next(), Ok(Next::Read));
            let buffer = reader.buffer();
            let spare = buffer.capacity() - buffer.len();
            assert!(buffer.capacity() <= OWN_MAX.max(arrived * GROWTH), "{arrived} of {}", buffer.capacity());
            let count = spare.min(if arrived < FIRST_PART { FIRST_PART / 4 } else { 500_000 });
            buffer.resize(buffer.len() + count, 1);
            arrived += count;
            reader.filled(count);
        }
        let Ok(Next::Serve(body)) = reader.next() else { panic!("it is whole") };
        assert_eq!(body.len(), 100 * MIB);
    }

    #[test]
    fn silence_gives_the_memory_back() {
        let mut reader = FrameReader::new(MIB, BufferPool::new(0));
        let stream = framed(&vec![vec![1; 1000]; 1000]);
        read_all(&mut reader, &stream, || usize::MAX);
        assert!(reader.own_size >= OWN_MAX, "a busy connection reads much at a time");
        assert!(reader.can_shrink());
        reader.shrink();
        assert!(!reader.can_shrink() && reader.buffer().capacity() <= OWN_MIN);
    }

    #[test]
    fn the_connections_own_buffer_grows_no_further_than_it_may() {
        let lengths = [8_675, 277_665, 100, 17_251, 4_238, 18_052, 15_783, 5_116, 60_417, 99_252, 119];
        let bodies: Vec<Vec<u8>> = lengths.map(|length| vec![1; length]).into();
        let mut reader = FrameReader::new(MIB, BufferPool::new(0));
        let mut pieces = [usize::MAX, 6, 217, 1, 1].into_iter().cycle();
        let frames = read_all(&mut reader, &framed(&bodies), || pieces.next().expect("it cycles"));
        assert_eq!(frames, bodies);
        assert!(reader.own_size <= OWN_MAX, "{}", reader.own_size);
    }

    proptest! {
        #[test]
        fn frames_come_whole_however_the_bytes_arrive(
            lengths in prop::collection::vec(
                prop_oneof![4 => 0..300usize, 2 => 0..20_000usize, 1 => 60_000..400_000usize], 1..20),
            pieces in prop::collection::vec(prop_oneof![1..10usize, 1..5000usize, Just(usize::MAX)], 1..10),
            kept in prop_oneof![Just(0), Just(MIB)],
        ) {
            let bodies: Vec<Vec<u8>> = (0u8..).zip(&lengths).map(|(fill, &len)| vec![fill; len]).collect();
            let mut reader = FrameReader::new(MIB, BufferPool::new(kept));
            let mut pieces = pieces.iter().copied().cycle();
            let frames = read_all(&mut reader, &framed(&bodies), || pieces.next().expect("it cycles"));
            prop_assert_eq!(frames, bodies);
            prop_assert!(reader.is_between_frames());
            prop_assert!(reader.own.capacity() <= 2 * OWN_MAX);
        }
    }
}
