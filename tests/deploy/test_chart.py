"""The Helm chart: rendered by Helm itself, each manifest held against Kubernetes' own schemas and our promises."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from novapulse.launch.configuration import load_settings, unknown_settings
from novapulse.metrics.definitions import all_metrics
from tests.deploy.tools import DEPLOY, module

CHART = DEPLOY / "helm" / "novapulse"
SETS = ("minimal", "everything", "bare")
VERSIONS = ("1.27", "1.37")  # the oldest that the chart takes, the newest whose schemas we have
CUSTOM = {"ScaledObject", "ServiceMonitor", "PodMonitor", "PrometheusRule", "ExternalSecret"}
Manifest = dict[str, Any]


def _values(name: str) -> dict[str, Any]:
    return yaml.safe_load((CHART / "ci" / f"{name}-values.yaml").read_text())


def _render(values: dict[str, Any]) -> list[Manifest]:
    rendered = module("helm_python").Chart.load(CHART).render(values, name="np", namespace="hooks", is_install=True)
    return [
        manifest
        for name, text in rendered.items()
        if not name.endswith("NOTES.txt")
        for manifest in yaml.safe_load_all(text)
        if manifest
    ]


@pytest.fixture(scope="module", params=SETS)
def named(request: pytest.FixtureRequest) -> tuple[str, list[Manifest]]:
    return request.param, _render(_values(request.param))


@pytest.fixture
def manifests(named: tuple[str, list[Manifest]]) -> list[Manifest]:
    return named[1]


def _pods(manifests: list[Manifest]) -> Iterator[tuple[str, Manifest, Manifest]]:
    """Component, labels and spec of every pod that may come into being."""
    for manifest in manifests:
        template = (
            manifest if manifest["kind"] == "Pod" else manifest["spec"].get("template") if "spec" in manifest else 0
        )
        if template and "spec" in template:
            labels = template["metadata"]["labels"]
            yield labels["app.kubernetes.io/component"], labels, template["spec"]


def _of(manifests: list[Manifest], kind: str) -> dict[str, Manifest]:
    return {each["metadata"]["name"]: each for each in manifests if each["kind"] == kind}


@pytest.mark.parametrize("name", SETS)
def test_helm_lints_it(name: str) -> None:
    report = module("helm_python").lint(CHART, _values(name), strict=True)
    assert report["errors"] == []
    assert [each for each in report["messages"] if each["severity"] > 1] == []


def test_kubernetes_takes_every_manifest(manifests: list[Manifest]) -> None:
    validate = module("kubernetes_validate").validate
    for manifest in manifests:
        if manifest["kind"] not in CUSTOM:
            for version in VERSIONS:
                validate(manifest, version, strict=True)
    keys = [(each["kind"], each["metadata"]["name"]) for each in manifests]
    assert len(set(keys)) == len(keys)


def test_every_pod_is_restricted_limited_and_probed(manifests: list[Manifest]) -> None:
    pods = list(_pods(manifests))
    assert {component for component, _, _ in pods} >= {"web", "worker-default", "scheduler", "test"}
    for component, _, spec in pods:
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] == 10001
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert spec["automountServiceAccountToken"] is False
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
        assert all(set(volume) & {"emptyDir", "secret", "persistentVolumeClaim"} for volume in spec["volumes"])
        for container in spec["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert set(container["resources"]) == {"requests", "limits"}
            assert all(set(each) == {"cpu", "memory"} for each in container["resources"].values())
            assert re.search(r"(:\d+\.\d+\.\d+|@sha256:[0-9a-f]{64})$", container["image"])
            mounted = {mount["name"] for mount in container["volumeMounts"]}
            assert mounted == {volume["name"] for volume in spec["volumes"]}
            if component not in ("migrations", "test"):
                assert {"startupProbe", "livenessProbe", "readinessProbe"} <= set(container)
                port = container["readinessProbe"]["httpGet"]["port"]
                assert port in {each["name"] for each in container["ports"]}


def test_selectors_and_names_meet(manifests: list[Manifest]) -> None:
    pods = list(_pods(manifests))

    def chosen(selector: dict[str, str]) -> set[str]:
        return {component for component, labels, _ in pods if selector.items() <= labels.items()}

    for deployment in _of(manifests, "Deployment").values():
        labels = deployment["spec"]["template"]["metadata"]["labels"]
        assert chosen(deployment["spec"]["selector"]["matchLabels"]) == {labels["app.kubernetes.io/component"]}
    for service in _of(manifests, "Service").values():
        assert chosen(service["spec"]["selector"]) == {"web"}
    budgets = [
        chosen(each["spec"]["selector"]["matchLabels"]) for each in _of(manifests, "PodDisruptionBudget").values()
    ]
    assert all(len(each) == 1 for each in budgets)
    scaled = [*_of(manifests, "HorizontalPodAutoscaler").values(), *_of(manifests, "ScaledObject").values()]
    for each in scaled:
        target = _of(manifests, "Deployment")[each["spec"]["scaleTargetRef"]["name"]]
        assert "replicas" not in target["spec"], "two would set it"
    configs, claims = _of(manifests, "ConfigMap"), _of(manifests, "PersistentVolumeClaim")
    for _, _, spec in pods:
        for container in spec["containers"]:
            assert all(source["configMapRef"]["name"] in configs for source in container.get("envFrom", []))
        for volume in spec["volumes"]:
            claim = volume.get("persistentVolumeClaim", {}).get("claimName", "shared")
            assert claim == "shared" or claim in claims


def test_a_pod_has_the_time_it_needs_to_stop_and_settings_that_start(
    manifests: list[Manifest], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    environment = _of(manifests, "ConfigMap")["np-novapulse"]["data"]
    assert unknown_settings(environment) == []
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert environment["NOVAPULSE_SECRETS_DIR"] == "/run/secrets/novapulse"
    monkeypatch.setenv("NOVAPULSE_SECRETS_DIR", str(tmp_path))
    settings = load_settings()
    for component, _, spec in _pods(manifests):
        if component == "web":
            assert spec["terminationGracePeriodSeconds"] > settings.drain_s + settings.shutdown_timeout_s
        elif component not in ("migrations", "test"):
            assert spec["terminationGracePeriodSeconds"] > settings.shutdown_timeout_s
            ports = {each["name"]: each["containerPort"] for each in spec["containers"][0]["ports"]}
            assert ports["probe"] == settings.probe_port
        for container in spec["containers"]:
            mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
            assert mounts["data"] == str(settings.data_dir)
            assert mounts["secrets"] == environment["NOVAPULSE_SECRETS_DIR"]
            assert mounts.get("reports") == (str(settings.reports_dir) if settings.reports_dir else None)


def test_everything_at_once() -> None:
    manifests = _render(_values("everything"))
    job = _of(manifests, "Job")["np-novapulse-migrations"]
    order = {
        each["kind"]: int(each["metadata"]["annotations"]["helm.sh/hook-weight"])
        for each in manifests
        if "helm.sh/hook-weight" in each["metadata"].get("annotations", {})
    }
    assert sorted(order, key=lambda kind: order[kind]) == ["ExternalSecret", "ConfigMap", "Job"]
    assert job["spec"]["template"]["spec"]["containers"][0]["args"] == ["prepare"]
    assert "serviceAccountName" not in job["spec"]["template"]["spec"], "the chart's is not there yet"
    # Workers scale by metrics that exist, of their own queues.
    known = {each.name for each in all_metrics()}
    (scaled,) = _of(manifests, "ScaledObject").values()
    queries = [trigger["metadata"]["query"] for trigger in scaled["spec"]["triggers"]]
    assert len(queries) == 2
    for query in queries:
        assert set(re.findall(r"novapulse_\w+", query)) <= known
        assert 'queue=~"webhook|workflow"' in query
    # No wall is missing around the receivers of webhooks, and the stores can be reached through it.
    (policy,) = _of(manifests, "NetworkPolicy").values()
    assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
    blocked = {cidr for rule in policy["spec"]["egress"] for to in rule.get("to", []) if "ipBlock" in to
               for cidr in to["ipBlock"]["except"]}  # fmt: skip
    assert {"10.0.0.0/8", "169.254.0.0/16", "fc00::/7"} <= blocked
    assert _of(manifests, "Ingress")["np-novapulse"]["spec"]["tls"][0]["hosts"] == ["hooks.example.com"]
    # The rules and dashboards of deploy/ are all there, word for word.
    rules = {name: each["spec"] for name, each in _of(manifests, "PrometheusRule").items()}
    files = {f"np-novapulse-{path.stem}": path for path in (DEPLOY / "prometheus" / "rules").glob("*.yml")}
    assert rules == {name: yaml.safe_load(path.read_text()) for name, path in files.items()}
    boards = {
        file: json.loads(text)
        for name, each in _of(manifests, "ConfigMap").items()
        if "-dashboard-" in name
        for file, text in each["data"].items()
    }
    found = (DEPLOY / "grafana" / "dashboards").glob("*.json")
    assert boards == {path.name: json.loads(path.read_text()) for path in found}
    for monitor in (*_of(manifests, "ServiceMonitor").values(), *_of(manifests, "PodMonitor").values()):
        assert monitor["spec"]["jobLabel"] == "app.kubernetes.io/name", "alerts look for the job novapulse"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"publicUrl": ""}, "publicUrl is not set"),
        ({"secret": {"name": ""}}, "secret.name is not set"),
        ({"settings": {"NOVAPULSE_DATABASE_URL": "postgresql://"}}, "NOVAPULSE_DATABASE_URL|propert"),
        ({"settings": {"NOVAPULSE_DRAIN_S": "1"}}, "NOVAPULSE_DRAIN_S|propert"),
        ({"image": {"tag": "latest"}}, "tag"),
        ({"workers": {"default": {"queues": ["webhook"]}}}, "no pool of workers works on the queue email"),
        ({"workers": {"default": {"queues": ["sms"]}}}, "queues"),
        ({"replicas": 3}, "replicas"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_in_words(change: dict[str, Any], words: str) -> None:
    helm = module("helm_python")
    chart = helm.Chart.load(CHART)
    values = _values("minimal") | change
    with pytest.raises(helm.HelmError, match=words):
        chart.validate_schema(values)
        chart.render(values, name="np", namespace="hooks")


def test_the_readme_knows_every_value() -> None:
    told = (CHART / "README.md").read_text()
    for name in yaml.safe_load((CHART / "values.yaml").read_text()):
        assert f"`{name}" in told, name
