"""What holds for the tests of every part."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest_plugins = ["tests.services.fixtures"]

ROOT = Path(__file__).parent
CLUSTERS = (
    "cluster/",
    "queue/rabbitmq/",
    "admin/test_settings_in_cluster.py",
    "limits/test_cluster.py",
    "services/",
    "system/test_cluster_demo.py",
    "system/test_metrics_of_workers.py",
    "system/test_reload.py",
    "system/test_workers.py",
)
"""They start several processes each, and look at how these get along: not while others of them do the same."""


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist looks at the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if str(item.path.relative_to(ROOT)).startswith(CLUSTERS):
            item.add_marker(pytest.mark.xdist_group("clusters"))
