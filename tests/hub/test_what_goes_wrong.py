"""Each fault of the test hub has the effect on the real client that verified-clients.md 5 tells of: otherwise
it would prove nothing about ours."""

import pytest
from fault_cases import CASES


def count(log, what: str) -> int:
    if what in ("HEAD", "GET"):
        return sum(entry.method == what for entry in log)
    if what == "range":
        return sum("range" in entry.headers for entry in log)
    return sum(what in entry.target or entry.headers.get("range") == what for entry in log)


@pytest.mark.parametrize("wanted", CASES, ids=lambda wanted: wanted.name)
def test_fault(results, wanted):
    result = results(wanted.name)
    assert result.text.startswith(wanted.expect)
    assert {what: count(result.log, what) for what in wanted.requests} == wanted.requests
    assert all(rule.hits for rule in result.rules), "the fault never struck"
    assert wanted.least_s <= result.seconds <= wanted.most_s
