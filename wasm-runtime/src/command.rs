//! Commands: one instance, one call of `wasi:cli/run`, until it ends or is ended.

use crate::artifact::{Artifact, Linked};
use crate::container::Container;
use crate::engine::Role;
use crate::error::Error;
use crate::exit::{EndsWith, Exit, ExitCell, Fault, FaultKind};
use crate::guest::{GuestState, Surroundings, store};
use crate::host::Host;
use crate::metered::Metered;
use crate::metrics::Counters;
use crate::wasi::{LogSink, Termination};
use sampan_env::CancellationToken;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;
use wasmtime_wasi::p2::bindings::CommandPre;

/// The inputs of a command's start.
#[derive(Clone)]
pub struct CommandSpec {
    /// The program's name first.
    pub args: Vec<String>,
    /// Names and values, as the guest sees them.
    pub env: Vec<(String, String)>,
    /// The answer of `initial-cwd`.
    pub working_dir: Option<String>,
    /// Receives its standard output.
    pub stdout: Arc<dyn LogSink>,
    /// Receives its standard error.
    pub stderr: Arc<dyn LogSink>,
    /// The pod's address, which its sockets are bound to.
    pub pod_ip: Ipv4Addr,
}

/// A running command. Dropping the handle does not end it.
#[derive(Clone)]
pub struct CommandHandle(Arc<Running>);

/// State that the handle and the task share; services use it too.
pub(crate) struct Running {
    pub(crate) host: Arc<Host>,
    pub(crate) exit: ExitCell,
    pub(crate) kill: CancellationToken,
    pub(crate) termination: Termination,
}

impl Running {
    pub(crate) fn new(host: Arc<Host>) -> Self {
        // Ended with the runtime's tasks.
        let kill = host.tasks.token().child_token();
        Self { host, exit: ExitCell::new(), kill, termination: Termination::new() }
    }

    /// Asks it to end, and kills it when `grace` has passed.
    pub(crate) fn terminate(self: &Arc<Self>, grace: Duration) {
        self.termination.cancel();
        let running = self.clone();
        self.host.spawn(async move {
            tokio::select! {
                _ = running.exit.wait() => {}
                () = running.host.env.sleep(grace) => running.kill.cancel(),
                () = running.kill.cancelled() => {}
            }
        });
    }
}

impl CommandHandle {
    /// The end; any number of callers may wait for it.
    pub async fn wait(&self) -> Exit {
        self.0.exit.wait().await
    }

    /// The end, if it has ended.
    pub fn try_exit(&self) -> Option<Exit> {
        self.0.exit.get()
    }

    /// Asks the guest to end, if it listens (`sampan:lifecycle/termination`); one that does not ends at once with 143.
    /// A guest that still runs after `grace` is killed: 137.
    pub fn terminate(&self, grace: Duration) {
        self.0.terminate(grace);
    }

    /// Drops the call: 137, whatever the guest does or waits for.
    pub fn kill(&self) {
        self.0.kill.cancel();
    }
}

pub(crate) fn start(
    host: &Arc<Host>,
    artifact: &Artifact,
    container: &Container,
    spec: CommandSpec,
) -> Result<CommandHandle, Error> {
    let Linked::Command(pre) = artifact.linked() else {
        return Err(Error::MissingWorld { wanted: "wasi:cli/run", found: artifact.role().name().to_owned() });
    };
    let CommandSpec { args, env, working_dir, stdout, stderr, pod_ip } = spec;
    let surroundings = Surroundings { args, env, working_dir, stdout, stderr, pod_ip };
    let running = Arc::new(Running::new(host.clone()));
    let listens = artifact.worlds().termination;
    host.spawn(run(running.clone(), pre.clone(), container.clone(), surroundings, listens));
    Ok(CommandHandle(running))
}

async fn run(
    running: Arc<Running>,
    pre: CommandPre<GuestState>,
    container: Container,
    surroundings: Surroundings,
    listens: bool,
) {
    let _end = EndsWith(&running.exit);
    let meter = container.meter(&running.host, &running.host.commands);
    let made = store(&running.host, &container, Role::Command, &surroundings, running.termination.clone(), &meter);
    let call = async move {
        let mut store = made?;
        let command = pre.instantiate_async(&mut store).await?;
        command.wasi_cli_run().call_run(&mut store).await
    };
    let call = Metered::new(meter, call);
    let exit = tokio::select! {
        biased;
        () = running.kill.cancelled() => Exit::killed("killed"),
        () = running.termination.cancelled(), if !listens => Exit::terminated(),
        returned = call => match returned {
            Ok(Ok(())) => Exit::returned(0),
            Ok(Err(())) => Exit::returned(1),
            Err(error) => {
                let fault = Fault::of(&error);
                count(&running.host.counters, &fault);
                Exit::of(&fault)
            }
        },
    };
    running.exit.set(exit);
    running.host.env.memory().note();
}

/// Adds a fault to the runtime's counters.
pub(crate) fn count(counters: &Counters, fault: &Fault) {
    match fault.kind {
        FaultKind::Exit(_) => {}
        FaultKind::OutOfMemory => Counters::add(&counters.ooms, 1),
        FaultKind::StackOverflow | FaultKind::Interrupted | FaultKind::Trap => Counters::add(&counters.traps, 1),
    }
}
