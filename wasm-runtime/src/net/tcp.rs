//! `wasi:sockets/tcp` for pods: addresses are mapped and checked here, the rest is the engine's own implementation.

use super::{PodNet, SocketBudget, SocketPermit};
use crate::memory::StoreMem;
use crate::paid::{Payer, buy, charge_writes};
use crate::prices::{Kind, SOCKET_KERNEL_BUFFER};
use std::net::{IpAddr, SocketAddr};
use wasmtime::component::{HasData, Resource};
use wasmtime_wasi::p2::bindings::sockets::network::{self, ErrorCode, IpAddressFamily, IpSocketAddress, Network};
use wasmtime_wasi::p2::bindings::sockets::tcp::{self, HostTcpSocket, ShutdownType};
use wasmtime_wasi::p2::bindings::sockets::{instance_network, tcp_create_socket};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, DynPollable, SocketError, SocketResult, TcpSocket};
use wasmtime_wasi::runtime::poll_noop;
use wasmtime_wasi::sockets::WasiSocketsCtxView;

/// Names [`PodSocketsView`] to the linker.
pub(crate) struct PodSockets;

/// The engine's sockets under a pod's view of the network.
pub(crate) struct PodSocketsView<'a> {
    pub(crate) inner: WasiSocketsCtxView<'a>,
    pub(crate) net: &'a PodNet,
    pub(crate) budget: &'a SocketBudget,
    /// One for each socket that the store holds.
    pub(crate) held: &'a mut Vec<SocketPermit>,
    /// The account that the sockets' cost is charged to.
    pub(crate) mem: &'a mut StoreMem,
}

impl Payer for PodSocketsView<'_> {
    fn mem(&mut self) -> &mut StoreMem {
        self.mem
    }
}

impl HasData for PodSockets {
    type Data<'a> = PodSocketsView<'a>;
}

impl PodSocketsView<'_> {
    fn permit(&self) -> SocketResult<SocketPermit> {
        self.budget.take().ok_or_else(|| ErrorCode::NewSocketLimit.into())
    }

    fn own_address(&self) -> SocketAddr {
        SocketAddr::new(IpAddr::V4(self.net.ip), 0)
    }
}

impl tcp_create_socket::Host for PodSocketsView<'_> {
    fn create_tcp_socket(&mut self, family: IpAddressFamily) -> SocketResult<Resource<TcpSocket>> {
        if matches!(family, IpAddressFamily::Ipv6) {
            // Pods have no IPv6 address.
            return Err(ErrorCode::NotSupported.into());
        }
        let permit = self.permit()?;
        let made =
            buy(self, Kind::TcpSocket, |view| tcp_create_socket::Host::create_tcp_socket(&mut view.inner, family))?;
        self.held.push(permit);
        // Else the kernel lets them grow to many times what they cost. Those that it accepts inherit them.
        let borrow = || Resource::<TcpSocket>::new_borrow(made.rep());
        self.inner.set_receive_buffer_size(borrow(), SOCKET_KERNEL_BUFFER)?;
        self.inner.set_send_buffer_size(borrow(), SOCKET_KERNEL_BUFFER)?;
        Ok(made)
    }
}

impl network::Host for PodSocketsView<'_> {
    fn convert_error_code(&mut self, error: SocketError) -> wasmtime::Result<ErrorCode> {
        network::Host::convert_error_code(&mut self.inner, error)
    }
    fn network_error_code(&mut self, error: Resource<wasmtime::Error>) -> wasmtime::Result<Option<ErrorCode>> {
        network::Host::network_error_code(&mut self.inner, error)
    }
}

impl network::HostNetwork for PodSocketsView<'_> {
    fn drop(&mut self, network: Resource<Network>) -> wasmtime::Result<()> {
        let rep = network.rep();
        network::HostNetwork::drop(&mut self.inner, network)?;
        self.mem.dropped(rep);
        Ok(())
    }
}

impl instance_network::Host for PodSocketsView<'_> {
    fn instance_network(&mut self) -> wasmtime::Result<Resource<Network>> {
        buy(self, Kind::Network, |view| instance_network::Host::instance_network(&mut view.inner))
    }
}

/// A connection's ends.
type Ends = (Resource<DynInputStream>, Resource<DynOutputStream>);

impl PodSocketsView<'_> {
    /// Charges the streams of a connection at `price`, which was reserved.
    fn streams(&mut self, ends: Ends, [input, output]: [u64; 2]) -> SocketResult<Ends> {
        self.mem.assign(ends.0.rep(), input);
        self.mem.assign(ends.1.rep(), output);
        charge_writes(self.inner.table, &ends.1, self.mem).map_err(SocketError::trap)?;
        Ok(ends)
    }

    /// Charges `kinds` before they are made.
    fn reserve<const N: usize>(&mut self, kinds: [Kind; N]) -> SocketResult<[u64; N]> {
        let prices = kinds.map(Kind::price);
        self.mem.charge(prices.iter().sum()).map_err(SocketError::trap)?;
        Ok(prices)
    }
}

impl tcp::Host for PodSocketsView<'_> {}

impl HostTcpSocket for PodSocketsView<'_> {
    async fn start_bind(
        &mut self,
        this: Resource<TcpSocket>,
        network: Resource<Network>,
        local: IpSocketAddress,
    ) -> SocketResult<()> {
        let local = self.net.resolve(local.into());
        if local.ip() != IpAddr::V4(self.net.ip) {
            return Err(ErrorCode::AddressNotBindable.into());
        }
        self.inner.start_bind(this, network, local.into()).await
    }

    fn start_connect(
        &mut self,
        this: Resource<TcpSocket>,
        network: Resource<Network>,
        remote: IpSocketAddress,
    ) -> SocketResult<()> {
        let Some(remote) = self.net.destination(remote.into()) else {
            return Err(ErrorCode::AccessDenied.into());
        };
        let borrow = |it: &Resource<TcpSocket>| Resource::<TcpSocket>::new_borrow(it.rep());
        if self.inner.local_address(borrow(&this)).is_err() {
            // Unbound: without this the kernel would choose 127.0.0.1, and the other end would see the wrong pod.
            let own = self.own_address();
            let network = Resource::<Network>::new_borrow(network.rep());
            // It awaits nothing but the address check, which is ready at once.
            let bound = poll_noop(std::pin::pin!(self.inner.start_bind(borrow(&this), network, own.into())));
            bound.unwrap_or_else(|| Err(ErrorCode::InvalidState.into()))?;
            self.inner.finish_bind(borrow(&this))?;
        }
        self.inner.start_connect(this, network, remote.into())
    }

    fn accept(
        &mut self,
        this: Resource<TcpSocket>,
    ) -> SocketResult<(Resource<TcpSocket>, Resource<DynInputStream>, Resource<DynOutputStream>)> {
        let permit = self.permit()?;
        let [price, input, output] = self.reserve([Kind::TcpSocket, Kind::InputStream, Kind::OutputStream])?;
        match self.inner.accept(this) {
            Ok((socket, from, to)) => {
                self.held.push(permit);
                self.mem.assign(socket.rep(), price);
                let (from, to) = self.streams((from, to), [input, output])?;
                Ok((socket, from, to))
            }
            Err(error) => {
                self.mem.refund(price + input + output);
                Err(error)
            }
        }
    }

    fn drop(&mut self, this: Resource<TcpSocket>) -> wasmtime::Result<()> {
        let rep = this.rep();
        HostTcpSocket::drop(&mut self.inner, this)?;
        self.mem.dropped(rep);
        // Its streams are its children, and gone before it: the descriptor is closed.
        self.held.pop();
        Ok(())
    }

    async fn start_listen(&mut self, this: Resource<TcpSocket>) -> SocketResult<()> {
        self.inner.start_listen(this).await
    }

    fn finish_bind(&mut self, this: Resource<TcpSocket>) -> SocketResult<()> {
        self.inner.finish_bind(this)
    }

    fn finish_connect(
        &mut self,
        this: Resource<TcpSocket>,
    ) -> SocketResult<(Resource<DynInputStream>, Resource<DynOutputStream>)> {
        let prices = self.reserve([Kind::InputStream, Kind::OutputStream])?;
        match self.inner.finish_connect(this) {
            Ok(ends) => self.streams(ends, prices),
            Err(error) => {
                self.mem.refund(prices.iter().sum());
                Err(error)
            }
        }
    }

    fn finish_listen(&mut self, this: Resource<TcpSocket>) -> SocketResult<()> {
        self.inner.finish_listen(this)
    }

    fn local_address(&mut self, this: Resource<TcpSocket>) -> SocketResult<IpSocketAddress> {
        self.inner.local_address(this)
    }

    fn remote_address(&mut self, this: Resource<TcpSocket>) -> SocketResult<IpSocketAddress> {
        self.inner.remote_address(this)
    }

    fn is_listening(&mut self, this: Resource<TcpSocket>) -> wasmtime::Result<bool> {
        self.inner.is_listening(this)
    }

    fn address_family(&mut self, this: Resource<TcpSocket>) -> wasmtime::Result<IpAddressFamily> {
        self.inner.address_family(this)
    }

    fn set_listen_backlog_size(&mut self, this: Resource<TcpSocket>, value: u64) -> SocketResult<()> {
        self.inner.set_listen_backlog_size(this, value)
    }

    fn keep_alive_enabled(&mut self, this: Resource<TcpSocket>) -> SocketResult<bool> {
        self.inner.keep_alive_enabled(this)
    }

    fn set_keep_alive_enabled(&mut self, this: Resource<TcpSocket>, value: bool) -> SocketResult<()> {
        self.inner.set_keep_alive_enabled(this, value)
    }

    fn keep_alive_idle_time(&mut self, this: Resource<TcpSocket>) -> SocketResult<u64> {
        self.inner.keep_alive_idle_time(this)
    }

    fn set_keep_alive_idle_time(&mut self, this: Resource<TcpSocket>, value: u64) -> SocketResult<()> {
        self.inner.set_keep_alive_idle_time(this, value)
    }

    fn keep_alive_interval(&mut self, this: Resource<TcpSocket>) -> SocketResult<u64> {
        self.inner.keep_alive_interval(this)
    }

    fn set_keep_alive_interval(&mut self, this: Resource<TcpSocket>, value: u64) -> SocketResult<()> {
        self.inner.set_keep_alive_interval(this, value)
    }

    fn keep_alive_count(&mut self, this: Resource<TcpSocket>) -> SocketResult<u32> {
        self.inner.keep_alive_count(this)
    }

    fn set_keep_alive_count(&mut self, this: Resource<TcpSocket>, value: u32) -> SocketResult<()> {
        self.inner.set_keep_alive_count(this, value)
    }

    fn hop_limit(&mut self, this: Resource<TcpSocket>) -> SocketResult<u8> {
        self.inner.hop_limit(this)
    }

    fn set_hop_limit(&mut self, this: Resource<TcpSocket>, value: u8) -> SocketResult<()> {
        self.inner.set_hop_limit(this, value)
    }

    fn receive_buffer_size(&mut self, this: Resource<TcpSocket>) -> SocketResult<u64> {
        self.inner.receive_buffer_size(this)
    }

    fn set_receive_buffer_size(&mut self, this: Resource<TcpSocket>, value: u64) -> SocketResult<()> {
        self.inner.set_receive_buffer_size(this, value.min(SOCKET_KERNEL_BUFFER))
    }

    fn send_buffer_size(&mut self, this: Resource<TcpSocket>) -> SocketResult<u64> {
        self.inner.send_buffer_size(this)
    }

    fn set_send_buffer_size(&mut self, this: Resource<TcpSocket>, value: u64) -> SocketResult<()> {
        self.inner.set_send_buffer_size(this, value.min(SOCKET_KERNEL_BUFFER))
    }

    fn subscribe(&mut self, this: Resource<TcpSocket>) -> wasmtime::Result<Resource<DynPollable>> {
        buy(self, Kind::Pollable, |view| view.inner.subscribe(this))
    }

    fn shutdown(&mut self, this: Resource<TcpSocket>, value: ShutdownType) -> SocketResult<()> {
        self.inner.shutdown(this, value)
    }
}
