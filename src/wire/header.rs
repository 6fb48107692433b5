//! Request and response headers.
//!
//! A request header is followed by tagged fields where the request is flexible (header version 2, else 1);
//! its client id keeps the classic two-byte length in both, so that any broker can read the header of any
//! ApiVersions request. The response header of ApiVersions is version 0 always: see
//! [`ApiKey::response_header_is_flexible`].

use super::api::ApiKey;
use super::error::{DecodeError, EncodeError};
use super::primitives::{Reader, Writer};

/// What stands before every request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RequestHeader {
    /// The API's key; known, once decoded.
    pub api_key: i16,
    /// The version of the request and of its response. Not necessarily one that exists.
    pub api_version: i16,
    /// Comes back in the response.
    pub correlation_id: i32,
    /// What the client calls itself.
    pub client_id: Option<String>,
}

impl RequestHeader {
    /// Reads a header off the front. The version is not checked: an ApiVersions request of an unknown version
    /// has an answer too.
    ///
    /// # Errors
    /// [`DecodeError::UnknownApiKey`], since the header's form depends on the API; others if malformed.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let api_key = reader.i16()?;
        let key = ApiKey::from_code(api_key).ok_or(DecodeError::UnknownApiKey(api_key))?;
        let api_version = reader.i16()?;
        let correlation_id = reader.i32()?;
        let client_id = match reader.string_length(false)? {
            Some(length) => Some(reader.string(length)?),
            None => None,
        };
        if key.request_is_flexible(api_version) {
            reader.tagged_fields(|_, _| Ok(false))?;
        }
        Ok(Self { api_key, api_version, correlation_id, client_id })
    }

    /// Appends the header, without tagged fields.
    ///
    /// # Errors
    /// If the client id is too long.
    ///
    /// # Panics
    /// If the key is unknown: a request of one's own.
    pub fn encode(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        let key = ApiKey::from_code(self.api_key).expect("only requests of known APIs are sent");
        writer.i16(self.api_key);
        writer.i16(self.api_version);
        writer.i32(self.correlation_id);
        writer.string(self.client_id.as_deref(), false)?;
        if key.request_is_flexible(self.api_version) {
            writer.unsigned_varint(0);
        }
        Ok(())
    }
}

/// What stands before every response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ResponseHeader {
    /// The request's.
    pub correlation_id: i32,
}

impl ResponseHeader {
    /// Reads the header of a response to a request of this API and version off the front.
    ///
    /// # Errors
    /// If the bytes are malformed.
    pub fn decode(reader: &mut Reader<'_>, key: ApiKey, version: i16) -> Result<Self, DecodeError> {
        let correlation_id = reader.i32()?;
        if key.response_header_is_flexible(version) {
            reader.tagged_fields(|_, _| Ok(false))?;
        }
        Ok(Self { correlation_id })
    }

    /// Appends the header of a response to a request of this API and version.
    pub fn encode(self, writer: &mut Writer, key: ApiKey, version: i16) {
        writer.i32(self.correlation_id);
        if key.response_header_is_flexible(version) {
            writer.unsigned_varint(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn encoded(header: &RequestHeader) -> Bytes {
        let mut writer = Writer::new();
        header.encode(&mut writer).unwrap();
        writer.into_bytes()
    }

    #[test]
    fn the_client_id_has_a_classic_length_in_flexible_headers_too() {
        let header =
            RequestHeader { api_key: 18, api_version: 3, correlation_id: 7, client_id: Some("ab".into()) };
        let bytes = encoded(&header);
        assert_eq!(&bytes[..], b"\0\x12\0\x03\0\0\0\x07\0\x02ab\0");
        assert_eq!(RequestHeader::decode(&mut Reader::new(&bytes)), Ok(header));
    }

    #[test]
    fn a_classic_header_has_no_tagged_fields() {
        let header = RequestHeader { api_key: 1, api_version: 11, correlation_id: -1, client_id: None };
        let bytes = encoded(&header);
        assert_eq!(&bytes[..], b"\0\x01\0\x0b\xff\xff\xff\xff\xff\xff");
        assert_eq!(RequestHeader::decode(&mut Reader::new(&bytes)), Ok(header));
    }

    #[test]
    fn unknown_tagged_fields_of_a_header_are_skipped() {
        let bytes = Bytes::from_static(b"\0\x12\0\x63\0\0\0\x07\xff\xff\x01\x05\x02zzrest");
        let mut reader = Reader::new(&bytes);
        let header = RequestHeader::decode(&mut reader).unwrap();
        assert_eq!(header.api_version, 0x63, "the version is the caller's to judge");
        assert_eq!(reader.remaining(), 4);
    }

    #[test]
    fn an_unknown_key_is_refused() {
        let bytes = Bytes::from_static(&[0, 4, 0, 0, 0, 0, 0, 7, 0xff, 0xff]);
        assert_eq!(RequestHeader::decode(&mut Reader::new(&bytes)), Err(DecodeError::UnknownApiKey(4)));
    }

    #[test]
    fn response_headers_follow_the_api() {
        for (key, version, length) in
            [(ApiKey::ApiVersions, 4, 4), (ApiKey::Fetch, 11, 4), (ApiKey::Fetch, 12, 5)]
        {
            let mut writer = Writer::new();
            ResponseHeader { correlation_id: 9 }.encode(&mut writer, key, version);
            let bytes = writer.into_bytes();
            assert_eq!(bytes.len(), length, "{key} {version}");
            let mut reader = Reader::new(&bytes);
            let decoded = ResponseHeader::decode(&mut reader, key, version).unwrap();
            assert_eq!((decoded.correlation_id, reader.remaining()), (9, 0));
        }
    }
}
