"""Where the user's own files go, also where there is no home folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from impasto.errors import FileWriteError, UsageError
from impasto.files import check_folder
from impasto.folders import user_folder

ROOT = Path(__file__).parent.parent
UNKNOWN_USER = 54321


@pytest.fixture
def nobody(monkeypatch, tmp_path):
    """No home folder, and an own folder for temporary files."""
    for name in ("HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", lambda user: {}[user])
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_with_a_home_folder_it_is_the_platforms(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert user_folder("data") == tmp_path / "data" / "impasto"
    assert user_folder("cache") == tmp_path / "cache" / "impasto"


def test_without_a_home_folder_it_is_among_the_temporary_files(nobody):
    assert user_folder("data") == user_folder("cache") == nobody / f"impasto-{os.getuid()}"


def test_a_folder_that_another_user_made_is_not_taken(nobody, monkeypatch):
    (nobody / f"impasto-{UNKNOWN_USER}").mkdir()
    monkeypatch.setattr(os, "getuid", lambda: UNKNOWN_USER)
    with pytest.raises(UsageError, match="belongs to another user; set HOME"):
        user_folder("data")


def test_without_any_folder_it_says_which_variables_to_set(nobody, monkeypatch):
    def no_folder():
        raise FileNotFoundError

    monkeypatch.setattr(tempfile, "gettempdir", no_folder)
    with pytest.raises(UsageError, match="set HOME or TMPDIR"):
        user_folder("data")


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="only root becomes another user")
def test_a_home_folder_that_is_closed_to_the_user_is_none(monkeypatch, tmp_path):
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_DATA_HOME", str(home / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "cache"))
    assert user_folder("data") == home / "data" / "impasto"
    found = as_unknown_user(lambda: [user_folder("data"), user_folder("cache")])
    assert found == [Path(tempfile.gettempdir(), f"impasto-{os.getuid()}")] * 2


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="only root becomes another user")
def test_a_folder_that_is_closed_to_the_user_takes_no_results():
    def refused():
        with pytest.raises(FileWriteError, match=r"out\.png: folder .* is read-only for this user$"):
            check_folder(Path(folder, "out.png"))

    with tempfile.TemporaryDirectory() as folder:  # the folders of pytest are closed to others, also to look into
        Path(folder).chmod(0o755)
        check_folder(Path(folder, "out.png"))
        as_unknown_user(refused)


def as_unknown_user(work):
    """Do ``work`` with the permissions of another user."""
    access = os.access

    def effective(path, mode, **options):
        return access(path, mode, effective_ids=True, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "access", effective)
        os.seteuid(UNKNOWN_USER)
        try:
            return work()
        finally:
            os.seteuid(0)


@pytest.mark.skipif(
    not hasattr(os, "getuid") or os.getuid() != 0 or not shutil.which("setpriv"), reason="needs root and setpriv"
)
@pytest.mark.parametrize("home", [{}, {"HOME": "/nowhere/at/all"}, {"HOME": ""}], ids=str)
def test_an_unknown_user_paints(home, photo):
    with tempfile.TemporaryDirectory() as folder:  # the folders of pytest are closed to others
        Path(folder).chmod(0o777)
        content = Path(folder, "photo.jpg")
        content.write_bytes(photo.read_bytes())
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "src"), "TMPDIR": folder, **home}
        user = ["setpriv", "--reuid", str(UNKNOWN_USER), "--regid", str(UNKNOWN_USER), "--clear-groups"]

        def run(*arguments):
            command = [*user, sys.executable, "-m", "impasto", *arguments]
            return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=folder)

        listed = run("styles", "list")
        assert (listed.returncode, listed.stderr) == (0, "")
        assert "great-wave" in listed.stdout
        result = str(Path(folder, "out.png"))
        how = ["-s", "great-wave", "--engine", "fast", "--size", "64", "-q"]
        painted = run("stylize", str(content), *how, "-o", result)
        assert (painted.returncode, painted.stderr) == (0, "")
        assert Path(result).stat().st_uid == UNKNOWN_USER
