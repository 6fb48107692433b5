//! What a connection and the broker behind it say to each other.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;

use super::budget::Permit;
use super::context::RequestContext;

/// Whatever answers requests. Clones are handles to the same.
pub trait Service: Clone + Send + Sync + 'static {
    /// Serves one request. A connection calls this in the order in which the requests arrived, one at a
    /// time, and waits for it to return: that is the request's *ordered stage* (its records are appended, in
    /// order). What may take longer, such as waiting for other replicas, goes into the reply.
    ///
    /// The future is dropped unfinished when the connection fails or a shutdown's deadline passes.
    fn call(&self, request: IncomingRequest) -> impl Future<Output = Reply> + Send;
}

/// A request as it arrived.
#[derive(Debug)]
pub struct IncomingRequest {
    /// Who asks, and what.
    pub context: RequestContext,
    /// What follows the header. It shares memory with the connection: whoever keeps a part of it beyond the
    /// answer must copy that part.
    pub body: Bytes,
    /// The memory of the whole frame. Dropping it admits other requests.
    pub permit: Permit,
}

/// What a request's ordered stage came to.
pub enum Reply {
    /// The answer is there.
    Now(Answer),
    /// The answer will come. Replies are polled in order, each once those before it are answered: the future
    /// must only wait. What it waits for is under way already, its deadlines too.
    Later(Pin<Box<dyn Future<Output = Answer> + Send>>),
}

impl Reply {
    /// A reply whose answer `future` waits for.
    pub fn later(future: impl Future<Output = Answer> + Send + 'static) -> Self {
        Self::Later(Box::pin(future))
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Now(answer) => f.debug_tuple("Now").field(answer).finish(),
            Self::Later(_) => f.write_str("Later(..)"),
        }
    }
}

/// How a request ends.
#[derive(Debug)]
pub enum Answer {
    /// With a response.
    Respond(Response),
    /// Without one: a Produce request with acks=0.
    Nothing,
    /// By closing the connection, once what was answered before is written; the text is for the log.
    Close(String),
}

/// A response, ready to be written.
#[derive(Debug)]
pub struct Response {
    /// The whole frame, length included, as `wire::frame::encode_response` makes it.
    pub segments: Vec<Bytes>,
    /// The memory behind the segments, held until they are written.
    pub permit: Option<Permit>,
}

impl Response {
    /// The size of the frame, in bytes.
    pub fn size(&self) -> usize {
        self.segments.iter().map(Bytes::len).sum()
    }
}
