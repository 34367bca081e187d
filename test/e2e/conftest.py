# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the spinat authors
"""Fixtures. One guest serves all tests; a scenario is a freshly started box with its own hosts."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "functional")]

from harness.appliance import BINARY  # noqa: E402
from lab import vm  # noqa: E402
from lab.site import Scenario, Site, box_config  # noqa: E402

MakeScenario = Callable[..., Scenario]


def pytest_sessionstart() -> None:
    if os.geteuid() != 0:
        pytest.exit("end-to-end tests make network namespaces: run them as root", 2)
    if not BINARY.exists():
        pytest.exit(f"{BINARY} does not exist: build it or set SPINAT_BIN", 2)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    reason = vm.missing()
    if reason is not None:
        for item in items:
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = Site(tmp_path_factory.mktemp("e2e"))
    yield made
    made.delete()


@pytest.fixture
def scenario(site: Site, request: pytest.FixtureRequest) -> Iterator[MakeScenario]:
    """scenario(clients, *layers of each, gateway=layers, ...) starts a box and hosts; further
    keywords are keys of the configuration."""
    made: list[Scenario] = []

    def make(clients: int, *layers: str, gateway: Sequence[str] = (), **config: Any) -> Scenario:
        made.append(Scenario(site, clients, layers, gateway, box_config(**config)))
        return made[-1]

    yield make
    for started in made:
        if getattr(request.node, "failed", False):
            print(started.describe())
        started.end()


@pytest.hookimpl(tryfirst=True, hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item):  # type: ignore[no-untyped-def]
    """Lets fixtures know that the test itself has failed."""
    outcome = yield
    if outcome.get_result().when == "call" and outcome.get_result().failed:
        item.failed = True  # type: ignore[attr-defined]
