//! Where the keys of a Cluster are: hash slots, and what its nodes say about them. Pure.
//!
//! The slot of a key is specified at <https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/>.

use redis::{ServerError, ServerErrorKind, Value};

/// How many slots there are.
pub(super) const SLOTS: u16 = 16_384;

/// A node's host and port, as the nodes name it.
pub(super) type Endpoint = (String, u16);

/// What one node says about the Cluster.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct View {
    /// In order, without gaps that matter: a slot in none has no master.
    pub(super) ranges: Vec<Range>,
}

/// Slots and who has them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Range {
    pub(super) first: u16,
    pub(super) last: u16,
    pub(super) master: Endpoint,
    pub(super) replicas: Vec<Endpoint>,
}

impl View {
    /// Reads the answer to `CLUSTER SLOTS`. A node that does not know its own address is at `asked`.
    pub(super) fn read(answer: &Value, asked: &str) -> Option<Self> {
        let Value::Array(entries) = answer else { return None };
        let ranges: Option<Vec<_>> = entries.iter().map(|entry| range(entry, asked)).collect();
        Some(Self { ranges: ranges? })
    }

    /// How many slots have a master.
    pub(super) fn covered(&self) -> usize {
        let sizes = self
            .ranges
            .iter()
            .map(|range| usize::from(range.last.saturating_sub(range.first)));
        sizes.map(|size| size.saturating_add(1)).sum()
    }
}

fn range(entry: &Value, asked: &str) -> Option<Range> {
    let Value::Array(fields) = entry else { return None };
    let (first, fields) = fields.split_first()?;
    let (last, nodes) = fields.split_first()?;
    let (first, last) = (slot_number(first)?, slot_number(last)?);
    let (master, replicas) = nodes.split_first()?;
    Some(Range {
        first,
        last,
        master: endpoint(master, asked)?,
        replicas: replicas.iter().filter_map(|node| endpoint(node, asked)).collect(),
    })
}

fn slot_number(value: &Value) -> Option<u16> {
    let Value::Int(number) = value else { return None };
    u16::try_from(*number).ok().filter(|number| *number < SLOTS)
}

fn endpoint(node: &Value, asked: &str) -> Option<Endpoint> {
    let Value::Array(fields) = node else { return None };
    let (host, fields) = fields.split_first()?;
    let port = fields.first()?;
    let host: String = redis::from_redis_value_ref::<Option<String>>(host)
        .ok()?
        .unwrap_or_default();
    let host = if host.is_empty() || host == "?" {
        asked.to_owned()
    } else {
        host
    };
    Some((host, redis::from_redis_value_ref(port).ok()?))
}

/// Where a node sends us, instead of carrying out a command.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Redirect {
    /// For good, or for this time.
    pub(super) kind: RedirectKind,
    /// To whom; an empty host is the node that was asked.
    pub(super) to: Endpoint,
}

/// Whether the slot has another node from now on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum RedirectKind {
    /// It has.
    Moved,
    /// It may: this key is on its way.
    Ask,
}

impl Redirect {
    /// Reads a reply; `None` if it is no redirection.
    pub(super) fn read(reply: Option<&Value>) -> Option<Self> {
        let Some(Value::ServerError(error)) = reply else {
            return None;
        };
        let kind = kind(error)?;
        // `3999 127.0.0.1:6381`
        let (_slot, to) = error.details()?.split_once(' ')?;
        let (host, port) = to.rsplit_once(':')?;
        Some(Self {
            kind,
            to: (host.to_owned(), port.parse().ok()?),
        })
    }
}

fn kind(error: &ServerError) -> Option<RedirectKind> {
    if error.kind() == Some(ServerErrorKind::Moved) {
        return Some(RedirectKind::Moved);
    }
    (error.kind() == Some(ServerErrorKind::Ask)).then_some(RedirectKind::Ask)
}

/// The slot of a key: of the part between braces, if there is one.
pub(super) fn slot(key: &[u8]) -> u16 {
    let tagged = || {
        let open = key.iter().position(|byte| *byte == b'{')?;
        let (_before, rest) = key.split_at(open.saturating_add(1));
        let close = rest.iter().position(|byte| *byte == b'}')?;
        let (tag, _after) = rest.split_at(close);
        (!tag.is_empty()).then_some(tag)
    };
    crc16(tagged().unwrap_or(key)) % SLOTS
}

/// CRC-16/XMODEM.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        let mixed = crc ^ (u16::from(*byte) << 8);
        (0..8).fold(mixed, |crc, _bit| {
            let shifted = crc << 1;
            if crc & 0x8000 == 0 { shifted } else { shifted ^ 0x1021 }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_the_specification() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
        // Answers of CLUSTER KEYSLOT.
        for (key, expected) in [
            ("", 0),
            ("foo", 12_182),
            ("somekey", 11_058),
            ("foo{hash_tag}", 2_515),
            ("bar{hash_tag}", 2_515),
            ("foo{}{bar}", 8_363),
            ("foo{{bar}}zap", 4_015),
        ] {
            assert_eq!(slot(key.as_bytes()), expected, "{key}");
        }
    }

    fn text(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    fn node(host: Value, port: i64) -> Value {
        Value::Array(vec![host, Value::Int(port), text("id"), Value::Array(vec![])])
    }

    #[test]
    fn a_view_names_masters_and_replicas() {
        let answer = Value::Array(vec![
            Value::Array(vec![
                Value::Int(0),
                Value::Int(5_460),
                node(text("10.0.0.1"), 7_000),
                node(text("10.0.0.2"), 7_001),
            ]),
            Value::Array(vec![Value::Int(5_461), Value::Int(16_383), node(Value::Nil, 7_002)]),
        ]);
        let view = View::read(&answer, "seed").unwrap();
        assert_eq!(view.covered(), 16_384);
        assert_eq!(view.ranges[0].replicas, [("10.0.0.2".to_owned(), 7_001)]);
        assert_eq!(view.ranges[1].master, ("seed".to_owned(), 7_002));
    }

    #[test]
    fn what_is_no_view_is_none() {
        let reversed = |first, last| Value::Array(vec![Value::Array(vec![Value::Int(first), Value::Int(last)])]);
        for answer in [
            Value::Nil,
            Value::Array(vec![Value::Nil]),
            reversed(0, 16_384),
            reversed(-1, 3),
            reversed(0, 1),
        ] {
            assert_eq!(View::read(&answer, "seed"), None, "{answer:?}");
        }
    }
}
