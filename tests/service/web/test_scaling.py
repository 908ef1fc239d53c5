"""The query that scales workers, as docs/deployment.md has it, on what a real server says about its jobs."""

from __future__ import annotations

import re
import shutil
import subprocess
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from impasto.service import wiring
from impasto.service.jobs import NewJob
from impasto.service.settings import Settings
from service.servers import free_port, running_server, wait_for

DEPLOYMENT = Path(__file__).parents[3] / "docs" / "deployment.md"
RUN_SECONDS, QUEUED, RUNNING, WAIT = 12.0, 5, 2, 30.0


@pytest.fixture(scope="module")
def metadata():
    blocks = re.findall(r"^```yaml\n(.*?)^```", DEPLOYMENT.read_text(), re.MULTILINE | re.DOTALL)
    objects = [found for block in blocks if (found := yaml.safe_load(block)).get("kind") == "ScaledObject"]
    (trigger,) = objects[0]["spec"]["triggers"]
    assert len(objects) == 1 and objects[0]["spec"]["minReplicaCount"] == 1 and trigger["type"] == "prometheus"
    return trigger["metadata"]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A server without workers whose table has jobs that were painted, that run and that wait, in two queues."""
    folder = tmp_path_factory.mktemp("service")
    with closing(wiring.build(Settings(data_dir=folder))) as parts:
        for queue, number in (("cpu", 1 + RUNNING + QUEUED), ("gpu", 3)):
            for _ in range(number):
                parts.submissions.submit(NewJob(tenant="one", params={}, request_sha256="0" * 64, queue=queue))
        painted = parts.claims.claim("worker", ["cpu"], 3600.0)
        assert parts.claims.fail(painted, "bad_image", "as it were")
        with parts.database.begin() as (connection, _):
            connection.exec_driver_sql(f"UPDATE jobs SET started = finished - {RUN_SECONDS} WHERE state = 'failed'")
        for _ in range(RUNNING):
            assert parts.claims.claim("worker", ["cpu"], 3600.0)
    with running_server(folder, "--workers", "0") as client:
        yield client


def by_hand(server, query):
    """Evaluate ``query``, of numbers, operators and ``max(metric{label="value",...})``."""
    families = text_string_to_metric_families(server.get("/metrics").text)
    samples = [sample for family in families for sample in family.samples]

    def value(found):
        name, labels = found[1], dict(re.findall(r'(\w+)="(\w*)"', found[2] or ""))
        return str(max(each.value for each in samples if each.name == name and labels.items() <= each.labels.items()))

    arithmetic = re.sub(r"max\((\w+)(?:\{([^}]*)\})?\)", value, query)
    assert re.fullmatch(r"[\d.+*/ \n-]+", arithmetic), arithmetic
    return eval(arithmetic)


@contextmanager
def prometheus(folder, target):
    """A Prometheus that reads the metrics of ``target``."""
    port = free_port()
    (folder / "prometheus.yml").write_text(
        f"scrape_configs: [{{job_name: impasto, scrape_interval: 1s, static_configs: [{{targets: ['{target}']}}]}}]"
    )
    options = ["--config.file=prometheus.yml", "--storage.tsdb.path=data", f"--web.listen-address=127.0.0.1:{port}"]
    with subprocess.Popen(["prometheus", *options], cwd=folder, stderr=subprocess.DEVNULL) as process:
        transport = httpx.HTTPTransport(retries=10)
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", transport=transport) as client:
                yield client
        finally:
            process.terminate()


def test_the_query_is_right_on_the_real_endpoint(server, metadata):
    assert by_hand(server, metadata["query"]) == pytest.approx(RUNNING + QUEUED * RUN_SECONDS / WAIT)
    assert metadata["threshold"] == "1", "one worker for each unit of it"


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("prometheus") is None, reason="Prometheus is not installed")
def test_prometheus_says_the_same(server, metadata, tmp_path):
    with prometheus(tmp_path, f"{server.base_url.host}:{server.base_url.port}") as client:

        def answer():
            found = client.get("/api/v1/query", params={"query": metadata["query"]}).json()
            assert found["status"] == "success", found
            return found["data"]["result"]

        (sample,) = wait_for(answer, what="the first sample")
    assert sample["metric"] == {}
    assert float(sample["value"][1]) == pytest.approx(by_hand(server, metadata["query"]))


def test_a_queue_has_all_numbers_or_none(server):
    """In Prometheus, a sum with a missing number is missing."""
    text = server.get("/metrics").text
    for line in (
        'impasto_queue_jobs{queue="gpu",state="queued"} 3.0',
        'impasto_queue_jobs{queue="gpu",state="running"} 0.0',
        'impasto_queue_run_seconds{queue="gpu"} 0.0',
        f"impasto_job_run_seconds {RUN_SECONDS}",
    ):
        assert line in text.splitlines()
