//! A container's variables and words, with their `$(NAME)`s expanded within named bounds: variables may hold each other, so
//! that a few hundred bytes of a spec could ask for all the memory there is.

#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

use crate::container::{Refusal, refuse};
use crate::limits::{ENV_BYTES_MAX, ENV_VARIABLES_MAX};
use sampan_api::k8s::api::core::v1::{Container, EnvVar, Pod};
use std::collections::HashMap;
use std::net::Ipv4Addr;

/// The variables of one container. Invariant: names and values together have at most [`ENV_BYTES_MAX`] bytes.
#[derive(Debug, Default)]
pub(crate) struct Environment {
    list: Vec<(String, String)>,
    index: HashMap<String, usize>,
    bytes: usize,
}

impl Environment {
    /// A container's variables. Asynchronous, since sources other than the pod itself are asked of the API.
    pub(crate) async fn of(pod: &Pod, container: &Container, ip: Ipv4Addr, host_ip: &str) -> Result<Self, Refusal> {
        let mut env = Self::default();
        for variable in container.env.iter().flatten() {
            let value = match &variable.value_from {
                None => env.expand(variable.value.as_deref().unwrap_or_default(), ENV_BYTES_MAX),
                Some(_) => Some(value_from(pod, variable, ip, host_ip)?),
            };
            let value = value.ok_or_else(too_large)?;
            env.set(&variable.name, value)?;
        }
        if !env.index.contains_key("HOSTNAME") {
            let hostname = pod.spec.as_ref().and_then(|spec| spec.hostname.clone());
            env.set("HOSTNAME", hostname.or_else(|| pod.metadata.name.clone()).unwrap_or_default())?;
        }
        Ok(env)
    }

    /// The last value of a name counts.
    fn set(&mut self, name: &str, value: String) -> Result<(), Refusal> {
        let known = self.index.get(name).copied();
        let (old, new) = match known {
            Some(at) => (self.list[at].1.len(), value.len()),
            None => (0, name.len().saturating_add(value.len())),
        };
        self.bytes = self.bytes.saturating_sub(old).saturating_add(new);
        if self.bytes > ENV_BYTES_MAX {
            return Err(too_large());
        }
        match known {
            Some(at) => self.list[at].1 = value,
            None if self.list.len() >= ENV_VARIABLES_MAX => {
                return Err(refuse(format!("env: this node gives a container at most {ENV_VARIABLES_MAX} variables")));
            }
            None => {
                self.index.insert(name.to_owned(), self.list.len());
                self.list.push((name.to_owned(), value));
            }
        }
        Ok(())
    }

    /// `command` and `args`, expanded.
    pub(crate) fn words<'a>(&self, words: impl Iterator<Item = &'a str>) -> Result<Vec<String>, Refusal> {
        let mut left = ENV_BYTES_MAX;
        let mut expanded = Vec::new();
        for word in words {
            let word = self.expand(word, left).ok_or_else(|| {
                refuse(format!("command and args: expanded, they have more than {ENV_BYTES_MAX} bytes"))
            })?;
            left = left.saturating_sub(word.len());
            expanded.push(word);
        }
        Ok(expanded)
    }

    pub(crate) fn into_list(self) -> Vec<(String, String)> {
        self.list
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.index.get(name).map(|at| self.list[*at].1.as_str())
    }

    /// Kubernetes' `$(NAME)` expansion: `$$` is a dollar, an unknown name stays as it is
    /// (k8s.io/kubernetes/third_party/forked/golang/expansion). None: it would have more than `max` bytes.
    fn expand(&self, text: &str, max: usize) -> Option<String> {
        let mut out = Bounded { text: String::new(), max };
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            out.push(before)?;
            if let Some(tail) = after.strip_prefix('$') {
                out.push("$")?;
                rest = tail;
            } else if let Some((name, tail)) = after.strip_prefix('(').and_then(|inner| inner.split_once(')')) {
                match self.get(name) {
                    Some(value) => out.push(value)?,
                    None => ["$(", name, ")"].into_iter().try_for_each(|part| out.push(part))?,
                }
                rest = tail;
            } else {
                out.push("$")?;
                rest = after;
            }
        }
        out.push(rest)?;
        Some(out.text)
    }
}

struct Bounded {
    text: String,
    max: usize,
}

impl Bounded {
    fn push(&mut self, part: &str) -> Option<()> {
        if part.len() > self.max.saturating_sub(self.text.len()) {
            return None;
        }
        self.text.push_str(part);
        Some(())
    }
}

fn too_large() -> Refusal {
    refuse(format!("env: expanded, the variables have more than {ENV_BYTES_MAX} bytes"))
}

fn value_from(pod: &Pod, variable: &EnvVar, ip: Ipv4Addr, host_ip: &str) -> Result<String, Refusal> {
    let unserved = || refuse(format!("env {}: this node serves no source but value and fieldRef", variable.name));
    let field = variable.value_from.as_ref().and_then(|from| from.field_ref.as_ref()).ok_or_else(unserved)?;
    field_of(pod, &field.field_path, ip, host_ip).map_err(|why| refuse(format!("env {}: {why}", variable.name)))
}

/// The text of a field of a pod (`fieldRef`). Error: there is no such field, or none that is served.
pub(crate) fn field_of(pod: &Pod, path: &str, ip: Ipv4Addr, host_ip: &str) -> Result<String, String> {
    let metadata = &pod.metadata;
    let spec = pod.spec.as_ref();
    let keyed = |prefix: &str| path.strip_prefix(prefix)?.strip_suffix("']").map(str::to_owned);
    let found = match path {
        "metadata.name" => metadata.name.clone(),
        "metadata.namespace" => metadata.namespace.clone(),
        "metadata.uid" => metadata.uid.clone(),
        "spec.nodeName" => spec.and_then(|spec| spec.node_name.clone()),
        "spec.serviceAccountName" => spec.and_then(|spec| spec.service_account_name.clone()),
        "status.podIP" | "status.podIPs" => Some(ip.to_string()),
        "status.hostIP" | "status.hostIPs" => Some(host_ip.to_owned()),
        _ => {
            let (map, key) = match (keyed("metadata.labels['"), keyed("metadata.annotations['")) {
                (Some(key), _) => (metadata.labels.as_ref(), key),
                (_, Some(key)) => (metadata.annotations.as_ref(), key),
                _ => return Err(format!("unsupported fieldPath: {path}")),
            };
            map.and_then(|map| map.get(&key)).cloned()
        }
    };
    Ok(found.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn of(env: Vec<Value>, args: &[&str]) -> Result<(Environment, Vec<String>), Refusal> {
        let container: Container = serde_json::from_value(json!({"name": "c", "env": env})).expect("a container");
        let pod = Pod::default();
        let env = Environment::of(&pod, &container, Ipv4Addr::LOCALHOST, "127.0.0.1");
        let env = futures::FutureExt::now_or_never(env).expect("nothing is waited for")?;
        let words = env.words(args.iter().copied())?;
        Ok((env, words))
    }

    #[test]
    fn names_are_expanded_as_kubernetes_does() {
        let env = || vec![json!({"name": "A", "value": "1"}), json!({"name": "B", "value": "$(A)2$(LATER)"})];
        let check = |word: &str, expected: &str| {
            let (_, words) = of(env(), &[word]).expect("small");
            assert_eq!(words, [expected], "{word}");
        };
        check("$(A)", "1");
        check("x$(B)y", "x12$(LATER)y");
        check("$$(A)", "$(A)");
        check("$$$(A)", "$1");
        check("$A $ $( $(A", "$A $ $( $(A");
        check("$()", "$()");
        check("\u{fc}$(\u{fc})\u{fc}", "\u{fc}$(\u{fc})\u{fc}");
    }

    #[test]
    fn the_last_value_of_a_name_counts() {
        let env = vec![json!({"name": "A", "value": "1"}), json!({"name": "A", "value": "$(A)2"})];
        let (env, _) = of(env, &[]).expect("small");
        assert_eq!(env.get("A"), Some("12"));
        assert_eq!(env.list.len(), 2, "with HOSTNAME");
    }

    #[test]
    fn variables_that_hold_each_other_are_refused_before_they_are_made() {
        // 100^10 bytes.
        let tenfold =
            |n: usize| json!({"name": format!("V{n}"), "value": format!("$(V{})", n.wrapping_sub(1)).repeat(100)});
        let mut env = vec![json!({"name": "V0", "value": "x".repeat(100)})];
        env.extend((1..10).map(tenfold));
        let refusal = of(env, &[]).expect_err("refused");
        assert_eq!(refusal.reason, "CreateContainerConfigError");
        assert!(refusal.message.contains("more than"), "{}", refusal.message);

        let half = vec![json!({"name": "A", "value": "x".repeat(ENV_BYTES_MAX / 2)})];
        assert!(of(half.clone(), &["$(A)"]).is_ok());
        let refusal = of(half.clone(), &["$(A)", "$(A)", "$(A)"]).expect_err("refused");
        assert!(refusal.message.contains("command and args"), "{}", refusal.message);
        // Again and again the same name: only its last value is kept, and counted.
        let same = vec![half[0].clone(); 10];
        assert!(of(same, &[]).is_ok());
    }

    #[test]
    fn many_variables_are_quick_and_too_many_are_refused() {
        let many = |n: usize| (0..n).map(|i| json!({"name": format!("V{i}")})).collect::<Vec<_>>();
        assert!(of(many(ENV_VARIABLES_MAX - 1), &[]).is_ok());
        let refusal = of(many(ENV_VARIABLES_MAX + 1), &[]).expect_err("refused");
        assert!(refusal.message.contains(&ENV_VARIABLES_MAX.to_string()), "{}", refusal.message);
    }
}
