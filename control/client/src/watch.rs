//! Watches: in process a stream of records as it is, remote the frames of a body.

use crate::body::Body;
use crate::decode::record_from_value;
use crate::error::Error;
use crate::{Result, limits};
use bytes::{Buf, BytesMut};
use futures::stream::{BoxStream, StreamExt, unfold};
use http_body_util::BodyExt;
use sampan_api::{RecordEvent, Status};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use std::sync::Arc;

/// Events of a watch. It ends when the server ends it (its timeout); an `Err` is the last item.
pub type WatchStream = BoxStream<'static, Result<RecordEvent>>;

pub(crate) fn of_records(records: BoxStream<'static, std::result::Result<RecordEvent, Status>>) -> WatchStream {
    records.map(|event| event.map_err(Error::from)).boxed()
}

pub(crate) fn of_body(body: Body) -> WatchStream {
    struct State {
        body: Body,
        buffer: BytesMut,
        /// Bytes at the head of the buffer that hold no end of line.
        searched: usize,
        ended: bool,
    }
    let state = State { body, buffer: BytesMut::new(), searched: 0, ended: false };
    unfold(state, |mut state| async move {
        loop {
            if state.ended {
                return None;
            }
            if let Some(at) = state.buffer[state.searched..].iter().position(|byte| *byte == b'\n') {
                let line = state.buffer.split_to(state.searched + at);
                state.buffer.advance(1);
                state.searched = 0;
                if line.iter().all(u8::is_ascii_whitespace) {
                    continue;
                }
                let event = parse(&line);
                state.ended = event.is_err();
                return Some((event, state));
            }
            state.searched = state.buffer.len();
            let problem = match state.body.frame().await {
                None => {
                    state.ended = true;
                    // Other servers may end the last line with the body instead of a line feed.
                    let line = std::mem::take(&mut state.buffer);
                    if line.iter().all(u8::is_ascii_whitespace) {
                        return None;
                    }
                    return Some((parse(&line), state));
                }
                Some(Err(error)) => Error::transport(error),
                Some(Ok(frame)) => match frame.into_data() {
                    Err(_) => continue,
                    Ok(data) if state.buffer.len() <= limits::WATCH_FRAME_MAX => {
                        state.buffer.extend_from_slice(&data);
                        continue;
                    }
                    Ok(_) => Error::TooLarge { what: "frame of a watch", max: limits::WATCH_FRAME_MAX },
                },
            };
            state.ended = true;
            return Some((Err(problem), state));
        }
    })
    .boxed()
}

#[derive(Deserialize)]
struct Frame<'a> {
    #[serde(rename = "type", borrow)]
    kind: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    object: &'a RawValue,
}

fn parse(line: &[u8]) -> Result<RecordEvent> {
    let frame: Frame<'_> = serde_json::from_slice(line).map_err(Error::decode("a frame of a watch"))?;
    if frame.kind == "ERROR" {
        let status: Status =
            serde_json::from_str(frame.object.get()).map_err(Error::decode("the Status of a watch"))?;
        return Err(status.into());
    }
    let object: Value = serde_json::from_str(frame.object.get()).map_err(Error::decode("an object of a watch"))?;
    if frame.kind == "BOOKMARK" {
        let metadata = &object["metadata"];
        let revision = metadata["resourceVersion"]
            .as_str()
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| Error::Protocol("a bookmark without a numeric resourceVersion".into()))?;
        let initial_events_end = metadata["annotations"]["k8s.io/initial-events-end"] == "true";
        return Ok(RecordEvent::Bookmark { revision, initial_events_end });
    }
    let record = Arc::new(record_from_value(object)?);
    match &*frame.kind {
        "ADDED" => Ok(RecordEvent::Added(record)),
        "MODIFIED" => Ok(RecordEvent::Modified(record)),
        "DELETED" => Ok(RecordEvent::Deleted(record)),
        other => Err(Error::Protocol(format!("a watch event of type {other:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::BoxError;
    use bytes::Bytes;
    use http_body::Frame as BodyFrame;
    use http_body_util::StreamBody;

    async fn check(chunks: &[&str], expected: &[&str]) {
        let chunks: Vec<std::result::Result<BodyFrame<Bytes>, BoxError>> =
            chunks.iter().map(|chunk| Ok(BodyFrame::data(Bytes::copy_from_slice(chunk.as_bytes())))).collect();
        let body = StreamBody::new(futures::stream::iter(chunks)).boxed_unsync();
        let events: Vec<String> = of_body(body)
            .map(|event| match event {
                Ok(RecordEvent::Bookmark { revision, initial_events_end }) => {
                    format!("BOOKMARK {revision} {initial_events_end}")
                }
                Ok(event) => {
                    let record = event.record().expect("no bookmark");
                    format!("{} {} {}", event.kind().as_str(), record.key, record.mod_revision)
                }
                Err(error) => format!("error: {error}"),
            })
            .collect()
            .await;
        assert_eq!(events, expected);
    }

    #[tokio::test]
    async fn frames_may_be_cut_anywhere() {
        let added = r#"{"type":"ADDED","object":{"kind":"Pod","apiVersion":"v1","metadata":{"name":"a","namespace":"n","resourceVersion":"3"}}}"#;
        let bookmark = r#"{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"9","annotations":{"k8s.io/initial-events-end":"true"}}}}"#;
        let both = format!("{added}\n{bookmark}\n");
        check(&[&both], &["ADDED n/a 3", "BOOKMARK 9 true"]).await;
        let (one, two) = both.split_at(20);
        check(&[one, two], &["ADDED n/a 3", "BOOKMARK 9 true"]).await;
        check(&[added, "\n\n", bookmark], &["ADDED n/a 3", "BOOKMARK 9 true"]).await;
        check(&[], &[]).await;
    }

    #[tokio::test]
    async fn an_error_is_the_last_event() {
        let error = r#"{"type":"ERROR","object":{"kind":"Status","status":"Failure","message":"too old","reason":"Expired","code":410}}"#;
        check(&[error, "\n", error, "\n"], &["error: too old"]).await;
        check(&["{\"type\":\"NEW\",\"object\":{}}\n"], &["error: protocol error: an object without apiVersion"]).await;
    }
}
