//! What a look-up costs, counted.
//!
//! Time says little in a test; the number of table look-ups and comparisons is exact, and must not grow with the
//! number of rules.

/// The work of matching one descriptor.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Probes {
    /// Hash table look-ups.
    pub lookups: u32,
    /// Texts compared: at least one for each look-up that finds something, more when hashes collide in part.
    pub comparisons: u32,
}
