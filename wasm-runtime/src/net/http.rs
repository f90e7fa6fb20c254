//! Outgoing `wasi:http`: plain HTTP to addresses that the pod may reach. The engine's own handler connects by itself and
//! asks nobody, so it is not used (nor compiled).

use super::{PodNet, SocketBudget};
use crate::limits::{CONNECT_TIMEOUT, FIRST_BYTE_TIMEOUT, HTTP_BODY_CHUNK_BYTES, HTTP_HEAD_BYTES_MAX};
use crate::memory::Charge;
use crate::metered::{Meter, Metered};
use crate::paid::Outgoing;
use crate::prices::SOCKET_KERNEL_BUFFER;
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use tokio::net::{TcpSocket, TcpStream};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

/// The hooks of one store.
pub(crate) struct OutgoingHttp {
    pub(crate) net: PodNet,
    pub(crate) budget: SocketBudget,
    /// The engine spawns what is returned here as tasks of their own: they run at the container's cost all the same.
    pub(crate) meter: Meter,
    /// The cost of the next request's connection, charged by the sender.
    pub(crate) connection: Option<Charge>,
}

type Driver = Box<dyn Future<Output = Result<(), Error>> + Send>;
type Answer = Result<(http::Response<WasiBody>, Driver), Error>;

impl Outgoing for OutgoingHttp {
    fn next_costs(&mut self, connection: Option<Charge>) {
        self.connection = connection;
    }
}

impl WasiHttpHooks for OutgoingHttp {
    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _done: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Answer> + Send> {
        let (net, budget, meter) = (self.net.clone(), self.budget.clone(), self.meter.clone());
        let held = self.connection.take();
        Box::new(Metered::new(self.meter.clone(), async move {
            let sent = send(net, budget, meter, request, options.unwrap_or_default()).await;
            sent.map(|(response, driver)| (response, with_charge(driver, held)))
        }))
    }

    fn default_scheme(&mut self) -> Option<http::uri::Scheme> {
        Some(http::uri::Scheme::HTTP)
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        HTTP_BODY_CHUNK_BYTES
    }
}

/// The driver of a connection, which holds what the connection costs.
fn with_charge(driver: Driver, held: Option<Charge>) -> Driver {
    Box::new(async move {
        let ended = std::pin::Pin::from(driver).await;
        drop(held);
        ended
    })
}

async fn send(
    net: PodNet,
    budget: SocketBudget,
    meter: Meter,
    mut request: http::Request<WasiBody>,
    options: RequestOptions,
) -> Answer {
    if request.uri().scheme() == Some(&http::uri::Scheme::HTTPS) {
        return Err(Error::InternalError(Some("outgoing https is not built yet: use http".into())));
    }
    let to = destination(&net, request.uri())?;
    // Held as long as the connection's driver.
    let permit = budget.take().ok_or(Error::ConnectionLimitReached)?;
    let connect = async {
        let socket = TcpSocket::new_v4()?;
        let buffer = u32::try_from(SOCKET_KERNEL_BUFFER).unwrap_or(u32::MAX);
        socket.set_recv_buffer_size(buffer)?;
        socket.set_send_buffer_size(buffer)?;
        socket.bind(SocketAddr::new(IpAddr::V4(net.ip), 0))?;
        socket.connect(to).await
    };
    let stream: TcpStream = tokio::time::timeout(options.connect_timeout.unwrap_or(CONNECT_TIMEOUT), connect)
        .await
        .map_err(|_| Error::ConnectionTimeout)?
        .map_err(Error::Connect)?;
    let (mut sender, mut connection) = hyper::client::conn::http1::Builder::new()
        .max_buf_size(HTTP_HEAD_BYTES_MAX)
        .handshake(TokioIo::new(stream))
        .await?;

    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    *request.uri_mut() = path.parse().map_err(|_| Error::HttpRequestUriInvalid)?;
    let first_byte = options.first_byte_timeout.unwrap_or(FIRST_BYTE_TIMEOUT);
    let response = tokio::time::timeout(first_byte, sender.send_request(request));
    let mut response = std::pin::pin!(response);
    let response = tokio::select! {
        response = &mut response => response,
        ended = &mut connection => {
            ended?;
            response.await
        }
    };
    let response = response.map_err(|_| Error::ConnectionReadTimeout)??;
    let response = response.map(|body| body.map_err(Error::from).boxed_unsync());
    let driver = async move {
        let ended = connection.await.map_err(Error::from);
        drop(permit);
        ended
    };
    Ok((response, Box::new(Metered::new(meter, driver))))
}

fn destination(net: &PodNet, uri: &http::Uri) -> Result<SocketAddr, Error> {
    let host = uri.host().ok_or(Error::HttpRequestUriInvalid)?;
    let ip = match host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
        Ok(ip) => ip,
        Err(_) if host.eq_ignore_ascii_case("localhost") => IpAddr::V4(net.ip),
        // The cluster's names come with its DNS; nothing is asked of the host's resolver on a guest's behalf.
        Err(_) => return Err(Error::DnsError { rcode: Some("names are not served yet".into()), info_code: None }),
    };
    let to = SocketAddr::new(ip, uri.port_u16().unwrap_or(80));
    net.destination(to).ok_or(Error::DestinationIpProhibited)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::PodCpu;
    use crate::limits::SOCKETS_MAX;
    use crate::net::GuestSockets;
    use crate::ticker::{Tick, Ticker};
    use bytes::Bytes;
    use http_body_util::Full;
    use sampan_env::{Env, Tasks};
    use std::net::Ipv4Addr;
    use std::pin::Pin;
    use std::sync::Arc;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    const BODY_BYTES: usize = 8 << 20;

    /// Answers each connection with a body of [`BODY_BYTES`].
    async fn server(tasks: &Tasks) -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::new(127, 79, 255, 1), 0)).await.expect("listening");
        let address = listener.local_addr().expect("an address");
        let own = tasks.clone();
        tasks.spawn_until_cancelled(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                own.spawn_until_cancelled(async move {
                    let mut head = [0; 1024];
                    let read = stream.read(&mut head).await.expect("a request");
                    assert!(read > 0);
                    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {BODY_BYTES}\r\n\r\n");
                    stream.write_all(head.as_bytes()).await.expect("written");
                    // The reader may have gone before the end.
                    drop(stream.write_all(&vec![1; BODY_BYTES]).await);
                });
            }
        });
        address
    }

    fn outgoing() -> OutgoingHttp {
        let env = Env::system();
        OutgoingHttp {
            net: crate::net::tests::pod(Ipv4Addr::new(127, 79, 255, 2)),
            budget: GuestSockets::new(None).budget(),
            meter: Meter {
                cpu: Arc::new(PodCpu::new(env, None, 0)),
                ticker: Arc::new(Ticker::new(Vec::new(), Tick::Never).expect("no thread is needed")),
                fair: Arc::new(crate::fair::FairQueue::new(1)),
                share: Arc::new(crate::fair::Share::new(1)),
                cut_off: Arc::default(),
            },
            connection: None,
        }
    }

    fn get(outgoing: &mut OutgoingHttp, to: SocketAddr) -> Pin<Box<dyn Future<Output = Answer> + Send>> {
        let body = Full::new(Bytes::new()).map_err(|never| match never {}).boxed_unsync();
        let request = http::Request::get(format!("http://{to}/")).header("host", "x").body(body).expect("a request");
        Pin::from(outgoing.send_request(request, None, Box::new(async { Ok(()) })))
    }

    #[tokio::test]
    async fn a_connection_counts_until_its_driver_ends_and_costs_its_container() {
        let tasks = Tasks::new("test");
        let to = server(&tasks).await;
        let mut outgoing = outgoing();
        let mut held = Vec::new();
        for taken in 1..=SOCKETS_MAX {
            held.push(get(&mut outgoing, to).await.expect("answered"));
            assert_eq!(outgoing.budget.free(), SOCKETS_MAX - taken);
        }
        assert!(matches!(get(&mut outgoing, to).await, Err(Error::ConnectionLimitReached)));
        let (response, driver) = held.pop().expect("the last one");
        held.clear();
        assert_eq!(outgoing.budget.free(), SOCKETS_MAX - 1);

        let before = outgoing.meter.cpu.used_nanos();
        let driver = tasks.spawn(Pin::from(driver));
        let body = response.into_body().collect().await.expect("the body").to_bytes();
        assert_eq!(body.len(), BODY_BYTES);
        driver.await.expect("no panic").expect("the connection ends well");
        assert_eq!(outgoing.budget.free(), SOCKETS_MAX);
        // Moving the bytes takes far more than this on any machine.
        let cost = outgoing.meter.cpu.used_nanos() - before;
        assert!(cost > 100_000, "{cost} ns for {BODY_BYTES} bytes");
        tasks.drain(std::time::Duration::from_secs(5)).await.expect("all ended");
    }
}
