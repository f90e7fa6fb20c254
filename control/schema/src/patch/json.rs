//! JSON patches as kube-apiserver applies them: RFC 6902 as `gopkg.in/evanphx/json-patch.v4` reads it, with its words. It
//! differs from the RFC: `replace` makes a field that is absent, `test` and `copy` take one for null, an index may count
//! from the end, what stands before a path's first slash is left out of account, and only `replace` and `test` may mean the
//! whole document.

use sampan_api::limits::{JSON_PATCH_OPERATIONS_MAX, NESTING_MAX};
use serde_json::{Map, Value};

use super::PatchError;
use super::document::{Failure, Node};
use crate::json::name_of;
use crate::limits::JSON_PATCH_COPY_BYTES_MAX;

/// Applies a list of operations. Nothing of it counts unless all of them apply. Costs what the object and the patch are
/// long together, with what is copied, times a logarithm.
///
/// # Errors
/// `BadRequest` when the patch is no list of operations, `TooLarge` beyond the limits, `TestFailed` when a test fails,
/// `Unprocessable` when another one does not apply.
pub fn json(current: Value, patch: &Value) -> Result<Value, PatchError> {
    let mismatch = |value: &Value, ty: &str| {
        PatchError::BadRequest(format!(
            "json: cannot unmarshal {} into Go value of type jsonpatch.{ty}",
            name_of(value)
        ))
    };
    let operations = match patch {
        Value::Array(operations) => operations.as_slice(),
        Value::Null => &[],
        other => return Err(mismatch(other, "Patch")),
    };
    let count = operations.len();
    if count > JSON_PATCH_OPERATIONS_MAX {
        return Err(PatchError::TooLarge(format!(
            "The allowed maximum operations in a JSON patch is {JSON_PATCH_OPERATIONS_MAX}, got {count}"
        )));
    }
    let nothing = Map::new();
    let fields = |operation: &'_ Value| match operation {
        Value::Object(_) | Value::Null => Ok(()),
        other => Err(mismatch(other, "Operation")),
    };
    operations.iter().try_for_each(fields)?;
    let mut state = State { document: Node::of(current), copied: 0 };
    for operation in operations {
        let operation = Operation(operation.as_object().unwrap_or(&nothing));
        state.apply(operation)?;
    }
    Ok(state.document.into_value())
}

/// One operation as it was sent.
#[derive(Clone, Copy)]
struct Operation<'a>(&'a Map<String, Value>);

impl<'a> Operation<'a> {
    fn kind(self) -> &'a str {
        self.0.get("op").and_then(Value::as_str).unwrap_or("unknown")
    }

    fn text(self, name: &str, missing: &str) -> Result<&'a str, String> {
        match self.0.get(name) {
            None | Some(Value::Null) => Err(format!("{missing}: {MISSING}")),
            Some(Value::String(text)) => Ok(text),
            Some(other) => Err(format!("json: cannot unmarshal {} into Go value of type string", name_of(other))),
        }
    }

    fn path(self) -> Result<&'a str, String> {
        self.text("path", "operation missing path field")
    }

    fn from(self) -> Result<&'a str, String> {
        self.text("from", "operation, missing from field")
    }

    /// Go takes one that is missing for null.
    fn value(self) -> &'a Value {
        self.0.get("value").unwrap_or(&Value::Null)
    }
}

/// Go's words for what is not there.
const MISSING: &str = "missing value";

/// The decoded tokens of a path, at least one: its first slash begins the first one.
fn tokens(path: &str) -> Option<Vec<String>> {
    let decoded = |token: &str| token.replace("~1", "/").replace("~0", "~");
    let tokens: Vec<String> = path.split('/').skip(1).map(decoded).collect();
    (!tokens.is_empty()).then_some(tokens)
}

/// The last token of a path, as errors show it.
fn key(path: &str) -> String {
    tokens(path).and_then(|mut tokens| tokens.pop()).unwrap_or_default()
}

struct State {
    document: Node,
    /// Bytes that all copies have made so far.
    copied: usize,
}

impl State {
    fn apply(&mut self, operation: Operation<'_>) -> Result<(), PatchError> {
        let applied = match operation.kind() {
            "add" => self.add(operation),
            "remove" => self.remove(operation),
            "replace" => self.replace(operation),
            "move" => self.relocate(operation),
            "test" => return self.test(operation),
            "copy" => self.copy(operation),
            other => Err(format!("Unexpected kind: {other}")),
        };
        applied.map_err(PatchError::Unprocessable)
    }

    fn add(&mut self, operation: Operation<'_>) -> Result<(), String> {
        let path = operation.path().map_err(|_| format!("add operation failed to decode path: {MISSING}"))?;
        let node = Node::of(operation.value().clone());
        self.put(path, node).map_err(|failure| match failure {
            Failure::Parent => format!("add operation does not apply: doc is missing path: \"{path}\": {MISSING}"),
            Failure::Key(why) => format!("error in add for path: '{path}': {why}"),
            Failure::Nesting(why) => why,
        })
    }

    /// Puts a node where the path leads.
    fn put(&mut self, path: &str, node: Node) -> Result<(), Failure> {
        let tokens = tokens(path).ok_or(Failure::Parent)?;
        check_nesting(tokens.len() + node.height())?;
        self.document.add(&tokens, node)
    }

    fn remove(&mut self, operation: Operation<'_>) -> Result<(), String> {
        let path = operation.path().map_err(|_| format!("remove operation failed to decode path: {MISSING}"))?;
        self.take(path).map(drop).map_err(|failure| match failure {
            Failure::Parent => format!("remove operation does not apply: doc is missing path: \"{path}\": {MISSING}"),
            Failure::Key(why) | Failure::Nesting(why) => format!("error in remove for path: '{path}': {why}"),
        })
    }

    fn take(&mut self, path: &str) -> Result<Node, Failure> {
        self.document.take(&tokens(path).ok_or(Failure::Parent)?)
    }

    fn replace(&mut self, operation: Operation<'_>) -> Result<(), String> {
        let path = operation.path().map_err(|why| format!("replace operation failed to decode path: {why}"))?;
        let node = Node::of(operation.value().clone());
        if path.is_empty() {
            if let Node::Scalar(_) = node {
                return Err("replace operation value must be object or array: %!w(<nil>)".to_owned());
            }
            self.document = node;
            return Ok(());
        }
        let replaced = tokens(path).ok_or(Failure::Parent).and_then(|tokens| {
            check_nesting(tokens.len() + node.height())?;
            self.document.set(&tokens, node)
        });
        replaced.map_err(|failure| match failure {
            Failure::Parent => format!("replace operation does not apply: doc is missing path: {path}: {MISSING}"),
            Failure::Key(_) => format!("replace operation does not apply: doc is missing key: {path}: {MISSING}"),
            Failure::Nesting(why) => why,
        })
    }

    fn relocate(&mut self, operation: Operation<'_>) -> Result<(), String> {
        let from = operation.from().map_err(|why| format!("move operation failed to decode from: {why}"))?;
        let node = self.take(from).map_err(|failure| match failure {
            Failure::Parent => format!("move operation does not apply: doc is missing from path: {from}: {MISSING}"),
            Failure::Key(why) | Failure::Nesting(why) => format!("error in move for path: '{}': {why}", key(from)),
        })?;
        let path = operation.path().map_err(|why| format!("move operation failed to decode path: {why}"))?;
        self.put(path, node).map_err(|failure| match failure {
            Failure::Parent => {
                format!("move operation does not apply: doc is missing destination path: {path}: {MISSING}")
            }
            Failure::Key(why) => format!("error in move for path: '{path}': {why}"),
            Failure::Nesting(why) => why,
        })
    }

    fn test(&self, operation: Operation<'_>) -> Result<(), PatchError> {
        let (path, found) = self.tested(operation).map_err(PatchError::Unprocessable)?;
        if found.map_or(operation.value().is_null(), |node| node.equals(operation.value())) {
            return Ok(());
        }
        Err(PatchError::TestFailed(format!("testing value {path} failed: test failed")))
    }

    /// The path of a test, and what stands there.
    fn tested<'a>(&self, operation: Operation<'a>) -> Result<(&'a str, Option<&Node>), String> {
        let path = operation.path().map_err(|why| format!("test operation failed to decode path: {why}"))?;
        let found = if path.is_empty() {
            Ok(Some(&self.document))
        } else {
            tokens(path).ok_or(Failure::Parent).and_then(|tokens| self.document.get(&tokens))
        };
        let found = found.map_err(|failure| match failure {
            Failure::Parent => format!("test operation does not apply: is missing path: {path}: {MISSING}"),
            Failure::Key(why) | Failure::Nesting(why) => format!("error in test for path: '{path}': {why}"),
        })?;
        Ok((path, found))
    }

    fn copy(&mut self, operation: Operation<'_>) -> Result<(), String> {
        let from = operation.from().map_err(|why| format!("copy operation failed to decode from: {why}"))?;
        let found = tokens(from).ok_or(Failure::Parent).and_then(|tokens| self.document.get(&tokens));
        let found = found.map_err(|failure| match failure {
            Failure::Parent => format!("copy operation does not apply: doc is missing from path: {from}: {MISSING}"),
            Failure::Key(why) | Failure::Nesting(why) => format!("error in copy for from: '{from}': {why}"),
        })?;
        let copy = found.cloned().map(Node::into_value);
        let path = operation.path().map_err(|_| format!("copy operation failed to decode path: {MISSING}"))?;
        let destination = format!("copy operation does not apply: doc is missing destination path: {path}: {MISSING}");
        let Some(to) = tokens(path).filter(|to| self.document.has_parent_of(to)) else { return Err(destination) };
        self.copied += copy.as_ref().map_or(0, |value| value.to_string().len());
        if self.copied > JSON_PATCH_COPY_BYTES_MAX {
            return Err(format!(
                "Unable to complete the copy, the accumulated size increase of copy is {}, exceeding the limit \
                 {JSON_PATCH_COPY_BYTES_MAX}",
                self.copied
            ));
        }
        let node = Node::of(copy.unwrap_or(Value::Null));
        let added = check_nesting(to.len() + node.height()).and_then(|()| self.document.add(&to, node));
        added.map_err(|failure| match failure {
            Failure::Parent => destination,
            Failure::Key(why) => format!("error while adding value during copy: {why}"),
            Failure::Nesting(why) => why,
        })
    }
}

/// Refuses what would make the document nest too deeply. The patch and the object are each read with a bound on their
/// nesting, but operations that put one below the other add up, and a tree is cloned, written and dropped by recursion.
fn check_nesting(depth: usize) -> Result<(), Failure> {
    if depth > NESTING_MAX {
        return Err(Failure::Nesting(format!(
            "the patched object would nest {depth} deep, exceeding the limit {NESTING_MAX}"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn nested(depth: usize) -> Value {
        (0..depth).fold(json!(1), |inner, _| json!({ "a": inner }))
    }

    #[test]
    fn a_patch_nests_no_deeper_than_a_body_may() {
        let check = |document: Value, operations: Value, expected: Option<usize>| {
            let patched = json(document, &operations);
            match (patched, expected) {
                (Ok(value), Some(depth)) => {
                    assert_eq!(Node::of(value.clone()).height(), depth, "{operations}");
                    assert!(serde_json::from_str::<Value>(&value.to_string()).is_ok(), "it can be read back");
                }
                (Err(PatchError::Unprocessable(text)), None) => assert!(text.contains("nest"), "{text}"),
                (found, _) => panic!("{operations}: {found:?}"),
            }
        };
        let leaf = "/a".repeat(NESTING_MAX - 1);
        let add = |path: &str, depth: usize| json!({"op": "add", "path": path, "value": nested(depth)});
        let copy = |from: &str, path: &str| json!({"op": "copy", "from": from, "path": path});
        check(json!({}), json!([add("/x", NESTING_MAX - 1)]), Some(NESTING_MAX));
        check(json!({}), json!([add("/x", NESTING_MAX)]), None);
        check(json!({"x": 1}), json!([{"op": "replace", "path": "/x", "value": nested(NESTING_MAX)}]), None);
        // Each copy below its own deepest leaf doubles the depth.
        check(nested(NESTING_MAX - 1), json!([copy("/a", &leaf)]), None);
        let below = format!("/x{}", "/a".repeat(NESTING_MAX / 2));
        let doubling: Vec<Value> = (0..11).map(|_| copy("/x", &below)).collect();
        check(json!({"x": nested(NESTING_MAX / 2)}), Value::Array(doubling), None);
        check(nested(NESTING_MAX), json!([copy("/a", "/b")]), Some(NESTING_MAX));
        let two = json!({"deep": nested(100), "x": nested(50)});
        let below = format!("/deep{}", "/a".repeat(100));
        check(two.clone(), json!([{"op": "move", "from": "/x", "path": below}]), None);
        check(two, json!([{"op": "move", "from": "/x", "path": "/y"}]), Some(101));
    }
}
