"""Requests drawn from the committed OpenAPI document: no 5xx, no answer that it does not declare.

Derandomized: the same requests every time, but for the instants in them. By hand with many more:
`WFE_DRAWN_EXAMPLES=1000 pytest -s --timeout 7200 tests/integration/datastorage/test_schemathesis.py`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

import datastorage
from tests.integration.datastorage import drawn_requests
from tests.integration.datastorage.conftest import Start
from tests.postgres_plugin import PostgresServer

TOKEN = "a-token-of-this-test-alone"
DOCUMENT = Path(datastorage.__file__).with_name("openapi.json")
OPTIONS = (
    "--generation-deterministic",
    "--phases=examples,coverage,fuzzing",
    "--continue-on-failure",
    "--no-color",
    "--request-timeout=60",
    "--suppress-health-check=all",
)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def test_no_5xx_and_no_undeclared_answer(
    start: Start, tmp_path: Path, kind: str, request: pytest.FixtureRequest
) -> None:
    database = {}
    if kind == "postgresql":
        server: PostgresServer = request.getfixturevalue("postgres_server")
        database["url"] = server.create_database("drawn")
    (tmp_path / "tokens").write_text(f"everybody read,write,hold {TOKEN}\n")
    assert start("keygen", str(tmp_path / "key")).wait() == 0
    assert start("migrate", **database).wait() == 0
    settings = {"server_token_file": str(tmp_path / "tokens"), "checkpoint_key_file": str(tmp_path / "key")}
    service = start("serve", "--port", "0", **database, **settings)
    (tmp_path / "schemathesis.toml").write_text("")
    examples = os.environ.get("WFE_DRAWN_EXAMPLES", "5")
    target = [str(DOCUMENT), f"--url={service.url}", f"--header=Authorization: Bearer {TOKEN}"]
    drawn = subprocess.run(
        [Path(sys.executable).with_name("schemathesis"), "run", *target, *OPTIONS, f"--max-examples={examples}"],
        cwd=tmp_path,
        env={**os.environ, "SCHEMATHESIS_HOOKS": drawn_requests.__name__, "PYTHONPATH": os.getcwd()},
        capture_output=True,
        text=True,
    )
    assert drawn.returncode == 0, (drawn.stdout + drawn.stderr)[:20_000]
    assert "Tested: 13" in drawn.stdout
    # It got behind the checks: there are events, and a checkpoint over them.
    page = httpx.get(
        f"{service.url}/api/v1/audit/events", headers={"Authorization": f"Bearer {TOKEN}"}, timeout=60
    ).json()
    assert page["pagination"]["total"] > 20
    assert service.terminate() == 0
    logged = "\n".join(service.lines)
    assert "traceback" not in logged.lower()
    assert '"status":5' not in logged
