//! A watch over a WebSocket: each event is a message of its own, as text, or as bytes where it is protobuf.

use super::Frames;
use crate::ledger::Account;
use crate::limits::ANSWER_STALL_MAX;
use crate::line::Turned;
use crate::negotiate::Format;
use crate::websocket::{self, Socket};
use bytes::{Buf, Bytes};
use futures::{SinkExt, StreamExt};
use hyper::upgrade::OnUpgrade;
use std::sync::Arc;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

/// A watch, and what it is sent over.
pub(super) struct Sending {
    /// The events.
    pub frames: Frames,
    /// Their encoding.
    pub format: Format,
    /// The account that what the peer has not taken is charged to.
    pub account: Account,
    /// The connection's end.
    pub turned: Arc<Turned>,
}

impl Sending {
    /// Sends events until the watch is over, the peer goes or takes nothing, or the connection ends.
    pub async fn run(self, connection: OnUpgrade) {
        let turned = self.turned.clone();
        let _over = turned.over.clone().drop_guard();
        tokio::select! {
            () = self.converse(connection) => {}
            () = turned.end.cancelled() => {}
        }
    }

    async fn converse(mut self, connection: OnUpgrade) {
        let Some(mut socket) = websocket::open(connection).await else { return };
        loop {
            tokio::select! {
                chunk = self.frames.next() => {
                    let Some(Ok(chunk)) = chunk else { break };
                    let Ok(chunk) = chunk.into_data() else { continue };
                    let _room = self.account.clone().charge(chunk.len()).await;
                    let sent = send(&mut socket, self.format, chunk);
                    if !matches!(tokio::time::timeout(ANSWER_STALL_MAX, sent).await, Ok(true)) {
                        return;
                    }
                }
                // Whatever a client says, but that it goes, means nothing; pings are answered by the library.
                said = socket.next() => match said {
                    Some(Ok(Message::Close(_)) | Err(_)) | None => break,
                    Some(Ok(_)) => {}
                }
            }
        }
        // The peer may be gone already.
        drop(tokio::time::timeout(ANSWER_STALL_MAX, socket.close(None)).await);
    }
}

/// Sends the events of a chunk. Returns whether the peer took them.
async fn send(socket: &mut Socket, format: Format, chunk: Bytes) -> bool {
    for message in messages(format, chunk) {
        if socket.feed(message).await.is_err() {
            return false;
        }
    }
    socket.flush().await.is_ok()
}

/// The events of a chunk: lines of JSON, or protobuf with each length before it.
fn messages(format: Format, mut chunk: Bytes) -> Vec<Message> {
    let mut messages = Vec::new();
    if format == Format::Protobuf {
        while chunk.len() >= size_of::<u32>() {
            let length = chunk.get_u32() as usize;
            messages.push(Message::Binary(chunk.split_to(length.min(chunk.len()))));
        }
        return messages;
    }
    while let Some(at) = chunk.iter().position(|byte| *byte == b'\n') {
        let line = chunk.split_to(at + 1);
        if let Ok(text) = Utf8Bytes::try_from(line) {
            messages.push(Message::Text(text));
        }
    }
    messages
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_event_is_a_message() {
        let lines = messages(Format::Json, Bytes::from_static(b"{\"a\":1}\n{\"b\":2}\n"));
        assert_eq!(lines, [Message::text("{\"a\":1}\n"), Message::text("{\"b\":2}\n")]);
        let framed = messages(Format::Protobuf, Bytes::from_static(&[0, 0, 0, 2, 7, 8, 0, 0, 0, 1, 9]));
        assert_eq!(framed, [Message::binary(vec![7, 8]), Message::binary(vec![9])]);
    }
}
