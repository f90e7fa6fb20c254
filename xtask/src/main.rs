//! tidy, test, bench, release.
fn main() {}
