//! What a request may cost the server: counts that hardly depend on who else is on the machine.

use sampan_tests::measure::{connect, creates, gets};
use sampan_tests::{Sampan, ratchet};

#[test]
fn a_create_and_a_get_stay_within_their_cpu() {
    let folder = tempfile::tempdir().expect("a folder");
    let sampan = Sampan::up(folder.path(), &["--components", "apiserver"]);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let (create, get) = runtime.block_on(async {
        let client = connect(&sampan).expect("a client");
        let create = creates(&client, sampan.pid(), "gate", 2_000, 16).await.expect("creates");
        let get = gets(&client, sampan.pid(), "gate", 2_000, 4_000, 16).await.expect("gets");
        (create, get)
    });
    println!("create: {create}\nget: {get}");
    for (name, max) in ratchet("cpu_us_max") {
        let found = if name == "create" { create.cpu_us } else { get.cpu_us };
        assert!(found <= max, "{name}: {found:.0} us of CPU, at most {max}");
    }
}
