//! The meaning of a URL and a method, as `k8s.io/apiserver`'s RequestInfoFactory reads them.

use crate::query::Query;
use http::Method;
use sampan_api::percent;
use std::borrow::Cow;
use std::ops::Range;

/// Subresources of a Namespace; any other word after `/namespaces/NAME/` names a resource in it.
const NAMESPACE_SUBRESOURCES: [&str; 2] = ["status", "finalize"];

/// The reading of one request line. Parts are ranges of the decoded path, so that reading costs one allocation.
#[derive(Clone, Debug)]
pub struct RequestInfo {
    path: String,
    verb: Cow<'static, str>,
    resource_request: bool,
    group: Range<usize>,
    version: Range<usize>,
    namespace: Range<usize>,
    resource: Range<usize>,
    subresource: Range<usize>,
    name: Range<usize>,
    /// The path after the subresource, which a proxy is asked for.
    rest: Range<usize>,
    /// A name that a field selector asks for: authorization may then be by that name.
    selected_name: Option<String>,
    /// `/watch/` stood before the resource.
    watch_prefix: bool,
}

impl RequestInfo {
    /// `None` where the path cannot be decoded, or holds `.` or `..` as a whole segment: nothing is served there.
    pub fn read(method: &Method, uri: &http::Uri) -> Option<Self> {
        let path = percent::decode(uri.path())?.into_owned();
        let mut info = Self {
            path,
            verb: http_verb(method),
            resource_request: false,
            group: 0..0,
            version: 0..0,
            namespace: 0..0,
            resource: 0..0,
            subresource: 0..0,
            name: 0..0,
            rest: 0..0,
            selected_name: None,
            watch_prefix: false,
        };
        let segments = segments(&info.path);
        if segments.iter().any(|segment| matches!(&info.path[segment.clone()], "." | "..")) {
            return None;
        }
        info.read_resource(&segments, method, uri.query());
        Some(info)
    }

    fn read_resource(&mut self, segments: &[Range<usize>], method: &Method, query: Option<&str>) {
        let word = |range: &Range<usize>| &self.path[range.clone()];
        let mut parts = segments;
        if parts.len() < 3 {
            return;
        }
        let (group, version) = match word(&parts[0]) {
            "api" => (0..0, parts[1].clone()),
            "apis" if parts.len() >= 4 => (parts[1].clone(), parts[2].clone()),
            _ => return,
        };
        parts = if group.is_empty() { &parts[2..] } else { &parts[3..] };
        let watch_prefix = word(&parts[0]) == "watch";
        if watch_prefix {
            parts = &parts[1..];
            if parts.is_empty() {
                return;
            }
        }
        let mut namespace = 0..0;
        if word(&parts[0]) == "namespaces" && parts.len() > 1 {
            namespace = parts[1].clone();
            if parts.len() > 2 && !NAMESPACE_SUBRESOURCES.contains(&word(&parts[2])) {
                parts = &parts[2..];
            }
        }
        self.resource_request = true;
        self.group = group;
        self.version = version;
        self.namespace = namespace;
        self.resource = parts[0].clone();
        self.watch_prefix = watch_prefix;
        if let Some(name) = parts.get(1) {
            self.name = name.clone();
        }
        if let Some(subresource) = parts.get(2) {
            self.subresource = subresource.clone();
        }
        if parts.len() > 3 {
            self.rest = parts[3].start..self.path.len();
        }
        self.verb = match *method {
            // Whatever the method is: it is refused once the right to watch is there.
            _ if watch_prefix => "watch",
            Method::POST => "create",
            Method::GET | Method::HEAD => "get",
            Method::PUT => "update",
            Method::PATCH => "patch",
            Method::DELETE => "delete",
            _ => "",
        }
        .into();
        if self.verb == "delete" && self.name.is_empty() {
            self.verb = "deletecollection".into();
        }
        if self.verb == "get" && self.name.is_empty() {
            let query = Query::parse(query);
            self.verb = if truthy(query.get("watch")) { "watch" } else { "list" }.into();
            self.selected_name = query.get("fieldSelector").and_then(selected_name);
        }
    }

    /// The decoded path.
    pub fn path(&self) -> &str {
        &self.path
    }
    /// get, list, watch, create, update, patch, delete, deletecollection; the lower-case method where no resource is asked
    /// for; empty for a method that no resource knows.
    pub fn verb(&self) -> &str {
        &self.verb
    }
    /// Whether the path names a resource; otherwise only path and verb are known.
    pub fn is_resource_request(&self) -> bool {
        self.resource_request
    }
    /// The API group; `""` for the core group.
    pub fn group(&self) -> &str {
        &self.path[self.group.clone()]
    }
    /// The version in the path, as `v1`.
    pub fn version(&self) -> &str {
        &self.path[self.version.clone()]
    }
    /// The namespace in the path, or `""`. A Namespace's own path has its name here.
    pub fn namespace(&self) -> &str {
        &self.path[self.namespace.clone()]
    }
    /// Whether the path goes through a namespace. That of a Namespace itself does not: it names one.
    pub fn in_namespace(&self) -> bool {
        !self.namespace.is_empty() && self.namespace != self.name
    }
    /// The resource in its plural, as `pods`.
    pub fn resource(&self) -> &str {
        &self.path[self.resource.clone()]
    }
    /// What stands behind the name, as `status`, or `""`.
    pub fn subresource(&self) -> &str {
        &self.path[self.subresource.clone()]
    }
    /// The name in the path, or `""`.
    pub fn name(&self) -> &str {
        &self.path[self.name.clone()]
    }
    /// The name that authorization sees: the path's, or the one that a field selector asks for.
    pub fn authorized_name(&self) -> &str {
        if self.name.is_empty() { self.selected_name.as_deref().unwrap_or("") } else { self.name() }
    }
    /// What stands behind the subresource, as a proxied path, without a slash before it; or `""`.
    pub fn rest(&self) -> &str {
        &self.path[self.rest.clone()]
    }
    /// Whether the path is one of the old `/watch/` ones.
    pub fn has_watch_prefix(&self) -> bool {
        self.watch_prefix
    }
    /// Long by nature: neither counted in flight nor timed.
    pub fn is_long_running(&self) -> bool {
        self.verb == "watch" || self.resource_request && LONG_RUNNING_SUBRESOURCES.contains(&self.subresource())
    }
    /// Whether the verb may change something: any but get, list, watch and head.
    pub fn is_mutating(&self) -> bool {
        !matches!(self.verb(), "get" | "list" | "watch" | "head")
    }
}

/// Subresources whose requests last as long as their client wants (kube-apiserver's BasicLongRunningRequestCheck). Every
/// subresource of the table that is a stream is one of them: the server does not start otherwise.
pub(crate) const LONG_RUNNING_SUBRESOURCES: [&str; 5] = ["log", "exec", "attach", "portforward", "proxy"];

/// As apimachinery converts a query value to a bool: absent is false, present is true but for `false` and `0`.
pub fn truthy(value: Option<&str>) -> bool {
    value.is_some_and(|value| value != "0" && !value.eq_ignore_ascii_case("false"))
}

fn http_verb(method: &Method) -> Cow<'static, str> {
    match *method {
        Method::GET => "get".into(),
        Method::HEAD => "head".into(),
        Method::POST => "post".into(),
        Method::PUT => "put".into(),
        Method::PATCH => "patch".into(),
        Method::DELETE => "delete".into(),
        Method::OPTIONS => "options".into(),
        _ => method.as_str().to_ascii_lowercase().into(),
    }
}

/// The parts between slashes, those at the ends left out (Go: `strings.Split(strings.Trim(path, "/"), "/")`).
fn segments(path: &str) -> Vec<Range<usize>> {
    let trimmed = path.trim_matches('/');
    if trimmed.is_empty() {
        return Vec::new();
    }
    let mut at = path.len() - path.trim_start_matches('/').len();
    let mut out = Vec::with_capacity(8);
    for part in trimmed.split('/') {
        out.push(at..at + part.len());
        at += part.len() + 1;
    }
    out
}

/// `metadata.name=NAME` among the requirements of a field selector, where NAME can be a path segment.
fn selected_name(selector: &str) -> Option<String> {
    let name = selector.split(',').find_map(|one| {
        let (key, value) = one.split_once('=')?;
        (key.trim() == "metadata.name").then(|| value.strip_prefix('=').unwrap_or(value))
    })?;
    let segment = !name.is_empty() && name != "." && name != ".." && !name.contains(['/', '%', '\\']);
    segment.then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(method: &str, uri: &str) -> Option<RequestInfo> {
        RequestInfo::read(&method.parse().expect("a method"), &uri.parse().expect("a URI"))
    }

    /// `verb group/version namespace resource name subresource`, `-` for what is empty.
    fn line(info: &RequestInfo) -> String {
        let or_dash = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
        if !info.is_resource_request() {
            return format!("{} {}", info.verb(), info.path());
        }
        format!(
            "{} {}/{} {} {} {} {}",
            or_dash(info.verb()),
            info.group(),
            info.version(),
            or_dash(info.namespace()),
            info.resource(),
            or_dash(info.authorized_name()),
            or_dash(info.subresource())
        )
    }

    #[test]
    fn requests_are_read_as_kubernetes_reads_them() {
        let check = |method: &str, uri: &str, expected: &str| {
            assert_eq!(read(method, uri).map(|info| line(&info)).as_deref(), Some(expected), "{method} {uri}");
        };
        check("GET", "/api/v1/namespaces", "list /v1 - namespaces - -");
        check("GET", "/api/v1/namespaces/other", "get /v1 other namespaces other -");
        check("PUT", "/api/v1/namespaces/other/finalize", "update /v1 other namespaces other finalize");
        check("GET", "/api/v1/namespaces/other/pods", "list /v1 other pods - -");
        check("GET", "/api/v1/namespaces/other/pods/foo", "get /v1 other pods foo -");
        check("HEAD", "/api/v1/namespaces/other/pods/foo", "get /v1 other pods foo -");
        check("GET", "/api/v1/pods", "list /v1 - pods - -");
        check("GET", "/api/v1/pods?watch=1", "watch /v1 - pods - -");
        check("GET", "/api/v1/pods?watch=false", "list /v1 - pods - -");
        check("GET", "/api/v1/pods/x?watch=1", "get /v1 - pods x -");
        check("GET", "/api/v1/namespaces/o/pods/p/status", "get /v1 o pods p status");
        check("GET", "/api/v1/watch/namespaces/o/pods", "watch /v1 o pods - -");
        check("DELETE", "/api/v1/watch/namespaces/o/pods/p", "watch /v1 o pods p -");
        check("POST", "/api/v1/watch/pods", "watch /v1 - pods - -");
        check("GET", "/api/v1/pods?fieldSelector=metadata.name%3Dweb", "list /v1 - pods web -");
        check("GET", "/api/v1/pods?fieldSelector=a%3Db,metadata.name%3D%3Dweb", "list /v1 - pods web -");
        check("GET", "/api/v1/pods?fieldSelector=metadata.name%3Da%2Fb", "list /v1 - pods - -");
        check("DELETE", "/apis/apps/v1/namespaces/o/deployments", "deletecollection apps/v1 o deployments - -");
        check("DELETE", "/apis/apps/v1/namespaces/o/deployments/d", "delete apps/v1 o deployments d -");
        check("POST", "/apis/apps/v1/namespaces/o/deployments/d/scale/x/y", "create apps/v1 o deployments d scale");
        check("FOO", "/api/v1/pods", "- /v1 - pods - -");
        check("GET", "/", "get /");
        check("GET", "/api/v1", "get /api/v1");
        check("GET", "/apis/apps/v1", "get /apis/apps/v1");
        check("POST", "/healthz", "post /healthz");
        check("GET", "/apis/apps/v1/watch", "get /apis/apps/v1/watch");
    }

    #[test]
    fn paths_that_climb_or_do_not_decode_name_nothing() {
        for uri in ["/api/v1/namespaces/%2e%2e/secrets", "/api/v1/../pods", "/api/v1/namespaces/a/pods/%2e", "/x/%zz"] {
            assert!(read("GET", uri).is_none(), "{uri}");
        }
        // An escaped slash is a slash: the name cannot reach past its segment into another resource unseen.
        let info = read("GET", "/api/v1/namespaces/a/pods/x%2Fstatus").expect("readable");
        assert_eq!((info.name(), info.subresource()), ("x", "status"));
    }
}
