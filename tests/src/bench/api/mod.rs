//! The API over few and over many objects: what each verb, each form of a list and a restart cost, of a built-in kind and of
//! a custom one.

mod kind;
mod lists;
mod nodes;

use kind::Kind;
use sampan_env::Tasks;
use sampan_tests::measure::{Measure, connections, each, resident_kib};
use sampan_tests::{Sampan, now};

/// Objects that are there before anything is measured.
const SIZES: [usize; 3] = [0, 10_000, 150_000];
const AT_ONCE: usize = 16;
/// Of each verb.
const REQUESTS: usize = 4_000;
const COMPONENTS: [&str; 2] = ["--components", "apiserver,controllers"];

pub async fn run(tasks: &Tasks) -> anyhow::Result<()> {
    for size in SIZES {
        over(tasks, size).await?;
    }
    nodes::run(tasks).await
}

async fn over(tasks: &Tasks, size: usize) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let sampan = Sampan::up(folder.path(), &COMPONENTS);
    let (clients, pid) = (connections(&sampan, tasks, AT_ONCE)?, sampan.pid());
    println!("over {size} objects of {} bytes:", kind::OBJECT_BYTES);
    let kinds = [Kind::built_in(), Kind::custom(&clients[0]).await?];
    let before = resident_kib(pid)?;
    let filled = &kinds[0].create("filled");
    each(&clients, size, |client, n| async move { client.request_bytes(filled.request(n)).await.map(drop) }).await?;
    println!("  memory {} MiB, {} MiB without them", resident_kib(pid)? / 1024, before / 1024);
    for kind in &kinds {
        for verb in kind.verbs("asked") {
            let measure = Measure::begin(pid)?;
            let verb = &verb;
            each(&clients, REQUESTS, |client, n| async move { client.request_bytes(verb.request(n)).await.map(drop) })
                .await?;
            println!("  {} {}, {AT_ONCE} clients: {}", kind.name, verb.name, measure.end(REQUESTS)?);
        }
    }
    if size > 0 {
        lists::run(&clients[0], &sampan, size).await?;
        drop(clients);
        sampan.interrupt();
        let began = now();
        let again = Sampan::up(folder.path(), &COMPONENTS);
        let took = now().duration_since(began).as_millis();
        println!("  exec to ready over them: {took} ms, {} MiB", resident_kib(again.pid())? / 1024);
    }
    Ok(())
}
