"""The description of the API is frozen: who changes it, changes docs/openapi.json, and sees what clients will see.

IMPASTO_WRITE_OPENAPI=1 pytest tests/service/web/test_openapi.py
"""

from __future__ import annotations

import json
import os
from contextlib import closing
from pathlib import Path

from impasto.service import wiring
from impasto.service.settings import Settings
from impasto.service.web.app import create_app

FROZEN = Path(__file__).parents[3] / "docs" / "openapi.json"


def test_the_description_of_the_api(tmp_path):
    with closing(wiring.build(Settings(data_dir=tmp_path))) as parts:
        found = json.dumps(create_app(parts).openapi(), indent=1, sort_keys=True) + "\n"
    if os.environ.get("IMPASTO_WRITE_OPENAPI"):
        FROZEN.write_text(found)
    assert json.loads(found)["openapi"].startswith("3.1")
    assert found == FROZEN.read_text(), "the API has changed; see the top of this file"
