# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the spinat authors
"""Fixtures. A test class is one running box: it gives its configuration as fixture `config`."""

import os
import signal
from collections.abc import Iterator

import pytest
from scapy.config import conf

from harness import config as cfg
from harness.appliance import BINARY
from harness.lab import Lab
from harness.namespace import Bed, Namespace, unique, veth
from harness.world import World, running_world

conf.verb = 0


def pytest_sessionstart() -> None:
    if os.geteuid() != 0:
        pytest.exit("functional tests make network namespaces: run them as root", 2)
    if not BINARY.exists():
        pytest.exit(f"{BINARY} does not exist: build it or set SPINAT_BIN", 2)
    # ended from outside, the namespaces and the box must go all the same
    signal.signal(signal.SIGTERM, lambda *_: pytest.exit("terminated", 143))
    os.sched_setaffinity(0, {0})  # CPU 1 is the worker's


@pytest.fixture(scope="session")
def bed() -> Iterator[Bed]:
    """Two empty namespaces; devices come and go with the box, so that none keeps state."""
    box, peer = Namespace(unique("b")), Namespace(unique("p"))
    yield Bed(box, peer)
    box.delete()
    peer.delete()


@pytest.fixture(scope="class")
def wires(bed: Bed, config: cfg.Config) -> Iterator[None]:
    """The veth pairs, unless the box makes taps itself."""
    if "net_tap" in config["interfaces"][0]["device"]:
        yield
        return
    with (
        veth(bed.box, cfg.DEVICE_IN, cfg.MAC_IN, bed.peer, "p-in"),
        veth(bed.box, cfg.DEVICE_OUT, cfg.MAC_OUT, bed.peer, "p-out"),
    ):
        yield


@pytest.fixture(scope="class")
def config() -> cfg.Config:
    """Configuration of the box; a class replaces it by a fixture of its own."""
    return cfg.default_config()


@pytest.fixture(scope="class")
def box(
    bed: Bed, wires: None, config: cfg.Config, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Lab]:
    """The running box, one for all tests of a class."""
    lab = Lab(bed.box, bed.peer, config, tmp_path_factory.mktemp("box"))
    lab.start()
    yield lab
    lab.stop()


@pytest.fixture(scope="class")
def world(
    bed: Bed, config: cfg.Config, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    """The box between real network stacks, one for all tests of a class."""
    with running_world(bed.box, config, tmp_path_factory.mktemp("box")) as world:
        yield world


@pytest.fixture
def lab(box: Lab, request: pytest.FixtureRequest) -> Iterator[Lab]:
    """The running box for one test, which must account for every drop and every frame."""
    yield box
    if not getattr(request.node, "failed", False):
        box.finish_test()
    else:
        box.in_port.waiting()
        box.out_port.waiting()
        try:
            box.dropped()
        except AssertionError:
            pass


@pytest.hookimpl(tryfirst=True, hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item):  # type: ignore[no-untyped-def]
    """Lets fixtures know that the test itself has failed."""
    outcome = yield
    if outcome.get_result().when == "call" and outcome.get_result().failed:
        item.failed = True  # type: ignore[attr-defined]
