//! Works without end and prints its progress: `progress <steps> <milliseconds since the start>`, ten times a second or,
//! when it is throttled, as often as it gets to run. The first argument, if any, is how many milliseconds it runs.

use std::time::Instant;

/// Steps between two looks at the clock: well below a millisecond of work.
const STEPS_A_LOOK: u64 = 20_000;
const PRINT_EVERY_MILLIS: u128 = 100;

fn main() {
    let until: Option<u128> = std::env::args().nth(1).and_then(|text| text.parse().ok());
    #[allow(clippy::disallowed_methods, reason = "a guest's clock is what its host gives it")]
    let start = Instant::now();
    let (mut steps, mut state, mut printed) = (0u64, 1u64, 0u128);
    loop {
        for _ in 0..STEPS_A_LOOK {
            state = std::hint::black_box(state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
        }
        steps += STEPS_A_LOOK;
        let millis = start.elapsed().as_millis();
        if millis >= printed + PRINT_EVERY_MILLIS {
            println!("progress {steps} {millis}");
            printed = millis;
        }
        if until.is_some_and(|until| millis >= until) {
            println!("done {steps} {millis}");
            return;
        }
    }
}
