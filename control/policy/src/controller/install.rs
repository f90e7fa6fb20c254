//! One installation: from what an object names to a live policy.

use super::{Applied, Installed, Shared};
use crate::live::Slot;
use crate::prepare::{PrepareError, Prepared, begin, check_fixture, fixtures};
use sampan_api::scheduling::{Mode, SchedulingPolicy, SchedulingPolicySpec, condition};
use sampan_policy_host::{Failed, Stage, Verdict, Verdicts, Work, allowance, verdict, was_suspended};
use sampan_reconcile::owner;
use sampan_wasm_runtime::policy::{PolicyComponent, PolicyFault};
use std::sync::Arc;

impl Shared {
    /// Fetches, compiles and checks what the object names.
    pub(super) async fn install(&self, object: &Arc<SchedulingPolicy>) -> Result<Installed, Failed> {
        let name = owner::name(&object.metadata);
        let refused = Applied::new(object, "");
        if self.with(name, |known| known.applied.as_ref() == Some(&refused)) {
            return Ok(Installed::Same);
        }
        // A form that failed for good fails again.
        let tried = |failed: Failed, applied: &Applied| {
            if !failed.retry {
                self.with(name, |known| known.applied = Some(applied.clone()));
            }
            failed
        };
        self.tell_under_way(object).await;
        let component = self.installer.fetch(&object.spec.component).await.map_err(|failed| tried(failed, &refused))?;
        self.with(name, |known| known.fetched = Some(self.config.env.instant()));
        let applied = Applied::new(object, component.digest());
        if self.with(name, |known| known.applied.as_ref() == Some(&applied)) {
            return Ok(Installed::Same);
        }
        let checked = async {
            let allowance = allowance(object.spec.budget.as_ref())
                .map_err(|error| Failed::new("FailedCheck", error.to_string(), Stage::Fetch, false))?;
            self.live.has_room(name, component.digest(), allowance.memory).map_err(no_room)?;
            let compiled = self.installer.compile(&component).await?;
            self.check(object, compiled, allowance.memory).await
        };
        let Some(prepared) = checked.await.map_err(|failed| tried(failed, &applied))? else {
            return Ok(Installed::Superseded);
        };
        let warmed = self.warm(object, prepared, &applied.digest).await;
        Ok(Installed::New(warmed.map_err(|failed| tried(failed, &applied))?, applied.digest))
    }

    /// Shows the cluster to what is about to decide; what decides now goes on meanwhile.
    async fn warm(&self, object: &SchedulingPolicy, prepared: Prepared, digest: &str) -> Result<Arc<Slot>, Failed> {
        let name = owner::name(&object.metadata);
        let built_in = prepared.built_in;
        let suspended = (!built_in && was_suspended(object, digest)).then(|| suspension(object));
        let is_asked = suspended.is_none();
        let slot = self.live.slot_for(name, prepared, object.metadata.generation, suspended).map_err(no_room)?;
        if is_asked {
            let failed = |fault: PolicyFault| {
                Failed::new("FailedCheck", format!("before it goes live: {fault}"), Stage::Check, false)
            };
            self.live.warm(&slot).await.map_err(failed)?;
        }
        Ok(slot)
    }

    /// Says that another form decides while this one is being installed. Of one that was tried before it is known already,
    /// and why it does not decide yet.
    async fn tell_under_way(&self, object: &SchedulingPolicy) {
        let name = owner::name(&object.metadata);
        if self.with(name, |known| known.verdicts.generation == object.metadata.generation) {
            return;
        }
        let Some(slot) = self.live.slot(name).filter(|slot| slot.generation != object.metadata.generation) else {
            return;
        };
        let number = |generation: Option<i64>| generation.unwrap_or_default();
        let message = format!(
            "generation {} decides; generation {} is being installed",
            number(slot.generation),
            number(object.metadata.generation)
        );
        self.with(name, |known| {
            let ready = known.verdicts.all.iter_mut().find(|one| one.kind == condition::READY);
            if let Some(ready) = ready {
                ready.message = message;
            }
        });
        if let Err(error) = self.write_status(object).await {
            tracing::debug!(%error, %name, "its status does not say yet that it is being installed");
        }
    }

    /// Runs the component's own part of the checks, a fixture a turn. `None`: the object is another by now.
    async fn check(
        &self,
        object: &Arc<SchedulingPolicy>,
        component: PolicyComponent,
        memory: u64,
    ) -> Result<Option<Prepared>, Failed> {
        let spec = Arc::new(object.spec.clone());
        let (prepared, mut work) = self
            .turn(memory, {
                let spec = Arc::clone(&spec);
                move || {
                    let mut work = Work::default();
                    begin(&component, &spec, &mut work).map(|prepared| (Arc::new(prepared), work))
                }
            })
            .await?;
        for at in 0..fixtures(&spec).len() {
            if !self.is_wanted(object) {
                return Ok(None);
            }
            let (prepared, spec) = (Arc::clone(&prepared), Arc::clone(&spec));
            work = self
                .turn(memory, move || {
                    let mut work = work;
                    check_fixture(&prepared, &fixtures(&spec)[at], &mut work).map(|()| work)
                })
                .await?;
        }
        Ok(Some(Arc::unwrap_or_clone(prepared)))
    }

    /// One step of a check, off the async threads since it runs the guest.
    async fn turn<T: Send + 'static>(
        &self,
        memory: u64,
        step: impl FnOnce() -> Result<T, PrepareError> + Send + 'static,
    ) -> Result<T, Failed> {
        let turn = self.live.turns().take(memory).await;
        let turn = turn.map_err(|error| Failed::new("InsufficientMemory", error.to_string(), Stage::Fetch, true))?;
        let done = self.installer.blocking(move || {
            let outcome = step();
            drop(turn);
            outcome
        });
        let outcome = done.await.map_err(|error| Failed::new("FailedCheck", error.to_string(), Stage::Check, true))?;
        outcome.map_err(|error| {
            let reason = if matches!(error, PrepareError::Fixture { .. }) { "FailedFixture" } else { "FailedCheck" };
            Failed::new(reason, error.to_string(), Stage::Check, false)
        })
    }

    /// Whether this is still what the object says.
    fn is_wanted(&self, object: &SchedulingPolicy) -> bool {
        let now = self.objects.get("", owner::name(&object.metadata));
        now.is_some_and(|now| Applied::new(&now, "").is_of(object) && now.spec.mode != Mode::Off)
    }

    pub(super) fn go_live(&self, object: &SchedulingPolicy, slot: Arc<Slot>, digest: &str) -> Result<(), Failed> {
        let name = owner::name(&object.metadata);
        let is_asked = slot.suspension().is_none();
        let mut verdicts = vec![
            verdict(condition::READY, is_asked, if is_asked { "Live" } else { "Suspended" }, ""),
            verdict(condition::COMPILED, true, "Compiled", ""),
            verdict(condition::FIXTURES_PASSED, true, "Passed", format!("{} fixtures", fixtures(&object.spec).len())),
        ];
        self.judge_profiles(&object.spec, &mut verdicts);
        {
            let _gate = self.gate.lock();
            if !self.is_wanted(object) {
                return Ok(());
            }
            self.live.put(slot).map_err(no_room)?;
        }
        self.with(name, |known| {
            known.applied = Some(Applied::new(object, digest));
            known.verdicts = Verdicts { generation: object.metadata.generation, all: verdicts };
        });
        Ok(())
    }

    /// A policy of profiles that are not there takes part in nothing.
    fn judge_profiles(&self, spec: &SchedulingPolicySpec, verdicts: &mut Vec<Verdict>) {
        if spec.profiles.is_empty() {
            return;
        }
        let there = self.live.profile_names();
        let missing: Vec<&str> =
            spec.profiles.iter().filter(|name| !there.contains(name)).map(String::as_str).collect();
        if missing.is_empty() {
            verdicts.push(verdict(condition::PROFILES_FOUND, true, "Found", ""));
            return;
        }
        let message = format!("no profile is named {}; there is {}", missing.join(", "), there.join(", "));
        if missing.len() == spec.profiles.len()
            && let Some(ready) = verdicts.iter_mut().find(|one| one.kind == condition::READY)
        {
            *ready = verdict(condition::READY, false, "NoProfile", message.clone());
        }
        verdicts.push(verdict(condition::PROFILES_FOUND, false, "NotFound", message));
    }
}

/// The reason for an object's suspension, from its own condition.
fn suspension(object: &SchedulingPolicy) -> Arc<str> {
    let conditions = object.status.iter().flat_map(|status| &status.conditions);
    let found = conditions.into_iter().find(|one| one.type_ == condition::SUSPENDED);
    found.map_or_else(|| "suspended".into(), |one| one.message.as_str().into())
}

fn no_room(error: sampan_policy_host::TooMuchMemory) -> Failed {
    Failed::new("InsufficientMemory", error.to_string(), Stage::Fetch, true)
}
