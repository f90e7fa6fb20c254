//! `wasi:io`, the clocks' pollables and the standard streams.

use super::{PaidView, buy};
use crate::memory::Charge;
use crate::prices::{Kind, POLL_WAIT};
use wasmtime::Result;
use wasmtime::component::Resource;
use wasmtime_wasi::cli::WasiCliCtxView;
use wasmtime_wasi::clocks::WasiClocksCtxView;
use wasmtime_wasi::p2::bindings::cli::{stderr, stdin, stdout};
use wasmtime_wasi::p2::bindings::clocks::monotonic_clock;
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, DynPollable, StreamError, StreamResult};
use wasmtime_wasi_io::bindings::wasi::io::{error, poll, streams};

impl poll::Host for PaidView<'_> {
    async fn poll(&mut self, pollables: Vec<Resource<DynPollable>>) -> Result<Vec<u32>> {
        let _waits = Charge::new(self.mem.pod(), POLL_WAIT.saturating_mul(pollables.len() as u64))?;
        poll::Host::poll(self.table, pollables).await
    }
}

impl poll::HostPollable for PaidView<'_> {
    async fn block(&mut self, this: Resource<DynPollable>) -> Result<()> {
        poll::HostPollable::block(self.table, this).await
    }
    async fn ready(&mut self, this: Resource<DynPollable>) -> Result<bool> {
        poll::HostPollable::ready(self.table, this).await
    }
    fn drop(&mut self, this: Resource<DynPollable>) -> Result<()> {
        let rep = this.rep();
        poll::HostPollable::drop(self.table, this)?;
        self.mem.dropped(rep);
        Ok(())
    }
}

impl error::Host for PaidView<'_> {}

impl error::HostError for PaidView<'_> {
    fn to_debug_string(&mut self, this: Resource<streams::Error>) -> Result<String> {
        error::HostError::to_debug_string(self.table, this)
    }
    fn drop(&mut self, this: Resource<streams::Error>) -> Result<()> {
        let rep = this.rep();
        error::HostError::drop(self.table, this)?;
        self.mem.dropped(rep);
        Ok(())
    }
}

impl streams::Host for PaidView<'_> {
    fn convert_stream_error(&mut self, error: StreamError) -> Result<streams::StreamError> {
        match error {
            StreamError::LastOperationFailed(error) => {
                let made = buy(self, Kind::Error, |view| view.table.push(error).map_err(wasmtime::Error::from))?;
                Ok(streams::StreamError::LastOperationFailed(made))
            }
            other => streams::Host::convert_stream_error(self.table, other),
        }
    }
}

impl streams::HostOutputStream for PaidView<'_> {
    async fn drop(&mut self, this: Resource<DynOutputStream>) -> Result<()> {
        let rep = this.rep();
        streams::HostOutputStream::drop(self.table, this).await?;
        self.mem.dropped(rep);
        Ok(())
    }
    fn check_write(&mut self, this: Resource<DynOutputStream>) -> StreamResult<u64> {
        streams::HostOutputStream::check_write(self.table, this)
    }
    fn write(&mut self, this: Resource<DynOutputStream>, bytes: Vec<u8>) -> StreamResult<()> {
        streams::HostOutputStream::write(self.table, this, bytes)
    }
    fn subscribe(&mut self, this: Resource<DynOutputStream>) -> Result<Resource<DynPollable>> {
        buy(self, Kind::Pollable, |view| streams::HostOutputStream::subscribe(view.table, this))
    }
    async fn blocking_write_and_flush(&mut self, this: Resource<DynOutputStream>, bytes: Vec<u8>) -> StreamResult<()> {
        streams::HostOutputStream::blocking_write_and_flush(self.table, this, bytes).await
    }
    async fn blocking_write_zeroes_and_flush(&mut self, this: Resource<DynOutputStream>, len: u64) -> StreamResult<()> {
        streams::HostOutputStream::blocking_write_zeroes_and_flush(self.table, this, len).await
    }
    fn write_zeroes(&mut self, this: Resource<DynOutputStream>, len: u64) -> StreamResult<()> {
        streams::HostOutputStream::write_zeroes(self.table, this, len)
    }
    fn flush(&mut self, this: Resource<DynOutputStream>) -> StreamResult<()> {
        streams::HostOutputStream::flush(self.table, this)
    }
    async fn blocking_flush(&mut self, this: Resource<DynOutputStream>) -> StreamResult<()> {
        streams::HostOutputStream::blocking_flush(self.table, this).await
    }
    fn splice(
        &mut self,
        this: Resource<DynOutputStream>,
        from: Resource<DynInputStream>,
        len: u64,
    ) -> StreamResult<u64> {
        streams::HostOutputStream::splice(self.table, this, from, len)
    }
    async fn blocking_splice(
        &mut self,
        this: Resource<DynOutputStream>,
        from: Resource<DynInputStream>,
        len: u64,
    ) -> StreamResult<u64> {
        streams::HostOutputStream::blocking_splice(self.table, this, from, len).await
    }
}

impl streams::HostInputStream for PaidView<'_> {
    async fn drop(&mut self, this: Resource<DynInputStream>) -> Result<()> {
        let rep = this.rep();
        streams::HostInputStream::drop(self.table, this).await?;
        self.mem.dropped(rep);
        Ok(())
    }
    fn read(&mut self, this: Resource<DynInputStream>, len: u64) -> StreamResult<Vec<u8>> {
        streams::HostInputStream::read(self.table, this, len)
    }
    async fn blocking_read(&mut self, this: Resource<DynInputStream>, len: u64) -> StreamResult<Vec<u8>> {
        streams::HostInputStream::blocking_read(self.table, this, len).await
    }
    fn skip(&mut self, this: Resource<DynInputStream>, len: u64) -> StreamResult<u64> {
        streams::HostInputStream::skip(self.table, this, len)
    }
    async fn blocking_skip(&mut self, this: Resource<DynInputStream>, len: u64) -> StreamResult<u64> {
        streams::HostInputStream::blocking_skip(self.table, this, len).await
    }
    fn subscribe(&mut self, this: Resource<DynInputStream>) -> Result<Resource<DynPollable>> {
        buy(self, Kind::Pollable, |view| streams::HostInputStream::subscribe(view.table, this))
    }
}

impl PaidView<'_> {
    fn clocks(&mut self) -> WasiClocksCtxView<'_> {
        WasiClocksCtxView { ctx: self.ctx.clocks(), table: self.table }
    }

    fn cli(&mut self) -> WasiCliCtxView<'_> {
        WasiCliCtxView { ctx: self.ctx.cli(), table: self.table }
    }
}

impl monotonic_clock::Host for PaidView<'_> {
    fn now(&mut self) -> Result<u64> {
        monotonic_clock::Host::now(&mut self.clocks())
    }
    fn resolution(&mut self) -> Result<u64> {
        monotonic_clock::Host::resolution(&mut self.clocks())
    }
    fn subscribe_instant(&mut self, when: u64) -> Result<Resource<DynPollable>> {
        buy(self, Kind::Pollable, |view| monotonic_clock::Host::subscribe_instant(&mut view.clocks(), when))
    }
    fn subscribe_duration(&mut self, nanos: u64) -> Result<Resource<DynPollable>> {
        buy(self, Kind::Pollable, |view| monotonic_clock::Host::subscribe_duration(&mut view.clocks(), nanos))
    }
}

impl stdin::Host for PaidView<'_> {
    fn get_stdin(&mut self) -> Result<Resource<DynInputStream>> {
        buy(self, Kind::InputStream, |view| stdin::Host::get_stdin(&mut view.cli()))
    }
}
impl stdout::Host for PaidView<'_> {
    fn get_stdout(&mut self) -> Result<Resource<DynOutputStream>> {
        buy(self, Kind::OutputStream, |view| stdout::Host::get_stdout(&mut view.cli()))
    }
}
impl stderr::Host for PaidView<'_> {
    fn get_stderr(&mut self) -> Result<Resource<DynOutputStream>> {
        buy(self, Kind::OutputStream, |view| stderr::Host::get_stderr(&mut view.cli()))
    }
}
