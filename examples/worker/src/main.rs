//! Logs a tick each second until it is asked to end, and then says goodbye.

wit_bindgen::generate!({
    path: "../../plugins/wit/lifecycle",
    world: "graceful",
    generate_all,
});

use sampan::lifecycle::termination;
use wasi::clocks::monotonic_clock;
use wasi::io::poll::poll;

const SECOND_NANOS: u64 = 1_000_000_000;

fn main() {
    let asked_to_end = termination::subscribe();
    for tick in 1u64.. {
        let second = monotonic_clock::subscribe_duration(SECOND_NANOS);
        if poll(&[&asked_to_end, &second]).contains(&0) {
            break;
        }
        println!("tick {tick}");
    }
    println!("asked to end: goodbye");
}
