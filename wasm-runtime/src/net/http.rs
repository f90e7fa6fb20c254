//! Outgoing `wasi:http`: plain HTTP to addresses that the pod may reach. The engine's own handler connects by itself and
//! asks nobody, so it is not used (nor compiled).

use super::PodNet;
use crate::limits::{CONNECT_TIMEOUT, FIRST_BYTE_TIMEOUT, HTTP_BODY_CHUNK_BYTES};
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use tokio::net::{TcpSocket, TcpStream};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

/// The hooks of one store.
pub(crate) struct OutgoingHttp {
    pub(crate) net: PodNet,
}

type Driver = Box<dyn Future<Output = Result<(), Error>> + Send>;
type Answer = Result<(http::Response<WasiBody>, Driver), Error>;

impl WasiHttpHooks for OutgoingHttp {
    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _done: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Answer> + Send> {
        Box::new(send(self.net.clone(), request, options.unwrap_or_default()))
    }

    fn default_scheme(&mut self) -> Option<http::uri::Scheme> {
        Some(http::uri::Scheme::HTTP)
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        HTTP_BODY_CHUNK_BYTES
    }
}

async fn send(net: PodNet, mut request: http::Request<WasiBody>, options: RequestOptions) -> Answer {
    if request.uri().scheme() == Some(&http::uri::Scheme::HTTPS) {
        return Err(Error::InternalError(Some("outgoing https is not built yet: use http".into())));
    }
    let to = destination(&net, request.uri())?;
    let connect = async {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::new(IpAddr::V4(net.ip), 0))?;
        socket.connect(to).await
    };
    let stream: TcpStream = tokio::time::timeout(options.connect_timeout.unwrap_or(CONNECT_TIMEOUT), connect)
        .await
        .map_err(|_| Error::ConnectionTimeout)?
        .map_err(Error::Connect)?;
    let (mut sender, mut connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;

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
    Ok((response, Box::new(async move { connection.await.map_err(Error::from) })))
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
