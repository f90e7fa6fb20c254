//! Builds the guests and carries them, precompiled, in the binary.
