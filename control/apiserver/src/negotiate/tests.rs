//! What is asked for, weighed and refused as Kubernetes does it.

use super::*;

fn headers(accept: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, accept.parse().expect("a header value"));
    headers
}

#[test]
fn accept_is_weighed_as_kubernetes_weighs_it() {
    let check = |accept: &str, expected: Result<(Format, Shape), u16>| {
        let found = output(&headers(accept), None, Endpoint::List, Forms::All).map(|out| (out.format, out.shape));
        assert_eq!(found.map_err(|status| status.code()), expected, "{accept}");
    };
    let table = Shape::Table(MetaVersion::V1);
    check("", Ok((Format::Json, Shape::Whole)));
    check("*/*", Ok((Format::Json, Shape::Whole)));
    check("application/*", Err(406));
    check("text/html", Err(406));
    check("application/cbor", Err(406));
    check("application/json;q=0", Ok((Format::Json, Shape::Whole)));
    check("application/json;charset=utf-8", Ok((Format::Json, Shape::Whole)));
    check("application/json;stream=watch", Ok((Format::Json, Shape::Whole)));
    check("application/vnd.kubernetes.protobuf;q=0.9,application/yaml", Ok((Format::Yaml, Shape::Whole)));
    check("application/vnd.kubernetes.protobuf,application/json", Ok((Format::Protobuf, Shape::Whole)));
    check("application/json;as=Table;v=v1;g=meta.k8s.io,application/json", Ok((Format::Json, table)));
    check("application/json;as=Table;v=v1beta1;g=meta.k8s.io", Ok((Format::Json, Shape::Table(MetaVersion::V1beta1))));
    check("application/json;as=Table;v=v2;g=meta.k8s.io", Err(406));
    check("application/json;as=Bogus;v=v1;g=meta.k8s.io", Err(406));
    check("application/json;as=Bogus;v=v1;g=meta.k8s.io,application/json", Ok((Format::Json, Shape::Whole)));
    check(
        "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
        Ok((Format::Protobuf, Shape::MetadataList(MetaVersion::V1))),
    );
    // kubectl's: a table cannot be protobuf, so the second clause counts.
    check(
        "application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1;g=meta.k8s.io",
        Ok((Format::Json, table)),
    );
}

#[test]
fn refusals_have_the_texts_of_kubernetes() {
    let text =
        |accept: &str, endpoint| output(&headers(accept), None, endpoint, Forms::All).expect_err("refused").message;
    assert_eq!(
        text("application/json;as=Table;v=v2;g=meta.k8s.io", Endpoint::List),
        "only the following media types are accepted: application/json, application/yaml, application/vnd.kubernetes.protobuf"
    );
    assert_eq!(
        text("application/xml", Endpoint::Resource),
        "406: Not Acceptable\n\nAvailable representations: application/json, application/yaml, application/vnd.kubernetes.protobuf"
    );
    let (status, encoded) = stream(&headers("application/yaml"), Forms::All).expect_err("no YAML watches");
    assert_eq!((status.code(), encoded.format), (406, Format::Yaml));
}

/// As v1.35 answers them: the handler lists what it knows, whether a router would have known it or not.
#[test]
fn custom_resources_have_protobuf_of_their_metadata_alone() {
    let listed = "only the following media types are accepted: application/json, application/yaml, application/vnd.kubernetes.protobuf";
    let streams = "only the following media types are accepted: application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch";
    let check = |accept: &str, got: Result<(Format, Shape), &str>, watched: Result<(Format, Shape), &str>| {
        let headers = headers(accept);
        let found = output(&headers, None, Endpoint::List, Forms::Custom).map_err(|status| status.message);
        assert_eq!(found.map(|out| (out.format, out.shape)), got.map_err(str::to_owned), "{accept}");
        let found = stream(&headers, Forms::Custom).map_err(|(status, _)| status.message);
        assert_eq!(found.map(|out| (out.format, out.shape)), watched.map_err(str::to_owned), "{accept}");
    };
    let whole = Ok((Format::Json, Shape::Whole));
    let both = |accept: &str, expected| check(accept, expected, expected);
    both("application/*", whole);
    both("application/vnd.kubernetes.protobuf,application/json", whole);
    for (kind, shape) in [
        ("PartialObjectMetadata", Shape::Metadata(MetaVersion::V1)),
        ("PartialObjectMetadataList", Shape::MetadataList(MetaVersion::V1)),
    ] {
        let accept = format!("application/vnd.kubernetes.protobuf;as={kind};g=meta.k8s.io;v=v1");
        both(&accept, Ok((Format::Protobuf, shape)));
    }
    for accept in [
        "text/html",
        "application/cbor",
        "application/vnd.kubernetes.protobuf",
        "application/vnd.kubernetes.protobuf;as=Table;g=meta.k8s.io;v=v1",
        "application/json;as=Zork;g=meta.k8s.io;v=v1",
    ] {
        both(accept, Err(listed));
    }
    check("application/yaml", Ok((Format::Yaml, Shape::Whole)), Err(streams));
}

#[test]
fn bodies_are_of_three_types() {
    let check = |content_type: Option<&str>, expected: Result<Format, u16>| {
        let mut headers = HeaderMap::new();
        if let Some(value) = content_type {
            headers.insert(CONTENT_TYPE, value.parse().expect("a header value"));
        }
        assert_eq!(input(&headers).map_err(|status| status.code()), expected, "{content_type:?}");
    };
    check(None, Ok(Format::Json));
    check(Some("application/json; charset=utf-8"), Ok(Format::Json));
    check(Some("Application/YAML"), Ok(Format::Yaml));
    check(Some("application/vnd.kubernetes.protobuf"), Ok(Format::Protobuf));
    check(Some("application/merge-patch+json"), Err(415));
    check(Some("text/plain"), Err(415));
    check(Some("garbage"), Err(415));
}

#[test]
fn people_get_it_pretty() {
    let check = |agent: &str, query: Option<&str>, expected: bool| {
        let mut headers = HeaderMap::new();
        headers.insert(USER_AGENT, agent.parse().expect("a header value"));
        assert_eq!(wants_pretty(&headers, query), expected, "{agent} {query:?}");
    };
    check("curl/8.0", None, true);
    check("curl/8.0", Some("pretty=false"), false);
    check("kubectl", None, false);
    check("kubectl", Some("pretty=1"), true);
    check("Mozilla/5.0 (X11)", Some("pretty="), false);
    let mut browsed = headers("text/html,application/xhtml+xml,*/*;q=0.8");
    browsed.insert(USER_AGENT, "Mozilla/5.0 (X11)".parse().expect("a header value"));
    assert!(wants_pretty(&browsed, None));
}

#[test]
fn types_of_patches_are_told_apart_by_case() {
    let check = |content_type: &str, expected: Option<&str>| {
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, content_type.parse().expect("a header value"))]);
        assert_eq!(patch_type(&headers, &[APPLY_PATCH]).ok(), expected, "{content_type}");
        assert_eq!(custom_patch_type(&headers, &[APPLY_PATCH]).ok(), expected, "{content_type}");
    };
    check("application/apply-patch+yaml", Some(APPLY_PATCH));
    check("application/apply-patch+yaml;charset=utf-8", Some(APPLY_PATCH));
    check("application/APPLY-patch+yaml", None);
    check("application/json", None);
}
