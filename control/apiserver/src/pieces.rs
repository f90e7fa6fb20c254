//! The body of a list: piece by piece, each made when the transport asks for it, and packed where gzip was asked for.
//! Work beyond copying is done by the compute threads.

use crate::answer::Making;
use crate::body::BoxError;
use crate::compute::{Compute, Driven};
use crate::ledger::Charge;
use crate::limits::{ANSWER_PIECE_BYTES, GZIP_LEVEL};
use crate::listing::Listing;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures::FutureExt;
use futures::future::BoxFuture;
use http_body::Frame;
use sampan_api::Status;
use std::collections::VecDeque;
use std::future::Future;
use std::io::Write as _;
use std::pin::Pin;
use std::task::{Context, Poll};

/// The maker of an answer's pieces.
pub(crate) struct Source {
    /// Makes them.
    pub listing: Listing,
    /// Pieces that were made before the answer began, and are not packed yet.
    pub first: Vec<Bytes>,
    /// Whether they are packed.
    pub packed: Packed,
    /// Of the packer.
    _charge: Option<Charge>,
}

pub(crate) enum Packed {
    No,
    /// Made with the first piece: it is large, and who takes nothing must not hold one.
    Gzip(Option<GzEncoder<Vec<u8>>>),
    /// Its last byte has been sent.
    Over,
}

impl Source {
    /// Packed ones; `first` has been made.
    pub fn gzip(listing: Listing, first: Vec<Bytes>, charge: Charge) -> Self {
        Self { listing, first, packed: Packed::Gzip(None), _charge: Some(charge) }
    }

    /// A source whose pieces are not compressed.
    pub fn plain(listing: Listing, first: Vec<Bytes>) -> Self {
        Self { listing, first, packed: Packed::No, _charge: None }
    }

    fn is_over(&self) -> bool {
        match self.packed {
            Packed::No => self.first.is_empty() && self.listing.is_over(),
            Packed::Gzip(_) => false,
            Packed::Over => true,
        }
    }

    /// Whether the next piece is work for the compute threads.
    fn is_heavy(&self) -> bool {
        let computed = self.listing.is_computed() && !self.listing.is_at_hand();
        !matches!(self.packed, Packed::No) || (computed && self.first.is_empty())
    }

    /// Whether objects are to be converted by others first.
    fn waits(&self) -> bool {
        self.first.is_empty() && self.listing.waits()
    }

    /// The next parts; none where little was selected of what was looked at.
    fn next(&mut self) -> Result<Vec<Bytes>, BoxError> {
        let read_max = if self.is_heavy() { usize::MAX } else { self.listing.briefly() };
        let plain = if self.first.is_empty() {
            self.listing.piece(ANSWER_PIECE_BYTES, read_max).map_err(|status: Status| status.message)?
        } else {
            std::mem::take(&mut self.first)
        };
        let Packed::Gzip(packer) = &mut self.packed else { return Ok(plain) };
        let packer = packer.get_or_insert_with(|| GzEncoder::new(Vec::new(), Compression::new(GZIP_LEVEL)));
        for part in &plain {
            packer.write_all(part)?;
        }
        if self.listing.is_over() {
            packer.try_finish()?;
        }
        let packed = std::mem::take(packer.get_mut());
        if self.listing.is_over() {
            self.packed = Packed::Over;
        }
        Ok(if packed.is_empty() { Vec::new() } else { vec![packed.into()] })
    }
}

type Made = (Box<Source>, Result<Vec<Bytes>, BoxError>);

type Fetching = BoxFuture<'static, (Box<Source>, Result<(), Status>)>;

enum Stage {
    Idle(Box<Source>),
    Working(Driven<Made>),
    /// Objects are converted by others.
    Fetching(Fetching),
    Failed,
}

/// See the module.
pub(crate) struct Pieces {
    stage: Stage,
    ready: VecDeque<Bytes>,
    compute: Compute,
    flow: u64,
    making: Making,
}

impl Pieces {
    /// The body; `flow` is in whose turn the compute threads work for it.
    pub fn new(source: Source, compute: Compute, flow: u64) -> Self {
        let (stage, ready) = (Stage::Idle(Box::new(source)), VecDeque::new());
        Self { stage, ready, compute, flow, making: Making::default() }
    }

    /// Goes on once objects have been converted.
    fn poll_fetching(&mut self, mut fetching: Fetching, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        let Poll::Ready((source, fetched)) = fetching.as_mut().poll(cx) else {
            self.stage = Stage::Fetching(fetching);
            return Poll::Pending;
        };
        self.making.ends();
        // Half a list must not look like a whole one.
        Poll::Ready(match fetched {
            Ok(()) => {
                self.stage = Stage::Idle(source);
                Ok(())
            }
            Err(status) => Err(status.message.into()),
        })
    }

    /// Tells whether the next piece is being made.
    pub fn making(&self) -> Making {
        self.making.clone()
    }
}

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        loop {
            if let Some(part) = this.ready.pop_front() {
                return Poll::Ready(Some(Ok(Frame::data(part))));
            }
            let (source, made) = match std::mem::replace(&mut this.stage, Stage::Failed) {
                Stage::Failed => return Poll::Ready(None),
                Stage::Idle(source) if source.is_over() => {
                    this.stage = Stage::Idle(source);
                    return Poll::Ready(None);
                }
                Stage::Idle(mut source) if source.waits() => {
                    let fetching = async move {
                        let fetched = source.listing.fetch().await;
                        (source, fetched)
                    };
                    this.stage = Stage::Fetching(fetching.boxed());
                    this.making.begins();
                    continue;
                }
                Stage::Fetching(fetching) => match this.poll_fetching(fetching, cx) {
                    Poll::Ready(Ok(())) => continue,
                    Poll::Ready(Err(error)) => return Poll::Ready(Some(Err(error))),
                    Poll::Pending => return Poll::Pending,
                },
                Stage::Idle(mut source) if source.is_heavy() => {
                    let work = move || {
                        let made = source.next();
                        (source, made)
                    };
                    this.stage = Stage::Working(this.compute.run(this.flow, work));
                    this.making.begins();
                    continue;
                }
                Stage::Idle(mut source) => {
                    let made = source.next();
                    (source, made)
                }
                Stage::Working(mut work) => match Pin::new(&mut work).poll(cx) {
                    Poll::Ready(made) => {
                        this.making.ends();
                        made
                    }
                    Poll::Pending => {
                        this.stage = Stage::Working(work);
                        return Poll::Pending;
                    }
                },
            };
            match made {
                Ok(parts) => {
                    let none = parts.is_empty() && !source.is_over();
                    this.ready = parts.into();
                    this.stage = Stage::Idle(source);
                    if none {
                        // Others have their turn before more is looked at.
                        cx.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                }
                // Half a list must not look like a whole one.
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ready.is_empty() && matches!(&self.stage, Stage::Idle(source) if source.is_over())
    }
}
