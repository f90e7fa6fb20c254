//! The CPU limit, by the guest's own progress.

#![allow(dead_code, reason = "each test binary uses its part of the support module")]

mod support;

use sampan_wasm_runtime::*;
use std::sync::Arc;
use support::*;

const RUN_MILLIS: u64 = 4000;

/// One measurement at a time: they share the machine's cores.
static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// What a burner did in a run of [`RUN_MILLIS`].
struct Burnt {
    /// Steps, by its own clock.
    steps: f64,
    /// CPU seconds that its container was charged.
    cpu: f64,
}

async fn burnt(runtime: &Runtime, cpu_millis: Option<u64>, cpu_request_millis: u64) -> Burnt {
    let artifact = load(runtime, Role::Command, &BURNER).await;
    let container = runtime.container(ContainerLimits { cpu_millis, cpu_request_millis, ..mebibytes(32) });
    let log = Arc::new(Log::default());
    let millis = RUN_MILLIS.to_string();
    let handle = runtime.start_command(&artifact, &container, spec(&[&millis], &log)).expect("started");
    let exit = tokio::time::timeout(PATIENCE, handle.wait()).await.expect("it ends");
    assert_eq!(exit.code, 0, "{exit:?}");
    let log = log.text();
    let done: Vec<f64> =
        log.lines().last().unwrap_or("").split(' ').skip(1).filter_map(|number| number.parse().ok()).collect();
    let [steps, millis] = done[..] else { panic!("no end in {log}") };
    let cpu = container.usage().cpu_nanos as f64 / 1e9;
    Burnt { steps: steps * RUN_MILLIS as f64 / millis, cpu: cpu * RUN_MILLIS as f64 / millis }
}

#[tokio::test]
async fn a_tenth_and_a_half_of_a_core_make_a_tenth_and_a_half_of_the_progress() {
    let _turn = TURN.lock().await;
    let runtime = runtime();
    // Progress per second of CPU, not of wall time: other work on the machine must not count as throttling. Beside another
    // burner, as what is measured is: cores that share a cache or an execution unit slow each other.
    let artifact = load(&runtime, Role::Command, &BURNER).await;
    let unthrottled = || async {
        let container = runtime.container(mebibytes(32));
        let log = Arc::new(Log::default());
        let handle = runtime.start_command(&artifact, &container, spec(&["1500"], &log)).expect("started");
        assert_eq!(handle.wait().await.code, 0);
        let text = log.text();
        let steps = text.lines().last().and_then(|line| line.split(' ').nth(1)).and_then(|number| number.parse().ok());
        let steps: f64 = steps.unwrap_or_else(|| panic!("no steps in {text}"));
        steps / (container.usage().cpu_nanos as f64 / 1e9)
    };
    let (one, other) = tokio::join!(unthrottled(), unthrottled());
    let full = (one + other) / 2.0;

    let (tenth, half) = tokio::join!(burnt(&runtime, Some(100), 0), burnt(&runtime, Some(500), 0));
    for (limit, burnt) in [(0.1, tenth), (0.5, half)] {
        let (part, speed) = (burnt.cpu / (RUN_MILLIS as f64 / 1e3), burnt.steps / burnt.cpu / full);
        println!(
            "a limit of {limit} cores: used {part:.4}, with {speed:.3} of the progress of a CPU second without one"
        );
        assert!((0.9..=1.1).contains(&(part / limit)), "{part}");
        // The machine's own speed moves by a tenth between two runs; work that nobody was charged for shows as more.
        assert!((0.75..=1.25).contains(&speed), "{speed}");
    }
}

#[tokio::test]
async fn requests_are_the_weights_when_threads_are_few() {
    let _turn = TURN.lock().await;
    let mut config = config(&std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("artefacts"));
    config.workers = 1;
    let runtime = Runtime::new(config, sampan_env::Env::system()).expect("a runtime");
    let (light, heavy) = tokio::join!(burnt(&runtime, None, 200), burnt(&runtime, None, 600));
    let ratio = heavy.steps / light.steps;
    println!("a request of three times the CPU made {ratio:.2} times the progress");
    assert!((2.4..=3.6).contains(&ratio), "{ratio}");
}
