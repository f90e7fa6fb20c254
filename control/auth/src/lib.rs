//! Who is asking, and may they.

pub mod authenticator;
