//! Feeding what is about to take the place of something live, before it does: what was there goes on answering meanwhile.

use crate::feed::split;
use crate::instances::{Instances, State};
use crate::limits;
use crate::live::{Installed, Live, Request, Slot, Unit};
use crate::question::Mirror;
use crate::running::Running;
use crate::warm::Aside;
use crate::warming::{Warmed, Warming};
use sampan_wasm_runtime::policy::PolicyFault;
use std::sync::{Arc, Weak};
use tokio::sync::oneshot;

impl<P: Installed, V: Send + Sync + 'static> Live<P, V> {
    /// Feeds the mirror of what is to be put to work by [`Live::put`], so that it answers from its first question on.
    /// Returns at once where nothing is decided yet, where nobody would feed it, where another of its unit is being fed, or
    /// where there is no memory for it beside what is live: then it is fed when it is asked.
    ///
    /// # Errors
    /// What the component does wrong when it is started, configured and fed.
    pub async fn warm(&self, slot: &Arc<Slot<P>>) -> Result<(), PolicyFault> {
        let (reply, answer) = oneshot::channel();
        if !self.current().ready {
            return Ok(());
        }
        let request = Request { unit: self.unit_with(slot), slot: Arc::downgrade(slot), reply };
        if !self.requests().ask(request) {
            return Ok(());
        }
        self.wake();
        // Whoever feeds has gone: nothing is known against it.
        answer.await.unwrap_or(Ok(()))
    }
}

impl<P: Installed, V: Send + Sync + 'static, M: Mirror> Instances<P, V, M> {
    /// The units that [`Instances::warm`] will begin to feed.
    pub fn to_warm(&self) -> Vec<Unit<P>> {
        self.live.requests().look(|request| request.unit.clone())
    }

    /// Goes on feeding what is about to go live: begins with what was asked for since, and takes the results. To be called
    /// between two questions, when `on_change` tells.
    pub fn warm(&mut self, mirror: impl Fn(&Unit<P>) -> M, state: M::State<'_>) {
        // Nobody waits for these any more.
        self.warming.retain(|one| !one.reply.is_closed());
        let (done, going) = std::mem::take(&mut self.warming).into_iter().partition(|one| one.job.is_done());
        self.warming = going;
        for one in done {
            let one: Warming<P, M> = one;
            let told = match one.job.take() {
                Some(Some(Ok(running))) => {
                    self.warmed.push(Warmed { unit: one.unit, slot: one.slot, running });
                    one.reply.send(Ok(()))
                }
                Some(Some(Err(fault))) => one.reply.send(Err(fault)),
                _ => one.reply.send(Ok(())),
            };
            // Who asked may have given up: what was fed for it goes with the next set.
            drop(told);
        }
        self.drop_unwanted();
        // After what was given up has given its memory back.
        for request in self.live.requests().take() {
            self.begin_to_warm(request, &mirror, state);
        }
    }

    /// Ends what was fed for a slot that is neither about to go live nor live.
    fn drop_unwanted(&mut self) {
        if self.warmed.is_empty() {
            return;
        }
        // In this order: what is put to work between the two is in both.
        let (coming, now) = (self.live.coming(), self.live.current());
        self.warmed.retain(|one| is_among(&coming, &one.slot) || now.unit_of(&one.slot).is_some());
    }

    /// What was fed for a slot of the set answers from now on, and is part of what is live: it leaves the passing memory
    /// though nothing is asked. What was fed for one that is not to come any more ends. `coming`: as it was before the set
    /// was read.
    pub(crate) fn put_to_work(&mut self, coming: &[Weak<Slot<P>>]) {
        for mut one in std::mem::take(&mut self.warmed) {
            match self.set.unit_of(&one.slot) {
                Some(unit) if one.running.fits(unit) => {
                    one.running.is_live();
                    self.states.insert(unit.id, State::Running(one.running));
                }
                None if is_among(coming, &one.slot) => self.warmed.push(one),
                // Another of its unit went live after it was configured: the next question starts one for both.
                _ => {}
            }
        }
    }

    fn begin_to_warm(&mut self, request: Request<P>, mirror: &impl Fn(&Unit<P>) -> M, state: M::State<'_>) {
        let Request { unit, slot, reply } = request;
        let others = self.warming.iter().map(|one| one.unit).chain(self.warmed.iter().map(|one| one.unit));
        // One a unit: of two that were fed at the same time neither would be configured for the other's slot.
        let is_first = others.into_iter().all(|other| other != unit.id);
        let threads = self.aside().filter(|_| is_first && !reply.is_closed());
        let memory = threads.as_ref().and_then(|_| self.live.turns().try_memory(unit.allowance.memory));
        let (Some(threads), Some(memory)) = (threads, memory) else {
            drop(reply.send(Ok(())));
            return;
        };
        let mut mirror = mirror(&unit);
        let pieces = split(&mirror.state(state), limits::FEED_PIECE, limits::FEED_PIECE);
        let (live, id) = (self.live.clone(), unit.id);
        let job = Aside::run(
            &threads,
            move |wanted| {
                let started = Running::start(&unit, mirror, u64::from(unit.id), Some(memory));
                // Its slots may be given up while it is fed.
                drop(unit);
                match started {
                    Ok(running) => Box::new(running).feed_all(pieces, || wanted.is_wanted()),
                    Err(fault) => Some(Err(fault)),
                }
            },
            move || live.wake(),
        );
        self.warming.push(Warming { unit: id, slot, job, reply });
    }
}

fn is_among<P>(slots: &[Weak<Slot<P>>], slot: &Weak<Slot<P>>) -> bool {
    slots.iter().any(|other| other.ptr_eq(slot))
}
