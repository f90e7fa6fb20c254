/// Counts since the store was opened; for metrics, the bench and the sync-counting test.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Durable writes: each costs one sync. Group commits, and the rare ones of leases, floors and compaction slices.
    pub batches: u64,
    /// Transactions that were committed with at least one row.
    pub transactions: u64,
    /// Rows written.
    pub rows: u64,
    /// Transactions refused by a compare.
    pub conflicts: u64,
    /// Checkpoints of the write-ahead log: each costs three syncs at most.
    pub checkpoints: u64,
    /// Rows removed by compaction.
    pub compacted_rows: u64,
    /// Keys that exist.
    pub keys: u64,
    /// Leases that are alive.
    pub leases: u64,
    /// The alarm: the last write did not fit on the disk. Cleared by the next one that does.
    pub disk_full: bool,
    /// The store failed fatally or was closed.
    pub closed: bool,
}

impl Statistics {
    /// Syncs that the counts above allow at most.
    pub fn syncs_max(&self) -> u64 {
        self.batches + 3 * self.checkpoints
    }
}
