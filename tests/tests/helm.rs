//! Unmodified Helm 3 and 4 (which applies on the server by default): a chart with a definition of a custom resource is
//! installed, upgraded, rolled back and taken away. SAMPAN_TIER=nightly.

use sampan_tests::{Sampan, check_all, is_nightly, root, tool};
use serde_json::Value;
use std::process::Command;

/// One Helm on one release.
struct Helm<'a> {
    sampan: &'a Sampan,
    program: &'static str,
    release: &'static str,
}

impl Helm<'_> {
    fn run(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(tool(self.program));
        command.env("KUBECONFIG", &self.sampan.kubeconfig).env("HOME", &self.sampan.folder);
        let output = command.args(arguments).output().expect("helm starts");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{} {arguments:?}: {errors}", self.program);
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// A verb that takes the chart.
    fn chart(&self, verb: &str, values: &str) {
        let chart = root().join("tests/clients/chart");
        let chart = chart.to_string_lossy();
        self.run(&[verb, self.release, &chart, "--wait", "--timeout", "60s", "--set", values]);
    }

    fn object(&self, kind: &str) -> Option<Value> {
        self.sampan.get(&[kind, self.release])
    }

    fn check(&self, message: &str, replicas: i64, size: i64) {
        let of = |kind: &str| self.object(kind).unwrap_or_else(|| panic!("{kind} {} is gone", self.release));
        assert_eq!(of("configmap")["data"]["message"], message);
        assert_eq!(of("deployment")["status"]["readyReplicas"], replicas);
        assert_eq!(of("widget")["spec"]["size"], size);
        assert_eq!(of("widget")["spec"]["colour"], "blue");
    }

    fn through_its_life(&self) {
        self.chart("install", "message=one");
        self.check("one", 1, 3);
        self.chart("upgrade", "message=two,replicas=2,size=5");
        self.check("two", 2, 5);
        self.run(&["rollback", self.release, "1", "--wait", "--timeout", "60s"]);
        self.check("one", 1, 3);
        let history: Value = serde_json::from_str(&self.run(&["history", self.release, "-o", "json"])).expect("JSON");
        let statuses: Vec<&str> =
            history.as_array().into_iter().flatten().filter_map(|one| one["status"].as_str()).collect();
        assert_eq!(statuses, ["superseded", "superseded", "deployed"]);
        self.run(&["uninstall", self.release, "--wait", "--timeout", "60s"]);
        for kind in ["configmap", "serviceaccount", "service", "deployment", "widget"] {
            assert!(self.object(kind).is_none(), "{kind} is left");
        }
    }
}

#[test]
fn a_chart_with_a_definition() {
    if !is_nightly() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let sampan = Sampan::up(folder.path(), &[]);
    let of = |program, release| Helm { sampan: &sampan, program, release };
    check_all([
        ("helm 3", Box::new(|| of("helm-3", "three").through_its_life()) as Box<dyn Fn()>),
        ("helm 4", Box::new(|| of("helm-4", "four").through_its_life())),
        (
            "helm 4 without server-side apply",
            Box::new(|| {
                let helm = of("helm-4", "plain");
                let chart = root().join("tests/clients/chart");
                helm.run(&[
                    "install",
                    "plain",
                    &chart.to_string_lossy(),
                    "--server-side=false",
                    "--wait",
                    "--timeout",
                    "60s",
                ]);
                helm.check("one", 1, 3);
                helm.run(&["uninstall", "plain", "--wait", "--timeout", "60s"]);
            }),
        ),
    ]);
}
