"""What clients claim to have lost is added up, and cannot do harm."""

from __future__ import annotations

import pytest

from clew.server.meter import Meter
from clew.server.sdk_drops import SdkDrops

ONE, TWO = "0" * 16, "1" * 16


def said(drops: str, instance: str = ONE) -> dict[str, str]:
    return {"x-clew-instance": instance, "x-clew-drops": drops}


def test_each_process_gives_all_its_counts_and_only_what_is_new_is_added():
    """A request that is sent twice changes nothing."""
    drops = SdkDrops()
    for text in ("queue_full=3", "queue_full=3", "queue_full=5,shutdown=1"):
        drops.hear("default", said(text))
    drops.hear("default", said("queue_full=10", TWO))

    assert drops.by_cause == {"queue_full": 15, "shutdown": 1}


def test_counts_never_go_down():
    """Or Prometheus would see a restart."""
    drops = SdkDrops()
    for count in (5, 2, 6):
        drops.hear("default", said(f"denied={count}"))

    assert drops.by_cause == {"denied": 6}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        said(""),
        said("denied"),
        said("denied=-1"),
        said("denied=1e9"),
        said("denied=" + "9" * 16),
        said("denied=٣"),
        said('x"} 1\nevil=1'),
        said("a=1," * 200),
        said("denied=1", "short"),
        said("denied=1", "Z" * 16),
        {"x-clew-drops": "denied=1"},
    ],
)
def test_what_is_malformed_is_no_claim(headers):
    drops = SdkDrops()
    drops.hear("default", headers)

    assert not drops.by_cause


def test_unknown_causes_are_one_series():
    drops = SdkDrops()
    for number in range(26):
        drops.hear("default", said(f"cause_{chr(97 + number)}=1", f"{number:016x}"))

    assert drops.by_cause == {"other": 26}


def test_memory_is_bounded_however_many_processes_there_are():
    drops = SdkDrops(max_instances=10)
    for number in range(1_000):
        drops.hear("default", said("denied=1", f"{number:016x}"))

    assert len(drops._last) == 10
    assert drops.by_cause == {"denied": 1_000}


def test_one_project_cannot_speak_for_the_process_of_another():
    drops = SdkDrops()
    drops.hear("mine", said("denied=5"))
    drops.hear("other", said("denied=5"))

    assert drops.by_cause == {"denied": 10}


def test_prometheus_sees_them():
    meter = Meter()
    meter.sdk_drops.hear("default", said("queue_full=3"))

    assert 'clew_sdk_dropped_total{cause="queue_full"} 3' in meter.text({})
