//! Takes a mebibyte after the other and keeps it. Its memory limit ends it: OOMKilled, 137.

const MEBIBYTE: usize = 1 << 20;

fn main() {
    let mut taken: Vec<Vec<u8>> = Vec::new();
    loop {
        taken.push(vec![1; MEBIBYTE]);
        println!("{} MiB taken", taken.len());
    }
}
