//! Feeding what is about to take the place of something live, before it does: what was there goes on answering meanwhile.

use crate::feed::split;
use crate::instances::Instances;
use crate::limits;
use crate::live::{Installed, Live, Request, Slot, Unit};
use crate::question::Mirror;
use crate::running::Running;
use crate::warm::Aside;
use crate::warming::{Warmed, Warming};
use sampan_wasm_runtime::policy::PolicyFault;
use std::sync::Arc;
use tokio::sync::oneshot;

impl<P: Installed, V: Send + Sync + 'static> Live<P, V> {
    /// Feeds the mirror of what is to be put to work by [`Live::put`], so that it answers from its first question on.
    /// Returns at once where nothing is decided yet, where nobody would feed it, or where there is no memory for it beside
    /// what is live: then it is fed when it is asked.
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
        for request in self.live.requests().take() {
            self.begin_to_warm(request, &mirror, state);
        }
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
        self.warmed.retain(Warmed::is_wanted);
    }

    fn begin_to_warm(&mut self, request: Request<P>, mirror: &impl Fn(&Unit<P>) -> M, state: M::State<'_>) {
        let Request { unit, slot, reply } = request;
        let memory = self.live.turns().try_memory(unit.allowance.memory);
        let (Some(threads), Some(memory)) = (self.aside(), memory) else {
            drop(reply.send(Ok(())));
            return;
        };
        let mut mirror = mirror(&unit);
        let pieces = split(&mirror.state(state), limits::FEED_PIECE, limits::FEED_PIECE);
        let (live, id) = (self.live.clone(), unit.id);
        let job = Aside::run(
            &threads,
            move |wanted| match Running::start(&unit, mirror, u64::from(unit.id), Some(memory)) {
                Ok(running) => Box::new(running).feed_all(pieces, || wanted.is_wanted()),
                Err(fault) => Some(Err(fault)),
            },
            move || live.wake(),
        );
        self.warming.push(Warming { unit: id, slot, job, reply });
    }

    /// The fed instance that answers for all of the unit's slots, if there is one.
    pub(crate) fn take_warmed(&mut self, unit: &Unit<P>) -> Option<Box<Running<P, M>>> {
        let at = self.warmed.iter().position(|one| one.unit == unit.id && one.running.fits(unit))?;
        let mut running = self.warmed.swap_remove(at).running;
        // It is live from here on: its memory is part of what is live.
        running.is_live();
        Some(running)
    }
}
