"""The manifests hold together: with themselves, with the configuration they carry, and with how long a stop takes."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from proxy.process.stopping import LONGEST_LEDGER_STOP_S, longest_supervised_stop_s
from runtime.config import load
from runtime.settings import Config
from tests.shape.tree import ROOT
from tests.support.manifests import Manifest, of_kind, pod_templates, rendered, selects

K8S = ROOT / "k8s"
SHAPES = ("gateway", "sidecar")
ALL = (*SHAPES, "migrate")
# What docs/DEPLOYING.md has people put into the Secret `farebox`.
SECRET = {
    "database-url": "postgresql://farebox:password@postgres/farebox",
    "redis-url": "redis://default:password@valkey/0",
    "key-pepper": "p" * 32,
    "jwt-secret": "j" * 32,
    "upstream-api-key": "key",
    "stripe-secret-key": "sk_test_1",
    "stripe-webhook-secret": "whsec_1",
    "admin-user-ids": "",
}
REQUIRED = {"database-url", "redis-url", "key-pepper"}
# The LLM server needs its own way of running.
NOT_OURS = {"llm"}


def containers(template: Manifest) -> list[dict[str, Any]]:
    return [*template["spec"].get("initContainers", ()), *template["spec"]["containers"]]


def ours(shape: str) -> list[tuple[str, Manifest, dict[str, Any]]]:
    """Deployment or Job, its pod template, and each container of ours in it."""
    return [
        (name, template, container)
        for name, template in pod_templates(rendered(K8S / shape))
        for container in containers(template)
        if container["name"] not in NOT_OURS
    ]


def the_proxy(shape: str) -> tuple[Manifest, dict[str, Any]]:
    (found,) = [(template, container) for _, template, container in ours(shape) if container["args"] == ["serve"]]
    return found


def configured(shape: str, folder: Path) -> Config:
    (config_map,) = of_kind(rendered(K8S / shape), "ConfigMap")
    path = folder / "config.yaml"
    path.write_text(config_map["data"]["config.yaml"])
    _, proxy = the_proxy(shape)
    return load(path, environment(proxy))


def environment(container: dict[str, Any]) -> dict[str, str]:
    return {
        given["name"]: given["value"] if "value" in given else SECRET[given["valueFrom"]["secretKeyRef"]["key"]]
        for given in container["env"]
    }


@pytest.mark.parametrize("shape", SHAPES)
def test_a_proxy_has_the_time_that_it_stops_in(shape: str, tmp_path: Path) -> None:
    template, _ = the_proxy(shape)
    needed_s = longest_supervised_stop_s(configured(shape, tmp_path).listen)
    assert needed_s <= template["spec"]["terminationGracePeriodSeconds"] <= needed_s + 30


@pytest.mark.parametrize("shape", SHAPES)
def test_so_has_a_ledger(shape: str) -> None:
    (grace_s,) = [
        template["spec"]["terminationGracePeriodSeconds"]
        for _, template, container in ours(shape)
        if container["args"] == ["ledger"]
    ]
    assert grace_s >= LONGEST_LEDGER_STOP_S


@pytest.mark.parametrize("shape", SHAPES)
def test_nobody_is_sent_to_a_proxy_that_is_about_to_close_its_port(shape: str, tmp_path: Path) -> None:
    _, proxy = the_proxy(shape)
    listen = configured(shape, tmp_path).listen
    probe = proxy["readinessProbe"]
    assert listen.shutdown_delay_s >= 2 * probe["periodSeconds"]
    ports = {port["name"]: port["containerPort"] for port in proxy["ports"]}
    assert listen.admin is not None
    assert ports == {"http": listen.port, "admin": listen.admin.port}
    assert (probe["httpGet"], proxy["livenessProbe"]["httpGet"]) == (
        {"path": "/readyz", "port": "http"},
        {"path": "/healthz", "port": "http"},
    )


@pytest.mark.parametrize("shape", ALL)
def test_each_container_runs_as_nobody_and_writes_nowhere_else(shape: str) -> None:
    for name, template, container in ours(shape):
        held = template["spec"]["securityContext"] | container["securityContext"]
        assert held["runAsNonRoot"] and held["runAsUser"] == 10001, name
        assert held["seccompProfile"] == {"type": "RuntimeDefault"}
        assert held["readOnlyRootFilesystem"] and not held["allowPrivilegeEscalation"]
        assert held["capabilities"] == {"drop": ["ALL"]}
        assert template["spec"]["automountServiceAccountToken"] is False
        assert set(container["resources"]["requests"]) == {"cpu", "memory"}
        # a limit of CPU would hold up streams at each period's end
        assert set(container["resources"]["limits"]) == {"memory"}


@pytest.mark.parametrize("shape", ALL)
def test_what_is_secret_comes_from_the_secret_and_only_what_must_be_there_is_demanded(shape: str) -> None:
    for _, _, container in ours(shape):
        references = [given["valueFrom"]["secretKeyRef"] for given in container["env"] if "valueFrom" in given]
        assert {reference["name"] for reference in references} == {"farebox"}
        assert {reference["key"] for reference in references} <= set(SECRET)
        demanded = {reference["key"] for reference in references if not reference.get("optional", False)}
        assert demanded == ({"database-url"} if container["args"] == ["migrate"] else REQUIRED)
        written = {given["name"] for given in container["env"] if "value" in given}
        assert written <= {"FAREBOX_CONFIG", "FAREBOX_UPSTREAM_URL"}
    page = (ROOT / "docs" / "DEPLOYING.md").read_text()
    assert all(f"{key}=" in page for key in SECRET)


@pytest.mark.parametrize("shape", ALL)
def test_volumes_that_are_mounted_are_there(shape: str) -> None:
    for name, template in pod_templates(rendered(K8S / shape)):
        volumes = {volume["name"] for volume in template["spec"].get("volumes", ())}
        mounted = {mount["name"] for container in containers(template) for mount in container.get("volumeMounts", ())}
        assert mounted == volumes, name


@pytest.mark.parametrize("shape", SHAPES)
def test_a_proxy_and_a_ledger_are_configured_alike(shape: str) -> None:
    (config_map,) = of_kind(rendered(K8S / shape), "ConfigMap")
    for _, template, container in ours(shape):
        (named,) = [v["configMap"]["name"] for v in template["spec"]["volumes"] if v["name"] == "config"]
        assert named == config_map["metadata"]["name"]
        (mount,) = [mount for mount in container["volumeMounts"] if mount["name"] == "config"]
        assert environment(container)["FAREBOX_CONFIG"] == f"{mount['mountPath']}/config.yaml"


@pytest.mark.parametrize("shape", SHAPES)
def test_whatever_selects_pods_finds_some(shape: str) -> None:
    manifests = rendered(K8S / shape)
    labels = [template["metadata"]["labels"] for _, template in pod_templates(manifests)]
    for manifest in of_kind(manifests, "Deployment"):
        assert selects(manifest["spec"]["selector"], manifest["spec"]["template"]["metadata"]["labels"])
        for spread in manifest["spec"]["template"]["spec"]["topologySpreadConstraints"]:
            assert selects(spread["labelSelector"], manifest["spec"]["template"]["metadata"]["labels"])
    selectors = [manifest["spec"]["selector"] for manifest in of_kind(manifests, "PodDisruptionBudget")]
    selectors += [{"matchLabels": manifest["spec"]["selector"]} for manifest in of_kind(manifests, "Service")]
    selectors += [policy["spec"]["podSelector"] for policy in policies(manifests) if policy not in of_llm(manifests)]
    assert len(selectors) >= 5
    for selector in selectors:
        assert sum(selects(selector, each) for each in labels) == 1, selector


@pytest.mark.parametrize("shape", SHAPES)
def test_the_two_services_lead_to_ports_that_there_are(shape: str) -> None:
    _, proxy = the_proxy(shape)
    ports = {port["name"] for port in proxy["ports"]}
    services = of_kind(rendered(K8S / shape), "Service")
    assert {port["targetPort"] for service in services for port in service["spec"]["ports"]} == ports


def policies(manifests: list[Manifest]) -> list[Manifest]:
    return of_kind(manifests, "NetworkPolicy")


def of_llm(manifests: list[Manifest]) -> list[Manifest]:
    return [policy for policy in policies(manifests) if policy["metadata"]["name"].startswith("llm-")]


def test_an_llm_server_is_reached_through_farebox_only() -> None:
    template, _ = the_proxy("gateway")
    (policy,) = of_llm(rendered(K8S / "gateway"))
    ((rule,),) = [policy["spec"]["ingress"]]
    ((source,),) = [rule["from"]]
    assert set(source) == {"podSelector"} and selects(source["podSelector"], template["metadata"]["labels"])


def test_one_beside_farebox_listens_to_its_pod_only_and_no_policy_opens_its_port(tmp_path: Path) -> None:
    manifests = rendered(K8S / "sidecar")
    template, proxy = the_proxy("sidecar")
    (llm,) = [container for container in containers(template) if container["name"] == "llm"]
    args = llm["args"]
    assert (args[args.index("--host") + 1], llm["restartPolicy"]) == ("127.0.0.1", "Always")
    (upstream,) = configured("sidecar", tmp_path).upstreams
    assert upstream.url == f"http://127.0.0.1:{args[args.index('--port') + 1]}/v1"
    opened = {
        port["port"]
        for policy in policies(manifests)
        if selects(policy["spec"]["podSelector"], template["metadata"]["labels"])
        for rule in policy["spec"]["ingress"]
        for port in rule["ports"]
    }
    assert opened == {port["name"] for port in proxy["ports"]}


@pytest.mark.parametrize("shape", SHAPES)
def test_administrators_and_metrics_are_for_monitoring_only(shape: str, tmp_path: Path) -> None:
    monitoring = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
    rules = [rule for policy in policies(rendered(K8S / shape)) for rule in policy["spec"]["ingress"]]
    opened = {rule["ports"][0]["port"]: rule.get("from") for rule in rules if "ports" in rule}
    assert opened == {"http": None, "admin": [monitoring], "metrics": [monitoring]}
    config = configured(shape, tmp_path)
    assert config.metrics.ledger is not None
    (ledger,) = [container for _, _, container in ours(shape) if container["args"] == ["ledger"]]
    assert ledger["ports"] == [{"name": "metrics", "containerPort": config.metrics.ledger.port}]


def test_both_shapes_run_the_same_proxy() -> None:
    found = []
    for shape in SHAPES:
        template, proxy = the_proxy(shape)
        held = {**template["spec"]["securityContext"], **proxy["securityContext"]}
        env = [given for given in proxy["env"] if given["name"] != "FAREBOX_UPSTREAM_URL"]
        found.append({**proxy, "env": env, "securityContext": held})
    assert found[0] == found[1]


def test_how_many_there_are_is_not_said_twice() -> None:
    """Or each `kubectl apply` would undo what the autoscaler did."""
    manifests = rendered(K8S / "gateway")
    (scaler,) = of_kind(manifests, "HorizontalPodAutoscaler")
    target = scaler["spec"]["scaleTargetRef"]["name"]
    (scaled,) = [each for each in of_kind(manifests, "Deployment") if each["metadata"]["name"] == target]
    assert "replicas" not in scaled["spec"]


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not on this machine")
@pytest.mark.parametrize("shape", ALL)
def test_kustomize_reads_them_as_we_do(shape: str) -> None:
    given = subprocess.run(["kubectl", "kustomize", K8S / shape], capture_output=True, text=True, check=True).stdout
    built = [(each["kind"], each["metadata"]["name"].split("-config-")[0]) for each in yaml.safe_load_all(given)]
    read = [(each["kind"], each["metadata"]["name"].removesuffix("-config")) for each in rendered(K8S / shape)]
    assert sorted(built) == sorted(read)
