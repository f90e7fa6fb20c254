//! Content negotiation, with the answers and texts of `k8s.io/apiserver`'s negotiation (and of go-restful before it).

use crate::limits::ACCEPT_CLAUSES_MAX;
use crate::query::Query;
use http::HeaderMap;
use http::header::{ACCEPT, CONTENT_TYPE, USER_AGENT};
use sampan_api::{Reason, Status, StatusDetails};

#[cfg(test)]
mod tests;

/// Media type of JSON.
pub const JSON: &str = "application/json";
/// Media type of YAML.
pub const YAML: &str = "application/yaml";
/// Media type of protobuf in `k8s.io/apimachinery`'s envelope.
pub const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
/// Media types that are served, in the order in which they are preferred and listed.
pub const SERVED: [&str; 3] = [JSON, YAML, PROTOBUF];
/// Media types of a kind that the schema does not know: it has no protobuf form.
pub const SERVED_WITHOUT_SCHEMA: [&str; 2] = [JSON, YAML];

/// What the objects of a resource are served as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forms {
    /// Every media type.
    All,
    /// Those of a kind without a protobuf message.
    Untyped,
    /// Those of a custom resource: of its protobuf forms there is that of its metadata alone. No router stands before it,
    /// so the handler is the first to refuse.
    Custom,
}

impl Forms {
    /// The media types, as a refusal lists them.
    fn types(self) -> &'static [&'static str] {
        match self {
            Self::All | Self::Custom => &SERVED,
            Self::Untyped => &SERVED_WITHOUT_SCHEMA,
        }
    }

    fn has(self, format: Format, shape: Shape) -> bool {
        self != Self::Custom
            || format != Format::Protobuf
            || matches!(shape, Shape::Metadata(_) | Shape::MetadataList(_))
    }

    /// go-restful's refusal, where its router stands before the resource.
    fn check_routed(self, accept: &str, streams: bool) -> Result<(), Status> {
        if self == Self::Custom || names_a_served_type(accept) {
            return Ok(());
        }
        Err(restful_not_acceptable(streams))
    }
}
/// Media type of what server-side apply is told.
pub(crate) const APPLY_PATCH: &str = "application/apply-patch+yaml";
const STREAMS: [&str; 2] = ["application/json;stream=watch", "application/vnd.kubernetes.protobuf;stream=watch"];

/// An encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Json,
    Yaml,
    Protobuf,
}

impl Format {
    /// The content type of an answer in this format.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Json => JSON,
            Self::Yaml => YAML,
            Self::Protobuf => PROTOBUF,
        }
    }

    /// The content type of a watch in this format.
    pub fn stream_type(self) -> &'static str {
        match self {
            Self::Json => JSON,
            Self::Yaml => YAML,
            Self::Protobuf => STREAMS[1],
        }
    }
}

/// The form that an object is turned into before it is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// As it is.
    Whole,
    Table(MetaVersion),
    /// `PartialObjectMetadata`.
    Metadata(MetaVersion),
    /// `PartialObjectMetadataList`.
    MetadataList(MetaVersion),
    /// `APIGroupDiscoveryList` of `apidiscovery.k8s.io/v2`.
    Discovery,
}

/// Versions of `meta.k8s.io` in which tables and metadata are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetaVersion {
    V1,
    V1beta1,
}

impl MetaVersion {
    /// Group and version, as `apiVersion` has them.
    pub fn api_version(self) -> &'static str {
        match self {
            Self::V1 => "meta.k8s.io/v1",
            Self::V1beta1 => "meta.k8s.io/v1beta1",
        }
    }
}

/// The encoding of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Output {
    /// The encoding.
    pub format: Format,
    /// What is encoded.
    pub shape: Shape,
    /// Indented, as people at a terminal or browser like it (JSON only).
    pub pretty: bool,
}

impl Output {
    /// The object as it is, in JSON on one line.
    pub const JSON: Self = Self { format: Format::Json, shape: Shape::Whole, pretty: false };
}

/// The set of forms that an endpoint can turn its answers into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// Objects and lists of a resource.
    Resource,
    /// A list route: it also produces streams, and says so when it refuses.
    List,
    /// Calls whose answer is no stored object: it has metadata, and no table.
    Call,
    /// `/api` and `/apis`.
    Discovery,
    /// Nothing but the object.
    Plain,
}

/// go-restful's refusal, before anything else is looked at: no clause names a type that its router knows.
pub fn routed(headers: &HeaderMap, endpoint: Endpoint, forms: Forms) -> Result<(), Status> {
    accept(headers).map_or(Ok(()), |accept| forms.check_routed(&accept, endpoint == Endpoint::List))
}

/// Chooses how to answer. Refusals: go-restful's when no clause names a served type, apiserver's when none can be met.
pub fn output(headers: &HeaderMap, query: Option<&str>, endpoint: Endpoint, forms: Forms) -> Result<Output, Status> {
    let pretty = wants_pretty(headers, query);
    let Some(accept) = accept(headers) else { return Ok(Output { pretty, ..Output::JSON }) };
    forms.check_routed(&accept, endpoint == Endpoint::List)?;
    choose(&accept, endpoint, forms, forms.types())
        .map(|(format, shape)| Output { format, shape, pretty })
        .ok_or_else(|| Status::not_acceptable(forms.types()))
}

/// Chooses how a watch is framed. The second part is how its refusal is to be encoded.
pub fn stream(headers: &HeaderMap, forms: Forms) -> Result<Output, (Status, Output)> {
    let Some(accept) = accept(headers) else { return Ok(Output::JSON) };
    forms.check_routed(&accept, true).map_err(|status| (status, Output::JSON))?;
    let served = forms.types();
    let refused = |listed: &[&str]| (Status::not_acceptable(listed), error_output(headers, None));
    // A watch is a list first: what no list can be is refused as of a list.
    choose(&accept, Endpoint::List, forms, served).ok_or_else(|| refused(served))?;
    let streams: &[&'static str] = if served.contains(&PROTOBUF) { &[JSON, PROTOBUF] } else { &[JSON] };
    choose(&accept, Endpoint::List, forms, streams)
        .map(|(format, shape)| Output { format, shape, pretty: false })
        .ok_or_else(|| refused(&STREAMS))
}

/// The first of some media types that a caller takes most readily; what it takes no other is `None`.
pub(crate) fn pick(headers: &HeaderMap, served: &[&'static str]) -> Option<&'static str> {
    let Some(accept) = accept(headers) else { return served.first().copied() };
    clauses(&accept).into_iter().find_map(|clause| served.iter().find(|one| clause.matches(one)).copied())
}

/// The encoding of an error: as asked where that can be, else JSON.
pub fn error_output(headers: &HeaderMap, query: Option<&str>) -> Output {
    let pretty = wants_pretty(headers, query);
    let format = accept(headers)
        .and_then(|accept| choose(&accept, Endpoint::Discovery, Forms::All, &SERVED).or_else(|| base_format(&accept)))
        .map_or(Format::Json, |(format, _)| format);
    Output { format, shape: Shape::Whole, pretty }
}

/// The format of the first clause that names a served type, whatever it wants made of it.
fn base_format(accept: &str) -> Option<(Format, Shape)> {
    clauses(accept).into_iter().find_map(|clause| {
        let at = SERVED.iter().position(|served| clause.matches(served))?;
        Some((FORMATS[at], Shape::Whole))
    })
}

const FORMATS: [Format; 3] = [Format::Json, Format::Yaml, Format::Protobuf];

/// Chooses how a body is read. An absent or empty type means JSON.
pub fn input(headers: &HeaderMap) -> Result<Format, Status> {
    let unknown = || Status::unsupported_media_type(&SERVED);
    let Some(value) = headers.get(CONTENT_TYPE) else { return Ok(Format::Json) };
    let value = value.to_str().map_err(|_| unknown())?;
    if value.is_empty() {
        return Ok(Format::Json);
    }
    let media_type = value.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    match media_type.as_str() {
        JSON => Ok(Format::Json),
        YAML => Ok(Format::Yaml),
        PROTOBUF => Ok(Format::Protobuf),
        _ => Err(unknown()),
    }
}

/// The media type of a patch to a custom resource, as [`patch_type`]; the refusal names those that are taken.
pub fn custom_patch_type(headers: &HeaderMap, accepted: &[&'static str]) -> Result<&'static str, Status> {
    patch_type(headers, accepted).map_err(|_| Status::unsupported_media_type(accepted))
}

/// The media type of a patch, in the case in which it is sent, without parameters. go-restful's refusal when none of
/// `accepted` is it.
pub fn patch_type(headers: &HeaderMap, accepted: &[&'static str]) -> Result<&'static str, Status> {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let media_type = value.split(';').next().unwrap_or("").trim();
    accepted.iter().find(|one| **one == media_type).copied().ok_or_else(|| Status {
        details: Some(Box::default()),
        ..Status::failure(Reason::UnsupportedMediaType, "415: Unsupported Media Type")
    })
}

/// All `Accept` headers as one. `None` when there is nothing in them.
fn accept(headers: &HeaderMap) -> Option<std::borrow::Cow<'_, str>> {
    let mut values = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let first = values.next()?;
    let joined = values.fold(std::borrow::Cow::Borrowed(first), |all, one| format!("{all},{one}").into());
    (!joined.trim().is_empty()).then_some(joined)
}

/// go-restful's look at the header: parameters and wildcards other than `*/*` mean nothing to it.
fn names_a_served_type(accept: &str) -> bool {
    accept
        .split(',')
        .map(|clause| clause.split(';').next().unwrap_or("").trim())
        .any(|media_type| media_type == "*/*" || SERVED.contains(&media_type))
}

fn restful_not_acceptable(streams: bool) -> Status {
    let streams: &[&str] = if streams { &STREAMS } else { &[] };
    let list: Vec<&str> = SERVED.iter().chain(streams).copied().collect();
    Status {
        details: Some(Box::<StatusDetails>::default()),
        ..Status::failure(
            Reason::NotAcceptable,
            format!("406: Not Acceptable\n\nAvailable representations: {}", list.join(", ")),
        )
    }
}

struct Clause<'a> {
    kind: &'a str,
    subtype: &'a str,
    quality: f32,
    parameters: Vec<(&'a str, &'a str)>,
}

impl Clause<'_> {
    fn matches(&self, served: &str) -> bool {
        served.split_once('/').is_some_and(|(kind, subtype)| {
            (self.kind == "*" && self.subtype == "*")
                || (self.kind == kind && (self.subtype == subtype || self.subtype == "*"))
        })
    }
}

/// The clauses in the order in which they are preferred (goautoneg's: quality, then the more specific).
fn clauses(accept: &str) -> Vec<Clause<'_>> {
    let mut out: Vec<Clause<'_>> = accept
        .split(',')
        .take(ACCEPT_CLAUSES_MAX)
        .filter_map(|clause| {
            let mut parts = clause.split(';');
            let media_type = parts.next()?.trim();
            let (kind, subtype) = media_type.split_once('/').unwrap_or((media_type, "*"));
            let mut found = Clause { kind: kind.trim(), subtype: subtype.trim(), quality: 1.0, parameters: Vec::new() };
            if found.kind.is_empty() {
                return None;
            }
            for parameter in parts {
                let Some((name, value)) = parameter.split_once('=') else { continue };
                let (name, value) = (name.trim(), value.trim());
                if name == "q" {
                    found.quality = value.parse().unwrap_or(1.0);
                } else {
                    found.parameters.push((name, value));
                }
            }
            Some(found)
        })
        .collect();
    let vague = |clause: &Clause<'_>| u8::from(clause.kind == "*") + u8::from(clause.subtype == "*");
    out.sort_by(|a, b| b.quality.total_cmp(&a.quality).then(vague(a).cmp(&vague(b))));
    out
}

fn choose(accept: &str, endpoint: Endpoint, forms: Forms, served: &[&'static str]) -> Option<(Format, Shape)> {
    // By far the most requests say exactly this.
    if accept == JSON {
        return Some((Format::Json, Shape::Whole));
    }
    for clause in clauses(accept) {
        for media_type in served {
            if !clause.matches(media_type) {
                continue;
            }
            let format = FORMATS[SERVED.iter().position(|one| one == media_type)?];
            let shape = shape(&clause.parameters, endpoint, format);
            if let Some(shape) = shape.filter(|shape| forms.has(format, *shape)) {
                return Some((format, shape));
            }
        }
    }
    None
}

/// `as`, `g` and `v` name what to make of the object; a clause that asks for what cannot be made does not count.
fn shape(parameters: &[(&str, &str)], endpoint: Endpoint, format: Format) -> Option<Shape> {
    let value = |name: &str| parameters.iter().find(|(key, _)| *key == name).map_or("", |(_, value)| value);
    let stream = value("stream");
    if !stream.is_empty() && (stream != "watch" || format == Format::Yaml) {
        return None;
    }
    let (kind, group, version) = (value("as"), value("g"), value("v"));
    if kind.is_empty() && group.is_empty() && version.is_empty() {
        return Some(Shape::Whole);
    }
    match (endpoint, group) {
        (Endpoint::Discovery, "apidiscovery.k8s.io") => {
            // Only JSON: the discovery client never asks for another.
            (kind == "APIGroupDiscoveryList" && version == "v2" && format == Format::Json).then_some(Shape::Discovery)
        }
        (Endpoint::Resource | Endpoint::List | Endpoint::Call, "meta.k8s.io") => {
            let version = match version {
                "v1" => MetaVersion::V1,
                "v1beta1" => MetaVersion::V1beta1,
                _ => return None,
            };
            match kind {
                "Table" if format != Format::Protobuf && endpoint != Endpoint::Call => Some(Shape::Table(version)),
                "PartialObjectMetadata" => Some(Shape::Metadata(version)),
                "PartialObjectMetadataList" => Some(Shape::MetadataList(version)),
                _ => None,
            }
        }
        _ => None,
    }
}

/// `pretty=` decides; else whether the client is one that people look at.
pub fn wants_pretty(headers: &HeaderMap, query: Option<&str>) -> bool {
    if let Some(query) = query.filter(|query| query.contains("pretty"))
        && let Some(value) = Query::parse(Some(query)).get("pretty").filter(|value| !value.is_empty())
    {
        return matches!(value, "1" | "t" | "T" | "true" | "TRUE" | "True");
    }
    let agent = headers.get(USER_AGENT).map_or(&[][..], |value| value.as_bytes());
    // A page's own requests are made by programs: only an address that was typed in asks for text to read.
    let browsed = || accept(headers).is_some_and(|accept| accept.contains("text/html"));
    [&b"curl"[..], b"Wget"].iter().any(|prefix| agent.starts_with(prefix))
        || (agent.starts_with(b"Mozilla/5.0") && browsed())
}
