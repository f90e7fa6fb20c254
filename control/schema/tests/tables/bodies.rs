//! Bodies: what decoders make of them, and in which words they refuse.

use sampan_api::limits::NESTING_MAX;
use sampan_schema::limits::PROBLEMS_MAX;
use sampan_schema::{DecodeError, Problem, ProblemKind, Schema, json, protobuf, yaml};
use serde_json::{Value, json as value};

fn decode(kind: &str, body: &str) -> Result<(Value, Vec<String>), String> {
    let schema = Schema::builtin();
    let group = match kind {
        "Deployment" => "apps",
        "CustomResourceDefinition" => "apiextensions.k8s.io",
        _ => "",
    };
    let id = schema.find(group, "v1", kind).expect("a kind");
    let decoded = json::decode(schema, id, body.as_bytes()).map_err(|error| error.to_string())?;
    Ok((decoded.value, decoded.problems.iter().map(ToString::to_string).collect()))
}

fn check_value(kind: &str, body: &str, pointer: &str, expected: Value) {
    let (value, problems) = decode(kind, body).unwrap_or_else(|error| panic!("{body}: {error}"));
    assert!(problems.is_empty(), "{body}: {problems:?}");
    assert_eq!(value.pointer(pointer).cloned().unwrap_or(Value::Null), expected, "{pointer} of {body}");
}

#[test]
fn values_take_the_form_that_go_gives_them() {
    let pod = |spec: &str| format!(r#"{{"spec":{{"containers":[{{"name":"c",{spec}}}]}}}}"#);
    let limits = "/spec/containers/0/resources/limits/cpu";
    for (given, expected) in
        [("0.1", "100m"), (r#""1500m""#, "1500m"), (r#""1000m""#, "1"), (r#""1e3""#, "1e3"), ("2", "2")]
    {
        let body = pod(&format!(r#""resources":{{"limits":{{"cpu":{given}}}}}"#));
        check_value("Pod", &body, limits, value!(expected));
    }
    let time = r#"{"metadata":{"creationTimestamp":"2026-01-02T05:04:05.9+02:00"}}"#;
    check_value("ConfigMap", time, "/metadata/creationTimestamp", value!("2026-01-02T03:04:05Z"));
    check_value("ConfigMap", r#"{"metadata":{"creationTimestamp":null}}"#, "/metadata", value!({}));
    check_value(
        "ConfigMap",
        r#"{"data":{},"immutable":false,"metadata":{"labels":null}}"#,
        "",
        value!({"metadata":{},"immutable":false}),
    );
    check_value("ConfigMap", r#"{"data":{"k":null}}"#, "/data", value!({"k": ""}));
    check_value("Secret", r#"{"data":{"k":"AQI="},"type":""}"#, "", value!({"metadata":{},"data":{"k":"AQI="}}));
    check_value("Secret", r#"{"data":{"k":null}}"#, "/data", value!({"k": ""}));
    // What has no fraction has no point.
    let budget =
        r#"{"spec":{"versions":[{"schema":{"openAPIV3Schema":{"minimum":0,"maximum":1.0,"multipleOf":0.5}}}]}}"#;
    let schema = "/spec/versions/0/schema/openAPIV3Schema";
    let decoded = decode("CustomResourceDefinition", budget).expect("numbers").0;
    let text = decoded.pointer(schema).map(Value::to_string).unwrap_or_default();
    assert_eq!(text, r#"{"maximum":1,"minimum":0,"multipleOf":0.5}"#);
    check_value("Pod", "{}", "", value!({"metadata":{},"spec":{"containers":null},"status":{}}));
    check_value("Deployment", r#"{"spec":{"replicas":0,"minReadySeconds":0}}"#, "/spec/replicas", value!(0));
    check_value("Deployment", r#"{"spec":{"minReadySeconds":0}}"#, "/spec/minReadySeconds", Value::Null);
    check_value(
        "Service",
        r#"{"spec":{"ports":[{"port":1,"targetPort":"http"}]}}"#,
        "/spec/ports/0/targetPort",
        value!("http"),
    );
    check_value("ConfigMap", r#"{"data":{"k":"\u00e9\ud83d\ude00\n"}}"#, "/data/k", value!("é😀\n"));
}

#[test]
fn what_is_wrong_is_said_as_go_says_it() {
    let peek = "couldn't get version/kind; json parse error: ";
    let field = "json: cannot unmarshal ";
    let table = [
        ("ConfigMap", "", format!("{peek}unexpected end of JSON input")),
        ("ConfigMap", "{", format!("{peek}unexpected end of JSON input")),
        ("ConfigMap", "{,}", format!("{peek}invalid character ',' looking for beginning of object key string")),
        ("ConfigMap", r#"{"a" 1}"#, format!("{peek}invalid character '1' after object key")),
        ("ConfigMap", r#"{"a":1 "b"}"#, format!("{peek}invalid character '\"' after object key:value pair")),
        ("ConfigMap", r#"{"a":[1 2]}"#, format!("{peek}invalid character '2' after array element")),
        ("ConfigMap", "{} x", format!("{peek}invalid character 'x' after top-level value")),
        ("ConfigMap", r#"{"a":nul}"#, format!("{peek}invalid character '}}' in literal null (expecting 'l')")),
        ("ConfigMap", r#"{"a":01}"#, format!("{peek}invalid character '1' after object key:value pair")),
        ("ConfigMap", "{\"a\":\"\n\"}", format!("{peek}invalid character '\\n' in string literal")),
        ("ConfigMap", r#"{"kind":7}"#, format!("{peek}{field}number into Go struct field .kind of type string")),
        (
            "ConfigMap",
            r#"{"metadata":{"labels":"x"}}"#,
            format!("{field}string into Go struct field ObjectMeta.metadata.labels of type map[string]string"),
        ),
        (
            "ConfigMap",
            r#"{"data":{"k":7}}"#,
            format!("{field}number into Go struct field ConfigMap.data of type string"),
        ),
        (
            "Pod",
            r#"{"spec":{"containers":{}}}"#,
            format!("{field}object into Go struct field PodSpec.spec.containers of type []v1.Container"),
        ),
        (
            "Pod",
            r#"{"spec":{"containers":["a"]}}"#,
            format!("{field}string into Go struct field PodSpec.spec.containers of type v1.Container"),
        ),
        (
            "Pod",
            r#"{"spec":{"restartPolicy":true}}"#,
            format!("{field}bool into Go struct field PodSpec.spec.restartPolicy of type v1.RestartPolicy"),
        ),
        (
            "Pod",
            r#"{"spec":{"volumes":[{"name":"v","hostPath":{"path":1}}]}}"#,
            format!(
                "{field}number into Go struct field HostPathVolumeSource.spec.volumes.VolumeSource.hostPath.path of type string"
            ),
        ),
        (
            "Pod",
            r#"{"spec":{"volumes":[{"name":"v","hostPath":1}]}}"#,
            format!(
                "{field}number into Go struct field Volume.spec.volumes.VolumeSource.hostPath of type v1.HostPathVolumeSource"
            ),
        ),
        (
            "Pod",
            r#"{"spec":{"containers":[{"livenessProbe":{"exec":{"command":1}}}]}}"#,
            format!(
                "{field}number into Go struct field ExecAction.spec.containers.livenessProbe.ProbeHandler.exec.command of type []string"
            ),
        ),
        (
            "Pod",
            r#"{"spec":{"ephemeralContainers":[{"env":[{"valueFrom":{"secretKeyRef":{"name":1}}}]}]}}"#,
            format!(
                "{field}number into Go struct field SecretKeySelector.spec.ephemeralContainers.EphemeralContainerCommon.env.valueFrom.secretKeyRef.LocalObjectReference.name of type string"
            ),
        ),
        (
            "Deployment",
            r#"{"spec":{"replicas":"3"}}"#,
            format!("{field}string into Go struct field DeploymentSpec.spec.replicas of type int32"),
        ),
        (
            "Deployment",
            r#"{"spec":{"replicas":1.5}}"#,
            format!("{field}number 1.5 into Go struct field DeploymentSpec.spec.replicas of type int32"),
        ),
        (
            "Deployment",
            r#"{"spec":{"replicas":3000000000}}"#,
            format!("{field}number 3000000000 into Go struct field DeploymentSpec.spec.replicas of type int32"),
        ),
        (
            "ConfigMap",
            r#"{"metadata":{"creationTimestamp":"x"}}"#,
            r#"parsing time "x" as "2006-01-02T15:04:05Z07:00": cannot parse "x" as "2006""#.to_string(),
        ),
        ("Secret", r#"{"data":{"k":"*"}}"#, "illegal base64 data at input byte 0".to_string()),
        ("Secret", r#"{"data":{"k":"YWJjZGU"}}"#, "illegal base64 data at input byte 4".to_string()),
        (
            "Pod",
            r#"{"spec":{"overhead":{"cpu":"1x"}}}"#,
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'".to_string(),
        ),
    ];
    for (kind, body, expected) in table {
        assert_eq!(decode(kind, body).expect_err(body), expected, "{body}");
    }
}

#[test]
fn dropped_fields_are_reported_in_order_and_within_a_limit() {
    let body = r#"{"zz":{"deep":[1,{"a":2}]},"data":{"k":"1","k":"2"},"metadata":{"name":"a","bogus":1,"name":"b"},"Data":{}}"#;
    let (value, problems) = decode("ConfigMap", body).expect("decodes");
    assert_eq!(
        problems,
        [
            r#"unknown field "zz""#,
            r#"duplicate field "data.k""#,
            r#"unknown field "metadata.bogus""#,
            r#"duplicate field "metadata.name""#,
            r#"unknown field "Data""#,
        ]
    );
    assert_eq!(value, value!({"data": {"k": "2"}, "metadata": {"name": "b"}}));
    let many: Vec<String> = (0..500).map(|n| format!(r#""x{n}":1"#)).collect();
    let (_, problems) = decode("ConfigMap", &format!("{{{}}}", many.join(","))).expect("decodes");
    assert_eq!(problems.len(), PROBLEMS_MAX);
    assert!(decode("ConfigMap", r#"{"zz":[1 2]}"#).is_err(), "what is dropped is still checked");
}

#[test]
fn depth_is_bounded() {
    let schema = Schema::builtin();
    let id = schema.find("apps", "v1", "ControllerRevision").expect("a kind");
    let nested = |depth: usize| {
        (0..depth).fold(value!(1), |inner, n| if n % 2 == 0 { value!([inner]) } else { value!({"a": inner}) })
    };
    // What a decoder takes whole is within the limit, the object around the data counted, and a reader gets through it.
    let check = |data: Value, refusal: Option<&str>| {
        let object = value!({"apiVersion": "apps/v1", "kind": "ControllerRevision", "metadata": {}, "revision": 0, "data": data});
        let body = object.to_string();
        let mut message = Vec::new();
        protobuf::encode(schema, id, &object, &mut message).expect("encodes");
        for decoded in [
            json::decode(schema, id, body.as_bytes()),
            yaml::decode(schema, id, body.as_bytes()),
            protobuf::decode(schema, id, &message),
        ] {
            match (decoded, refusal) {
                (Ok(decoded), None) => {
                    assert_eq!(decoded.value["data"], data);
                    serde_json::from_slice::<Value>(decoded.value.to_string().as_bytes()).expect("is read again");
                }
                (Err(error), Some(refusal)) => assert!(error.to_string().contains(refusal), "{error}"),
                (decoded, _) => panic!("{decoded:?}"),
            }
        }
    };
    check(nested(NESTING_MAX - 1), None);
    check(nested(NESTING_MAX), Some("exceeded max depth"));
    check(value!([nested(NESTING_MAX)]), Some("exceeded max depth"));

    let depth = NESTING_MAX * 100;
    let deep = |open: &str, close: &str| format!(r#"{{"x":{}{}}}"#, open.repeat(depth), close.repeat(depth));
    for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
        assert!(decode("ConfigMap", &deep(open, close)).is_err());
        assert!(yaml::to_json(deep(open, close).as_bytes()).is_err());
    }
    let body = format!(r#"{{"data":{}1{}}}"#, r#"{"a":"#.repeat(depth), "}".repeat(depth));
    let refused = json::decode(schema, id, body.as_bytes()).expect_err("too deep");
    assert!(refused.to_string().contains("exceeded max depth"), "{refused}");

    let id = schema.find("apiextensions.k8s.io", "v1", "CustomResourceDefinition").expect("a kind");
    let mut bytes = Vec::new();
    for _ in 0..10_000 {
        // Field 26 of JSONSchemaProps is `not`, another JSONSchemaProps.
        let mut outer = vec![0xd2, 0x01];
        let mut len = bytes.len();
        while len >= 0x80 {
            outer.push((len as u8) | 0x80);
            len >>= 7;
        }
        outer.push(len as u8);
        outer.extend_from_slice(&bytes);
        bytes = outer;
    }
    drop(protobuf::decode(schema, id, &bytes));
}

#[test]
fn yaml_is_read_as_go_reads_it() {
    let table = [
        ("a: yes", value!({"a": true})),
        ("a: 'yes'", value!({"a": "yes"})),
        ("a: 0x1f\nb: 017\nc: 1_000\nd: 1e+3\ne: 1e3", value!({"a": 31, "b": 15, "c": 1000, "d": 1000, "e": 1000})),
        ("a: 2001-01-01\nb: 12:30:45", value!({"a": "2001-01-01", "b": "12:30:45"})),
        ("a: ~\nb:\nc: 'null'", value!({"a": null, "b": null, "c": "null"})),
        ("1: x\ntrue: z", value!({"1": "x", "true": "z"})),
        ("a: &x {b: 1}\nc: *x\nd: {<<: *x, e: 2}", value!({"a": {"b": 1}, "c": {"b": 1}, "d": {"b": 1, "e": 2}})),
        ("a: |\n  one\n  two\n", value!({"a": "one\ntwo\n"})),
        ("a: !!str 7", value!({"a": "7"})),
        ("---\na: 1\n---\nb: 2\n", value!({"a": 1})),
    ];
    for (text, expected) in table {
        let (value, problems) = yaml::to_json(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(value, expected, "{text}");
        assert!(problems.is_empty());
    }
    assert_eq!(yaml::to_json(b"x: [").expect_err("unfinished"), "yaml: line 1: did not find expected node content");
}

/// As go.yaml.in/yaml/v2 resolves them, and sigs.k8s.io/yaml writes them as JSON.
#[test]
fn yaml_scalars_are_resolved_as_go_resolves_them() {
    let check = |text: &str, expected: Value| {
        assert_eq!(yaml::to_json(text.as_bytes()), Ok((expected, Vec::new())), "{text}");
    };
    for (text, number) in [("1E3", 1000), ("-1e3", -1000), ("1e+3", 1000), ("5.", 5), ("1.0", 1), ("0e0", 0), ("+1", 1)]
    {
        check(text, value!(number));
    }
    for (text, number) in [("0b101", 5), ("-0b11", -3), ("+0b11", 3), ("0x1F", 31), ("-0x1f", -31), ("0o17", 15)] {
        check(text, value!(number));
    }
    for (text, number) in [("017", 15), ("08", 8), ("0b1_0", 2), ("0x_1", 1), ("1__0", 10), (".5e3", 500)] {
        check(text, value!(number));
    }
    for (text, number) in [("1e-3", 0.001), ("09.5", 9.5), ("1_0.5", 10.5), ("+.5", 0.5), (".5", 0.5), ("1e3_0", 1e30)]
    {
        check(text, value!(number));
    }
    check("18446744073709551615", value!(18_446_744_073_709_551_615_u64));
    check("18446744073709551616", value!(18_446_744_073_709_551_616.0));
    check("-9223372036854775808", value!(i64::MIN));
    for text in ["_1", ".e1", ".", "1e999", ".1e999", "+", "0xg", "0x", "=", "2001-01-01", "2001-1-1T1:2:3Z", "1:2:3"] {
        check(text, value!(text));
    }
    for (text, expected) in [
        ("!!binary aGVsbG8=", value!("hello")),
        ("!!int \"5\"", value!(5)),
        ("!!float 5", value!(5)),
        ("!!float 5.5", value!(5.5)),
        ("!!bool yes", value!(true)),
        ("!!null \"\"", Value::Null),
        ("!!timestamp 2001-01-01", value!("2001-01-01")),
        ("!foo 5", value!("5")),
        ("! 5", value!("5")),
        (
            "{1e3: a, .inf: b, true: c, 0x10: d, 1.5: e, 1e10: f, 5.0: g}",
            value!({
            "1000": "a", ".inf": "b", "true": "c", "16": "d", "1.5": "e", "1e+10": "f", "5": "g"}),
        ),
    ] {
        check(text, expected);
    }
    for (text, error) in [
        (".inf", "json: unsupported value: +Inf"),
        ("a: [-.Inf]", "json: unsupported value: -Inf"),
        (".nan", "json: unsupported value: NaN"),
        ("!!binary x", "yaml: !!binary value contains invalid base64 data"),
        ("!!int 5.5", "yaml: cannot decode !!float `5.5` as a !!int"),
        ("!!bool x", "yaml: cannot decode !!str `x` as a !!bool"),
        ("!!timestamp x", "yaml: cannot decode !!str `x` as a !!timestamp"),
        // The scanner says nothing of the first line, and the parser counts from zero.
        ("a: b: c", "yaml: mapping values are not allowed in this context"),
        ("a: 1\n b: c", "yaml: line 2: mapping values are not allowed in this context"),
        ("a: @x", "yaml: found character that cannot start any token"),
        ("a: 1\nb: @x", "yaml: line 2: found character that cannot start any token"),
        ("a: ]", "yaml: did not find expected node content"),
        ("a: 1\nb: ]", "yaml: line 1: did not find expected node content"),
        ("a: 1\nb: [", "yaml: line 2: did not find expected node content"),
        ("a: 1\n- b", "yaml: line 1: did not find expected key"),
        ("- a\nb: c", "yaml: line 1: did not find expected '-' indicator"),
        ("!x!y a", "yaml: found undefined tag handle"),
        ("{[1]: a}", "yaml: invalid map key: []interface {}{1}"),
        ("{{a: 1}: b}", "yaml: invalid map key: map[interface {}]interface {}{\"a\":1}"),
    ] {
        assert_eq!(yaml::to_json(text.as_bytes()), Err(error.to_owned()), "{text}");
    }
}

#[test]
fn the_line_of_a_key_that_stands_twice_is_that_of_its_value() {
    for (text, lines) in [
        ("a: 1\na: 2\n", &[2][..]),
        ("\na: 1\na: 2\n", &[3]),
        ("# c\n\n# d\na: 1\nb:\n  c: 1\n  c: 2\n", &[7]),
        ("\n\n---\na: 1\na: 2\n", &[5]),
        ("a: 1\na:\n  b: 2\n", &[3]),
        ("{\"a\":1,\n\"a\":2}", &[2]),
        ("# x\na:\n- b: 1\n  b: 2\n", &[4]),
        ("\n\n\na: 1\nb: 1\n\nb: 2\nb: 3\n", &[7, 8]),
        ("%YAML 1.1\n---\na: 1\na: 2\n", &[4]),
    ] {
        let (_, problems) = yaml::to_json(text.as_bytes()).expect("YAML");
        let line = |problem: &Problem| match problem.kind {
            ProblemKind::DuplicateYamlKey { line } => line,
            _ => 0,
        };
        assert_eq!(problems.iter().map(line).collect::<Vec<_>>(), lines, "{text}");
    }
}

#[test]
fn yaml_bombs_are_refused() {
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for n in 1..12 {
        let list = vec![format!("*a{}", n - 1); 10].join(", ");
        bomb.push_str(&format!("a{n}: &a{n} [{list}]\n"));
    }
    let error = yaml::to_json(bomb.as_bytes()).expect_err("a bomb");
    assert_eq!(error, "yaml: document contains excessive aliasing");
    assert!(yaml::to_json(format!("{}1{}", "[".repeat(5000), "]".repeat(5000)).as_bytes()).is_err());
    assert!(yaml::to_json(b"a: &a [*a]").is_err());
    // A copy is kept of each anchored node, so anchors around anchors cost as aliases do.
    let anchors: String = (0..100).map(|n| format!("&a{n} [")).collect();
    let nested = format!("{anchors}{}{}", "x, ".repeat(2000), "]".repeat(100));
    assert_eq!(yaml::to_json(nested.as_bytes()).expect_err("copies"), "yaml: document contains excessive aliasing");
    let text = format!("a: &a {}\nb: [{}]\n", "x".repeat(1 << 20), "*a, ".repeat(20));
    assert_eq!(yaml::to_json(text.as_bytes()).expect_err("long text"), "yaml: document contains excessive aliasing");
    // Each alias stands one deeper than what it names, though no line is deep.
    let chain: String = (1..200).map(|n| format!("a{n}: &a{n} [*a{}]\n", n - 1)).collect();
    let chain = format!("a0: &a0 [x]\n{chain}");
    assert_eq!(yaml::to_json(chain.as_bytes()).expect_err("a chain"), "yaml: exceeded max depth");
}

#[test]
fn envelopes_that_are_none_are_refused() {
    let prefix = "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]";
    let table: [(&[u8], &str); 4] = [
        (b"nope", prefix),
        (b"", "empty data"),
        (b"k8s\0\xff\xff", "unexpected EOF"),
        (b"k8s\0\x12\x7f", "unexpected EOF"),
    ];
    for (body, expected) in table {
        assert_eq!(protobuf::unwrap(body), Err(DecodeError::Unrecognized(expected.to_string())));
    }
    let wrapped = protobuf::wrap("v1", "ConfigMap", b"xyz");
    let envelope = protobuf::unwrap(&wrapped).expect("an envelope");
    assert_eq!((envelope.api_version, envelope.kind, envelope.raw), ("v1", "ConfigMap", &b"xyz"[..]));
}

#[test]
fn yaml_is_written_as_go_writes_it() {
    let value = value!({
        ".": {}, "a": "25%", "b": "true", "c": "1", "d": "2026-01-02T03:04:05Z", "e": "it's: so", "f": "one\ntwo\n",
        "g": ["x", {"h": 1, "i": []}], "k:{\"name\":\"c\"}": "<uid>", "l": "", "m": "*x", "o": "a\nb", "p": "12:30",
    });
    let text = "\
.: {}
a: 25%
b: \"true\"
c: \"1\"
d: \"2026-01-02T03:04:05Z\"
e: 'it''s: so'
f: |
  one
  two
g:
- x
- h: 1
  i: []
k:{\"name\":\"c\"}: <uid>
l: \"\"
m: '*x'
o: |-
  a
  b
p: \"12:30\"
";
    assert_eq!(yaml::encode(&value), text);
}

#[test]
fn keys_that_are_longer_than_readers_look_for_a_colon_are_announced() {
    let (short, long) = ("k".repeat(128), "k".repeat(129));
    let check = |key: &str, value: Value, text: String| {
        let object = value!({"a": {key: value}});
        assert_eq!(yaml::encode(&object), text);
        let (again, _) = yaml::to_json(text.as_bytes()).expect("it is read again");
        assert_eq!(again, object);
    };
    check(&short, value!(1), format!("a:\n  {short}: 1\n"));
    check(&long, value!(1), format!("a:\n  ? {long}\n  : 1\n"));
    check(&long, value!({"b": {"c": 1}, "d": 2}), format!("a:\n  ? {long}\n  : b:\n      c: 1\n    d: 2\n"));
    check(&long, value!([1, {"b": 1}]), format!("a:\n  ? {long}\n  : - 1\n    - b: 1\n"));
}
