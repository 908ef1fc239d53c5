"""The service as a user without an entry in the password database, without a home folder, on a read-only disk."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

import pytest

from impasto.images import encode_picture, read_picture, resize_picture
from service.servers import running_server, wait_for

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not hasattr(os, "getuid") or os.getuid() != 0 or not shutil.which("setpriv") or not shutil.which("unshare"),
        reason="needs root, setpriv and unshare",
    ),
]

ROOT = Path(__file__).parents[2]
UNKNOWN = ["setpriv", "--reuid", "54321", "--regid", "54321", "--clear-groups"]
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "PYTHONPATH": f"{ROOT / 'src'}:{sysconfig.get_path('purelib')}"}
READ_ONLY = """
mount --make-rprivate / && mount --bind "$0" "$0" && mount -o remount,bind,ro / && mount -o remount,bind,rw "$0" &&
for each in /tmp /var/tmp /dev/shm; do ! mountpoint -q $each || mount -o remount,bind,ro $each; done && exec "$@"
"""
HOMES = pytest.mark.parametrize("home", [{}, {"HOME": "/nowhere/at/all"}], ids=str)


@pytest.fixture(scope="module")
def python():
    """An interpreter that everybody may run, also in processes that it starts itself."""
    script = "import impasto.service.worker, subprocess, sys; subprocess.run([sys.executable, '-c', ''], check=True)"
    for found in (sys.executable, f"/usr/bin/python{sys.version_info.major}.{sys.version_info.minor}"):
        if Path(found).exists():
            done = subprocess.run([*UNKNOWN, found, "-c", script], env=ENVIRONMENT, cwd="/", capture_output=True)
            if done.returncode == 0:
                return found
    pytest.skip("no interpreter that other users may run")


@pytest.fixture
def data():
    with tempfile.TemporaryDirectory() as folder:  # the folders of pytest are closed to others
        os.chown(folder, 54321, 54321)
        yield Path(folder)


@HOMES
def test_a_job_is_painted_where_only_the_data_folder_can_be_written(home, python, data, photo):
    alone = ["unshare", "--mount", "sh", "-c", READ_ONLY, str(data)]
    tried = subprocess.run([*alone, *UNKNOWN, "touch", data.with_name("x")], capture_output=True, text=True)
    if "Read-only file system" not in tried.stderr:
        pytest.skip(f"the disk cannot be made read-only here: {tried.stderr}")
    everything = {"environment": {**ENVIRONMENT, **home}, "python": [*alone, *UNKNOWN, python]}
    content = encode_picture(resize_picture(read_picture(photo), 96, 64), "jpeg")
    with running_server(data, "--workers", "0", **everything) as server:
        worker = subprocess.Popen(
            [*everything["python"], "-m", "impasto", "worker", "--data-dir", data],
            env=everything["environment"],
            stderr=subprocess.PIPE,
        )
        sent = server.post("/v1/jobs", files={"content": content}, data={"style": "great-wave", "engine": "fast"})
        job = sent.json()["id"]

        def ended():
            body = server.get(f"/v1/jobs/{job}").json()
            return body if body["state"] not in ("queued", "running") else None

        try:
            assert wait_for(ended, what="the end of the job")["error"] is None
            assert read_picture(server.get(f"/v1/jobs/{job}/result").content).width == 96
        finally:
            worker.terminate()
            said = worker.communicate(timeout=60)[1].decode()
        assert worker.returncode == 0 and "Traceback" not in said, said


@HOMES
@pytest.mark.parametrize("command", ["serve", "worker"])
def test_without_a_data_folder_it_says_which_variable_to_set(command, home, python, data):
    (data / "closed").mkdir(mode=0o700)
    for given in ([], ["--data-dir", str(data / "closed")]):
        start = [*UNKNOWN, python, "-m", "impasto", command, *given]
        done = subprocess.run(start, env={**ENVIRONMENT, **home}, cwd="/", capture_output=True, text=True, timeout=60)
        assert done.returncode in (1, 2) and len(done.stderr.splitlines()) == 1, done.stderr
        assert "set IMPASTO_DATA_DIR" in done.stderr


def test_a_working_directory_that_is_closed_holds_no_settings(python, data):
    closed = data / "closed"
    closed.mkdir(mode=0o700)
    start = [*UNKNOWN, python, "-m", "impasto", "keys", "list", "--data-dir", data]
    done = subprocess.run(start, env=ENVIRONMENT, cwd=closed, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    (data / "impasto.toml").write_text("port = 1")
    (data / "impasto.toml").chmod(0o600)
    done = subprocess.run(start, env=ENVIRONMENT, cwd=data, capture_output=True, text=True)
    assert done.returncode == 2 and "the settings cannot be read: " in done.stderr and "impasto.toml" in done.stderr
