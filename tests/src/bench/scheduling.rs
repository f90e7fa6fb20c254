//! Pods scheduled a second, end to end.

use sampan_env::Tasks;
use sampan_tests::scheduling::of_the_scheduler;

const NODES: [usize; 2] = [1_000, 5_000];
const PODS: usize = 4_000;

pub async fn run(tasks: &Tasks) -> anyhow::Result<()> {
    for nodes in NODES {
        println!("{}", of_the_scheduler(tasks, nodes, PODS).await?);
    }
    Ok(())
}
