//! Most that one component may hold.

/// Reasons of one answer: a mark is a byte, and 0 says yes.
pub const REASONS: usize = 255;
/// Texts of one reason.
pub const TEXTS: usize = 64;
/// Bytes of one text of a reason.
pub const TEXT_BYTES: usize = 1024;
/// Bytes of all texts of one answer together.
pub const TEXTS_BYTES: usize = 64 << 10;
/// Slots for configured policies.
pub const SLOTS: usize = 4096;
/// Rows of one table.
pub const ROWS: usize = 1 << 22;
/// Unused part of a column's words from which they are moved together, as a divisor: 2 is a half.
pub const WASTE_PART: usize = 2;
