# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the spinat authors
"""What the documentation lists is what the code has."""

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MANUAL = ROOT / "app" / "spinat.8"
PROGRAM = os.environ.get("SPINAT_BIN", str(ROOT / "build" / "app" / "spinat"))
DROPS = ROOT / "lib" / "packet" / "drop.h"


def plain_dashes(roff: str) -> str:
    return roff.replace("\\-", "-")


def plain(roff: str) -> str:
    return " ".join(plain_dashes(roff).split())


def section(name: str) -> str:
    """Source of one section of the manual page."""
    sections = re.split(r"^\.SH (.*)\n", MANUAL.read_text(), flags=re.M)
    return sections[sections.index(name) + 1]


def entries(source: str) -> dict[str, str]:
    """Tag and text of each entry that has a single bold word as its tag."""
    found = re.findall(r"^\.TP\n\.B (\S+)\n((?:(?!\.(?:TP|SH|SS|PP)).*\n)+)", source, flags=re.M)
    return {plain(tag): plain(text) for tag, text in found}


def test_drop_reasons_are_those_of_the_code() -> None:
    code = re.findall(r'X\(\w+, "(\w+)",[\s\\]*"([^"]+)"\)',
                      DROPS.read_text().partition("#define SPINAT_DROPS(X)")[2])
    assert len(code) > 50
    assert list(entries(section("DROP REASONS")).items()) == code


def test_options_are_those_of_the_program() -> None:
    help_text = subprocess.run([PROGRAM, "--help"], capture_output=True, text=True,
                               check=True).stdout
    option = re.compile(r"(?<![\w-])--?[a-z]+")
    tags = re.findall(r"^\.TP\n(\..*)", plain_dashes(section("OPTIONS")), flags=re.M)
    described = {one for tag in tags for one in option.findall(tag)}
    assert described == set(option.findall(help_text))


def test_telemetry_commands_are_those_of_the_code() -> None:
    sources = "".join(p.read_text() for p in (ROOT / "lib" / "telemetry").glob("*.c"))
    code = set(re.findall(r'"(/spinat/\w+)"', sources))
    assert code
    assert set(entries(section("TELEMETRY"))) == code


@pytest.mark.parametrize("page", sorted((ROOT / "app").glob("*.[1-9]")), ids=lambda p: p.name)
def test_manual_page_formats_without_a_warning(page: Path) -> None:
    done = subprocess.run(["man", "--warnings=all", "--local-file", page], capture_output=True,
                          text=True, env={"LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin"},
                          check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("page", ["README.md"])
def test_links_lead_to_files(page: str) -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", (ROOT / page).read_text())
    assert links
    assert [one for one in links if not (ROOT / page).parent.joinpath(one).exists()] == []


def check(configuration: Path) -> None:
    done = subprocess.run([PROGRAM, "-c", configuration, "--check"], capture_output=True, text=True,
                          check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_configuration_of_the_readme_is_accepted(tmp_path: Path) -> None:
    block = re.search(r"^ +name = (?:.*\n)+?\n", (ROOT / "README.md").read_text(), flags=re.M)
    assert block and "interfaces" in block[0]
    (tmp_path / "readme.conf").write_text(block[0])
    check(tmp_path / "readme.conf")


def test_example_configuration_is_accepted() -> None:
    check(ROOT / "app" / "spinat.conf.example")
