"""The metrics port of a worker."""

from __future__ import annotations

import socket

import pytest
from prometheus_client import CollectorRegistry

from models.setting_kinds import Address
from tasks.worker_process import open_metrics


@pytest.mark.enable_socket
def test_port_that_is_taken_ends_the_worker_with_2(caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SystemExit) as ended:
            open_metrics(Address("127.0.0.1", port), CollectorRegistry())
    assert ended.value.code == 2
    assert f"controller.metrics_addr=127.0.0.1:{port}" in caplog.text
