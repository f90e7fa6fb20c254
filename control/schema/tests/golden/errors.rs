//! The words for bad bodies against what the real API server recorded.

use sampan_schema::{Schema, json, problems, yaml};
use serde_json::Value;

use sampan_testing::reference::{self, Comparison};

/// The resource of a path, as the schema finds its kind.
const KINDS: &[(&str, &str, &str, &str)] = &[
    ("configmaps", "", "v1", "ConfigMap"),
    ("secrets", "", "v1", "Secret"),
    ("pods", "", "v1", "Pod"),
    ("services", "", "v1", "Service"),
    ("deployments", "apps", "v1", "Deployment"),
    ("jobs", "batch", "v1", "Job"),
];

/// What a decoder and the field validation make of a body: the message of a 400, or the texts of warnings.
fn answer(step: &Value, kind: &(&str, &str, &str, &str)) -> Result<Vec<String>, String> {
    let (_, group, version, name) = *kind;
    let schema = Schema::builtin();
    let id = schema.find(group, version, name).expect("a known kind");
    let body = match (&step["body"], &step["raw"]) {
        (Value::String(text), _) | (_, Value::String(text)) => text.clone().into_bytes(),
        (body, _) => serde_json::to_vec(body).expect("JSON"),
    };
    let is_yaml = step["headers"]["content-type"] == "application/yaml";
    let decoded = if is_yaml { yaml::decode(schema, id, &body) } else { json::decode(schema, id, &body) };
    let path = step["path"].as_str().unwrap_or("");
    match decoded {
        Err(error) => Err(error.message(name, name, version, &body)),
        Ok(decoded) if path.contains("fieldValidation=Strict") && !decoded.problems.is_empty() => {
            let text = problems::strict_error(&decoded.problems);
            Err(format!("{name} in version {version:?} cannot be handled as a {name}: {text}"))
        }
        Ok(decoded) => Ok(problems::warnings(&decoded.problems)),
    }
}

#[test]
fn bad_bodies_as_recorded() {
    let Some(text) = reference::text("golden/validation.jsonl") else { return };
    let mut comparison = Comparison::new("bad bodies", []);
    for line in text.lines() {
        let case: Value = serde_json::from_str(line).expect("JSON");
        for step in case["steps"].as_array().expect("steps") {
            let path = step["path"].as_str().unwrap_or("").split('?').next().unwrap_or_default();
            let resource = path.rsplit('/').next().unwrap_or_default();
            let Some(kind) = KINDS.iter().find(|(known, ..)| *known == resource) else { continue };
            let response = &step["response"];
            let message = response["body"]["message"].as_str().unwrap_or("");
            let about_body = ["cannot be handled as", "the object provided is unrecognized"];
            // Whether the body's kind is the resource's is the API server's to check.
            if message.contains("in scheme") || message.contains("unknown conversion") {
                continue;
            }
            let refused = about_body.iter().any(|words| message.contains(words)) && step["body"] != Value::Null;
            let warnings: Vec<String> = response["headers"]["warning"]
                .as_array()
                .map(|all| all.iter().filter_map(|w| serde_json::from_str(w.as_str()?.strip_prefix("299 - ")?).ok()))
                .map(Iterator::collect)
                .unwrap_or_default();
            let warned = warnings.iter().any(|w| w.starts_with("unknown field") || w.starts_with("line "));
            let expected = match (refused, warned) {
                (true, _) => Err(message.to_string()),
                (_, true) if step["method"] != "PATCH" => Ok(warnings),
                _ => continue,
            };
            // The recording keeps an object's keys in their order; reading it sorts them.
            let sorted = |answer: Result<Vec<String>, String>| match answer {
                Ok(mut warnings) => {
                    warnings.sort();
                    (warnings, String::new())
                }
                Err(text) => {
                    let mut parts: Vec<String> = text.split(", unknown field").map(String::from).collect();
                    let first = parts
                        .first()
                        .map(|p| p.replace("strict decoding error: unknown field", "strict decoding error: , "));
                    parts.splice(
                        ..1,
                        first.into_iter().flat_map(|p| p.split(", ").map(String::from).collect::<Vec<_>>()),
                    );
                    parts.sort();
                    (parts, "refused".to_string())
                }
            };
            let (got, expected) = (sorted(answer(step, kind)), sorted(expected));
            comparison.equal(case["id"].as_str().unwrap_or_default(), &got, &expected);
        }
    }
    comparison.finish(16);
}
