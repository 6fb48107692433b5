//! Frames: every request and response is preceded by its length, four bytes, big-endian.
//!
//! The length is judged before anything is allocated for the body: a negative one, or one beyond the limit
//! (`socket.request.max.bytes`), ends the connection, as in Kafka. Zero is a legal frame and an illegal
//! request.

use super::error::EncodeError;
use super::header::{RequestHeader, ResponseHeader};
use super::primitives::Writer;
use super::{Message, Request};
use bytes::{Buf, Bytes, BytesMut};

/// The size of the length before a frame, in bytes.
pub const LENGTH_BYTES: usize = 4;

/// Why a connection's bytes are not a frame. The connection is beyond repair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The length is negative.
    #[error("a frame of negative length {0}")]
    Negative(i32),
    /// The length exceeds the limit.
    #[error("a frame of {length} bytes exceeds the limit of {limit}")]
    TooLarge {
        /// The length announced, in bytes.
        length: usize,
        /// The limit, in bytes.
        limit: usize,
    },
}

/// The length of a frame's body from the four bytes before it.
///
/// # Errors
/// If it is negative or exceeds `limit`, both in bytes.
pub fn body_length(prefix: [u8; LENGTH_BYTES], limit: usize) -> Result<usize, FrameError> {
    let length = i32::from_be_bytes(prefix);
    let length = usize::try_from(length).map_err(|_| FrameError::Negative(length))?;
    if length > limit {
        return Err(FrameError::TooLarge { length, limit });
    }
    Ok(length)
}

/// Cuts a connection's bytes into frames.
#[derive(Debug)]
pub struct FrameDecoder {
    limit: usize,
    announced: Option<usize>,
}

impl FrameDecoder {
    /// A decoder of frames of up to `limit` bytes each.
    pub fn new(limit: usize) -> Self {
        Self { limit, announced: None }
    }

    /// The length of the frame under way, in bytes, once it is known: the moment to ask for its memory.
    pub fn announced(&self) -> Option<usize> {
        self.announced
    }

    /// Takes the next frame's body off the front of `buffer`; `None` until it is all there.
    ///
    /// # Errors
    /// See [`body_length`]. The rest of the connection means nothing then.
    pub fn next(&mut self, buffer: &mut BytesMut) -> Result<Option<Bytes>, FrameError> {
        let length = match self.announced {
            Some(length) => length,
            None => {
                let Some(prefix) = buffer.first_chunk() else {
                    return Ok(None);
                };
                let length = body_length(*prefix, self.limit)?;
                buffer.advance(LENGTH_BYTES);
                *self.announced.insert(length)
            }
        };
        if buffer.len() < length {
            return Ok(None);
        }
        self.announced = None;
        Ok(Some(buffer.split_to(length).freeze()))
    }
}

/// A whole request as it goes over the wire, length and header included, as segments to be written in order.
///
/// # Errors
/// If the request says something that the version cannot express.
pub fn encode_request<R: Request>(
    version: i16,
    correlation_id: i32,
    client_id: Option<&str>,
    request: &R,
) -> Result<Vec<Bytes>, EncodeError> {
    let header = RequestHeader {
        api_key: R::KEY.code(),
        api_version: version,
        correlation_id,
        client_id: client_id.map(str::to_owned),
    };
    frame(|writer| {
        header.encode(writer)?;
        request.encode(writer, version)
    })
}

/// A whole response as it goes over the wire, length and header included, as segments to be written in order.
///
/// # Errors
/// If the response says something that the version cannot express.
pub fn encode_response<R: Request>(
    version: i16,
    correlation_id: i32,
    response: &R::Response,
) -> Result<Vec<Bytes>, EncodeError> {
    frame(|writer| {
        ResponseHeader { correlation_id }.encode(writer, R::KEY, version);
        response.encode(writer, version)
    })
}

fn frame(body: impl FnOnce(&mut Writer) -> Result<(), EncodeError>) -> Result<Vec<Bytes>, EncodeError> {
    let mut writer = Writer::with_capacity(256);
    writer.i32(0);
    body(&mut writer)?;
    let length = writer.len() - LENGTH_BYTES;
    let prefix = i32::try_from(length).map_err(|_| EncodeError::TooLong { kind: "frame", length })?;
    writer.overwrite_i32(0, prefix);
    Ok(writer.into_segments())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_whole_however_the_bytes_arrive() {
        let stream = b"\0\0\0\x03abc\0\0\0\0\0\0\0\x01z";
        for step in 1..stream.len() {
            let (mut decoder, mut buffer, mut frames) = (FrameDecoder::new(3), BytesMut::new(), Vec::new());
            for piece in stream.chunks(step) {
                buffer.extend_from_slice(piece);
                while let Some(frame) = decoder.next(&mut buffer).unwrap() {
                    frames.push(frame);
                }
            }
            assert_eq!(frames, [&b"abc"[..], b"", b"z"], "in steps of {step}");
        }
    }

    #[test]
    fn the_length_is_judged_before_the_body_arrives() {
        let refused = |bytes: &[u8]| FrameDecoder::new(100).next(&mut BytesMut::from(bytes));
        assert_eq!(refused(&[0xff; 4]), Err(FrameError::Negative(-1)));
        assert_eq!(refused(&[0, 0, 0, 101]), Err(FrameError::TooLarge { length: 101, limit: 100 }));
        assert_eq!(refused(&[0, 0, 0, 100]), Ok(None));
    }

    #[test]
    fn the_length_is_announced_once_known() {
        let mut decoder = FrameDecoder::new(100);
        let mut buffer = BytesMut::from(&[0, 0, 0][..]);
        assert_eq!((decoder.next(&mut buffer), decoder.announced()), (Ok(None), None));
        buffer.extend_from_slice(&[2, b'a']);
        assert_eq!((decoder.next(&mut buffer), decoder.announced()), (Ok(None), Some(2)));
    }
}
