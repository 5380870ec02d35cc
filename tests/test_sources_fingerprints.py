"""Fingerprints are those that Alertmanager and Grafana compute."""

import json
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.sources.fingerprints import fingerprint

VECTORS = Path(__file__).parents[1] / "../shared/vectors/fingerprints.json"

label_sets = st.dictionaries(st.text(), st.text())


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        # The offset basis of FNV-1a.
        pytest.param({}, "cbf29ce484222325", id="no labels"),
        # What Grafana's test button sends for its alert.
        pytest.param(
            {"alertname": "TestAlert", "instance": "Grafana"},
            "57c6d9296de2ad39",
            id="the alert of Grafana's test button",
        ),
        pytest.param(
            {"instance": "Grafana", "alertname": "TestAlert"},
            "57c6d9296de2ad39",
            id="the order of the labels does not matter",
        ),
    ],
)
def test_known_fingerprints(labels, expected):
    assert fingerprint(labels) == expected


def test_upstream_vectors():
    if not VECTORS.exists():
        pytest.skip(f"no upstream vectors at {VECTORS}")
    cases = json.loads(VECTORS.read_text())["cases"]
    assert [fingerprint(case["labels"]) for case in cases] == [c["fingerprint"] for c in cases]


def test_a_name_and_its_value_do_not_run_into_each_other():
    assert fingerprint({"ab": "c"}) != fingerprint({"a": "bc"})


@given(label_sets, label_sets)
def test_other_labels_have_another_fingerprint(one, other):
    assert (fingerprint(one) == fingerprint(other)) == (one == other)


def test_ten_thousand_alerts_take_no_noticeable_time():
    labels = {f"label_{index}": "a value of ordinary length" for index in range(5)}
    started = time.process_time()
    for index in range(10_000):
        fingerprint(labels | {"instance": str(index)})
    assert time.process_time() - started < 5  # about 0.3 s; the limit is for slow machines
