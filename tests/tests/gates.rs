//! What a request may cost the server: counts that hardly depend on who else is on the machine.

use sampan_env::Tasks;
use sampan_tests::measure::{connections, creates, gets};
use sampan_tests::{Sampan, ratchet};

const CLIENTS: usize = 16;

#[test]
fn a_create_and_a_get_stay_within_their_cpu() {
    let folder = tempfile::tempdir().expect("a folder");
    let sampan = Sampan::up(folder.path(), &["--components", "apiserver"]);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let (create, get) = runtime.block_on(async {
        let clients = connections(&sampan, &Tasks::new("load"), CLIENTS).expect("clients");
        let create = creates(&clients, sampan.pid(), "gate", 2_000).await.expect("creates");
        let get = gets(&clients, sampan.pid(), "gate", 2_000, 4_000).await.expect("gets");
        (create, get)
    });
    println!("create: {create}\nget: {get}");
    let limits = ratchet("cpu_us_max");
    for (name, cost) in [("create", create), ("get", get)] {
        let max = limits.get(name).unwrap_or_else(|| panic!("bench/ratchet.toml has no {name}"));
        assert!(cost.cpu_us <= *max, "{name}: {:.0} us of CPU, at most {max}", cost.cpu_us);
    }
}

#[test]
fn what_scheduling_a_pod_costs_stays_within_its_cpu() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let tasks = Tasks::new("load");
    let cost =
        runtime.block_on(sampan_tests::scheduling::of_the_scheduler(&tasks, 1_000, 2_000)).expect("a measurement");
    println!("{cost}");
    let limits = ratchet("cpu_us_max");
    for (name, found) in [("schedule", cost.scheduler_us), ("schedule_all", cost.all_us)] {
        let max = limits.get(name).unwrap_or_else(|| panic!("bench/ratchet.toml has no {name}"));
        assert!(found <= *max, "{name}: {found:.0} us of CPU a pod, at most {max}");
    }
}
