//! Kinds as data: the resource table, strategies, and the one generic registry.
