//! What an attacker does, as pieces that the tables put together: many clients that each do the same thing for as long as
//! they are let.

use crate::http2;
use crate::wire::{self, Target};
use futures::future::join_all;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A client whose connection was refused or ended begins anew after this.
const AGAIN: Duration = Duration::from_millis(20);

/// How requests were answered: codes, and errors of connections.
pub type Answers = Rc<RefCell<BTreeMap<String, usize>>>;

/// What an attack may use.
#[derive(Clone)]
pub struct Scene {
    pub target: Target,
    pub answers: Answers,
}

impl Scene {
    pub fn note(&self, what: impl ToString) {
        *self.answers.borrow_mut().entry(what.to_string()).or_default() += 1;
    }
}

/// What attacks: runs until it is dropped.
pub type Attack = Box<dyn Fn(Scene) -> BoxedLocal + Send>;
pub type BoxedLocal = futures::future::LocalBoxFuture<'static, ()>;

/// `count` clients that each do `one` again and again.
pub fn crowd<F, Fut>(count: usize, one: F) -> Attack
where
    F: Fn(Scene, usize) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = io::Result<()>> + 'static,
{
    Box::new(move |scene| {
        let one = one.clone();
        Box::pin(async move {
            let client = async |at: usize| loop {
                if let Err(error) = one(scene.clone(), at).await {
                    scene.note(error.kind());
                    tokio::time::sleep(AGAIN).await;
                }
            };
            join_all((0..count).map(client)).await;
        })
    })
}

/// `count` clients that each make one of these requests after the other, over one connection.
pub fn asking(count: usize, requests: Vec<Arc<[u8]>>) -> Attack {
    let requests: Arc<[Arc<[u8]>]> = requests.into();
    crowd(count, move |scene, at| {
        let requests = requests.clone();
        async move {
            let mut stream = scene.target.open().await?;
            for request in requests.iter().cycle().skip(at) {
                scene.note("asked");
                let code = wire::ask(&mut stream, request).await?;
                scene.note(code);
            }
            Ok(())
        }
    })
}

/// `count` clients that send this and then nothing, or a byte each time that `trickle` has passed.
pub fn stuck(count: usize, first: Arc<[u8]>, trickle: Option<Duration>) -> Attack {
    crowd(count, move |scene, _| {
        let first = first.clone();
        async move {
            let mut stream = scene.target.open().await?;
            stream.write_all(&first).await?;
            stream.flush().await?;
            scene.note("stuck");
            loop {
                let answered = match trickle {
                    None => Some(wire::answer(&mut stream).await?),
                    Some(every) => tokio::time::timeout(every, wire::answer(&mut stream)).await.ok().transpose()?,
                };
                if let Some((code, _)) = answered {
                    scene.note(code);
                    return Err(io::ErrorKind::ConnectionReset.into());
                }
                stream.write_all(b" ").await?;
                stream.flush().await?;
            }
        }
    })
}

/// `count` clients that make a request each and read nothing of the answer.
pub fn not_reading(count: usize, request: Arc<[u8]>) -> Attack {
    crowd(count, move |scene, _| {
        let request = request.clone();
        async move {
            let mut stream = scene.target.open().await?;
            stream.write_all(&request).await?;
            stream.flush().await?;
            scene.note("asked");
            std::future::pending().await
        }
    })
}

/// `count` clients whose TCP connections say this much of a TLS handshake and no more.
pub fn half_handshakes(count: usize, said: &'static [u8]) -> Attack {
    crowd(count, move |scene, _| async move {
        let mut stream = scene.target.tcp().await?;
        stream.write_all(said).await?;
        scene.note("stuck");
        let mut sink = [0; 64];
        while stream.read(&mut sink).await? > 0 {}
        Err(io::ErrorKind::ConnectionReset.into())
    })
}

/// `count` clients that make handshakes and go.
pub fn handshakes(count: usize) -> Attack {
    crowd(count, |scene, at| async move {
        let stream = if at % 2 == 0 { scene.target.open().await? } else { scene.target.open_two().await? };
        drop(stream);
        scene.note("handshake");
        Ok(())
    })
}

/// `count` HTTP/2 clients whose streams open windows of `window` bytes: `streams` requests each, and then they only answer
/// what must be answered.
pub fn silent_two(count: usize, window: u32, streams: u32, blocks: Vec<Vec<u8>>) -> Attack {
    let blocks: Arc<[Vec<u8>]> = blocks.into();
    crowd(count, move |scene, at| {
        let blocks = blocks.clone();
        async move {
            let mut stream = http2::connect(&scene.target, window).await?;
            for n in 0..streams {
                let block = &blocks[(at + n as usize) % blocks.len()];
                stream.write_all(&http2::headers(2 * n + 1, block)).await?;
            }
            stream.flush().await?;
            scene.note("asked");
            let answered = http2::attend(&mut stream).await?;
            scene.note(format!("ended with {answered} answered"));
            Err(io::ErrorKind::ConnectionReset.into())
        }
    })
}

/// `count` HTTP/2 clients that send frames as fast as they are taken. `frames` makes them, out of a number that grows.
pub fn flooding(count: usize, frames: impl Fn(u32) -> Vec<u8> + Clone + Send + 'static) -> Attack {
    crowd(count, move |scene, _| {
        let frames = frames.clone();
        async move {
            let stream = http2::connect(&scene.target, 65_535).await?;
            scene.note("flood");
            let mut at = 0;
            let flood = http2::flood(stream, move || {
                at += 1;
                frames(at - 1)
            });
            flood.await?;
            Err(io::ErrorKind::ConnectionReset.into())
        }
    })
}

/// Runs an attack on a thread of its own, for so long. Returns how it was answered, and the CPU time that it took.
pub fn run(attack: Attack, target: Target, length: Duration) -> (BTreeMap<String, usize>, Duration) {
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let scene = Scene { target, answers: Answers::default() };
        let answers = scene.answers.clone();
        let before = thread_cpu();
        // It ends when its time is over.
        drop(runtime.block_on(async { tokio::time::timeout(length, attack(scene)).await }));
        let answers = answers.borrow().clone();
        (answers, thread_cpu().saturating_sub(before))
    });
    thread.join().expect("the attack ran")
}

fn thread_cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}
