"""The cluster's manifests, and the job template as Prefect's own worker takes it."""

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import kubernetes_validate
import pytest
import yaml
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun
from prefect_kubernetes.worker import KubernetesWorker, KubernetesWorkerJobConfiguration

from flows.deploying.pools import GPU_POOL, LIGHT_POOL
from flows.serving.worker import PATIENCE_S
from tests.deploy.snippets import DEPLOY

FOLDER = DEPLOY / "kubernetes"
TEMPLATE: dict[str, Any] = json.loads((FOLDER / "gpu-job-template.json").read_text())
KUSTOMIZATION: dict[str, Any] = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
VERSIONS = ["1.31", "1.34", "1.37"]


def manifests() -> list[dict[str, Any]]:
    """Every object, as it is before kustomize adds labels and names."""
    files = [FOLDER / name for name in KUSTOMIZATION["resources"]]
    return [one for path in files for one in yaml.safe_load_all(path.read_text())]


def pods(given: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401 - anything that YAML holds
    """The pods' specifications in an object."""
    if isinstance(given, dict):
        if "containers" in given:
            yield given
        for value in given.values():
            yield from pods(value)


def containers(pod: dict[str, Any]) -> list[dict[str, Any]]:
    """Those that run, and those that run before them."""
    return [*pod.get("initContainers", []), *pod["containers"]]


@pytest.mark.parametrize("version", VERSIONS)
def test_manifests_fit_the_schemas_of_kubernetes(version: str) -> None:
    """Strictly: a field that does not exist is an error."""
    for manifest in manifests():
        kubernetes_validate.validate(manifest, version, strict=True)


def job(**variables: object) -> dict[str, Any]:
    """The job that Prefect's worker would make of the template."""
    # The server would be asked for blocks, and the template names none.
    nowhere = PrefectClient(api="http://127.0.0.1:1/api")
    configuration = asyncio.run(
        KubernetesWorkerJobConfiguration.from_template_and_values(
            TEMPLATE, variables, client=nowhere
        )
    )
    configuration.prepare_for_flow_run(FlowRun(flow_id=uuid4(), name="night 2026-11-22"))
    manifest: dict[str, Any] = configuration.job_manifest
    return manifest


@pytest.mark.parametrize("version", VERSIONS)
def test_prefect_makes_a_valid_job_of_the_template(version: str) -> None:
    """With its own classes; it wants two fields in pods that Kubernetes does not know."""
    made = job()
    pod = made["spec"]["template"]["spec"]
    assert (pod.pop("parallelism"), pod.pop("completions")) == (1, 1)
    kubernetes_validate.validate(made, version, strict=True)
    assert made["spec"]["backoffLimit"] == 0
    assert made["metadata"]["namespace"] == KUSTOMIZATION["namespace"]
    (container,) = pod["containers"]
    assert container["args"] == ["prefect", "flow-run", "execute"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == 1
    environment = {one["name"]: one["value"] for one in container["env"]}
    assert environment["PREFECT_FLOW_RUN_EXECUTE_SIGTERM_BEHAVIOR"] == "reschedule"


def test_a_deployment_chooses_gpus_nodes_and_memory() -> None:
    """By the template's variables."""
    chosen = {"gpus": 2, "node_selector": {"pool": "a"}, "tolerations": [], "memory_limit": "64Gi"}
    made = job(**chosen, env={"A": "b"})
    pod = made["spec"]["template"]["spec"]
    limits = pod["containers"][0]["resources"]["limits"]
    assert limits == {"memory": "64Gi", "nvidia.com/gpu": 2}
    assert pod["nodeSelector"] == {"pool": "a"}
    assert not pod.get("tolerations")
    assert {"name": "A", "value": "b"} in pod["containers"][0]["env"]


def test_the_template_uses_all_its_variables_and_no_other() -> None:
    """A variable without effect would be a promise that is not kept."""
    used = set(re.findall(r"\{\{ (\w+) \}\}", json.dumps(TEMPLATE["job_configuration"])))
    assert used == set(TEMPLATE["variables"]["properties"])
    known = KubernetesWorker.get_default_base_job_template()["job_configuration"]
    assert set(TEMPLATE["job_configuration"]) <= set(known)


def test_a_gpu_node_has_time_to_start() -> None:
    """Autoscalers take minutes."""
    properties = TEMPLATE["variables"]["properties"]
    assert properties["pod_watch_timeout_seconds"]["default"] >= 900


def test_pods_are_restricted_and_hold_no_secret_of_others() -> None:
    """As the namespace demands; and no links to services, which would pass for settings."""
    seen = 0
    for given in [*manifests(), TEMPLATE["job_configuration"]]:
        for pod in pods(given):
            seen += 1
            assert pod["enableServiceLinks"] is False
            assert pod["securityContext"]["runAsNonRoot"] is True
            assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
            for container in containers(pod):
                assert container["securityContext"] == {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                }
                assert container["resources"]["requests"]
                assert container["resources"]["limits"]["memory"]
                names_prefect = "prefect" in _secrets_of(container)
                assert names_prefect == (container["name"] == "prefect")
    assert seen == 5


def _secrets_of(container: dict[str, Any]) -> set[str]:
    whole = [one["secretRef"]["name"] for one in container.get("envFrom", []) if "secretRef" in one]
    single = [
        one["valueFrom"]["secretKeyRef"]["name"]
        for one in container.get("env", [])
        if isinstance(one, dict) and "secretKeyRef" in one.get("valueFrom", {})
    ]
    return {*whole, *single}


def test_keys_that_pods_ask_for_are_in_the_settings_and_the_secrets() -> None:
    """A pod that names a missing key does not start."""
    held = {
        "autochrome": {
            *_keys(FOLDER / "settings.env"),
            *_keys(FOLDER / "secrets-autochrome.env.example"),
        },
        "prefect": _keys(FOLDER / "secrets-prefect.env.example"),
    }
    for manifest in manifests():
        for pod in pods(manifest):
            for container in containers(pod):
                for one in container.get("env", []):
                    for asked in one.get("valueFrom", {}).values():
                        assert asked["key"] in held[asked["name"]]


def _keys(path: Path) -> set[str]:
    return set(re.findall(r"^(\w+)=", path.read_text(), re.MULTILINE))


def test_workers_poll_the_pools_that_deployments_name() -> None:
    """Of either kind."""
    text = "".join((FOLDER / name).read_text() for name in KUSTOMIZATION["resources"])
    assert f"--pool={GPU_POOL}" in text
    assert f"--pool, {LIGHT_POOL}" in text or f"--pool={LIGHT_POOL}," in text


def test_draining_fits_into_the_time_that_pods_have() -> None:
    """Prefect kills a run 30 s after it was told to end; the worker's own patience is longer."""
    graces = [
        pod["terminationGracePeriodSeconds"]
        for given in [*manifests(), TEMPLATE["job_configuration"]]
        for pod in pods(given)
        if "terminationGracePeriodSeconds" in pod
    ]
    assert len(graces) == 2
    assert min(graces) > PATIENCE_S > 30
