"""`make bench` works and prints what its document says; how fast anything is, no test asks.

Run here is its shortest form: one round of a few webhooks each.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from bench.__main__ import SUBJECTS, main
from bench.bodies import new_bodies
from bench.forms import FULL, SHORTEST
from bench.measuring import HEADINGS, Row, compared, each, in_turns, table
from bench.posting import Sender
from bench.processes import STORES, bare_endpoint

ROOT = Path(__file__).parents[1]
README = ROOT / "bench/README.md"

# --- measuring -----------------------------------------------------------------------------------


def test_pieces_are_taken_in_turns_and_the_first_round_does_not_count() -> None:
    done: list[str] = []

    def piece(name: str) -> float:
        done.append(name)
        return float(len(done))

    taken = in_turns({name: lambda name=name: piece(name) for name in "AB"}, rounds=2)

    assert "".join(done) == "ABABAB"
    assert taken == {"A": [3.0, 5.0], "B": [4.0, 6.0]}


def test_the_ratio_is_the_median_of_the_rounds_and_not_that_of_the_medians() -> None:
    row = compared("intake", "ours : other", ours=[2, 40, 6], other=[1, 4, 2])

    assert (row.ratio, row.ours, row.other, row.rounds) == (3, 6, 2, 3)


def test_the_spread_is_where_half_of_the_rounds_are() -> None:
    row = compared("intake", "ours : other", ours=[1, 2, 3, 4, 100], other=[1] * 5)

    assert (row.low, row.ratio, row.high) == (2, 3, 4)


def test_one_round_alone_has_no_spread() -> None:
    row = compared("intake", "ours : other", ours=[3], other=[2])

    assert (row.low, row.ratio, row.high) == (1.5, 1.5, 1.5)


def test_a_unit_of_work_is_what_is_timed() -> None:
    done: list[None] = []

    assert each(lambda: done.append(None), times=5) >= 0
    assert len(done) == 5


def test_the_table_names_a_subject_once_and_units_are_readable() -> None:
    first = Row("intake", "a : b", 0.0125, 0.000002, 6250, 6000.4, 6543.21, 7)
    rows = [first, first._replace(what="c : d", ours=2, ratio=0.5, low=0.25, high=12.34)]

    lines = table([*rows, first._replace(subject="storm", ours=-0.002)]).splitlines()

    assert [line.split("  ")[0] for line in lines] == ["subject", "intake", "", "storm"]
    assert cells(lines[1]) == ["intake", "a : b", "12.5 ms", "2.00 µs", "6250", "6000 – 6543", "7"]
    assert cells(lines[2])[1:] == ["2.00 s", "2.00 µs", "0.50", "0.25 – 12.3", "7"]
    assert "-2.00 ms" in lines[3]


def cells(line: str) -> list[str]:
    return re.split(r"\s{2,}", line.strip())


# --- posting -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with bare_endpoint(tmp_path_factory.mktemp("bare")) as url:
        yield url


@pytest.mark.process
def test_every_body_is_posted_by_one_of_many(endpoint: str) -> None:
    with Sender(endpoint) as sender:
        assert sender.each(new_bodies(20), posters=8) > 0
        assert sender.newly(*new_bodies(1)) > 0


@pytest.mark.process
@pytest.mark.parametrize("posters", [1, 8])
def test_an_answer_that_is_no_success_ends_the_run(endpoint: str, posters: int) -> None:
    """Errors are fast: a run of them would look splendid."""
    with Sender(f"{endpoint}/nowhere") as sender, pytest.raises(ExceptionGroup) as failed:
        sender.each(new_bodies(8), posters)
    assert all("404" in str(error) for error in failed.value.exceptions)


def test_an_address_without_a_port_is_refused() -> None:
    with pytest.raises(ValueError, match="write http://HOST:PORT/PATH"):
        Sender("http://localhost/v1/alertmanager")


# --- the whole run -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def printed() -> list[list[str]]:
    """The cells of the table that the shortest run prints."""
    result = CliRunner().invoke(main, ["--shortest"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return read(result.stdout)


def read(text: str) -> list[list[str]]:
    """Return a table's rows, each with its subject."""
    _, _, below = text.partition(f"\n{HEADINGS[0]}  ")
    rows, subject = [], ""
    for line in below.splitlines()[1:]:
        if not line.strip() or line.startswith("```"):
            break
        found = cells(line)
        subject, others = (subject, found) if line.startswith(" ") else (found[0], found[1:])
        rows.append([subject, *others])
    return rows


def whats(rows: list[list[str]]) -> set[tuple[str, str]]:
    """Return what was compared, whatever the sizes are."""
    return {(subject, re.sub(r"\d[\d,]*", "N", what)) for subject, what, *_ in rows}


@pytest.mark.process
@pytest.mark.timeout(300)
def test_every_subject_is_measured_on_every_store(printed: list[list[str]]) -> None:
    assert list(dict.fromkeys(row[0] for row in printed)) == list(SUBJECTS)
    for subject in ("intake", "alert to wire", "storm"):
        for store in STORES:
            assert any(row[:1] == [subject] and row[1].startswith(store) for row in printed)
    posters = {match[1] for row in printed if (match := re.search(r"(\d+) posters?", row[1]))}
    assert posters == {"1", "8", "64"}


@pytest.mark.process
@pytest.mark.timeout(300)
def test_every_row_has_two_durations_a_ratio_and_its_spread(printed: list[list[str]]) -> None:
    number = r"-?[\d.]+"
    for row in printed:
        _, what, ours, other, ratio, spread, rounds = row
        assert " : " in what, row
        assert all(re.fullmatch(rf"{number} (s|ms|µs)", cell) for cell in (ours, other)), row
        assert re.fullmatch(number, ratio), row
        assert re.fullmatch(f"{number} – {number}", spread), row
        assert rounds == "1", row


@pytest.mark.process
@pytest.mark.timeout(300)
def test_the_document_shows_the_rows_that_are_printed(printed: list[list[str]]) -> None:
    shown = read(README.read_text(encoding="utf-8"))

    assert whats(shown) == whats(printed)
    assert {row[-1] for row in shown if row[0] == "intake"} == {str(FULL.intake)}
    assert FULL._fields == SHORTEST._fields


def test_the_command_is_the_one_that_make_runs() -> None:
    recipe = re.search(r"^bench:.*\n\t(.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert recipe is not None
    assert recipe[1] == "PYTHONPATH=tests $(BIN)/python -m bench $(BENCH_ARGS)"

    done = subprocess.run(
        [sys.executable, "-m", "bench", "--help"],
        cwd=ROOT, env={"PYTHONPATH": "tests"}, capture_output=True, text=True, check=True,
    )  # fmt: skip

    assert all(subject in done.stdout for subject in SUBJECTS)
