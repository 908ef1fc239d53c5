"""What is released: the same bytes from the same sources, and no file more or less than there is."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
BUILD = """
import sys
from hatchling.build import build_sdist, build_wheel
print(build_wheel(sys.argv[1]))
print(build_sdist(sys.argv[1]))
"""


@pytest.fixture(scope="module")
def tracked() -> list[str]:
    """The files of the repository."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a clone of the repository")
    return [name for name in listed.stdout.splitlines() if (ROOT / name).exists()]


@pytest.fixture(scope="module")
def built(tracked, tmp_path_factory):
    """Wheel and sdist, built twice: from copies at two places, made at two times."""
    folders = []
    for umask in ("022", "077"):
        source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("built")
        copy = ["bash", "-c", f"umask {umask}; tar -c --files-from - | tar -x --no-same-permissions -m -C {source}"]
        subprocess.run(copy, cwd=ROOT, input="\n".join(tracked), text=True, check=True)
        subprocess.run([sys.executable, "-c", BUILD, target], cwd=source, check=True, capture_output=True)
        folders.append(sorted(target.iterdir()))
    return folders


def test_two_builds_are_the_same_bytes(built):
    hashes = [{path.name: sha256(path.read_bytes()).hexdigest() for path in folder} for folder in built]
    assert len(hashes[0]) == 2 and hashes[0] == hashes[1]


def test_the_wheel_has_the_package_and_nothing_else(built, tracked):
    (wheel,) = [path for path in built[0] if path.suffix == ".whl"]
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    about = {name for name in names if ".dist-info/" in name}
    assert names - about == {name.removeprefix("src/") for name in tracked if name.startswith("src/")}
    assert {name.partition(".dist-info/")[2] for name in about} == {
        "METADATA",
        "RECORD",
        "WHEEL",
        "entry_points.txt",
        "licenses/LICENSE",
    }


def test_the_sources_are_those_of_the_repository(built, tracked):
    (sources,) = [path for path in built[0] if path.name.endswith(".tar.gz")]
    with tarfile.open(sources) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert names - {"PKG-INFO"} == set(tracked)


def test_the_citation_names_the_version(built):
    assert f"\nversion: {version('impasto')}\n" in (ROOT / "CITATION.cff").read_text()
    assert all(path.name.startswith(f"impasto-{version('impasto')}") for path in built[0])
