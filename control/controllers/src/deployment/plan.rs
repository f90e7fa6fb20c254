//! One step of a Deployment: a pure function of it, its ReplicaSets and its pods (pkg/controller/deployment).

use super::replicas::{self, actual, available, is_rolling, size, surge_and_unavailable, total, wanted};
use super::{annotations, condition, hash};
use crate::owner;
use sampan_api::k8s::api::apps::v1::{Deployment, DeploymentStatus, ReplicaSet, ReplicaSetSpec};
use sampan_api::k8s::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use sampan_reconcile::Requeue;
use std::time::SystemTime;

/// A write on a ReplicaSet, and the event that tells of it.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Create this ReplicaSet, and tell this Event.
    Create { set: Box<ReplicaSet>, event: Option<String> },
    /// Write this ReplicaSet, and tell this Event.
    Update { set: Box<ReplicaSet>, event: Option<String> },
    /// Delete the ReplicaSet of that name and UID.
    Delete { name: String, uid: String },
}

#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Writes to make, in order.
    pub actions: Vec<Action>,
    /// The value of `deployment.kubernetes.io/revision`.
    pub revision: Option<i64>,
    /// The status after it.
    pub status: DeploymentStatus,
    /// Time of the next look at the Deployment.
    pub requeue: Requeue,
}

/// `sets`: the ReplicaSets that are the Deployment's. `old_pods_run`: whether pods of sets other than the new one have
/// not ended yet (a Recreate waits for them).
pub fn plan(deployment: &Deployment, sets: &[ReplicaSet], old_pods_run: bool, now: SystemTime) -> Plan {
    let mut deployment = deployment.clone();
    condition::note_pause(&mut deployment, now);
    let mut step = Step::new(&deployment, sets, now);
    let is_going = owner::is_being_deleted(&deployment.metadata);
    if is_going {
        // Its ReplicaSets are the garbage collector's now.
    } else if replicas::spec(&deployment).paused == Some(true) || step.is_scaling() {
        step.take_new(false);
        step.scale();
        if replicas::spec(&deployment).paused == Some(true) {
            step.clean_up();
        }
    } else if is_rolling(&deployment) {
        step.take_new(true);
        step.roll();
    } else {
        step.recreate(old_pods_run);
    }
    step.finish(!is_going && replicas::spec(&deployment).paused != Some(true))
}

/// The state as it will be when the actions so far are done.
struct Step<'a> {
    deployment: &'a Deployment,
    new: Option<ReplicaSet>,
    old: Vec<ReplicaSet>,
    actions: Vec<Action>,
    revision: Option<i64>,
    status: DeploymentStatus,
    now: SystemTime,
}

impl<'a> Step<'a> {
    fn new(deployment: &'a Deployment, sets: &[ReplicaSet], now: SystemTime) -> Self {
        let mut old = sets.to_vec();
        let new = replicas::newest(deployment, &old).map(|at| old.remove(at));
        let status = deployment.status.clone().unwrap_or_default();
        Self { deployment, new, old, actions: Vec::new(), revision: None, status, now }
    }

    fn all(&self) -> Vec<ReplicaSet> {
        self.old.iter().chain(&self.new).cloned().collect()
    }

    /// Whether the Deployment was scaled since its ReplicaSets were.
    fn is_scaling(&self) -> bool {
        self.all().iter().filter(|set| size(set) > 0).any(|set| {
            annotations::number(&set.metadata, annotations::DESIRED_REPLICAS)
                .is_some_and(|desired| desired != wanted(self.deployment))
        })
    }

    /// Brings the new ReplicaSet's revision and annotations up to date; makes it, if there is none and `create`.
    fn take_new(&mut self, create: bool) {
        let revision = self.old.iter().map(|set| annotations::revision(&set.metadata)).max().unwrap_or(0) + 1;
        let min_ready = replicas::spec(self.deployment).min_ready_seconds;
        if let Some(set) = &mut self.new {
            let spec = set.spec.get_or_insert_default();
            let min_ready_changed = spec.min_ready_seconds.unwrap_or(0) != min_ready.unwrap_or(0);
            if min_ready_changed {
                spec.min_ready_seconds = min_ready;
            }
            if annotations::set_new(self.deployment, set, revision, true) || min_ready_changed {
                let set = Box::new(set.clone());
                self.actions.push(Action::Update { set, event: None });
            }
            let revision = self.new.as_ref().map_or(0, |set| annotations::revision(&set.metadata));
            self.revision = Some(revision);
            let name = self.new.as_ref().map_or(String::new(), |set| owner::name(&set.metadata).to_owned());
            condition::found(self.deployment, &mut self.status, &name, self.now);
        } else if create {
            let mut set = self.make(min_ready);
            let name = owner::name(&set.metadata).to_owned();
            self.new = Some(set.clone());
            let count = self.new_size();
            replicas::set_size(&mut set, count);
            annotations::set_new(self.deployment, &mut set, revision, false);
            let event = (count > 0).then(|| format!("Scaled up replica set {name} from 0 to {count}"));
            self.new = Some(set.clone());
            self.actions.push(Action::Create { set: Box::new(set), event });
            self.revision = Some(revision);
            condition::created(self.deployment, &mut self.status, &name, self.now);
        }
    }

    fn make(&self, min_ready_seconds: Option<i32>) -> ReplicaSet {
        let spec = replicas::spec(self.deployment);
        let mut template = spec.template;
        let hash = hash::of(&template, self.status.collision_count.unwrap_or(0));
        let metadata = template.metadata.get_or_insert_default();
        metadata.creation_timestamp = None;
        let labels = metadata.labels.get_or_insert_default();
        labels.insert(replicas::TEMPLATE_HASH.into(), hash.clone());
        let labels = labels.clone();
        let mut selector = spec.selector;
        selector.match_labels.get_or_insert_default().insert(replicas::TEMPLATE_HASH.into(), hash.clone());
        ReplicaSet {
            metadata: ObjectMeta {
                name: Some(format!("{}-{hash}", owner::name(&self.deployment.metadata))),
                namespace: self.deployment.metadata.namespace.clone(),
                labels: Some(labels),
                owner_references: Some(vec![owner::reference(self.deployment)]),
                ..ObjectMeta::default()
            },
            spec: Some(ReplicaSetSpec { replicas: Some(0), min_ready_seconds, selector, template: Some(template) }),
            status: None,
        }
    }

    /// The size that the new ReplicaSet may have now.
    fn new_size(&self) -> i32 {
        let Some(set) = &self.new else { return 0 };
        let wanted = wanted(self.deployment);
        if !is_rolling(self.deployment) {
            return wanted;
        }
        let current = total(&self.all(), size);
        let most = wanted + surge_and_unavailable(self.deployment).0;
        if current >= most { size(set) } else { size(set) + (most - current).min(wanted - size(set)) }
    }

    fn resize(deployment: &Deployment, actions: &mut Vec<Action>, set: &mut ReplicaSet, to: i32) -> bool {
        let from = size(set);
        replicas::set_size(set, to);
        let noted = annotations::set_sizes(deployment, set);
        if from == to && !noted {
            return false;
        }
        let name = owner::name(&set.metadata);
        let direction = if to > from { "up" } else { "down" };
        let event = (from != to).then(|| format!("Scaled {direction} replica set {name} from {from} to {to}"));
        // One write a ReplicaSet: what was planned for it before is in `set` already.
        let same = |action: &&mut Action| match action {
            Action::Create { set: other, .. } | Action::Update { set: other, .. } => {
                other.metadata.name == set.metadata.name
            }
            Action::Delete { .. } => false,
        };
        match actions.iter_mut().find(same) {
            Some(Action::Create { set: planned, event: told } | Action::Update { set: planned, event: told }) => {
                **planned = set.clone();
                *told = event.or(told.take());
            }
            _ => actions.push(Action::Update { set: Box::new(set.clone()), event }),
        }
        from != to
    }

    fn resize_new(&mut self, to: i32) -> bool {
        match &mut self.new {
            Some(set) if size(set) != to => Self::resize(self.deployment, &mut self.actions, set, to),
            _ => false,
        }
    }

    fn resize_old(&mut self, at: usize, to: i32) -> bool {
        size(&self.old[at]) != to && Self::resize(self.deployment, &mut self.actions, &mut self.old[at], to)
    }

    fn roll(&mut self) {
        let wanted = wanted(self.deployment);
        let current = self.new.as_ref().map_or(0, size);
        let target = if current > wanted { wanted } else { self.new_size() };
        // One direction a step: the pods of the other are counted on again in the next.
        if current == wanted || !self.resize_new(target) {
            self.shrink_old();
        }
        if condition::is_complete(self.deployment, &self.deployment.status.clone().unwrap_or_default()) {
            self.clean_up();
        }
    }

    fn shrink_old(&mut self) {
        if total(&self.old, size) == 0 {
            return;
        }
        let at_least = wanted(self.deployment) - surge_and_unavailable(self.deployment).1;
        let new_missing = self.new.as_ref().map_or(0, |set| size(set) - available(set));
        let most = total(&self.all(), size) - at_least - new_missing;
        if most <= 0 {
            return;
        }
        self.old.sort_by(replicas::by_age);
        // First those that serve nobody.
        let mut cleaned = 0;
        for at in 0..self.old.len() {
            let (wanted, serving) = (size(&self.old[at]), available(&self.old[at]));
            if cleaned >= most {
                break;
            }
            if wanted > serving {
                let by = (most - cleaned).min(wanted - serving);
                cleaned += by;
                self.resize_old(at, wanted - by);
            }
        }
        // Then as many as may be missed.
        let mut spare = total(&self.all(), available) - at_least;
        for at in 0..self.old.len() {
            let wanted = size(&self.old[at]);
            let by = wanted.min(spare);
            if by > 0 {
                spare -= by;
                self.resize_old(at, wanted - by);
            }
        }
    }

    fn recreate(&mut self, old_pods_run: bool) {
        self.take_new(false);
        let mut shrunk = false;
        for at in 0..self.old.len() {
            shrunk |= self.resize_old(at, 0);
        }
        if shrunk || old_pods_run {
            return;
        }
        if self.new.is_none() {
            self.take_new(true);
        }
        self.resize_new(wanted(self.deployment));
        if condition::is_complete(self.deployment, &self.deployment.status.clone().unwrap_or_default()) {
            self.clean_up();
        }
    }

    /// After the Deployment was scaled, or while it is paused.
    fn scale(&mut self) {
        let wanted = wanted(self.deployment);
        self.old.sort_by(replicas::by_age);
        let active: Vec<usize> = (0..self.old.len()).filter(|at| size(&self.old[*at]) > 0).collect();
        let new_is_active = self.new.as_ref().is_some_and(|set| size(set) > 0);
        match (active.as_slice(), new_is_active) {
            ([], _) if self.new.is_some() => {
                self.scale_one(None, wanted);
                return;
            }
            ([], _) => {
                if let Some(last) = self.old.len().checked_sub(1) {
                    self.scale_one(Some(last), wanted);
                }
                return;
            }
            ([only], false) => {
                let only = *only;
                self.scale_one(Some(only), wanted);
                return;
            }
            _ => {}
        }
        let is_saturated = self.new.as_ref().is_some_and(|set| {
            size(set) == wanted
                && available(set) == wanted
                && annotations::number(&set.metadata, annotations::DESIRED_REPLICAS) == Some(wanted)
        });
        if is_saturated {
            for at in active {
                self.resize_old(at, 0);
            }
        } else if is_rolling(self.deployment) {
            self.share_out(&active);
        }
    }

    fn scale_one(&mut self, old: Option<usize>, to: i32) {
        let set = match old {
            Some(at) => Some(&mut self.old[at]),
            None => self.new.as_mut(),
        };
        // Of the same size it is left alone, annotations included.
        if let Some(set) = set.filter(|set| {
            size(set) != to
                || annotations::number(&set.metadata, annotations::DESIRED_REPLICAS)
                    .is_some_and(|desired| desired != to)
        }) {
            Self::resize(self.deployment, &mut self.actions, set, to);
        }
    }

    /// Shares out among the active sets what is added or taken, by their size, so that a rollout that is under way
    /// stays where it is.
    fn share_out(&mut self, active_old: &[usize]) {
        let wanted = wanted(self.deployment);
        // `None` stands for the new one.
        let mut sets: Vec<Option<usize>> = active_old.iter().copied().map(Some).collect();
        if self.new.as_ref().is_some_and(|set| size(set) > 0) {
            sets.push(None);
        }
        let of = |step: &Self, at: &Option<usize>| match at {
            Some(at) => step.old[*at].clone(),
            None => step.new.clone().unwrap_or_default(),
        };
        let current: i32 = sets.iter().map(|at| size(&of(self, at))).sum();
        let allowed = if wanted > 0 { wanted + surge_and_unavailable(self.deployment).0 } else { 0 };
        let to_add = allowed - current;
        sets.sort_by(|a, b| {
            let (a, b) = (of(self, a), of(self, b));
            let by_size = size(&b).cmp(&size(&a));
            // Among equals: growing, the newer first; shrinking, the older.
            by_size.then_with(|| if to_add > 0 { replicas::by_age(&b, &a) } else { replicas::by_age(&a, &b) })
        });
        let mut added = 0;
        let mut targets: Vec<i32> = sets
            .iter()
            .map(|at| {
                let set = of(self, at);
                let share = replicas::proportion(&set, self.deployment, to_add, added);
                added += share;
                size(&set) + share
            })
            .collect();
        if let Some(first) = targets.first_mut() {
            *first = (*first + to_add - added).max(0);
        }
        for (at, target) in sets.into_iter().zip(targets) {
            let set = match at {
                Some(at) => Some(&mut self.old[at]),
                None => self.new.as_mut(),
            };
            if let Some(set) = set {
                Self::resize(self.deployment, &mut self.actions, set, target);
            }
        }
    }

    /// Deletes the oldest of the empty ReplicaSets beyond `revisionHistoryLimit`.
    fn clean_up(&mut self) {
        let limit = replicas::spec(self.deployment).revision_history_limit.unwrap_or(10);
        let Ok(limit) = usize::try_from(limit) else { return };
        let mut old: Vec<&ReplicaSet> = self.old.iter().filter(|set| !owner::is_being_deleted(&set.metadata)).collect();
        old.sort_by_key(|set| annotations::revision(&set.metadata));
        let surplus = old.len().saturating_sub(limit);
        let mut gone = Vec::new();
        for set in old.into_iter().take(surplus) {
            let observed = set.status.as_ref().and_then(|status| status.observed_generation).unwrap_or(0);
            let is_idle = actual(set) == 0 && size(set) == 0 && set.metadata.generation.unwrap_or(0) <= observed;
            if is_idle {
                gone.push((owner::name(&set.metadata).to_owned(), owner::uid(&set.metadata).to_owned()));
            }
        }
        for (name, uid) in gone {
            self.old.retain(|set| owner::uid(&set.metadata) != uid);
            self.actions.push(Action::Delete { name, uid });
        }
    }

    fn finish(self, judge_progress: bool) -> Plan {
        let all = self.all();
        let mut status = condition::counts(self.deployment, &all, self.new.as_ref(), &self.status, self.now);
        let mut requeue = Requeue::Never;
        if judge_progress {
            requeue = condition::progress(self.deployment, &mut status, self.new.as_ref(), self.now);
            condition::failures(&mut status, &all, self.new.as_ref(), self.now);
        }
        Plan { actions: self.actions, revision: self.revision, status, requeue }
    }
}
