# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the spinat authors
"""spinat-cli against recorded answers of a running spinat (see record.py)."""

import copy
import itertools
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fake_telemetry import HANG_UP, FakeTelemetry

TOOL = Path(__file__).parents[2] / "tools" / "spinat-cli"
RECORDED: dict[str, Any] = json.loads((Path(__file__).parent / "recorded.json").read_text())
FIRST_PAGE = "/spinat/sessions,limit=7"


def sessions() -> list[dict[str, Any]]:
    """Rows of all recorded pages."""
    return [row for request, answer in RECORDED.items() if request.startswith(FIRST_PAGE)
            for row in answer["rows"].values()]


def page(*rows: dict[str, Any], **more: int) -> dict[str, Any]:
    return {"rows": {str(i): row for i, row in enumerate(rows)}} | more


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeTelemetry]:
    server = FakeTelemetry(str(tmp_path / "socket"), copy.deepcopy(RECORDED))
    yield server
    server.close()


def run(socket: Path | str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([TOOL, "--socket", socket, *words], capture_output=True, text=True,
                          timeout=20, check=False)


def output(socket: Path | str, *words: str) -> list[str]:
    """Lines of a run that must succeed and say nothing on standard error."""
    done = run(socket, *words)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def failure(socket: Path | str, *words: str) -> tuple[int, str]:
    """Status and the one sentence of a run that must fail without other output."""
    done = run(socket, *words)
    assert done.stdout == ""
    sentence, = done.stderr.splitlines()
    assert sentence.startswith("spinat-cli: ") and sentence.endswith((".", ")"))
    return done.returncode, sentence


@pytest.fixture
def path(fake: FakeTelemetry, tmp_path: Path) -> Path:
    return tmp_path / "socket"


# --- show -------------------------------------------------------------------------------------

@pytest.mark.parametrize("what", ["info", "stats", "drops", "checkpoint", "config"])
def test_json_of_one_object_is_what_the_instance_said(path: Path, what: str) -> None:
    lines = output(path, "show", what, "--json")
    expected = RECORDED[f"/spinat/{what}"]
    if what == "drops":
        expected = {k: n for k, n in expected.items() if n}
    assert json.loads("\n".join(lines)) == expected


def test_info_is_one_line_a_value(path: Path) -> None:
    lines = output(path, "show", "info")
    info = RECORDED["/spinat/info"]
    assert [one.split()[0] for one in lines] == list(info)
    assert lines[list(info).index("version")].split()[1:] == str(info["version"]).split()


def test_stats_has_a_table_of_interfaces_and_one_of_workers(path: Path) -> None:
    lines = output(path, "show", "stats")
    stats = RECORDED["/spinat/stats"]
    assert ["rx_packets", str(stats["rx_packets"])] in [one.split() for one in lines]
    table = lines[lines.index("interfaces") + 1:]
    assert table[0].split()[0] == "interface"
    for row, (name, counts) in zip(table[1:], stats["interfaces"].items()):
        assert row.split() == [name, *map(str, counts.values())]
    table = lines[lines.index("workers") + 1:]
    assert table[1].split() == [str(v) for v in stats["workers"]["0"].values()]


def test_drops_shows_only_reasons_that_occurred_with_their_text(fake: FakeTelemetry,
                                                                path: Path) -> None:
    counts = dict.fromkeys(RECORDED["/spinat/drops"], 0) | {"no_route": 3, "filtered": 12}
    fake.answers["/spinat/drops"] = counts
    lines = output(path, "show", "drops")
    texts = RECORDED["/spinat/drops,text"]
    assert [one.split(maxsplit=2) for one in lines[1:]] == [
        ["12", "filtered", texts["filtered"]], ["3", "no_route", texts["no_route"]]]


def test_drops_all_shows_every_reason(path: Path) -> None:
    lines = output(path, "show", "drops", "--all")
    assert {one.split()[1] for one in lines[1:]} == set(RECORDED["/spinat/drops"])


def test_drops_says_when_there_are_none(fake: FakeTelemetry, path: Path) -> None:
    fake.answers["/spinat/drops"] = dict.fromkeys(RECORDED["/spinat/drops"], 0)
    assert output(path, "show", "drops") == ["no packet was dropped"]


def test_config_is_printed_as_it_is(fake: FakeTelemetry, path: Path) -> None:
    fake.answers["/spinat/config"] = "line one\nline two\n"
    assert output(path, "show", "config") == ["line one", "line two"]


def test_a_list_is_followed_to_its_end(fake: FakeTelemetry, path: Path) -> None:
    fake.answers["/spinat/sessions"] = fake.answers[FIRST_PAGE]
    for request, answer in list(fake.answers.items()):
        if request.startswith(FIRST_PAGE + ",cursor"):
            fake.answers[request.replace(",limit=7", "")] = answer
    rows = sessions()
    assert len(rows) > 7, "the recording must have several pages"
    lines = output(path, "show", "sessions")
    assert len(lines) == 1 + len(rows)
    columns = lines[0].split()
    assert set(columns) == set(rows[0])
    for one, row in zip(lines[1:], rows):
        assert one.split()[columns.index("inside")] == row["inside"]
    parsed = [json.loads(one) for one in output(path, "--json", "show", "sessions")]
    assert parsed == rows


def test_limit_holds_over_pages(fake: FakeTelemetry, path: Path) -> None:
    assert len(output(path, "show", "sessions", "limit=7", "--json")) == 7
    assert fake.asked == [FIRST_PAGE]


def test_filters_go_to_the_instance(fake: FakeTelemetry, path: Path) -> None:
    output(path, "show", "bindings", "--why", "protocol=esp")
    assert fake.asked == ["/spinat/bindings,protocol=esp"]


def test_a_list_without_rows_says_so(fake: FakeTelemetry, path: Path) -> None:
    fake.answers["/spinat/ike"] = page()
    assert output(path, "show", "ike") == ["no ike"]
    fake.answers["/spinat/sessions,client=10.9.9.9"] = page()
    assert output(path, "show", "sessions", "client=10.9.9.9") == ["no sessions that match"]


def test_why_adds_the_evidence(path: Path) -> None:
    header = output(path, "show", "bindings")[0].split()
    assert "why" not in header and "candidates" not in header
    lines = output(path, "show", "bindings", "--why")
    assert "why" in lines[0].split() and "candidates" in lines[0].split()
    row = RECORDED["/spinat/bindings"]["rows"]["0"]
    assert row["why"] in lines[1]


def test_a_column_that_it_does_not_know_is_shown_last(fake: FakeTelemetry, path: Path) -> None:
    for row in fake.answers["/spinat/pools"]["rows"].values():
        row["novelty"] = "new"
    lines = output(path, "show", "pools")
    assert all(one.endswith(last) for one, last in zip(lines, itertools.chain(
        ["novelty"], itertools.repeat("new"))))


def test_a_cursor_that_does_not_move_ends_it(fake: FakeTelemetry, path: Path) -> None:
    for request in ("/spinat/sessions", "/spinat/sessions,cursor=5"):
        fake.answers[request] = page(sessions()[0], next=5)
    done = run(path, "show", "sessions")
    assert done.returncode == 1 and "same cursor" in done.stderr


def test_a_closed_pipe_is_no_error(fake: FakeTelemetry, path: Path) -> None:
    rows = sessions()[:1] * 50
    fake.answers["/spinat/sessions"] = page(*rows, next=0)
    fake.answers |= {f"/spinat/sessions,cursor={n}": page(*rows, next=n + 1) for n in range(400)}
    done = subprocess.run(["bash", "-o", "pipefail", "-c",
                           f"'{TOOL}' --socket '{path}' show sessions | head -n 1"],
                          capture_output=True, text=True, timeout=20, check=False)
    assert done.stderr == "" and done.stdout.count("\n") == 1


# --- reload -----------------------------------------------------------------------------------

def test_reload(fake: FakeTelemetry, path: Path) -> None:
    fake.answers["/spinat/reload"] = "ok: generation 2"
    assert output(path, "reload") == ["ok: generation 2"]


def test_a_refused_reload_fails_with_the_reason(fake: FakeTelemetry, path: Path) -> None:
    fake.answers["/spinat/reload"] = "error: box.conf:3: workers: found 2, needs a restart."
    status, sentence = failure(path, "reload")
    assert status == 1 and "box.conf:3: workers: found 2, needs a restart" in sentence


# --- checkpoint -------------------------------------------------------------------------------

def test_checkpoint(fake: FakeTelemetry, path: Path) -> None:
    fake.answers["/spinat/checkpoint_now"] = "ok: 320 bytes"
    assert output(path, "checkpoint") == ["ok: 320 bytes"]


def test_a_failed_checkpoint_fails_with_the_reason(fake: FakeTelemetry, path: Path) -> None:
    fake.answers["/spinat/checkpoint_now"] = "error: /x/state.new: cannot be created: no folder."
    status, sentence = failure(path, "checkpoint")
    assert status == 1 and "/x/state.new: cannot be created" in sentence


# --- top --------------------------------------------------------------------------------------

def test_top_shows_rates(fake: FakeTelemetry, path: Path) -> None:
    begin = itertools.count()
    stats = copy.deepcopy(RECORDED["/spinat/stats"])

    def moving() -> Any:
        return stats | {"rx_packets": next(begin) * 10**6}

    fake.answers["/spinat/stats"] = moving
    fake.answers["/spinat/drops"] = RECORDED["/spinat/drops"] | {"no_route": 7}
    lines = output(path, "top", "--interval", "0.2", "--count", "2")
    totals = [one.split() for one in lines if one.startswith("all ")]
    assert len(totals) == 2
    for row in totals:
        assert row[1].endswith("M") and 3 < float(row[1][:-1]) <= 5.1
        assert row[2:] == ["0", "0", "0"]
    assert ["no_route", "0", "7"] in [one.split() for one in lines]


# --- errors -----------------------------------------------------------------------------------

def test_no_instance(tmp_path: Path) -> None:
    status, sentence = failure(tmp_path / "none", "show", "info")
    assert status == 3 and "no spinat answers" in sentence


def test_a_command_that_the_instance_refuses(fake: FakeTelemetry, path: Path) -> None:
    status, sentence = failure(path, "show", "sessions", "protocol=nonsense")
    assert status == 1 and "bad value 'nonsense' for 'protocol'" in sentence


def test_a_command_that_the_instance_does_not_know(fake: FakeTelemetry, path: Path) -> None:
    del fake.answers["/spinat/pools"]
    status, sentence = failure(path, "show", "pools")
    assert status == 1 and "does not know /spinat/pools" in sentence


def test_an_instance_that_hangs_up(fake: FakeTelemetry, path: Path) -> None:
    fake.answers["/spinat/info"] = HANG_UP
    status, _ = failure(path, "show", "info")
    assert status == 3


@pytest.mark.parametrize("words", [
    ["show", "nonsense"], ["show", "sessions", "client"], ["show", "sessions", "nonsense=1"],
    ["show", "sessions", "limit=many"], ["show", "sessions", "limit=0"],
    ["show", "info", "client=10.0.0.1"],
    ["bind"], ["bind", "0x1234abcd", "203.0.113.5", "192.0.2.10"],
    ["bind", "0", "203.0.113.5", "192.0.2.10", "10.0.0.2"],
    ["bind", "0x100000000", "203.0.113.5", "192.0.2.10", "10.0.0.2"],
    ["bind", "1234abcd", "203.0.113.5", "192.0.2.10", "10.0.0.2"],
    ["bind", "0x1234abcd", "gateway", "192.0.2.10", "10.0.0.2"],
    ["bind", "0x1234abcd", "203.0.113.5", "192.0.2.10", "10.0.0.2", "blue"],
    ["unbind", "0x1234abcd", "203.0.113.5"],
    ["show", "sessions", "--why"], ["show", "sessions", "--nonsense"], ["top", "--interval", "0"],
    []])
def test_wrong_usage_is_status_2_and_asks_nothing(fake: FakeTelemetry, path: Path,
                                                  words: list[str]) -> None:
    done = run(path, *words)
    assert done.returncode == 2 and done.stderr.startswith("usage: spinat-cli")
    assert fake.asked == []


# --- finding the instance ---------------------------------------------------------------------

def as_nobody(runtime: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """spinat-cli as a user who has a runtime directory of his own and may read nothing else."""
    for directory in (runtime, *runtime.parents[:3]):
        os.chmod(directory, 0o755)
    return subprocess.run(["/usr/bin/python3", "-", *words], input=TOOL.read_text(),
                          env={"XDG_RUNTIME_DIR": str(runtime)}, cwd="/", user=65534,
                          capture_output=True, text=True, timeout=20, check=False)


def instance(runtime: Path, name: str) -> FakeTelemetry:
    (runtime / "dpdk" / name).mkdir(parents=True)
    return FakeTelemetry(str(runtime / "dpdk" / name / "dpdk_telemetry.v2"),
                         {"/spinat/info": {"name": name}})


def test_the_only_instance_needs_no_name(tmp_path: Path) -> None:
    first, stale = instance(tmp_path, "first"), instance(tmp_path, "stale")
    other = instance(tmp_path, "testpmd")
    stale.close()
    other.answers.clear()  # a DPDK program that is no spinat
    done = as_nobody(tmp_path, "show", "info")
    assert (done.returncode, done.stdout.split()) == (0, ["name", "first"])
    first.close()
    done = as_nobody(tmp_path, "show", "info")
    assert done.returncode == 3 and "no spinat is running" in done.stderr


def test_of_several_one_must_be_named(tmp_path: Path) -> None:
    instance(tmp_path, "first"), instance(tmp_path, "second")
    done = as_nobody(tmp_path, "show", "info")
    assert done.returncode == 3 and "(first, second)" in done.stderr
    done = as_nobody(tmp_path, "--name", "second", "show", "info")
    assert (done.returncode, done.stdout.split()) == (0, ["name", "second"])


def test_no_permission(tmp_path: Path) -> None:
    instance(tmp_path, "box")
    os.chmod(tmp_path / "dpdk" / "box" / "dpdk_telemetry.v2", 0o700)
    done = as_nobody(tmp_path, "--name", "box", "show", "info")
    assert done.returncode == 3 and "no permission" in done.stderr


# --- IKE --------------------------------------------------------------------------------------

def test_exchanges_have_their_names(fake: FakeTelemetry, path: Path) -> None:
    row = next(row for request, answer in RECORDED.items() if request.startswith("/spinat/ike")
               for row in answer["rows"].values())
    fake.answers["/spinat/ike"] = page(*({**row, "exchange": kind} for kind in (2, 34, 35, 240)))
    header, *lines = output(path, "show", "ike")
    at = header.index("exchange")
    assert [one[at:].split()[0] for one in lines] == ["main", "IKE_SA_INIT", "IKE_AUTH", "240"]


# --- bind -------------------------------------------------------------------------------------

PLACE = ["203.0.113.5", "192.0.2.10"]


@pytest.mark.parametrize("words, asked", [
    (["bind", "0x1234ABCD", *PLACE, "10.0.0.2"],
     "/spinat/bind,0x1234abcd,203.0.113.5,192.0.2.10,10.0.0.2"),
    (["bind", "4660", *PLACE, "10.0.0.2", "3"],
     "/spinat/bind,0x00001234,203.0.113.5,192.0.2.10,10.0.0.2,3"),
    (["unbind", "0x1234abcd", *PLACE], "/spinat/unbind,0x1234abcd,203.0.113.5,192.0.2.10"),
    (["unbind", "0x1234abcd", *PLACE, "0"], "/spinat/unbind,0x1234abcd,203.0.113.5,192.0.2.10,0")])
def test_order(fake: FakeTelemetry, path: Path, words: list[str], asked: str) -> None:
    fake.answers[asked] = "ok: done"
    assert output(path, *words) == ["ok: done"]
    fake.answers[asked] = "error: 10.0.0.2 is no client of this gateway"
    status, sentence = failure(path, *words)
    assert status == 1 and "nothing was changed: 10.0.0.2 is no client" in sentence


# --- completion -------------------------------------------------------------------------------

@pytest.mark.parametrize("typed, offered", [
    ("spinat-cli re", {"reload"}),
    ("spinat-cli --name x b", {"bind"}),
    ("spinat-cli u", {"unbind"}),
    ("spinat-cli show s", {"stats", "sessions"}),
    ("spinat-cli --name x show ", {"info", "stats", "drops", "checkpoint", "config", "sessions",
                                   "mappings", "bindings", "ike", "pools", "neighbours"}),
    ("spinat-cli show drops --", {"--all", "--json"}),
    ("spinat-cli show bindings --w", {"--why"}),
    ("spinat-cli show sessions c", {"client="}),
    ("spinat-cli completion ", {"bash"})])
def test_completion(tmp_path: Path, typed: str, offered: set[str]) -> None:
    script = subprocess.run([TOOL, "completion", "bash"], capture_output=True, text=True,
                            check=True).stdout
    words = typed.split(" ")
    probe = (f"compopt() {{ :; }}\nCOMP_WORDS=({' '.join(w or chr(39) * 2 for w in words)})\n"
             f"COMP_CWORD={len(words) - 1}\n_spinat_cli\nprintf '%s\\n' \"${{COMPREPLY[@]}}\"\n")
    done = subprocess.run(["bash", "-c", script + probe], capture_output=True, text=True,
                          check=True)
    assert set(done.stdout.split()) == offered
