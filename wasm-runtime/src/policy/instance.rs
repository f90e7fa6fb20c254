//! One live copy of a policy component, and calls into it.

use super::abi::{Failure, PolicyChanges, PolicyInput, PolicyScores, PolicyVerdicts};
use crate::artifact::Artifact;
use crate::call::{Budget, arm, poll_once};
use crate::clock::thread_cpu_nanos;
use crate::engine::Role;
use crate::error::Error;
use crate::exit::{Fault, FaultKind};
use crate::guest::{limited, resource_table};
use crate::host::Host;
use crate::limits;
use crate::linker::add_inert_to_linker;
use crate::memory::{PodMem, StoreMem};
use crate::paid::{PaidState, PaidView};
use crate::runtime::Runtime;
use crate::wasi::{LogSink, inert};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use wasmtime::Store;
use wasmtime::component::{ComponentExportIndex, Instance, InstancePre, Lift, Linker, ResourceTable, TypedFunc};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

/// Bounds of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PolicyBudget {
    /// CPU time of the calling thread.
    pub cpu: Duration,
    /// For a machine so busy that the thread hardly runs.
    pub wall: Duration,
}

/// The reason why a call gave no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PolicyCause {
    /// The guest trapped: a panic, a stack overflow, an exit.
    Trap,
    /// [`PolicyBudget::cpu`] was used up.
    CpuBudget,
    /// [`PolicyBudget::wall`] was over.
    WallBudget,
    /// The guest wanted more memory than it may have.
    Memory,
    /// The guest would have waited.
    Blocked,
    /// The answer contradicts the question.
    BadAnswer,
    /// The guest itself said that it cannot answer.
    Refused,
    /// A fresh copy of it answered differently though it says that it is pure.
    Impure,
}

impl PolicyCause {
    /// As status, Events and decision records have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trap => "Trap",
            Self::CpuBudget => "CpuBudget",
            Self::WallBudget => "WallBudget",
            Self::Memory => "Memory",
            Self::Blocked => "Blocked",
            Self::BadAnswer => "BadAnswer",
            Self::Refused => "Refused",
            Self::Impure => "Impure",
        }
    }
}

/// A call that gave no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", cause.as_str())]
pub struct PolicyFault {
    /// The fault.
    pub cause: PolicyCause,
    /// The fault for people, in one line; the guest's last output stands in it.
    pub message: String,
}

/// The extension points of this host that a component exports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PolicyExports {
    /// The interface `filter`.
    pub filter: bool,
    /// The interface `score`.
    pub score: bool,
}

/// Keeps the end of what a policy prints: what it said before a fault stands in the fault's text.
#[derive(Default)]
struct LastWords(Mutex<VecDeque<u8>>);

impl LogSink for LastWords {
    fn write(&self, bytes: &[u8]) -> bool {
        let mut kept = self.0.lock();
        kept.extend(&bytes[bytes.len().saturating_sub(limits::POLICY_OUTPUT_BYTES)..]);
        let surplus = kept.len().saturating_sub(limits::POLICY_OUTPUT_BYTES);
        kept.drain(..surplus);
        true
    }
}

impl LastWords {
    /// The last lines, as one: what a panic prints is one or two, and the runtime's own hint after them says nothing.
    fn take(&self) -> String {
        let bytes: Vec<u8> = std::mem::take(&mut *self.0.lock()).into();
        let text = String::from_utf8_lossy(&bytes);
        let said = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("note: run with"));
        let mut last: Vec<&str> = said.collect();
        let first = last.len().saturating_sub(limits::POLICY_OUTPUT_LINES);
        // A panic's own lines begin with its place; what came before it is not part of it.
        let panic = last.iter().rposition(|line| line.contains("panicked at")).unwrap_or(first);
        last.drain(..panic.max(first));
        printable(&last.join(" "))
    }
}

/// Bounded, in one line, control characters escaped: a guest's text as it is shown.
fn printable(text: &str) -> String {
    let mut shown = String::new();
    for one in text.chars() {
        if shown.len() >= limits::POLICY_TEXT_BYTES {
            shown.push('…');
            break;
        }
        if one.is_control() { shown.extend(one.escape_default()) } else { shown.push(one) }
    }
    shown
}

struct State {
    wasi: WasiCtx,
    table: ResourceTable,
    mem: StoreMem,
    last_words: Arc<LastWords>,
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl PaidState for State {
    fn paid(&mut self) -> PaidView<'_> {
        PaidView { ctx: &mut self.wasi, table: &mut self.table, mem: &mut self.mem }
    }
}

struct Points {
    describe: ComponentExportIndex,
    configure: ComponentExportIndex,
    filter: Option<ComponentExportIndex>,
    score: Option<ComponentExportIndex>,
}

/// A policy component, linked. Cheap to clone.
#[derive(Clone)]
pub struct PolicyComponent(Arc<Linked>);

struct Linked {
    host: Arc<Host>,
    artifact: Artifact,
    pre: InstancePre<State>,
    points: Points,
    /// Instances that live now.
    instances: Arc<()>,
}

impl std::fmt::Debug for PolicyComponent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("PolicyComponent").field(&self.digest()).finish()
    }
}

/// The interfaces of the contract; any 1.x of a component answers to these names.
const POLICY: &str = "sampan:scheduling/policy@1.0.0";
const FILTER: &str = "sampan:scheduling/filter@1.0.0";
const SCORE: &str = "sampan:scheduling/score@1.0.0";

impl Runtime {
    /// Links a component that was loaded with [`Role::Policy`]. An error names what it lacks.
    pub fn policy(&self, artifact: &Artifact) -> Result<PolicyComponent, Error> {
        let component = artifact.component();
        let find = |interface: &str, function: &str| {
            let (_, interface) = component.get_export(None, interface)?;
            component.get_export(Some(&interface), function).map(|(_, index)| index)
        };
        let need = |function: &str| {
            find(POLICY, function).ok_or_else(|| Error::Link { message: format!("{POLICY} has no {function}") })
        };
        let points = Points {
            describe: need("describe")?,
            configure: need("configure")?,
            filter: find(FILTER, "filter"),
            score: find(SCORE, "score"),
        };
        let link = |error: wasmtime::Error| Error::Link { message: format!("{error:#}") };
        let mut linker = Linker::<State>::new(self.host.engines.get(Role::Policy));
        add_inert_to_linker(&mut linker).map_err(link)?;
        let pre = linker.instantiate_pre(component).map_err(link)?;
        let host = Arc::clone(&self.host);
        Ok(PolicyComponent(Arc::new(Linked {
            host,
            artifact: artifact.clone(),
            pre,
            points,
            instances: Arc::default(),
        })))
    }
}

impl PolicyComponent {
    /// `sha256:...` of the component.
    pub fn digest(&self) -> &str {
        self.0.artifact.digest()
    }

    /// Number of its instances that live now, of this and all its clones.
    pub fn instances(&self) -> usize {
        Arc::strong_count(&self.0.instances) - 1
    }

    /// The points that it exports.
    pub fn exports(&self) -> PolicyExports {
        PolicyExports { filter: self.0.points.filter.is_some(), score: self.0.points.score.is_some() }
    }

    /// A live copy with `memory` bytes at most of linear memories and tables. Its start code runs within `budget`. Its
    /// randomness is a function of `seed`.
    pub fn instantiate(&self, budget: PolicyBudget, memory: u64, seed: u64) -> Result<PolicyInstance, PolicyFault> {
        let linked = &self.0;
        let last_words = Arc::new(LastWords::default());
        let state = State {
            wasi: inert(seed, Duration::ZERO, last_words.clone()),
            table: resource_table(),
            mem: StoreMem::new(Arc::new(PodMem::new(Some(memory)))),
            last_words,
        };
        let mut store =
            limited(linked.host.engines.get(Role::Policy), state, limits::POLICY_ANSWER_BYTES_MAX, |state| {
                &mut state.mem
            });
        let host = Arc::clone(&linked.host);
        let (cpu, wall) = (thread_cpu_nanos(), host.env.instant());
        let instance = guarded(&host, &mut store, budget, async |store| linked.pre.instantiate_async(store).await)?;
        let spent = Spent::since(&host, cpu, wall);
        let mut made = PolicyInstance {
            host,
            store,
            instance,
            filter: None,
            score: None,
            component: self.clone(),
            spent,
            total: spent,
            poisoned: false,
            _alive: linked.instances.clone(),
        };
        made.filter = made.function(linked.points.filter.as_ref())?;
        made.score = made.function(linked.points.score.as_ref())?;
        Ok(made)
    }
}

/// The use of one or more calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// CPU time of the calling thread.
    pub cpu: Duration,
    /// Wall time.
    pub wall: Duration,
}

impl Spent {
    fn since(host: &Host, cpu: u64, wall: tokio::time::Instant) -> Self {
        Self {
            cpu: Duration::from_nanos(thread_cpu_nanos().saturating_sub(cpu)),
            wall: host.env.instant().duration_since(wall),
        }
    }
}

type Answer<T> = TypedFunc<(PolicyInput,), (Result<T, Failure>,)>;

/// A live copy of a policy component. After a fault it answers nothing more.
pub struct PolicyInstance {
    host: Arc<Host>,
    store: Store<State>,
    instance: Instance,
    filter: Option<Answer<PolicyVerdicts>>,
    score: Option<Answer<PolicyScores>>,
    component: PolicyComponent,
    spent: Spent,
    total: Spent,
    poisoned: bool,
    /// Counted by [`PolicyComponent::instances`]; after the store, so that its memory is gone by then.
    _alive: Arc<()>,
}

impl std::fmt::Debug for PolicyInstance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("PolicyInstance").field(&self.component.digest()).finish()
    }
}

fn bad(message: impl Into<String>) -> PolicyFault {
    PolicyFault { cause: PolicyCause::BadAnswer, message: message.into() }
}

/// Runs a guest's future on this thread within its budget, polled once.
fn guarded<T>(
    host: &Host,
    store: &mut Store<State>,
    budget: PolicyBudget,
    call: impl AsyncFnOnce(&mut Store<State>) -> wasmtime::Result<T>,
) -> Result<T, PolicyFault> {
    let (cpu, wall) = (thread_cpu_nanos(), host.env.instant());
    arm(store, &host.env, Budget { cpu: budget.cpu, wall: budget.wall });
    let _ticking = host.ticker.enter();
    let answer = poll_once(call(store));
    match answer {
        None => Err(PolicyFault { cause: PolicyCause::Blocked, message: "the call would have waited".into() }),
        Some(Ok(answer)) => Ok(answer),
        Some(Err(error)) => {
            let cpu = Duration::from_nanos(thread_cpu_nanos().saturating_sub(cpu));
            let mut fault = fault(&error, budget, cpu, host.env.instant().duration_since(wall));
            let said = store.data().last_words.take();
            if fault.cause == PolicyCause::Trap && !said.is_empty() {
                fault.message = format!("{}: {said}", fault.message);
            }
            Err(fault)
        }
    }
}

/// The text of the inert `wasi:io/poll`'s refusal.
const WOULD_WAIT: &str = "a policy may not wait";

fn fault(error: &wasmtime::Error, budget: PolicyBudget, cpu: Duration, wall: Duration) -> PolicyFault {
    let fault = Fault::of(error);
    let cause = match fault.kind {
        FaultKind::OutOfMemory => PolicyCause::Memory,
        FaultKind::Interrupted if cpu > budget.cpu => PolicyCause::CpuBudget,
        FaultKind::Interrupted => PolicyCause::WallBudget,
        FaultKind::Trap if format!("{error:#}").contains(WOULD_WAIT) => PolicyCause::Blocked,
        FaultKind::Trap | FaultKind::StackOverflow | FaultKind::Exit(_) => PolicyCause::Trap,
    };
    let message = match (cause, fault.kind) {
        (PolicyCause::CpuBudget, _) => format!("cut off after {cpu:?} of CPU time; its budget is {:?}", budget.cpu),
        (PolicyCause::WallBudget, _) => format!("cut off after {wall:?}; its budget is {:?}", budget.wall),
        (PolicyCause::Blocked, _) => "it wanted to wait".to_owned(),
        (_, FaultKind::Exit(code)) => format!("it called exit({code})"),
        _ => printable(fault.message.lines().next_back().unwrap_or_default().trim()),
    };
    PolicyFault { cause, message }
}

impl PolicyInstance {
    /// The component that it is an instance of.
    pub fn component(&self) -> &PolicyComponent {
        &self.component
    }

    /// After a fault: what its memory holds is anyone's guess.
    pub fn poisoned(&self) -> bool {
        self.poisoned
    }

    /// The use of the last call.
    pub fn spent(&self) -> Spent {
        self.spent
    }

    /// The use of its start and all calls until now.
    pub fn total(&self) -> Spent {
        self.total
    }

    /// Bytes of its linear memories and tables.
    pub fn memory(&self) -> u64 {
        self.store.data().mem.charged()
    }

    fn function<P, R>(&mut self, index: Option<&ComponentExportIndex>) -> Result<Option<TypedFunc<P, R>>, PolicyFault>
    where
        P: wasmtime::component::ComponentNamedList + wasmtime::component::Lower,
        R: wasmtime::component::ComponentNamedList + Lift,
    {
        let Some(index) = index else { return Ok(None) };
        let found = self.instance.get_typed_func::<P, R>(&mut self.store, index);
        found.map(Some).map_err(|error| bad(format!("its types are not the contract's: {error:#}")))
    }

    fn run<T, F>(&mut self, budget: PolicyBudget, call: F) -> Result<T, PolicyFault>
    where
        F: AsyncFnOnce(&mut Store<State>) -> wasmtime::Result<T>,
    {
        if self.poisoned {
            return Err(PolicyFault { cause: PolicyCause::Trap, message: "it faulted before".into() });
        }
        let (cpu, wall) = (thread_cpu_nanos(), self.host.env.instant());
        let answer = guarded(&self.host, &mut self.store, budget, call);
        self.spent = Spent::since(&self.host, cpu, wall);
        self.total = Spent { cpu: self.total.cpu + self.spent.cpu, wall: self.total.wall + self.spent.wall };
        self.poisoned = answer.is_err();
        answer
    }

    /// The component's description of itself, as JSON.
    pub fn describe(&mut self, budget: PolicyBudget) -> Result<String, PolicyFault> {
        let index = self.component.0.points.describe;
        let describe = self.function::<(), (String,)>(Some(&index))?;
        let describe = describe.ok_or_else(|| bad("no describe"))?;
        let (text,) = self.run(budget, async |store| describe.call_async(store, ()).await)?;
        Ok(text)
    }

    /// Puts the named policy with these arguments at `slot`. The inner error is the policy's own word.
    pub fn configure(
        &mut self,
        budget: PolicyBudget,
        slot: u32,
        policy: &str,
        args: &str,
    ) -> Result<Result<(), String>, PolicyFault> {
        let index = self.component.0.points.configure;
        let configure = self.function::<(u32, &str, &str), (Result<(), String>,)>(Some(&index))?;
        let configure = configure.ok_or_else(|| bad("no configure"))?;
        let (answer,) = self.run(budget, async |store| configure.call_async(store, (slot, policy, args)).await)?;
        Ok(answer.map_err(|message| printable(&message)))
    }

    /// Feeds its mirror and asks nothing: no policy, no candidate.
    ///
    /// # Errors
    /// As a question.
    pub fn feed(&mut self, budget: PolicyBudget, changes: PolicyChanges) -> Result<(), PolicyFault> {
        let input = PolicyInput { changes, ..PolicyInput::default() };
        if self.filter.is_some() { self.filter(budget, input).map(drop) } else { self.score(budget, input).map(drop) }
    }

    /// Asks its filters. The answer is well formed.
    pub fn filter(&mut self, budget: PolicyBudget, input: PolicyInput) -> Result<PolicyVerdicts, PolicyFault> {
        let filter = self.filter.ok_or_else(|| bad("it exports no filter"))?;
        let (nodes, policies) = (input.nodes.len(), input.policies.clone());
        let (answer,) = self.run(budget, async |store| filter.call_async(store, (input,)).await)?;
        let answer = self.heard(answer)?;
        let marks_fit = answer.marks.is_empty() || answer.marks.len() == nodes;
        let reasons_fit = answer.marks.iter().all(|mark| usize::from(*mark) <= answer.reasons.len());
        let slots = answer.reasons.iter().map(|reason| reason.policy).chain(answer.skipped.iter().copied());
        let slots_fit = slots.into_iter().all(|slot| policies.contains(&slot));
        if !(marks_fit && reasons_fit && slots_fit) {
            return self.unbelievable("the verdicts do not fit the question");
        }
        Ok(answer)
    }

    /// Asks its scores. The answer is well formed.
    pub fn score(&mut self, budget: PolicyBudget, input: PolicyInput) -> Result<PolicyScores, PolicyFault> {
        let score = self.score.ok_or_else(|| bad("it exports no score"))?;
        let (nodes, policies) = (input.nodes.len(), input.policies.clone());
        let (answer,) = self.run(budget, async |store| score.call_async(store, (input,)).await)?;
        let answer = self.heard(answer)?;
        let asked = policies.iter().filter(|slot| !answer.skipped.contains(slot)).count();
        if answer.values.len() != asked * nodes || !answer.skipped.iter().all(|slot| policies.contains(slot)) {
            return self.unbelievable("the scores do not fit the question");
        }
        Ok(answer)
    }

    fn heard<T>(&mut self, answer: Result<T, Failure>) -> Result<T, PolicyFault> {
        answer.map_err(|failure| {
            self.poisoned = true;
            let message = format!("policy at slot {}: {}", failure.policy, printable(&failure.message));
            PolicyFault { cause: PolicyCause::Refused, message }
        })
    }

    fn unbelievable<T>(&mut self, message: &str) -> Result<T, PolicyFault> {
        self.poisoned = true;
        Err(bad(message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_words_are_the_panic_bounded_and_printable() {
        let check = |written: &[&str], expected: &str| {
            let words = LastWords::default();
            written.iter().for_each(|text| assert!(words.write(text.as_bytes())));
            assert_eq!(words.take(), expected);
            assert_eq!(words.take(), "", "they are told once");
        };
        check(&[], "");
        check(&["a line of log\n"], "a line of log");
        let hint = "note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace\n";
        check(
            &["log\n", "\nthread '<unnamed>' panicked at src/lib.rs:7:9:\nas asked\n", hint],
            "thread '<unnamed>' panicked at src/lib.rs:7:9: as asked",
        );
        check(&["red \u{1b}[31m\u{7}\n"], "red \\u{1b}[31m\\u{7}");
        let words = LastWords::default();
        assert!(words.write("x".repeat(1 << 20).as_bytes()) && words.write(b"the end"));
        let said = words.take();
        assert!(said.len() < limits::POLICY_TEXT_BYTES + 8, "{} bytes", said.len());
    }
}
