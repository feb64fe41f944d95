"""A fault at any internal call of clew.otel: nothing of it reaches the user's code."""

import pytest
from fault_injection import FAULTS, Report
from fault_scenarios_otel import OTEL_SCENARIOS


@pytest.mark.parametrize("name", OTEL_SCENARIOS)
def test_a_fault_at_any_internal_call_of_otel_reaches_nobody(otel, name, record_property):
    """Results, the user's own exception, a Ctrl-C and the next span are as if nothing had happened."""
    report = Report()
    report.attack(name, OTEL_SCENARIOS[name], {"exception": 1}, limit=1)
    report.attack(name, OTEL_SCENARIOS[name], dict.fromkeys(set(FAULTS) - {"exception"}, 17))
    record_property("faults", str(report))

    assert report.failures == [], "\n".join(report.failures) + str(report)
    assert sum(report.tried.values()) > 100
