"""What compose, the Dockerfile and deploy/ name is what the code has: commands, options, variables, metrics, files.

No container engine is needed: files are held against their schemas and linters, and every command runs as a process.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import promql_parser
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from typer.testing import CliRunner

from api.metrics import ApiMetrics
from hposvc.cli import app
from hposvc.client import Client
from hposvc.db.engine import create_engine
from hposvc.fleet import counts
from hposvc.fleet import workers as fleet
from hposvc.fleet.workers import WorkerReport
from hposvc.jobs import queries
from hposvc.operate.embedded import announced
from hposvc.settings import Settings
from hposvc.storage import aws_credentials
from tests.support.commands import HPOSVC, SECONDS, until
from tests.support.environment import without_settings
from tests.support.moto import moto
from tests.support.postgresql import PostgreSQL
from tests.support.serving import PATIENCE
from workers.counters import ATTEMPTS, Counters, WorkerMetrics

ROOT = Path(__file__).parents[2]
TOOLS = Path(sys.executable).parent
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
OURS = {name: service for name, service in SERVICES.items() if "build" in service}
COMMANDS = {name: service["command"] for name, service in OURS.items() if "command" in service}
MANIFESTS = {
    path.name: list(yaml.safe_load_all(path.read_text()))
    for path in sorted((ROOT / "deploy/kubernetes").glob("*.yaml"))
}
VARIABLES = {f"HPOSVC_{name.upper()}" for name in Settings.model_fields}
OTHERS = re.compile(r"AWS_|POSTGRES_|MINIO_|MC_|GF_")  # the variables of other people's programs


def docker_commands() -> list[list[str]]:
    return [yaml.safe_load(line) for line in re.findall(r"^CMD (\[.*\])$", DOCKERFILE, re.MULTILINE)]


def containers() -> Iterator[dict[str, Any]]:
    for documents in MANIFESTS.values():
        for document in documents:
            pod = document.get("spec", {}).get("template", {}).get("spec", {})
            yield from pod.get("initContainers", [])
            yield from pod.get("containers", [])


def slurm_commands() -> list[list[str]]:
    text = (ROOT / "deploy/slurm.sh").read_text()
    return [shlex.split(found)[2:] for found in re.findall(r'--wrap "exec (srun hposvc [^"]+)"', text)]


ALL_COMMANDS = [*COMMANDS.values(), *docker_commands(), *(item["args"] for item in containers()), *slurm_commands()]


@pytest.mark.parametrize("command", ALL_COMMANDS, ids=shlex.join)
def test_every_command_is_one_of_ours_with_options_that_it_has(command: list[str]) -> None:
    words = []
    for word in command:  # up to the first option
        if not re.fullmatch(r"[a-z]+", word):
            break
        words.append(word)
    options = [word for word in command if word.startswith("--")]
    help_ = CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": "200"})
    assert help_.exit_code == 0, help_.output
    for option in options:
        assert option in help_.output


def test_compose_fits_its_schema() -> None:
    command = [TOOLS / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", ROOT / "docker-compose.yml"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


def test_the_dockerfile_passes_its_linter() -> None:
    command = [TOOLS / "hadolint", "--failure-threshold", "info", ROOT / "Dockerfile"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


def test_the_manifests_of_kubernetes_fit_their_schemas() -> None:
    files = [ROOT / "deploy/kubernetes" / name for name in ("hposvc.yaml", "gpu.yaml")]
    run = subprocess.run(
        [TOOLS / "kubernetes-validate", "--strict", *files], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr


def test_what_keda_scales_is_there_and_is_not_taken_from_its_jobs() -> None:
    """KEDA's own schema is on no package index; these are the fields of its ScaledObject that matter."""
    there = {
        (item["apiVersion"], item["kind"], item["metadata"]["name"])
        for documents in MANIFESTS.values()
        for item in documents
    }
    for scaled in MANIFESTS["scaling.yaml"]:
        assert (scaled["apiVersion"], scaled["kind"]) == ("keda.sh/v1alpha1", "ScaledObject")
        spec = scaled["spec"]
        assert spec.keys() == {"scaleTargetRef", "minReplicaCount", "maxReplicaCount", "cooldownPeriod", "triggers"}
        target = spec["scaleTargetRef"]
        assert (target["apiVersion"], target["kind"], target["name"]) in there
        assert 0 <= spec["minReplicaCount"] < spec["maxReplicaCount"]
        (trigger,) = spec["triggers"]
        assert trigger["type"] == "prometheus"
        metadata = trigger["metadata"]
        assert metadata.keys() == {"serverAddress", "query", "threshold"}
        assert httpx.URL(metadata["serverAddress"]).scheme == "http"
        assert isinstance(metadata["threshold"], str)  # metadata is text, numbers too
        assert float(metadata["threshold"]) == 1
        named = {selector.name for selector in selectors(promql_parser.parse(metadata["query"]))}
        assert named == {"hposvc_jobs_held", "hposvc_queue_depth"}


def test_the_bucket_and_its_account_are_made_by_the_store_s_own_client_and_may_be_there_already(tmp_path: Path) -> None:
    """The script of the service `bucket`, in a shell, with a client that only writes down how it was called."""
    service = SERVICES["bucket"]
    shell, option, script = service["entrypoint"]
    assert (shell, option) == ("sh", "-euc")
    assert service["image"] == SERVICES["store"]["image"]
    assert service["depends_on"] == {"store": {"condition": "service_healthy"}}
    secrets = make_secrets(tmp_path)
    client = tmp_path / "mc"
    client.write_text(
        f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\necho "$MC_HOST_store" > {tmp_path}/host\n'
        f'test "$2" != user || cat > {tmp_path}/account\ncase "$*" in *"$FAIL"*) test -z "$FAIL" ;; esac\n'
    )
    client.chmod(0o755)
    script = script.replace("$$", "$").replace("/run/secrets", str(secrets))

    def run(fail: str) -> int:
        variables = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "FAIL": fail}
        return subprocess.run([shell, option, script], env=variables, check=False).returncode

    assert run(fail="") == 0
    names = ("store_password", "service_user", "service_password")
    root, user, password = ((secrets / name).read_text() for name in names)
    bucket = SERVICES["api"]["environment"]["HPOSVC_STORE_URL"].removeprefix("s3://")
    endpoint = SERVICES["api"]["environment"]["AWS_ENDPOINT_URL"]
    (mounted,) = service["volumes"]
    policy, there, mode = mounted.split(":")
    assert (tmp_path / "calls").read_text().splitlines() == [
        f"mb --ignore-existing store/{bucket}",
        "admin user add store",
        f"admin policy create store hposvc {there}",
        f"admin policy attach store hposvc --user {user}",
    ]
    assert mode == "ro"
    # by the environment and a pipe: other processes see what stands on a command line
    assert (tmp_path / "host").read_text() == f"{endpoint.replace('//', f'//store:{root}@')}\n"
    assert (tmp_path / "account").read_text() == f"{user}\n{password}\n"
    statements = json.loads((ROOT / policy).read_text())["Statement"]
    assert {resource for each in statements for resource in each["Resource"]} == {
        f"arn:aws:s3:::{bucket}",
        f"arn:aws:s3:::{bucket}/*",
    }
    assert not any("*" in action for each in statements for action in each["Action"])
    for step in ("mb", "user add", "policy create", "attach"):
        assert run(fail=step) != 0


def test_only_the_store_and_what_makes_the_bucket_know_the_store_s_own_account() -> None:
    for name, service in SERVICES.items():
        if name not in ("store", "bucket"):
            assert not {"store_user", "store_password"} & set(service.get("secrets", [])), name


@pytest.mark.parametrize("script", ["deploy/secrets.sh", "deploy/slurm.sh"])
def test_scripts_can_be_read_by_the_shell(script: str) -> None:
    subprocess.run(["sh", "-n", ROOT / script], check=True)


def test_every_variable_is_a_setting() -> None:
    named = {name for service in SERVICES.values() for name in service.get("environment", {})}
    named |= {name.upper() for service in OURS.values() for name in service.get("secrets", []) if "hposvc" in name}
    named |= set(re.findall(r"HPOSVC_[A-Z_]+", DOCKERFILE + (ROOT / "deploy/slurm.sh").read_text()))
    named |= {entry["name"] for item in containers() for entry in item.get("env", [])}
    named |= set(MANIFESTS["hposvc.yaml"][0]["data"])
    ours = {name for name in named if not OTHERS.match(name)}
    assert ours <= VARIABLES, ours - VARIABLES
    for service in OURS.values():
        values = {name: value for name, value in service.get("environment", {}).items() if name in VARIABLES}
        device = {"HPOSVC_DEVICE": "cuda"} if service["build"]["target"] == "gpu" else {}
        Settings(**{name.removeprefix("HPOSVC_").lower(): value for name, value in (device | values).items()})


def test_what_services_refer_to_is_declared() -> None:
    stages = set(re.findall(r"^FROM \S+ AS ([\w-]+)$", DOCKERFILE, re.MULTILINE))
    for service in SERVICES.values():
        assert set(service.get("secrets", [])) <= COMPOSE["secrets"].keys()
        depends = service.get("depends_on", {})
        assert set(depends) <= SERVICES.keys()
        for name, how in depends.items() if isinstance(depends, dict) else ():
            assert how["condition"] != "service_healthy" or "healthcheck" in SERVICES[name], name
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert (ROOT / source).exists() if source.startswith("./") else source in COMPOSE["volumes"], volume
        assert "build" not in service or service["build"]["target"] in stages
    assert set(re.findall(r"COPY --from=([\w-]+)", DOCKERFILE)) <= stages


def make_secrets(directory: Path) -> Path:
    """Run the script in a checkout of its own; the folder that it made."""
    (directory / "deploy").mkdir()
    script = directory / "deploy" / "secrets.sh"
    script.write_bytes((ROOT / "deploy/secrets.sh").read_bytes())
    subprocess.run(["sh", script], check=True)
    return directory / "secrets"


def test_the_secrets_are_those_that_the_script_makes(tmp_path: Path) -> None:
    folder = make_secrets(tmp_path)
    assert folder.stat().st_mode & 0o077 == 0
    assert {Path(secret["file"]).name for secret in COMPOSE["secrets"].values()} == {
        path.name for path in folder.iterdir()
    }
    settings = Settings(_secrets_dir=folder)  # type: ignore[call-arg]
    password = (folder / "postgres_password").read_text()
    assert settings.database_url == f"postgresql+psycopg://hposvc:{password}@database/hposvc"
    assert len(password) == 48
    keys = aws_credentials.options({"AWS_SHARED_CREDENTIALS_FILE": str(folder / "aws_credentials")})["config"]
    assert keys["aws_access_key_id"] == (folder / "service_user").read_text() != (folder / "store_user").read_text()
    assert keys["aws_secret_access_key"] == (folder / "service_password").read_text()
    assert (folder / "store_password").read_text() != (folder / "service_password").read_text()
    again = subprocess.run(["sh", tmp_path / "deploy/secrets.sh"], capture_output=True, text=True, check=False)
    assert again.returncode == 1
    assert (folder / "postgres_password").read_text() == password


def test_services_are_published_on_this_machine_only() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_every_service_is_confined() -> None:
    for name, service in SERVICES.items():
        assert service["cap_drop"] == ["ALL"], name
        assert service.get("cap_add", []) == (["CHOWN"] if name == "owner" else []), name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["mem_limit"], name
        assert service["pids_limit"], name


def test_services_meet_only_those_that_they_need() -> None:
    """The database and the store reach nothing outside, and nobody but the service reaches them."""
    members: dict[str, set[str]] = {}
    for name, service in SERVICES.items():
        assert ("networks" in service) != (service.get("network_mode") == "none"), name
        for network in service.get("networks", []):
            members.setdefault(network, set()).add(name)
    assert members.keys() == COMPOSE["networks"].keys()
    assert members["data"] == {"database", "store", "bucket", "migrate", "api", "worker", "worker-gpu"}
    inner = {name for name, network in COMPOSE["networks"].items() if network}
    assert all(COMPOSE["networks"][name]["internal"] for name in inner)
    published = {name for name, service in SERVICES.items() if "ports" in service}
    assert members["outside"] == published


def test_no_process_is_root_and_no_root_can_be_written() -> None:
    for name, service in SERVICES.items():
        if name == "owner":  # gives the store its volume, and ends
            assert service["network_mode"] == "none"
            continue
        assert service["read_only"] is True, name
        assert service.get("user") != "root"
    final = {service["build"]["target"] for service in OURS.values()}
    for stage in re.split(r"^FROM ", DOCKERFILE, flags=re.MULTILINE)[1:]:
        name = stage.split(" AS ")[1].split()[0]
        if name in final:
            assert re.findall(r"^USER (\w+)$", stage, re.MULTILINE)[-1:] == ["10001"], name
    for item in containers():
        assert item["securityContext"]["readOnlyRootFilesystem"] is True


def test_a_network_policy_says_who_reaches_each_pod() -> None:
    documents = [document for documents in MANIFESTS.values() for document in documents]
    policies = [item["spec"]["podSelector"]["matchLabels"] for item in documents if item["kind"] == "NetworkPolicy"]
    pods = [item["spec"]["template"] for item in documents if item["kind"] in ("Deployment", "StatefulSet")]
    assert pods
    for pod in pods:
        assert any(labels.items() <= pod["metadata"]["labels"].items() for labels in policies), pod["metadata"]


def test_workers_have_fixed_names_and_time_to_stop() -> None:
    for name in ("worker", "worker-gpu"):
        service = SERVICES[name]
        assert service["hostname"] == name
        assert int(service["stop_grace_period"].removesuffix("s")) > 30
        assert any(volume.endswith("/.cache") for volume in service["volumes"])
    for document in (item for documents in MANIFESTS.values() for item in documents if item["kind"] == "StatefulSet"):
        assert document["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] > 30


def test_the_api_s_image_has_all_but_jittor() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    everything = {*project["project"]["dependencies"], *extras["excel"], *extras["otel"], *extras["s3"]}
    left_out = {name for name in everything if name.startswith(("jittor", "onednn"))}
    assert len(left_out) == 3
    assert set(project["dependency-groups"]["api"]) == everything - left_out


def test_the_api_s_image_can_back_up_the_database_of_compose() -> None:
    """pg_dump must not be older than its server; Debian's number for a release is that of its PostgreSQL."""
    debian = {"bookworm": "15"}
    (stage,) = re.findall(r"^FROM base AS api\n(.*?)^FROM ", DOCKERFILE, re.MULTILINE | re.DOTALL)
    assert "postgresql-client" in stage
    (release,) = re.findall(r"^FROM python:[\d.]+-slim-(\w+) AS base$", DOCKERFILE, re.MULTILINE)
    assert SERVICES["database"]["image"] == f"postgres:{debian[release]}-{release}"


def test_what_the_images_copy_is_there() -> None:
    for sources in re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE):
        for source in sources.split():
            assert (ROOT / source).exists(), source


# metrics


@pytest.fixture(scope="module")
def exposed(migrated_sqlite: Path) -> set[str]:
    """Every sample name that the API and a worker expose."""
    engine = create_engine(f"sqlite:///{migrated_sqlite}")
    metrics = ApiMetrics(lambda: counts.take(engine))
    metrics.requests.labels("GET", "/", "200").inc()
    metrics.durations.labels("GET", "/").observe(0.1)
    report = WorkerReport("w", "host", "cpu", {}, "ready", offers=("any",))
    fleet.Fleet(engine).beat(report)
    text = metrics.text().decode()
    fleet.Fleet(engine).leave("w")
    engine.dispose()
    counters = Counters()
    counters.add(f"{ATTEMPTS}succeeded")
    names = {sample.name for family in text_string_to_metric_families(text) for sample in family.samples}
    names |= {sample.name for family in WorkerMetrics(counters, lambda: report).collect() for sample in family.samples}
    return names | {"up"}  # Prometheus's own


def alert_expressions() -> Iterator[tuple[str, str]]:
    for group in yaml.safe_load((ROOT / "deploy/prometheus/alerts.yml").read_text())["groups"]:
        for rule in group["rules"]:
            assert rule["annotations"].keys() == {"summary", "description"}
            yield rule["alert"], rule["expr"]


def panel_expressions() -> Iterator[tuple[str, str]]:
    dashboard = json.loads((ROOT / "deploy/grafana/dashboards/hposvc.json").read_text())
    for panel in dashboard["panels"]:
        assert panel["datasource"]["uid"] == "prometheus"
        for target in panel["targets"]:
            yield panel["title"], target["expr"]


def scaling_expressions() -> Iterator[tuple[str, str]]:
    for scaled in MANIFESTS["scaling.yaml"]:
        for trigger in scaled["spec"]["triggers"]:
            yield scaled["metadata"]["name"], trigger["metadata"]["query"]


EXPRESSIONS = [*alert_expressions(), *panel_expressions(), *scaling_expressions()]


def selectors(node: Any) -> Iterator[Any]:
    """The vector selectors of a parsed expression."""
    if isinstance(node, promql_parser.VectorSelector):
        yield node
    for name in ("expr", "lhs", "rhs", "vector_selector"):
        inner = getattr(node, name, None)
        if inner is not None and not isinstance(inner, str):
            yield from selectors(inner)
    for inner in getattr(node, "args", None) or ():
        yield from selectors(inner)


@pytest.mark.parametrize(("title", "expression"), EXPRESSIONS, ids=[title for title, _ in EXPRESSIONS])
def test_every_metric_of_alerts_dashboards_and_scaling_is_exposed(
    exposed: set[str], title: str, expression: str
) -> None:
    found = {selector.name for selector in selectors(promql_parser.parse(expression))}
    named = set(re.findall(r"\b(?:hposvc|process)_[a-z_]+", re.sub(r'"[^"]*"', "", expression)))
    assert found >= named, "the parser missed one"
    assert found, title
    assert found <= exposed, found - exposed


def test_prometheus_scrapes_what_compose_runs() -> None:
    config = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())
    targets = [
        target for job in config["scrape_configs"] for group in job["static_configs"] for target in group["targets"]
    ]
    for target in targets:
        service, port = target.split(":")
        command, environment = SERVICES[service]["command"], SERVICES[service]["environment"]
        assert port in command or environment["HPOSVC_METRICS_PORT"] == port
        assert command[0] != "api" or service in environment["HPOSVC_HOSTS"].split(",")
    datasource = yaml.safe_load((ROOT / "deploy/grafana/provisioning/datasources/prometheus.yml").read_text())
    assert datasource["datasources"][0]["uid"] == "prometheus"


# commands as processes


@pytest.mark.slow
def test_the_commands_of_compose_run_as_processes(postgresql: PostgreSQL, tmp_path: Path) -> None:
    """In compose's order, with its commands, variables and secrets; only addresses and folders are this test's own."""
    secrets = make_secrets(tmp_path)
    url = postgresql.create("compose")
    own = {
        "HPOSVC_DATABASE_URL": url,  # in compose a secret file
        "HPOSVC_DATA_DIR": str(tmp_path),
        "HPOSVC_METRICS_HOST": "127.0.0.1",
        "HPOSVC_METRICS_PORT": "0",
        "HPOSVC_LOG_FORMAT": "json",
    }

    with moto(tmp_path) as store:

        def start(name: str) -> subprocess.Popen[bytes]:
            command = [{"0.0.0.0": "127.0.0.1", "8080": "0"}.get(word, word) for word in COMMANDS[name]]
            variables = {
                key: value.replace("/run/secrets", str(secrets)).replace("http://store:9000", store.url)
                for key, value in SERVICES[name].get("environment", {}).items()
            }
            with (tmp_path / f"{name}.log").open("wb") as log:
                environment = without_settings(**variables | own)
                return subprocess.Popen([HPOSVC, *command], env=environment, stdout=log, stderr=log, cwd=tmp_path)

        bucket = SERVICES["api"]["environment"]["HPOSVC_STORE_URL"].removeprefix("s3://")
        httpx.put(
            f"{store.url}/{bucket}", trust_env=False, timeout=PATIENCE
        ).raise_for_status()  # what the service `bucket` does
        assert start("migrate").wait(SECONDS) == 0
        api, worker = start("api"), start("worker")
        engine = create_engine(url)
        try:
            address = until(lambda: announced(Settings(data_dir=tmp_path)).get("url"), "the API listens")
            with Client(address) as client:
                until(client.is_ready, "the API is ready")
                program, *arguments = SERVICES["api"]["healthcheck"]["test"][1:]
                assert program == "python"
                healthy = [word.replace("http://127.0.0.1:8080", address) for word in arguments]
                subprocess.run([sys.executable, *healthy], check=True, env=os.environ | {"no_proxy": "*"})
                until(lambda: [one for one in queries.workers(engine) if one.state == "ready"], "the worker is ready")
                log = (tmp_path / "worker.log").read_text()
                found = re.search(r"http://127\.0\.0\.1:\d+/metrics", log)
                assert found, log
                assert "hposvc_worker_state" in httpx.get(found[0], trust_env=False, timeout=PATIENCE).text
                job = client.submit(
                    {
                        "kind": "regularization_tuning",
                        "dataset": {"id": "sklearn:iris"},
                        "stop": {"iterations": 3},
                    }
                )
                assert client.wait(job.id, interval=0.1).state == "succeeded", (tmp_path / "worker.log").read_text()
                files = {path.name: path for path in client.download_artifacts(job.id, tmp_path / "files")}
                assert json.loads(files["report.json"].read_text())["iterations"] == 3
                there = httpx.get(f"{store.url}/{bucket}", trust_env=False, timeout=PATIENCE).text
                assert f"jobs/{job.id}/1/report.json" in there
                for line in (tmp_path / "worker.log").read_text().splitlines():
                    assert {"event", "level", "timestamp"} <= json.loads(line).keys()
        finally:
            engine.dispose()
            for process, service in ((worker, "worker"), (api, "api")):
                process.send_signal(signal.SIGTERM)
                assert process.wait(int(SERVICES[service]["stop_grace_period"].removesuffix("s"))) == 0
