//! Reading a CheckRequest off the wire so that bytes that are none become a *value* and not an RPC error.
//!
//! A header that is not UTF-8 makes an invalid protobuf `string`; the client chooses those bytes. Were the answer an
//! RPC error, a gateway with `failure_mode_allow` would let the request pass (CVE-2023-27488). So the service gets to
//! see it, and denies.

use bytes::Buf as _;
use prost::Message as _;
use proto::auth::{CheckRequest, CheckResponse};
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

/// What arrived.
#[derive(Clone, Debug)]
pub enum Incoming {
    /// A message.
    Message(Box<CheckRequest>),
    /// Bytes that are not one.
    Undecodable,
}

impl Incoming {
    /// Reads one message.
    #[must_use]
    pub fn decode(bytes: impl bytes::Buf) -> Self {
        CheckRequest::decode(bytes).map_or(Self::Undecodable, |message| Self::Message(Box::new(message)))
    }
}

/// The codec of `Authorization/Check`.
#[derive(Clone, Copy, Debug, Default)]
pub struct CheckCodec;

/// Its half for requests.
#[derive(Clone, Copy, Debug)]
pub struct RequestDecoder;

/// Its half for answers.
#[derive(Clone, Copy, Debug)]
pub struct ResponseEncoder;

impl Codec for CheckCodec {
    type Encode = CheckResponse;
    type Decode = Incoming;
    type Encoder = ResponseEncoder;
    type Decoder = RequestDecoder;

    fn encoder(&mut self) -> ResponseEncoder {
        ResponseEncoder
    }

    fn decoder(&mut self) -> RequestDecoder {
        RequestDecoder
    }
}

impl Decoder for RequestDecoder {
    type Item = Incoming;
    type Error = Status;

    fn decode(&mut self, source: &mut DecodeBuf<'_>) -> Result<Option<Incoming>, Status> {
        // All of it, also when it does not decode: tonic reads what is left over as the next message.
        Ok(Some(Incoming::decode(source.copy_to_bytes(source.remaining()))))
    }
}

impl Encoder for ResponseEncoder {
    type Item = CheckResponse;
    type Error = Status;

    fn encode(&mut self, response: CheckResponse, target: &mut EncodeBuf<'_>) -> Result<(), Status> {
        response
            .encode(target)
            .map_err(|error| Status::internal(error.to_string()))
    }
}
