//! A case at both servers: its requests one after the other, each answered by both, and the answers compared.

use bytes::Bytes;
use http::{Method, Request};
use serde_json::Value;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::corpus::{Corpus, NAMESPACE, Resource};
use crate::difference::{Difference, Plain, differences, values};
use crate::normal::Normal;
use crate::sequence::{Body, Case, REVISION, Step, UID, edited};
use crate::servers::Servers;
use sampan_tests::exchange::Answer;

/// One server's side of a case.
struct Side {
    normal: Normal,
    /// The object of the case's kind that was answered last.
    last: Value,
}

/// What a case showed.
#[derive(Debug, Default)]
pub struct Outcome {
    pub compared: usize,
    /// Requests that the real server took.
    pub taken: usize,
    /// Each with the index of its request; that of the watch is the number of requests.
    pub differences: Vec<(usize, Difference)>,
}

/// Runs cases, each in a namespace of its own.
pub struct Runner<'a> {
    pub servers: &'a Servers,
    pub corpus: &'a Corpus,
    runs: AtomicUsize,
}

impl<'a> Runner<'a> {
    pub fn new(servers: &'a Servers, corpus: &'a Corpus) -> Self {
        Self { servers, corpus, runs: AtomicUsize::new(0) }
    }

    pub async fn run(&self, case: &Case) -> Outcome {
        let number = self.runs.fetch_add(1, Ordering::Relaxed);
        let namespace = format!("k{number:07}");
        let resource = &self.corpus.resources[case.resource];
        self.prepare(resource, &namespace).await;
        let mut sides = [(), ()].map(|()| Side { normal: Normal::new(&namespace), last: Value::Null });
        let mut outcome = Outcome::default();
        let from = if case.watched { self.revisions(resource, &namespace).await } else { Default::default() };
        let mut agree = true;
        for (at, step) in case.steps.iter().enumerate() {
            let found = self.step(step, resource, &namespace, &mut sides, &mut outcome).await;
            agree = !found.iter().any(|one| one.class.starts_with("code "));
            outcome.differences.extend(found.into_iter().map(|one| (at, one)));
            // What follows would differ by what one server has and the other has not.
            if !agree {
                break;
            }
        }
        if case.watched && agree {
            let events = self.events(resource, &namespace, &from, &mut sides).await;
            outcome.differences.extend(events.into_iter().map(|one| (case.steps.len(), one)));
        }
        self.clear(resource, &namespace).await;
        outcome
    }

    async fn both(&self, method: Method, uri: &str, content_type: &str, body: &str) -> [Answer; 2] {
        let request = || {
            let request = Request::builder().method(method.clone()).uri(uri).header("content-type", content_type);
            request.body(Bytes::from(body.to_owned())).expect("a request")
        };
        self.servers.ask(request(), request()).await
    }

    /// The case's namespace, with the account that its pods want.
    async fn prepare(&self, resource: &Resource, namespace: &str) {
        if !resource.namespaced {
            return;
        }
        let made = format!(r#"{{"metadata":{{"name":"{namespace}"}}}}"#);
        let account = r#"{"metadata":{"name":"default"}}"#;
        let accounts = format!("/api/v1/namespaces/{namespace}/serviceaccounts");
        for (path, body) in [("/api/v1/namespaces", made.as_str()), (accounts.as_str(), account)] {
            let answers = self.both(Method::POST, path, "application/json", body).await;
            let codes = answers.map(|answer| answer.code);
            assert_eq!(codes, [201, 201], "{path}");
        }
    }

    /// Deletes what other cases would notice.
    async fn clear(&self, resource: &Resource, namespace: &str) {
        const LET_GO: &str = r#"{"metadata":{"finalizers":null}}"#;
        let path = resource.path().replace(NAMESPACE, namespace);
        let names = if resource.namespaced {
            ["a", "b"].map(str::to_owned)
        } else {
            ["a", "b"].map(|name| format!("{namespace}-{name}"))
        };
        if !resource.namespaced {
            for name in names {
                self.both(Method::PATCH, &format!("{path}/{name}"), "application/merge-patch+json", LET_GO).await;
                self.both(Method::DELETE, &format!("{path}/{name}?gracePeriodSeconds=0"), "application/json", "").await;
            }
        } else {
            if resource.plural == "services" {
                self.both(Method::DELETE, &path, "application/json", "").await;
            }
            self.both(Method::DELETE, &format!("/api/v1/namespaces/{namespace}"), "application/json", "").await;
        }
    }

    async fn step(
        &self,
        step: &Step,
        resource: &Resource,
        namespace: &str,
        sides: &mut [Side; 2],
        outcome: &mut Outcome,
    ) -> Vec<Difference> {
        let requests = [0, 1].map(|at| self.request(step, resource, namespace, &mut sides[at]));
        let [Some(ours), Some(theirs)] = requests else { return Vec::new() };
        let answers = self.servers.ask(ours, theirs).await;
        outcome.compared += 1;
        outcome.taken += usize::from(answers[1].code < 400);
        let plain = [0, 1].map(|at| {
            let side = &mut sides[at];
            if let Ok(value) = serde_json::from_slice::<Value>(&answers[at].body)
                && value["kind"] == resource.kind.as_str()
                && value["metadata"]["uid"].is_string()
            {
                side.last = value;
            }
            Plain::new(&mut side.normal, &answers[at])
        });
        let mut found = differences(&plain[0], &plain[1]);
        let what = named(step, resource);
        found.iter_mut().for_each(|one| one.class = format!("{} | {what}", one.class));
        found
    }

    /// The request for one server; `None`: it has no object that could be edited.
    fn request(&self, step: &Step, resource: &Resource, namespace: &str, side: &mut Side) -> Option<Request<Bytes>> {
        let metadata = &side.last["metadata"];
        let of_last = |name: &str| metadata[name].as_str().unwrap_or("1").to_owned();
        let fill = |text: &str| {
            let text = text.replace(NAMESPACE, namespace);
            text.replace(REVISION, &of_last("resourceVersion")).replace(UID, &of_last("uid"))
        };
        let body = match &step.body {
            Body::None => String::new(),
            Body::Text(text) => fill(text),
            Body::Edited { .. } if side.last.is_null() => return None,
            Body::Edited { chance, times } => edited(self.corpus, resource, &side.last, *chance, *times).to_string(),
        };
        // Names by chance may have what no path can.
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~%:@!$&'()*+,;=".contains(&byte);
        let path = fill(&step.path);
        let mut uri: String =
            path.bytes().map(|byte| if fits(byte) { char::from(byte).to_string() } else { escaped(byte) }).collect();
        for (at, (name, value)) in step.query.iter().enumerate() {
            let value: String = fill(value).bytes().map(escaped).collect();
            uri.push_str(&format!("{}{name}={value}", if at == 0 { '?' } else { '&' }));
        }
        let mut request = Request::builder().method(step.method.clone()).uri(uri);
        if let Some(content_type) = step.content_type {
            request = request.header("content-type", content_type);
        }
        if let Some(accept) = step.accept {
            request = request.header("accept", accept);
        }
        // What was answered before is the server's own.
        if matches!(step.body, Body::Text(_)) {
            side.normal.sends(&body);
        }
        Some(request.body(Bytes::from(body)).expect("a request"))
    }

    /// The collection's revisions.
    async fn revisions(&self, resource: &Resource, namespace: &str) -> [String; 2] {
        let path = resource.path().replace(NAMESPACE, namespace);
        let answers = self.both(Method::GET, &format!("{path}?limit=1"), "application/json", "").await;
        answers.map(|answer| {
            let list: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
            list["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_owned()
        })
    }

    /// Compares the events since the revisions.
    async fn events(
        &self,
        resource: &Resource,
        namespace: &str,
        from: &[String; 2],
        sides: &mut [Side; 2],
    ) -> Vec<Difference> {
        let select = if resource.namespaced { String::new() } else { format!("&labelSelector=case%3D{namespace}") };
        let path = resource.path().replace(NAMESPACE, namespace);
        let request = |from: &String| {
            let uri = format!("{path}?watch=1&timeoutSeconds=1&resourceVersion={from}{select}");
            Request::get(uri).body(Bytes::new()).expect("a request")
        };
        let answers = self.servers.ask(request(&from[0]), request(&from[1])).await;
        let [ours, theirs] = [0, 1].map(|at| {
            let events = serde_json::Deserializer::from_slice(&answers[at].body).into_iter::<Value>();
            let events: Vec<Value> =
                events.map(|event| event.unwrap_or_else(|error| error.to_string().into())).collect();
            let mut kept: Vec<Value> = events.into_iter().filter(|event| event["type"] != "BOOKMARK").collect();
            kept.iter_mut().for_each(|event| *event = sides[at].normal.value(event));
            Value::Array(kept)
        });
        let mut found = Vec::new();
        values("events", &ours, &theirs, &mut found);
        found.iter_mut().for_each(|one| one.class = format!("{} | watch {}", one.class, resource.name()));
        found
    }
}

/// A byte of a query's value.
fn escaped(byte: u8) -> String {
    match byte {
        // Escapes that a case writes itself.
        b'%' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    }
}

/// The verb, resource and subresource of a request.
fn named(step: &Step, resource: &Resource) -> String {
    let path = step.path.split_once(&resource.path()).map_or("", |(_, rest)| rest);
    let parts: Vec<&str> = path.split('/').collect();
    let subresource = parts.get(2).map(|name| format!("/{name}")).unwrap_or_default();
    let verb = match (&step.method, step.content_type) {
        (&Method::PATCH, Some(content_type)) => {
            content_type.trim_start_matches("application/").split(['-', '+']).next().unwrap_or_default().to_owned()
        }
        (method, _) => method.as_str().to_ascii_lowercase(),
    };
    format!("{verb} {}{subresource}", resource.name())
}

/// A case as it is printed.
pub fn shown(case: &Case, steps: &[Step]) -> String {
    let mut text = format!("case {}", case.chance);
    for step in steps {
        let query: Vec<String> = step.query.iter().map(|(name, value)| format!("{name}={value}")).collect();
        text.push_str(&format!("\n    {} {}", step.method, step.path));
        if !query.is_empty() {
            text.push_str(&format!("?{}", query.join("&")));
        }
        text.push_str(&step.content_type.map(|one| format!(" [{one}]")).unwrap_or_default());
        text.push_str(&step.accept.map(|one| format!(" accept {one}")).unwrap_or_default());
        match &step.body {
            Body::None => {}
            Body::Text(body) => text.push_str(&format!(" {body}")),
            Body::Edited { chance, times } => {
                text.push_str(&format!(" what was answered, edited {times} times by {chance}"))
            }
        }
    }
    text
}
