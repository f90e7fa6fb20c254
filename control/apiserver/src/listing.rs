//! A list in pieces: encoded as it is sent, out of the state that it is of. It is never there whole.

use crate::encode::{Encoder, list_metadata, unencodable};
use crate::indent::Indent;
use crate::limits::{ANSWER_PIECE_BYTES, COMPUTED_BYTES_MIN, TABLE_SORTED_MAX};
use crate::metadata;
use crate::negotiate::{Format, Shape};
use crate::table::Tables;
use bytes::Bytes;
use sampan_api::{Record, Status};
use sampan_registry::{List, Selection};
use sampan_schema::{Schema, protobuf, yaml};
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::sync::Arc;

/// An object with more JSON than this is not copied into a piece: its bytes are sent as they are.
const COPIED_OBJECT_MAX: usize = ANSWER_PIECE_BYTES / 2;
/// Bytes of objects that are encoded at once to be measured, about.
const MEASURED_BYTES: usize = 2 * COMPUTED_BYTES_MIN;
/// Objects that are taken out of the state at once.
const BATCH: usize = 64;

/// A list on its way to bytes.
pub struct Listing {
    encoder: Encoder,
    selection: Selection,
    /// Taken out of the selection, not yet written.
    pending: std::vec::IntoIter<Arc<Record>>,
    stage: Stage,
    /// No item has been written.
    empty: bool,
    indent: Indent,
    /// Of protobuf: bytes of all items, which stand before the first.
    items_bytes: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Head,
    Items,
    Over,
}

/// The output so far, in pieces that were copied or are shared.
#[derive(Default)]
struct Out {
    parts: Vec<Bytes>,
    buffer: Vec<u8>,
    length: usize,
}

impl Out {
    fn len(&self) -> usize {
        self.length + self.buffer.len()
    }

    fn flush(&mut self) {
        if !self.buffer.is_empty() {
            self.length += self.buffer.len();
            self.parts.push(std::mem::take(&mut self.buffer).into());
        }
    }

    fn share(&mut self, mut bytes: Bytes) {
        self.flush();
        self.length += bytes.len();
        while !bytes.is_empty() {
            self.parts.push(bytes.split_to(bytes.len().min(ANSWER_PIECE_BYTES)));
        }
    }
}

/// What a list selects, in the order in which its table shows it.
fn in_order(encoder: &Encoder, selection: Selection) -> Result<Selection, Status> {
    let is_table = matches!(encoder.output.shape, Shape::Table(_));
    let order = encoder.row.columns.as_ref().and_then(|columns| columns.order).filter(|_| is_table);
    let Some(order) = order else { return Ok(selection) };
    let (mut left, mut items) = (selection.clone(), Vec::new());
    while !left.is_over() {
        if items.len() > TABLE_SORTED_MAX || left.waits() {
            return Ok(selection);
        }
        items.extend(left.next(BATCH)?);
    }
    // Those of the same number stay in the order of their names.
    items.sort_by_cached_key(|record: &Arc<Record>| order(&record.object()));
    let Selection { revision, continue_token, remaining, .. } = selection;
    Ok(List { items, revision, continue_token, remaining }.into())
}

impl Listing {
    /// # Errors
    /// 406, when a single object's metadata is asked for.
    pub fn new(encoder: Encoder, selection: Selection) -> Result<Self, Status> {
        if matches!(encoder.output.shape, Shape::Metadata(_)) {
            return Err(encoder.list_as_metadata());
        }
        let selection = in_order(&encoder, selection)?;
        Ok(Self {
            encoder,
            selection,
            pending: Vec::new().into_iter(),
            stage: Stage::Head,
            empty: true,
            indent: Indent::default(),
            items_bytes: 0,
        })
    }

    /// Whether its bytes are made with more work than copying.
    pub fn is_computed(&self) -> bool {
        let output = self.encoder.output;
        let form = !matches!(output.shape, Shape::Whole | Shape::Discovery) || output.format != Format::Json;
        form || output.pretty || self.selection.is_converted()
    }

    /// How much of it is little enough work for a thread that serves, in bytes of objects.
    pub fn briefly(&self) -> usize {
        match (self.selection.is_converted(), self.is_computed()) {
            (true, _) => 0,
            (false, true) => COMPUTED_BYTES_MIN,
            (false, false) => usize::MAX,
        }
    }

    /// Whether [`Self::fetch`] is to be called before [`Self::piece`] makes anything.
    pub fn waits(&self) -> bool {
        self.pending.len() == 0 && self.selection.waits()
    }

    /// Has the next objects converted by others, where they are to be.
    ///
    /// # Errors
    /// When they cannot be converted.
    pub async fn fetch(&mut self) -> Result<(), Status> {
        Ok(self.selection.fetch().await?)
    }

    /// Everything has been made.
    pub fn is_over(&self) -> bool {
        self.stage == Stage::Over
    }

    /// Sizes that are needed before the first byte: of protobuf, the length of all items. `measured` begins as a copy
    /// of the selection and is over when all is known.
    ///
    /// # Errors
    /// When an object has no protobuf form.
    pub fn measure(&mut self, measured: &mut Selection) -> Result<(), Status> {
        let (whole, examined) = (self.is_whole(), measured.examined);
        let batch = if measured.is_converted() { 1 } else { BATCH };
        let mut read = 0;
        while !measured.is_over()
            && !measured.waits()
            && read < MEASURED_BYTES
            && measured.examined - examined < measured.examined_max()
        {
            for record in measured.next(batch).map_err(Status::from)? {
                read += self.work(&record);
                let payload = self.encoder.payload(&record)?;
                let length =
                    if whole { payload.len() } else { metadata::of_protobuf(&payload, &self.encoder.row).len() };
                self.items_bytes += protobuf::list_item_len(length);
            }
        }
        Ok(())
    }

    /// The selection, where it is to be measured before the first piece.
    pub fn to_measure(&self) -> Option<Selection> {
        self.has_protobuf().then(|| self.selection.clone())
    }

    fn is_whole(&self) -> bool {
        !matches!(self.encoder.output.shape, Shape::MetadataList(_))
    }

    /// The next parts, about `least` bytes together; fewer where little is selected of what was looked at, at the end, or
    /// where they would be made of more than `read_max` bytes of objects.
    ///
    /// # Errors
    /// When an object has no form of the kind asked for.
    pub fn piece(&mut self, least: usize, read_max: usize) -> Result<Vec<Bytes>, Status> {
        let mut out =
            Out { buffer: Vec::with_capacity(least.min(ANSWER_PIECE_BYTES) + COPIED_OBJECT_MAX / 4), ..Out::default() };
        if self.stage == Stage::Head {
            self.head(&mut out.buffer)?;
            self.stage = Stage::Items;
        }
        let (examined, mut read) = (self.selection.examined, 0_usize);
        while self.stage == Stage::Items && out.len() < least && read < read_max {
            if let Some(record) = self.pending.as_slice().first() {
                read = read.saturating_add(self.work(record));
                if read > read_max {
                    break;
                }
                if let Some(record) = self.pending.next() {
                    self.item(&mut out, &record)?;
                    self.empty = false;
                }
            } else if self.selection.is_over() {
                self.tail(&mut out.buffer);
                self.stage = Stage::Over;
            } else if self.selection.examined - examined >= self.selection.examined_max() || self.selection.waits() {
                break;
            } else {
                self.take()?;
            }
        }
        // It is known of the next objects whether they are at hand.
        if self.pending.len() == 0 && self.has_protobuf() && !self.selection.is_over() && !self.selection.waits() {
            self.take()?;
        }
        out.flush();
        Ok(out.parts)
    }

    /// Takes the next objects out of the selection.
    fn take(&mut self) -> Result<(), Status> {
        let batch = if self.selection.is_converted() { 1 } else { BATCH };
        self.pending = self.selection.next(batch).map_err(Status::from)?.into_iter();
        Ok(())
    }

    /// Bytes of an object that are to be read for its item.
    fn work(&self, record: &Record) -> usize {
        if self.has_protobuf() && record.has_protobuf() { 0 } else { record.json.len() }
    }

    fn has_protobuf(&self) -> bool {
        self.encoder.output.format == Format::Protobuf
    }

    /// Whether the next item is there, and no more is to be done for it than to copy it.
    pub fn is_at_hand(&self) -> bool {
        self.pending.as_slice().first().is_some_and(|record| self.work(record) == 0)
    }

    fn kind(&self) -> (String, String) {
        match self.encoder.output.shape {
            Shape::MetadataList(version) => (version.api_version().to_owned(), "PartialObjectMetadataList".to_owned()),
            Shape::Table(version) => (version.api_version().to_owned(), "Table".to_owned()),
            _ => (self.encoder.row.api_version(), self.encoder.row.list_kind.to_string()),
        }
    }

    fn head(&mut self, out: &mut Vec<u8>) -> Result<(), Status> {
        let meta = list_metadata(&self.encoder, &self.selection);
        match self.encoder.output.format {
            Format::Protobuf => {
                let (api_version, kind) = match self.encoder.output.shape {
                    // There is no protobuf form of a table: the objects are sent.
                    Shape::Table(_) => (self.encoder.row.api_version(), self.encoder.row.list_kind.to_string()),
                    _ => self.kind(),
                };
                let meta: Value = serde_json::from_slice(&meta).map_err(|error| unencodable(&error))?;
                let head = protobuf::begin_list(Schema::builtin(), &api_version, &kind, &meta, self.items_bytes);
                out.extend_from_slice(&head.map_err(|error| unencodable(&error))?);
            }
            Format::Yaml => self.yaml_around(out, true)?,
            Format::Json => {
                let json = self.json_head(&meta);
                self.write(out, &json);
            }
        }
        Ok(())
    }

    fn json_head(&self, meta: &[u8]) -> Vec<u8> {
        let mut json = Vec::with_capacity(256);
        if let Shape::Table(version) = self.encoder.output.shape {
            self.encoder.tables(version).begin(&mut json, meta, true);
            return json;
        }
        let (api_version, kind) = self.kind();
        for part in [&b"{\"kind\":\""[..], kind.as_bytes(), &b"\",\"apiVersion\":\""[..], api_version.as_bytes()] {
            json.extend_from_slice(part);
        }
        for part in [&b"\",\"metadata\":"[..], meta, &b",\"items\":["[..]] {
            json.extend_from_slice(part);
        }
        json
    }

    /// JSON as it is sent: as it is, or indented.
    fn write(&mut self, out: &mut Vec<u8>, json: &[u8]) {
        if self.encoder.output.pretty { self.indent.write(out, json) } else { out.extend_from_slice(json) }
    }

    fn item(&mut self, out: &mut Out, record: &Arc<Record>) -> Result<(), Status> {
        let output = self.encoder.output;
        if output.format == Format::Protobuf {
            let payload = self.encoder.payload(record)?;
            let item = match self.is_whole() {
                true => Cow::Borrowed(&payload[..]),
                false => metadata::of_protobuf(&payload, &self.encoder.row),
            };
            protobuf::put_list_item(&mut out.buffer, &item);
            return Ok(());
        }
        let plain = output.format == Format::Json && !output.pretty;
        if plain && !self.empty {
            out.buffer.push(b',');
        }
        if plain && output.shape == Shape::Whole && record.json.len() > COPIED_OBJECT_MAX {
            out.buffer.push(b'{');
            let from = if self.encoder.row.defined { 1 } else { record.type_meta_end as usize };
            for part in record.json_parts(from) {
                out.share(part);
            }
            return Ok(());
        }
        if plain {
            self.item_json(&mut out.buffer, record);
            return Ok(());
        }
        let mut json = Vec::with_capacity(record.json_len());
        if output.format == Format::Json {
            if !self.empty {
                json.push(b',');
            }
            self.item_json(&mut json, record);
            self.write(&mut out.buffer, &json);
            return Ok(());
        }
        self.item_json(&mut json, record);
        let value: Value = serde_json::from_slice(&json).map_err(|error| unencodable(&error))?;
        if self.empty {
            out.buffer.extend_from_slice(format!("{}:\n", self.items_key()).as_bytes());
        }
        // A list of one: where its lines are folded follows from where they stand.
        out.buffer.extend_from_slice(yaml::encode(&Value::Array(vec![value])).as_bytes());
        Ok(())
    }

    fn item_json(&self, json: &mut Vec<u8>, record: &Record) {
        match self.encoder.output.shape {
            Shape::Table(version) => self.encoder.tables(version).row(json, record),
            Shape::MetadataList(version) => metadata::write_json(json, record, version, &self.encoder.row),
            // Lists of custom resources are of whole objects.
            _ if self.encoder.row.defined => record.write_json(json),
            _ => record.write_item_json(json),
        }
    }

    fn tail(&mut self, out: &mut Vec<u8>) {
        match self.encoder.output.format {
            Format::Protobuf => protobuf::end_list(out),
            Format::Yaml => {
                if self.empty {
                    out.extend_from_slice(format!("{}: []\n", self.items_key()).as_bytes());
                }
                // It was made once for the head, with the same outcome.
                self.yaml_around(out, false).unwrap_or_default();
            }
            Format::Json => {
                let mut end = Vec::new();
                Tables::end(&mut end);
                self.write(out, &end);
                if !self.encoder.output.pretty {
                    out.push(b'\n');
                }
            }
        }
    }

    fn items_key(&self) -> &'static str {
        if matches!(self.encoder.output.shape, Shape::Table(_)) { "rows" } else { "items" }
    }

    /// The text around the items of a list in YAML, whose keys are sorted: the part before them, or the one behind.
    fn yaml_around(&self, out: &mut Vec<u8>, before: bool) -> Result<(), Status> {
        let mut json = self.json_head(&list_metadata(&self.encoder, &self.selection));
        Tables::end(&mut json);
        let whole: Map<String, Value> = serde_json::from_slice(&json).map_err(|error| unencodable(&error))?;
        let key = self.items_key();
        let part: Map<String, Value> =
            whole.into_iter().filter(|(one, _)| one != key && (one.as_str() < key) == before).collect();
        if !part.is_empty() {
            out.extend_from_slice(yaml::encode(&Value::Object(part)).as_bytes());
        }
        Ok(())
    }
}
