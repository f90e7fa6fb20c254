//! The policies that pods wait for at the start.

use crate::built_in::BUILT_IN_IMAGE;
use parking_lot::Mutex;
use sampan_api::scheduling::{FailurePolicy, Mode, SchedulingPolicy};
use sampan_reconcile::owner;
use std::collections::HashSet;
use std::sync::Arc;

#[derive(Debug, Default)]
struct Waiting {
    /// Built-in objects that are known to be in the API; `None`: not known yet.
    built_in: Option<Vec<String>>,
    /// Objects that were looked at once, for better or worse.
    looked_at: HashSet<String>,
    /// [`crate::limits::START_WAIT`] is over.
    overdue: bool,
}

/// Until pods may be placed; then it is over for good.
#[derive(Debug)]
pub(crate) struct Starting(Mutex<Option<Waiting>>);

impl Default for Starting {
    fn default() -> Self {
        Self(Mutex::new(Some(Waiting::default())))
    }
}

/// Without which no pod may be placed.
fn is_needed(object: &SchedulingPolicy) -> bool {
    let spec = &object.spec;
    spec.component == BUILT_IN_IMAGE && spec.mode != Mode::Off && spec.failure_policy == FailurePolicy::Fail
}

impl Starting {
    fn with(&self, change: impl FnOnce(&mut Waiting)) {
        if let Some(waiting) = self.0.lock().as_mut() {
            change(waiting);
        }
    }

    /// These are in the API: pods wait until they are seen and live.
    pub fn expect(&self, built_in: Vec<String>) {
        self.with(|waiting| waiting.built_in = Some(built_in));
    }

    /// The object of that name was installed, or could not be.
    pub fn looked_at(&self, name: &str) {
        self.with(|waiting| {
            waiting.looked_at.insert(name.to_owned());
        });
    }

    /// Only what pods cannot be placed without is waited for from now on.
    pub fn is_overdue(&self) {
        self.with(|waiting| waiting.overdue = true);
    }

    /// Whether pods may be placed.
    pub fn is_over(&self) -> bool {
        self.0.lock().is_none()
    }

    /// Looks whether everything is there; `true` the one time when it is.
    pub fn is_settled(&self, objects: &[Arc<SchedulingPolicy>], is_live: impl Fn(&str) -> bool) -> bool {
        let mut waiting = self.0.lock();
        let Some(now) = waiting.as_ref() else { return false };
        let seen = |name: &String| objects.iter().any(|object| owner::name(&object.metadata) == name);
        let all_seen = now.overdue || now.built_in.as_ref().is_some_and(|built_in| built_in.iter().all(seen));
        let is_settled = |object: &Arc<SchedulingPolicy>| {
            let name = owner::name(&object.metadata);
            // One that cannot be installed is not waited for here: its pods wait for it, and are told so.
            let looked_at = now.looked_at.contains(name);
            if is_needed(object) { looked_at || is_live(name) } else { looked_at || now.overdue }
        };
        let settled = all_seen && objects.iter().all(is_settled);
        if settled {
            *waiting = None;
        }
        settled
    }
}
