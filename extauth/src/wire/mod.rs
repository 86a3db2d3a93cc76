//! Envoy's messages at the edge. Nothing past this folder knows protobuf: `codec` reads bytes, `from_proto` makes a
//! request of a message, `to_proto` a message of a decision, `status` an RPC error of a failure of ours.

pub mod codec;
pub mod deadline;
pub mod from_proto;
pub mod status;
pub mod to_proto;
