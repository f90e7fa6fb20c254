//! Services: a listener on the pod's address, and a fresh instance for each request.

mod body;
mod gate;
mod progress;
mod request;
mod untaken;

use crate::artifact::{Artifact, Linked};
use crate::command::Running;
use crate::connections::{Place, ServiceShare};
use crate::container::Container;
use crate::error::Error;
use crate::exit::{EndsWith, Exit};
use crate::guest::{GuestState, Surroundings};
use crate::host::Host;
use crate::limits;
use crate::memory::Charge;
use crate::prices;
use crate::seats::Sitter;
use crate::wasi::LogSink;
use gate::Gate;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use sampan_env::Tasks;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_util::task::TaskTracker;
use untaken::{Untaken, UntilStalled};
use wasmtime_wasi_http::p2::bindings::ProxyPre;

/// The inputs of a service's start.
#[derive(Clone)]
pub struct ServiceSpec {
    /// The program's name first.
    pub args: Vec<String>,
    /// Names and values, as the guest sees them.
    pub env: Vec<(String, String)>,
    /// Receives the standard output of all instances.
    pub stdout: Arc<dyn LogSink>,
    /// Receives the standard error of all instances.
    pub stderr: Arc<dyn LogSink>,
    /// The pod's address, which its guests' sockets are bound to.
    pub pod_ip: Ipv4Addr,
    /// The address that it listens on; port 0 picks one.
    pub listen: SocketAddr,
    /// Longest time of a request without progress: to the head of its answer, and between two pieces of the answer that
    /// its client takes.
    pub request_timeout: Duration,
    /// The most requests at once; the memory limit and the pool may say fewer.
    pub in_flight_max: usize,
    /// From a connection's start to the end of its first request's head, and between two requests of HTTP/1.
    pub header_deadline: Duration,
}

impl ServiceSpec {
    /// A service at `listen` with the default bounds, no arguments and no environment.
    pub fn new(listen: SocketAddr, pod_ip: Ipv4Addr, stdout: Arc<dyn LogSink>, stderr: Arc<dyn LogSink>) -> Self {
        Self {
            args: Vec::new(),
            env: Vec::new(),
            stdout,
            stderr,
            pod_ip,
            listen,
            request_timeout: limits::REQUEST_TIMEOUT,
            in_flight_max: limits::REQUESTS_IN_FLIGHT_MAX,
            header_deadline: limits::HTTP_HEADER_DEADLINE,
        }
    }
}

/// A running service. Dropping the handle does not end it.
#[derive(Clone)]
pub struct ServiceHandle {
    running: Arc<Running>,
    address: SocketAddr,
}

impl ServiceHandle {
    /// The address that it listens on.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// The end; any number of callers may wait for it.
    pub async fn wait(&self) -> Exit {
        self.running.exit.wait().await
    }

    /// The end, if it has ended.
    pub fn try_exit(&self) -> Option<Exit> {
        self.running.exit.get()
    }

    /// Stops to listen at once, lets requests end, and kills what is left after `grace`. Ends with 143, or 137.
    pub fn terminate(&self, grace: Duration) {
        self.running.terminate(grace);
    }

    /// Drops all requests: 137.
    pub fn kill(&self) {
        self.running.kill.cancel();
    }
}

/// State that all requests of a service share.
struct Service {
    running: Arc<Running>,
    pre: ProxyPre<GuestState>,
    container: Container,
    surroundings: Surroundings,
    request_timeout: Duration,
    header_deadline: Duration,
    gate: Arc<Gate>,
    sitter: Sitter,
    /// The end that a request brought upon the container, told once nobody listens any more.
    verdict: OnceLock<Exit>,
    /// Owns connections and the rests of requests whose answer is under way.
    tasks: Tasks,
}

pub(crate) fn start(
    host: &Arc<Host>,
    artifact: &Artifact,
    container: &Container,
    spec: ServiceSpec,
) -> Result<ServiceHandle, Error> {
    let Linked::Service(pre) = artifact.linked() else {
        let found = artifact.role().name().to_owned();
        return Err(Error::MissingWorld { wanted: "wasi:http/incoming-handler", found });
    };
    let bind = |source| Error::Bind { address: spec.listen, source: Arc::new(source) };
    let _on_services = host.services.handle.enter();
    let listener = listen(spec.listen).map_err(bind)?;
    let address = listener.local_addr().map_err(bind)?;
    let running = Arc::new(Running::new(host.clone()));
    let needs = Needs::of(artifact);
    let service = Arc::new(Service {
        running: running.clone(),
        pre: pre.clone(),
        container: container.clone(),
        request_timeout: spec.request_timeout,
        header_deadline: spec.header_deadline,
        gate: Arc::new(Gate::new(
            spec.in_flight_max.min(needs.in_flight_max()),
            limits::REQUESTS_QUEUED_MAX,
            container.mem.limit() - container.mem.clients_limit(),
            needs.initial_bytes(),
        )),
        sitter: Sitter { namespace: container.namespace.clone(), container: container.id, seats: needs.seats() },
        verdict: OnceLock::new(),
        surroundings: Surroundings {
            args: spec.args,
            env: spec.env,
            working_dir: None,
            stdout: spec.stdout,
            stderr: spec.stderr,
            pod_ip: spec.pod_ip,
        },
        tasks: host.tasks.child("service"),
    });
    host.tasks.spawn(serve(service, listener));
    Ok(ServiceHandle { running, address })
}

/// The memory that an instance takes before it does anything.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Needs {
    memories: u32,
    /// Of the largest one.
    memory_pages: u64,
    tables: u32,
    /// Of the largest one.
    table_elements: u64,
}

impl Needs {
    fn of(artifact: &Artifact) -> Self {
        let unknown = Self {
            memories: limits::SERVICE_MEMORIES_PER_COMPONENT,
            memory_pages: limits::INSTANCE_BYTES_UNKNOWN / limits::WASM_PAGE_BYTES,
            tables: limits::SERVICE_TABLES_PER_COMPONENT,
            table_elements: 0,
        };
        artifact.component().resources_required().map_or(unknown, |needs| Self {
            memories: needs.num_memories,
            memory_pages: needs.max_initial_memory_size.unwrap_or(0),
            tables: needs.num_tables,
            table_elements: needs.max_initial_table_size.unwrap_or(0),
        })
    }

    /// Bytes that the first requests are taken to need: they come before any has shown it.
    fn initial_bytes(self) -> u64 {
        let pages = self.memory_pages.saturating_mul(u64::from(self.memories));
        let elements = self.table_elements.saturating_mul(u64::from(self.tables));
        let memories = pages.saturating_mul(limits::WASM_PAGE_BYTES);
        let tables = elements.saturating_mul(limits::TABLE_ELEMENT_BYTES);
        memories.saturating_add(tables).saturating_add(limits::REQUEST_HEADROOM_BYTES + prices::STORE)
    }

    /// Seats of the pool that one instance takes: as many as its memories, or what its tables come to.
    fn seats(self) -> u32 {
        self.memories.max(self.tables.div_ceil(limits::SERVICE_TABLES_MAX / limits::SERVICE_INSTANCES_MAX)).max(1)
    }

    /// Number of its instances that one container may have at once, for the other containers' sake.
    fn in_flight_max(self) -> usize {
        let share = |total: u32, each: u32| total / limits::SERVICE_POOL_SHARE / each.max(1);
        let memories = share(limits::SERVICE_INSTANCES_MAX, self.memories);
        let tables = share(limits::SERVICE_TABLES_MAX, self.tables);
        usize::try_from(memories.min(tables).max(1)).unwrap_or(usize::MAX)
    }
}

fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A container that starts anew must not wait for its predecessor's closed connections.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(limits::LISTEN_BACKLOG)
}

async fn serve(service: Arc<Service>, listener: TcpListener) {
    let running = service.running.clone();
    let _end = EndsWith(&running.exit);
    // Closed before the end is told, also where this task is dropped.
    let listener = listener;
    let connections = TaskTracker::new();
    let killed = tokio::select! {
        biased;
        () = running.kill.cancelled() => true,
        () = running.termination.cancelled() => false,
        () = accept(&service, &listener, &connections) => true,
    };
    drop(listener);
    if !killed {
        // Each connection hears the termination too, and closes after the request that it works on.
        connections.close();
        tokio::select! {
            biased;
            () = running.kill.cancelled() => {}
            () = connections.wait() => {
                running.exit.set(service.verdict.get().cloned().unwrap_or_else(Exit::terminated));
            }
        }
    }
    // A verdict is there before its kill.
    running.exit.set(service.verdict.get().cloned().unwrap_or_else(|| Exit::killed("killed")));
    running.kill.cancel();
    running.host.env.memory().note();
}

/// Number of connections that a service may hold: by descriptors, and by half of the memory that clients may make it
/// hold.
fn connections_share(service: &Service) -> ServiceShare {
    let by_memory = service.container.mem.clients_limit() / 2 / prices::SERVED_CONNECTION;
    let max = limits::CONNECTIONS_MAX.min(usize::try_from(by_memory).unwrap_or(usize::MAX));
    ServiceShare { service: service.container.id, max: service.running.host.connections.share(max) }
}

async fn accept(service: &Arc<Service>, listener: &TcpListener, connections: &TaskTracker) {
    let all = &service.running.host.connections;
    let share = connections_share(service);
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Of one connection (reset before it was accepted), or for want of descriptors, which may come back.
                tracing::debug!(%error, "a connection was not accepted");
                tokio::time::sleep(limits::ACCEPT_RETRY).await;
                continue;
            }
        };
        let peer = peer.ip();
        let place = all.admit(share, peer).await;
        let memory = || Charge::for_client(&service.container.mem, prices::SERVED_CONNECTION);
        // A request has to come again where those that wait hold all of the clients' memory.
        let Some(held) = memory() else { continue };
        let served = connection(service.clone(), stream, place);
        let served = connections.track_future(async move {
            served.await;
            drop(held);
        });
        service.tasks.spawn(served);
        // Connections that come in a burst: other services' go between them.
        tokio::task::yield_now().await;
    }
}

/// State that all requests of a connection share.
struct Connection {
    place: Arc<Place>,
    untaken: Arc<Untaken>,
}

async fn connection(service: Arc<Service>, stream: TcpStream, place: Arc<Place>) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection keeps its delay");
    }
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(service.header_deadline)
        .max_buf_size(limits::HTTP_HEAD_BYTES_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits::HTTP2_STREAMS_MAX)
        .max_header_list_size(u32::try_from(limits::HTTP_HEAD_BYTES_MAX).unwrap_or(u32::MAX))
        .initial_connection_window_size(limits::HTTP2_WINDOW_BYTES)
        .initial_stream_window_size(limits::HTTP2_WINDOW_BYTES)
        .max_send_buf_size(limits::HTTP2_SEND_BYTES)
        .keep_alive_interval(limits::HTTP_HEADER_DEADLINE);
    let running = service.running.clone();
    let timeout = service.request_timeout;
    let untaken = Arc::new(Untaken::default());
    let connection = Arc::new(Connection { place, untaken: untaken.clone() });
    let cut = connection.place.cut.clone();
    // The protocol is recognised without any clock: until the first request there is this one.
    let silence = tokio::time::sleep(service.header_deadline);
    let mut silence = std::pin::pin!(silence);
    let asked = Arc::new(AtomicBool::new(false));
    let asks = asked.clone();
    let serve = builder.serve_connection(
        TokioIo::new(stream),
        hyper::service::service_fn(move |request| {
            asks.store(true, Ordering::Relaxed);
            let (service, connection) = (service.clone(), connection.clone());
            async move { Ok::<_, std::convert::Infallible>(request::answer(service, connection, request).await) }
        }),
    );
    let serve = std::pin::pin!(serve);
    let mut serve = UntilStalled::new(serve, &untaken, timeout);
    let (mut draining, mut waited) = (false, false);
    loop {
        tokio::select! {
            biased;
            () = running.kill.cancelled() => return,
            () = cut.cancelled() => return,
            () = running.termination.cancelled(), if !draining => {
                draining = true;
                serve.inner().as_mut().graceful_shutdown();
            }
            () = silence.as_mut(), if !waited => {
                waited = true;
                if !asked.load(Ordering::Relaxed) {
                    return;
                }
            }
            ended = &mut serve => {
                match ended {
                    Some(Err(error)) => tracing::debug!(%error, "a connection ended early"),
                    None => tracing::debug!("a connection ended: its client took no answer"),
                    Some(Ok(())) => {}
                }
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_not_bytes_and_no_container_takes_the_whole_pool() {
        let check = |needs: Needs, bytes: u64, in_flight: usize| {
            assert_eq!((needs.initial_bytes(), needs.in_flight_max()), (bytes, in_flight), "{needs:?}");
        };
        let small = Needs { memories: 1, memory_pages: 17, tables: 1, table_elements: 100 };
        const HEADROOM: u64 = limits::REQUEST_HEADROOM_BYTES + prices::STORE;
        check(small, (17 << 16) + 800 + HEADROOM, 250);
        check(Needs { memories: 4, ..small }, ((4 * 17) << 16) + 800 + HEADROOM, 62);
        check(Needs { tables: 8, ..small }, (17 << 16) + 6400 + HEADROOM, 125);
        check(Needs { memories: 0, memory_pages: 0, tables: 0, table_elements: 0 }, HEADROOM, 250);
        check(Needs { memory_pages: u64::MAX, ..small }, u64::MAX, 250);
    }
}
