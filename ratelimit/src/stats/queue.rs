//! Lines that wait to be sent, in pieces of the size that the network takes. Bounded: when it is full, new lines are
//! dropped and counted, and what waits is what is oldest.

use std::collections::VecDeque;

/// Most bytes that wait while the server is away.
pub(super) const QUEUE_BYTES_MAX: usize = 4 << 20;
/// Longest line; a longer one is dropped.
pub(super) const LINE_BYTES_MAX: usize = 8 << 10;

/// Whole lines, to be sent in one go.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Piece {
    /// The lines.
    pub(super) bytes: Vec<u8>,
    /// How many there are.
    pub(super) lines: u64,
}

/// Pieces in the order they were filled; the last one is still open.
#[derive(Debug)]
pub(super) struct Queue {
    sealed: VecDeque<Piece>,
    open: Piece,
    bytes: usize,
    piece_bytes_max: usize,
    is_closed: bool,
}

/// What is to be done about a queue.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Next {
    /// Send this.
    Piece(Piece),
    /// Nothing yet.
    Wait,
    /// Nothing any more.
    End,
}

/// A line that the queue has no room for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Full;

impl Queue {
    /// An empty queue that makes pieces of at most this size. A line that is longer is a piece of its own.
    #[must_use]
    pub(super) fn new(piece_bytes_max: usize) -> Self {
        Self {
            sealed: VecDeque::new(),
            open: Piece::default(),
            bytes: 0,
            piece_bytes_max,
            is_closed: false,
        }
    }

    /// Adds a line.
    ///
    /// # Errors
    /// [`Full`] when the line is too long or too much waits already; the line is lost.
    pub(super) fn push(&mut self, line: &[u8]) -> Result<(), Full> {
        let bytes = self.bytes.saturating_add(line.len());
        if line.len() > LINE_BYTES_MAX || bytes > QUEUE_BYTES_MAX {
            return Err(Full);
        }
        if self.open.bytes.len().saturating_add(line.len()) > self.piece_bytes_max {
            self.seal();
        }
        self.open.bytes.extend_from_slice(line);
        self.open.lines = self.open.lines.saturating_add(1);
        self.bytes = bytes;
        Ok(())
    }

    /// Closes the open piece, so that it is sent.
    pub(super) fn seal(&mut self) {
        if self.open.lines > 0 {
            self.sealed.push_back(std::mem::take(&mut self.open));
        }
    }

    /// Seals what is open; nothing is added any more.
    pub(super) fn close(&mut self) {
        self.seal();
        self.is_closed = true;
    }

    /// Takes the oldest sealed piece.
    pub(super) fn take_next(&mut self) -> Next {
        match self.sealed.pop_front() {
            Some(piece) => {
                self.bytes = self.bytes.saturating_sub(piece.bytes.len());
                Next::Piece(piece)
            }
            None if self.is_closed => Next::End,
            None => Next::Wait,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn popped(queue: &mut Queue) -> Option<Piece> {
        match queue.take_next() {
            Next::Piece(piece) => Some(piece),
            Next::Wait | Next::End => None,
        }
    }

    #[test]
    fn pieces_hold_whole_lines() {
        let mut queue = Queue::new(8);
        for line in ["aaa\n", "bbb\n", "c\n", "a line of its own\n", "d\n"] {
            queue.push(line.as_bytes()).unwrap();
        }
        queue.seal();
        queue.seal();
        let pieces: Vec<_> = std::iter::from_fn(|| popped(&mut queue)).collect();
        let shown: Vec<_> = pieces
            .iter()
            .map(|piece| (std::str::from_utf8(&piece.bytes).unwrap(), piece.lines))
            .collect();
        assert_eq!(
            shown,
            [("aaa\nbbb\n", 2), ("c\n", 1), ("a line of its own\n", 1), ("d\n", 1)]
        );
        assert_eq!(queue.bytes, 0);
    }

    #[test]
    fn what_is_open_is_not_taken() {
        let mut queue = Queue::new(100);
        queue.push(b"a\n").unwrap();
        assert_eq!(queue.take_next(), Next::Wait);
        queue.close();
        assert!(matches!(queue.take_next(), Next::Piece(_)));
        assert_eq!(queue.take_next(), Next::End);
    }

    #[test]
    fn is_full_at_its_bound_and_has_room_again_after_sending() {
        let mut queue = Queue::new(64 << 10);
        let line = [b'x'; 4096];
        let taken = (0..2000).take_while(|_| queue.push(&line) == Ok(())).count();
        assert_eq!(taken, QUEUE_BYTES_MAX / 4096);
        assert_eq!(queue.push(b"y"), Err(Full));
        popped(&mut queue).unwrap();
        assert_eq!(queue.push(b"y"), Ok(()));
    }

    #[test]
    fn a_line_beyond_its_bound_is_refused() {
        let mut queue = Queue::new(100);
        assert_eq!(queue.push(&[b'x'; LINE_BYTES_MAX + 1]), Err(Full));
        assert_eq!(queue.push(&[b'x'; LINE_BYTES_MAX]), Ok(()));
    }
}
