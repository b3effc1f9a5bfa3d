"""Probes: when a series fails early, and how many an application gets."""

import pytest

from abreast.core.probes import SAME_ERROR_PROBES, ProbeResult, ProbeSeries, ProbeVerdict


def answered(series: ProbeSeries, *answers: tuple[float, int | None]) -> ProbeSeries:
    for at, status in answers:
        success = status is not None and status < 400
        series = series.with_result(ProbeResult(at, success, f"status {status}", status=status))
    return series


def every_second(status: int | None, first: int, last: int) -> list[tuple[float, int | None]]:
    return [(float(second), status) for second in range(first, last + 1)]


def test_the_same_server_error_for_a_quarter_of_the_start_fails() -> None:
    series = answered(ProbeSeries(start=60, hold=1), *every_second(500, 0, 14))
    assert series.verdict is ProbeVerdict.OPEN
    series = answered(series, (15.0, 500))
    assert (series.verdict, series.why) == (ProbeVerdict.FAILED, "nothing but status 500 for 15 s: status 500")


@pytest.mark.parametrize("status", [502, 503, 504, 404, 401, None])
def test_what_an_application_may_answer_while_it_warms_up_has_the_whole_start(status: int | None) -> None:
    series = answered(ProbeSeries(start=60, hold=1), *every_second(status, 0, 59))
    assert series.verdict is ProbeVerdict.OPEN
    assert answered(series, (60.0, status)).why.startswith("not healthy within 60 s")


def test_a_series_with_other_answers_in_between_goes_on() -> None:
    series = ProbeSeries(start=40, hold=1)
    for second in range(0, 40, 4):
        series = answered(series, *((second + part / 10, 500) for part in range(12)), (second + 2.0, 503))
    assert series.verdict is ProbeVerdict.OPEN
    assert answered(series, (39.0, 200), (39.9, 200)).verdict is ProbeVerdict.OPEN
    assert answered(series, (39.0, 200), (40.0, 200)).verdict is ProbeVerdict.PASSED


def test_few_answers_in_a_short_start_are_not_enough() -> None:
    answers = [(second / 2, 500) for second in range(SAME_ERROR_PROBES - 1)]
    assert answered(ProbeSeries(start=8, hold=0), *answers).verdict is ProbeVerdict.OPEN
    assert answered(ProbeSeries(start=8, hold=0), *answers, (4.6, 500)).verdict is ProbeVerdict.FAILED


def test_a_version_that_was_healthy_fails_as_before() -> None:
    series = answered(ProbeSeries(start=60, hold=9), (1.0, 200), *every_second(500, 2, 4))
    assert series.why == "was healthy, then failed 3 times in a row: status 500"


def test_the_hold_takes_few_probes() -> None:
    series, now, count = ProbeSeries(start=60, hold=1), 0.0, 0
    while series.verdict is ProbeVerdict.OPEN:
        series, count = answered(series, (now, 200)), count + 1
        now += series.next_delay(now, 0.03)
    assert count == 5
