//! What to say to the configuration server: the state of one subscription as a pure type, no IO and no clock.
//!
//! State of the world over one aggregated stream: a response holds every resource there is, and each response is
//! answered once, by an ACK or a NACK that repeats its nonce. [`Subscription::receive`] tells a push that has to be tried
//! from one that was refused before; what came of the try goes to [`Subscription::accept`] or [`Subscription::refuse`].
//!
//! Two choices here differ from envoyproxy/ratelimit, for reasons seen with Envoy Gateway:
//!
//! * A stream begins with [`NO_VERSION`], never with the version of an earlier stream. A server that restarted counts its
//!   versions anew and may have reached the same text with other contents; it would then send nothing, and limits
//!   deleted meanwhile would stay.
//! * A refused push that comes again unchanged is not tried again. Some servers answer a NACK with the same push at once
//!   (518 times in 5 s were seen), so the caller pauses before it sends that reply.

use std::collections::HashMap;
use std::sync::Arc;

use proto::google::{Struct, Value, value};
use proto::xds::{Any, DiscoveryRequest, DiscoveryResponse, Node, Status};

/// The type that is subscribed to.
pub(super) const TYPE_URL: &str = "type.googleapis.com/ratelimit.config.ratelimit.v3.RateLimitConfig";

/// The version of a stream that has accepted nothing. No server has it: versions seen are numbers, hashes, and empty
/// (Envoy Gateway, when its last Gateway goes), so the empty one would not do.
const NO_VERSION: &str = "none";

/// The longest error text that is sent, in bytes: a server logs it, and a broken push of thousands of descriptors has
/// thousands of problems.
const ERROR_TEXT_BYTES: usize = 4096;

/// `google.rpc.Code.INVALID_ARGUMENT`.
const INVALID_ARGUMENT: i32 = 3;

/// One subscription, over all its streams.
#[derive(Debug)]
pub(super) struct Subscription {
    node: Node,
    /// The version accepted last on this stream.
    accepted: Option<String>,
    /// The push refused last, on any stream, while nothing else came after it.
    refused: Option<Refused>,
}

#[derive(Debug)]
struct Refused {
    resources: Arc<Vec<Any>>,
    error: String,
}

/// A push to try. Made only by [`Subscription::receive`].
#[derive(Debug)]
pub(super) struct Push {
    version: String,
    nonce: String,
    resources: Arc<Vec<Any>>,
}

impl Push {
    /// The server's name for this state.
    pub(super) fn version(&self) -> &str {
        &self.version
    }

    /// Every resource there is.
    pub(super) fn resources(&self) -> Arc<Vec<Any>> {
        Arc::clone(&self.resources)
    }
}

/// What a response means.
#[derive(Debug)]
pub(super) enum Received {
    /// New: try it.
    Push(Push),
    /// The push refused last, once more. Pause, then send this reply, unless another response comes first.
    Repeated(Box<DiscoveryRequest>),
    /// Of a type that was not asked for: not ours to answer.
    Foreign,
}

impl Subscription {
    /// A subscription in the name of a node; servers choose what to send by its id.
    pub(super) fn new(id: &str, metadata: &[(String, String)]) -> Self {
        let fields: HashMap<_, _> = metadata
            .iter()
            .cloned()
            .map(|(key, text)| (key, string(text)))
            .collect();
        let node = Node {
            id: id.to_owned(),
            metadata: (!fields.is_empty()).then_some(Struct { fields }),
            ..Node::default()
        };
        Self {
            node,
            accepted: None,
            refused: None,
        }
    }

    /// The first request of a new stream.
    pub(super) fn begin(&mut self) -> DiscoveryRequest {
        self.accepted = None;
        self.request(String::new())
    }

    /// Takes a response in.
    pub(super) fn receive(&mut self, response: DiscoveryResponse) -> Received {
        let DiscoveryResponse {
            version_info: version,
            nonce,
            type_url,
            resources,
            ..
        } = response;
        if type_url != TYPE_URL {
            return Received::Foreign;
        }
        match &self.refused {
            Some(refused) if *refused.resources == resources => {
                Received::Repeated(Box::new(self.nack(nonce, &refused.error)))
            }
            Some(_) | None => Received::Push(Push {
                version,
                nonce,
                resources: Arc::new(resources),
            }),
        }
    }

    /// The push is in force: the ACK.
    pub(super) fn accept(&mut self, push: Push) -> DiscoveryRequest {
        self.accepted = Some(push.version);
        self.refused = None;
        self.request(push.nonce)
    }

    /// The push is refused, `error` says why: the NACK.
    pub(super) fn refuse(&mut self, push: Push, error: &str) -> DiscoveryRequest {
        let error = cut(error, ERROR_TEXT_BYTES).to_owned();
        let nack = self.nack(push.nonce, &error);
        self.refused = Some(Refused {
            resources: push.resources,
            error,
        });
        nack
    }

    /// Whether this stream has accepted a push.
    pub(super) fn has_accepted(&self) -> bool {
        self.accepted.is_some()
    }

    fn nack(&self, nonce: String, error: &str) -> DiscoveryRequest {
        DiscoveryRequest {
            error_detail: Some(Status {
                code: INVALID_ARGUMENT,
                message: error.to_owned(),
                details: Vec::new(),
            }),
            ..self.request(nonce)
        }
    }

    /// Names no resources: the subscription is to all of them.
    fn request(&self, nonce: String) -> DiscoveryRequest {
        DiscoveryRequest {
            version_info: self.accepted.clone().unwrap_or_else(|| NO_VERSION.to_owned()),
            node: Some(self.node.clone()),
            type_url: TYPE_URL.to_owned(),
            response_nonce: nonce,
            ..DiscoveryRequest::default()
        }
    }
}

fn string(text: String) -> Value {
    Value {
        kind: Some(value::Kind::StringValue(text)),
    }
}

/// The longest start of `text` that is at most `limit` bytes.
fn cut(text: &str, limit: usize) -> &str {
    let end = (0..=limit).rev().find(|end| text.is_char_boundary(*end));
    if text.len() <= limit {
        text
    } else {
        end.and_then(|end| text.get(..end)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subscription() -> Subscription {
        Subscription::new("test-node", &[])
    }

    fn response(version: &str, nonce: &str, body: &[u8]) -> DiscoveryResponse {
        let resource = Any {
            type_url: TYPE_URL.to_owned(),
            value: body.to_vec(),
        };
        DiscoveryResponse {
            version_info: version.to_owned(),
            nonce: nonce.to_owned(),
            type_url: TYPE_URL.to_owned(),
            resources: vec![resource],
            ..DiscoveryResponse::default()
        }
    }

    /// What happens to a subscription, one step a row, and the version, nonce and error of the request that follows.
    enum Step {
        Begin,
        Accept(&'static str, &'static str, &'static [u8]),
        Refuse(&'static str, &'static str, &'static [u8]),
        Repeat(&'static str, &'static str, &'static [u8]),
    }
    use Step::{Accept, Begin, Refuse, Repeat};

    type Row = (&'static str, Step, [&'static str; 3]);

    fn take(subscription: &mut Subscription, step: Step) -> DiscoveryRequest {
        let (version, nonce, body) = match step {
            Begin => return subscription.begin(),
            Accept(version, nonce, body) | Refuse(version, nonce, body) | Repeat(version, nonce, body) => {
                (version, nonce, body)
            }
        };
        match (subscription.receive(response(version, nonce, body)), step) {
            (Received::Push(push), Accept(..)) => subscription.accept(push),
            (Received::Push(push), Refuse(..)) => subscription.refuse(push, "bad"),
            (Received::Repeated(reply), Repeat(..)) => *reply,
            (received, _) => panic!("{received:?}"),
        }
    }

    #[track_caller]
    fn check(rows: Vec<Row>) {
        let mut subscription = subscription();
        for (name, step, [version, nonce, error]) in rows {
            let request = take(&mut subscription, step);
            let message = request.error_detail.map(|detail| detail.message).unwrap_or_default();
            let said = [request.version_info, request.response_nonce, message];
            assert_eq!(said, [version, nonce, error], "{name}");
            assert_eq!(request.type_url, TYPE_URL, "{name}");
            assert!(request.resource_names.is_empty(), "{name}");
        }
    }

    #[test]
    fn acks_repeat_version_and_nonce() {
        check(vec![
            ("first request", Begin, ["none", "", ""]),
            ("first push", Accept("1", "a", b"x"), ["1", "a", ""]),
            ("second push", Accept("2", "b", b"y"), ["2", "b", ""]),
            ("the same contents once more", Accept("3", "c", b"y"), ["3", "c", ""]),
            ("an empty version", Accept("", "d", b""), ["", "d", ""]),
        ]);
    }

    #[test]
    fn nacks_keep_the_version_accepted_last() {
        check(vec![
            ("first request", Begin, ["none", "", ""]),
            ("nothing accepted yet", Refuse("1", "a", b"x"), ["none", "a", "bad"]),
            ("accepted", Accept("2", "b", b"y"), ["2", "b", ""]),
            ("refused", Refuse("3", "c", b"z"), ["2", "c", "bad"]),
            ("repaired", Accept("4", "d", b"y"), ["4", "d", ""]),
        ]);
    }

    #[test]
    fn a_refused_push_is_tried_once_however_often_it_comes() {
        check(vec![
            ("first request", Begin, ["none", "", ""]),
            ("refused", Refuse("1", "a", b"x"), ["none", "a", "bad"]),
            ("again", Repeat("1", "b", b"x"), ["none", "b", "bad"]),
            ("under a new version", Repeat("2", "c", b"x"), ["none", "c", "bad"]),
            ("on the next stream", Begin, ["none", "", ""]),
            ("again there", Repeat("1", "a", b"x"), ["none", "a", "bad"]),
            ("repaired", Accept("2", "b", b"y"), ["2", "b", ""]),
            (
                "broken as before: it is news",
                Refuse("3", "c", b"x"),
                ["2", "c", "bad"],
            ),
            (
                "broken otherwise, under the same version",
                Refuse("3", "d", b"z"),
                ["2", "d", "bad"],
            ),
        ]);
    }

    #[test]
    fn a_refused_version_is_never_reported_as_accepted_after_a_reconnect() {
        check(vec![
            ("first request", Begin, ["none", "", ""]),
            ("accepted", Accept("1", "a", b"x"), ["1", "a", ""]),
            ("refused", Refuse("2", "b", b"y"), ["1", "b", "bad"]),
            ("next stream", Begin, ["none", "", ""]),
            (
                "its first push is refused too",
                Refuse("1", "a", b"z"),
                ["none", "a", "bad"],
            ),
        ]);
    }

    #[test]
    fn responses_of_other_types_are_left_alone() {
        let mut subscription = subscription();
        let foreign = DiscoveryResponse {
            type_url: "type.googleapis.com/envoy.config.cluster.v3.Cluster".to_owned(),
            ..response("1", "a", b"x")
        };
        assert!(matches!(subscription.receive(foreign), Received::Foreign));
        assert!(!subscription.has_accepted());
    }

    #[test]
    fn every_request_names_the_node() {
        let metadata = [("zone".to_owned(), "a".to_owned())];
        let mut subscription = Subscription::new("test-node", &metadata);
        let first = subscription.begin();
        let Received::Push(push) = subscription.receive(response("1", "a", b"x")) else {
            panic!("a push");
        };
        for request in [first, subscription.accept(push)] {
            let node = request.node.unwrap();
            assert_eq!(node.id, "test-node");
            assert_eq!(node.metadata.unwrap().fields["zone"], string("a".to_owned()));
        }
    }

    #[test]
    fn long_errors_are_cut_between_characters() {
        assert_eq!(cut("short", 5), "short");
        assert_eq!(cut("longer", 5), "longe");
        assert_eq!(cut("aüb", 2), "a");
        let mut subscription = subscription();
        let Received::Push(push) = subscription.receive(response("1", "a", b"x")) else {
            panic!("a push");
        };
        let nack = subscription.refuse(push, &"ü".repeat(ERROR_TEXT_BYTES));
        assert_eq!(nack.error_detail.unwrap().message.len(), ERROR_TEXT_BYTES);
    }
}
