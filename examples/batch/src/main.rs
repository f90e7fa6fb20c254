//! Counts the primes below a bound (its first argument, or a million) and finishes.

fn main() -> std::process::ExitCode {
    let bound = match std::env::args().nth(1).map(|text| text.parse::<usize>()) {
        None => 1_000_000,
        Some(Ok(bound)) if bound <= 10_000_000 => bound,
        Some(_) => {
            eprintln!("usage: batch [a bound up to 10000000]");
            return std::process::ExitCode::FAILURE;
        }
    };
    let mut composite = vec![false; bound];
    let mut primes = 0u32;
    for n in 2..bound {
        if composite[n] {
            continue;
        }
        primes += 1;
        for multiple in (n.saturating_mul(n)..bound).step_by(n) {
            composite[multiple] = true;
        }
    }
    println!("{primes} primes below {bound}");
    std::process::ExitCode::SUCCESS
}
