"""What a static site answers: Netlify's documented cases."""

import pytest

from site_answers import answer_of
from static_site_cases import CASES, Ask, SiteCase


@pytest.mark.parametrize(
    ("case", "ask"), [pytest.param(case, ask, id=f"{case.name}: {ask.path}") for case in CASES for ask in case.asks]
)
def test_documented_cases(case: SiteCase, ask: Ask) -> None:
    got = answer_of(case, ask)
    assert (got.status, got.body, got.location) == (ask.status, ask.body, ask.location)
    assert {name: got.headers.get(name, "") for name in ask.headers} == ask.headers
