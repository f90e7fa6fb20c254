//! Pod security standards: pods of all that they look at, in every version.

use crate::Compared;
use sampan_api::Object;
use sampan_testing::Dice;
use serde_json::{Map, Value, json};

/// Asked for by their versions, and by those before and after them.
const MINORS_MAX: u64 = 40;

pub(crate) const POD_SECURITY: Compared = Compared {
    of: "pod-security",
    input,
    ours: |input| {
        let standard = format!("{}:{}", text(&input["level"]), text(&input["version"]));
        let pod = Object::from_value(input["pod"].clone()).expect("a pod");
        match sampan_admission::plugins::forbidden_by(&standard, &pod).expect("a standard") {
            None => Ok("allowed".into()),
            Some(details) => Err(details),
        }
    },
    errors: &[
        "allowPrivilegeEscalation != false (",
        "forbidden AppArmor profile (",
        "forbidden AppArmor profiles (",
        "non-default capabilities (",
        "unrestricted capabilities (",
        "host namespaces (",
        "hostPath volumes (",
        "hostPort (",
        "probe or lifecycle host (",
        "privileged (",
        "procMount (",
        "restricted volume types (",
        "must not set securityContext.runAsNonRoot=false",
        "must set securityContext.runAsNonRoot=true",
        "runAsUser=0 (",
        "seLinuxOptions (",
        "seccompProfile (forbidden annotation",
        "seccompProfile (pod or container",
        "must not set securityContext.seccompProfile.type to",
        "forbidden sysctls (",
        "hostProcess (",
    ],
    ..Compared::NOTHING
};

fn text(value: &Value) -> &str {
    value.as_str().expect("text")
}

fn one_of(dice: &mut Dice, values: &[Value]) -> Value {
    values[dice.roll(values.len() as u64) as usize].clone()
}

fn words(dice: &mut Dice, of: &[&str], most: u64) -> Value {
    (0..=dice.roll(most)).map(|_| of[dice.roll(of.len() as u64) as usize]).collect::<Vec<_>>().into()
}

fn input(dice: &mut Dice) -> Value {
    let strict = dice.one_in(2);
    let version = match dice.roll(3) {
        0 => "latest".to_owned(),
        _ => format!("v1.{}", dice.roll(MINORS_MAX)),
    };
    let level = match (strict, dice.one_in(20)) {
        (_, true) => "privileged",
        (true, false) => "restricted",
        (false, false) => "baseline",
    };
    json!({"level": level, "version": version, "pod": pod(dice, strict)})
}

/// A pod with few things wrong. `strict`: what the strictest level wants is mostly there.
fn pod(dice: &mut Dice, strict: bool) -> Value {
    let mut spec = Map::new();
    let names: Vec<String> = (0..=dice.roll(3)).map(|at| format!("c{at}")).collect();
    let (first, rest) = names.split_at(1);
    let list = |dice: &mut Dice, names: &[String]| -> Value {
        names.iter().map(|name| container(dice, name, strict)).collect::<Vec<_>>().into()
    };
    spec.insert("containers".into(), list(dice, first));
    let other = if dice.one_in(2) { "initContainers" } else { "ephemeralContainers" };
    spec.insert(other.into(), list(dice, rest));
    for field in ["hostNetwork", "hostPID", "hostIPC"] {
        if dice.one_in(40) {
            spec.insert(field.into(), dice.one_in(2).into());
        }
    }
    if dice.one_in(6) {
        spec.insert("hostUsers".into(), dice.one_in(3).into());
    }
    if dice.one_in(8) {
        spec.insert("os".into(), json!({"name": one_of(dice, &["windows".into(), "linux".into()])}));
    }
    if dice.one_in(3) {
        spec.insert("volumes".into(), volumes(dice));
    }
    if strict || dice.one_in(3) {
        let mut context = context(dice, strict);
        if dice.one_in(8) {
            let names = [
                "kernel.shm_rmid_forced",
                "net.ipv4.tcp_rmem",
                "net.ipv4.tcp_fin_timeout",
                "kernel.msgmax",
                "net.ipv4.ip_local_reserved_ports",
            ];
            let names = words(dice, &names, 2);
            let all: Vec<Value> =
                names.as_array().into_iter().flatten().map(|name| json!({"name": name, "value": "1"})).collect();
            context["sysctls"] = all.into();
        }
        spec.insert("securityContext".into(), context);
    }
    let mut metadata = json!({"name": "p"});
    if dice.one_in(6) {
        metadata["annotations"] = annotations(dice);
    }
    json!({"metadata": metadata, "spec": spec})
}

fn annotations(dice: &mut Dice) -> Value {
    let keys = [
        "container.apparmor.security.beta.kubernetes.io/c0",
        "container.apparmor.security.beta.kubernetes.io/none",
        "container.seccomp.security.alpha.kubernetes.io/c0",
        "container.seccomp.security.alpha.kubernetes.io/none",
        "seccomp.security.alpha.kubernetes.io/pod",
        "other",
    ];
    let values = ["runtime/default", "docker/default", "localhost/a", "unconfined", "a\"b", ""];
    let chosen: Map<String, Value> = (0..=dice.roll(2))
        .map(|_| {
            let key = keys[dice.roll(keys.len() as u64) as usize];
            (key.to_owned(), values[dice.roll(values.len() as u64) as usize].into())
        })
        .collect();
    chosen.into()
}

fn volumes(dice: &mut Dice) -> Value {
    let kinds = [
        json!({"configMap": {"name": "a"}}),
        json!({"emptyDir": {}}),
        json!({"secret": {"secretName": "s"}}),
        json!({"projected": {"sources": []}}),
        json!({"persistentVolumeClaim": {"claimName": "c"}}),
        json!({"hostPath": {"path": "/x"}}),
        json!({"nfs": {"server": "s", "path": "/"}}),
        json!({"gitRepo": {"repository": "r"}}),
        json!({"image": {"reference": "i"}}),
        json!({}),
    ];
    let all = (0..=dice.roll(2)).map(|at| {
        // Mostly of those that are anybody's.
        let mut volume = if dice.one_in(4) { one_of(dice, &kinds) } else { one_of(dice, &kinds[..5]) };
        volume["name"] = format!("v{at}").into();
        volume
    });
    all.collect::<Vec<_>>().into()
}

/// The part of a security context that pods and containers have alike.
fn context(dice: &mut Dice, strict: bool) -> Value {
    let mut context = json!({});
    if strict && !dice.one_in(30) {
        context["runAsNonRoot"] = true.into();
        context["seccompProfile"] = json!({"type": "RuntimeDefault"});
    }
    if dice.one_in(25) {
        context["runAsNonRoot"] = dice.one_in(2).into();
    }
    if dice.one_in(20) {
        context["runAsUser"] = dice.roll(2).into();
    }
    if dice.one_in(20) {
        let kinds = ["Localhost".into(), "RuntimeDefault".into(), "Unconfined".into(), "Other".into()];
        context["seccompProfile"] = json!({"type": one_of(dice, &kinds)});
    }
    if dice.one_in(20) {
        let kinds = ["Localhost".into(), "RuntimeDefault".into(), "Unconfined".into(), "Other".into()];
        context["appArmorProfile"] = json!({"type": one_of(dice, &kinds)});
    }
    if dice.one_in(20) {
        let kinds = ["".into(), "container_t".into(), "container_engine_t".into(), "spc_t".into()];
        context["seLinuxOptions"] = json!({"type": one_of(dice, &kinds)});
        if dice.one_in(3) {
            let field = if dice.one_in(2) { "user" } else { "role" };
            context["seLinuxOptions"][field] = one_of(dice, &["".into(), "x".into()]);
        }
    }
    if dice.one_in(25) {
        context["windowsOptions"] = json!({"hostProcess": dice.one_in(2)});
    }
    context
}

fn container(dice: &mut Dice, name: &str, strict: bool) -> Value {
    let mut container = json!({"name": name, "image": "i"});
    if strict || dice.one_in(3) {
        let mut context = context(dice, false);
        if strict && !dice.one_in(30) {
            context["allowPrivilegeEscalation"] = false.into();
            context["capabilities"] = json!({"drop": ["ALL"]});
        }
        if dice.one_in(15) {
            let names = ["NET_BIND_SERVICE", "CHOWN", "SYS_ADMIN", "NET_RAW", "KILL"];
            context["capabilities"]["add"] = words(dice, &names, 2);
        }
        if dice.one_in(25) {
            context["privileged"] = dice.one_in(2).into();
        }
        if dice.one_in(25) {
            context["procMount"] = one_of(dice, &["Default".into(), "Unmasked".into(), "Other".into()]);
        }
        container["securityContext"] = context;
    }
    if dice.one_in(15) {
        let ports = (0..=dice.roll(1)).map(|at| json!({"containerPort": at + 1, "hostPort": dice.roll(3) * 40}));
        container["ports"] = ports.collect::<Vec<_>>().into();
    }
    if dice.one_in(15) {
        let host = one_of(dice, &["".into(), "h1".into(), "h2".into()]);
        let handler = if dice.one_in(2) {
            json!({"httpGet": {"port": 1, "host": host}})
        } else {
            json!({"tcpSocket": {"port": 1, "host": host}})
        };
        match dice.roll(4) {
            0 => container["livenessProbe"] = handler,
            1 => container["startupProbe"] = handler,
            2 => container["lifecycle"] = json!({"preStop": handler}),
            _ => container["lifecycle"] = json!({"postStart": handler}),
        }
    }
    container
}
