//! The HTTP face: chain, verbs, negotiation, discovery, tables.
