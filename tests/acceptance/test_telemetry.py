"""Nothing leaves the machine that the user did not ask for: a proxy records every request."""

from __future__ import annotations

import ast
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import impasto
from impasto.images import read_picture, write_picture
from impasto.types import Picture
from service.servers import running_server, wait_for

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
IMPORTED_BY = {"openvino": "openvino_import.py", "onnxruntime": "onnx_runtime.py"}
KEPT = ("PATH", "LD_LIBRARY_PATH", "TMPDIR", "OMP_NUM_THREADS")
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
_LAST = "LAST"


class Proxy:
    """A proxy on loopback that records the first line of every request, and lets none through."""

    def __init__(self):
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._lines = []
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self):
        while _LAST not in self._lines:
            connection, _ = self._listener.accept()
            with connection:
                connection.settimeout(10)
                try:
                    with connection.makefile("rb") as request:
                        self._lines.append(request.readline().decode(errors="replace").strip())
                    connection.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                except OSError as error:
                    self._lines.append(repr(error))

    def close(self) -> list[str]:
        """Stop, and return the first line of every request whose connection was made before this call."""
        with socket.create_connection(self._listener.getsockname()) as last:
            last.sendall(f"{_LAST}\n".encode())
            self._thread.join()
        self._listener.close()
        return self._lines[:-1]


class User:
    """A user with an empty home and a proxy for all requests."""

    def __init__(self, folder: Path):
        self.home = folder / "home"
        self.home.mkdir()
        self.proxy = Proxy()
        # OpenVINO sends nothing where it sees a CI, so the variables that tell of one are left out.
        self.environment = {name: os.environ[name] for name in KEPT if name in os.environ}
        self.environment |= {"HOME": str(self.home), "PYTHONPATH": str(Path(impasto.__file__).resolve().parents[1])}
        self.environment |= {name: self.proxy.url for each in PROXIES for name in (each, each.lower())}

    def runs(self, *arguments: object) -> str:
        """Run Python with ``arguments``, and return what it prints."""
        done = subprocess.run(
            [sys.executable, *map(str, arguments)],
            cwd=self.home.parent,
            env=self.environment,
            capture_output=True,
            text=True,
        )
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    def foreign_files(self) -> list[Path]:
        """Files in the home that are not in a folder of impasto."""
        found = (path.relative_to(self.home) for path in self.home.rglob("*") if not path.is_dir())
        return [path for path in found if "impasto" not in path.parts[:-1]]

    def requests(self) -> list[str]:
        """Close the proxy, and return what it was asked for."""
        return self.proxy.close()


@pytest.fixture
def new_user(tmp_path):
    """Make users; their proxies are closed in the end."""
    made = []

    def make() -> User:
        folder = tmp_path / str(len(made))
        folder.mkdir()
        gradient = np.linspace(0, 1, 48 * 64 * 3, dtype=np.float32).reshape(48, 64, 3)
        write_picture(Picture(gradient), folder / "photo.png")
        made.append(User(folder))
        return made[-1]

    yield make
    for each in made:
        if each.proxy._thread.is_alive():
            each.proxy.close()


@pytest.fixture
def user(new_user):
    return new_user()


def test_the_proxy_sees_the_requests_of_a_process(user):
    ask = "import urllib.request as r\ntry: r.urlopen('https://example.org')\nexcept OSError: pass"
    user.runs("-c", ask)
    [request] = user.requests()
    assert request.startswith("CONNECT example.org:443 ")


@pytest.mark.parametrize("runtime", IMPORTED_BY)
def test_the_command_line_asks_for_nothing(user, runtime):
    command = ["-m", "impasto", "stylize", "photo.png", "-s", "great-wave", "--runtime", runtime, "-q", "-o", "out.png"]
    assert user.runs(*command) == ""
    assert read_picture(user.home.parent / "out.png").width == 64
    assert (user.foreign_files(), user.requests()) == ([], [])


def test_the_service_and_its_workers_ask_for_nothing(user, tmp_path):
    with running_server(tmp_path / "data", environment=user.environment) as client:
        for runtime in IMPORTED_BY:
            content = (user.home.parent / "photo.png").read_bytes()
            form = {"style": "great-wave", "runtime": runtime}
            job = client.post("/v1/jobs", files={"content": content}, data=form).raise_for_status().json()["id"]

            def ended(job=job):
                state = client.get(f"/v1/jobs/{job}").json()["state"]
                return state if state in ("succeeded", "failed") else None

            assert wait_for(ended, what=job) == "succeeded"
    assert (user.foreign_files(), user.requests()) == ([], [])


@pytest.mark.parametrize("runtime", IMPORTED_BY)
@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_script_without_a_guard_runs_once(user, method, runtime):
    script = user.home.parent / "script.py"
    script.write_text(
        "import multiprocessing\n"
        f"multiprocessing.set_start_method({method!r}, force=True)\n"
        "import impasto\n"
        "print('begun', flush=True)\n"
        f"picture = impasto.stylize('photo.png', 'great-wave', runtime={runtime!r})\n"
        "impasto.write_picture(picture, 'out.png')\n"
        "print('painted', flush=True)\n"
    )
    assert user.runs(script) == "begun\npainted\n"
    assert (user.foreign_files(), user.requests()) == ([], [])


def test_openvino_is_whole_afterwards(user):
    """A later import of OpenVINO finds all of it, and its telemetry can be imported."""
    script = (
        "import sys\n"
        "from impasto.runtimes.openvino_import import openvino as ours\n"
        "assert 'openvino_telemetry' not in sys.modules\n"
        "import openvino\n"
        "assert openvino is ours and callable(openvino.convert_model)\n"
        "import openvino_telemetry\n"
        "assert openvino_telemetry.Telemetry\n"
    )
    user.runs("-c", script)
    assert (user.foreign_files(), user.requests()) == ([], [])


def test_telemetry_that_was_imported_before_stays_and_is_not_used(user):
    script = (
        "import sys\n"
        "import openvino_telemetry\n"
        "import impasto.runtimes.openvino_import\n"
        "assert sys.modules['openvino_telemetry'] is openvino_telemetry\n"
    )
    user.runs("-c", script)
    assert (user.foreign_files(), user.requests()) == ([], [])


@pytest.mark.parametrize("before", [{}, {"ORT_DISABLE_TELEMETRY": "0"}])
def test_the_environment_is_afterwards_as_it_was(user, before):
    user.environment |= before
    script = (
        "import os\n"
        "before = dict(os.environ)\n"
        "import impasto.runtimes.onnx_runtime\n"
        "assert dict(os.environ) == before\n"
    )
    user.runs("-c", script)
    assert (user.foreign_files(), user.requests()) == ([], [])


def test_threads_that_paint_at_once_ask_for_nothing(user):
    script = (
        "from concurrent.futures import ThreadPoolExecutor\n"
        "import impasto\n"
        "with ThreadPoolExecutor(4) as pool:\n"
        "    list(pool.map(lambda style: impasto.stylize('photo.png', style), ['great-wave'] * 4))\n"
    )
    user.runs("-c", script)
    assert (user.foreign_files(), user.requests()) == ([], [])


def test_painting_adds_no_request_to_those_of_the_users_own_import(new_user):
    alone, painting = new_user(), new_user()
    alone.runs("-c", "import openvino")
    painting.runs("-c", "import openvino, impasto\nimpasto.stylize('photo.png', 'great-wave')")
    assert painting.requests() == alone.requests()
    assert painting.foreign_files() == alone.foreign_files()


def imported(module: Path) -> set[str]:
    """Names of the packages that ``module`` imports, anywhere in it, at run time or for type checkers."""
    packages = set()
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            packages |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            packages.add((node.module or "").partition(".")[0])
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) in (
            "import_module",
            "__import__",
        ):
            packages |= {str(each.value).partition(".")[0] for each in node.args if isinstance(each, ast.Constant)}
    return packages


@pytest.mark.parametrize("package", IMPORTED_BY)
def test_only_one_module_imports_the_library_of_a_runtime(package):
    folders = ("src", "benchmarks", "recipes", "examples", "docs")
    modules = [module for folder in folders for module in (ROOT / folder).rglob("*.py")]
    assert [module.name for module in modules if package in imported(module)] == [IMPORTED_BY[package]]
