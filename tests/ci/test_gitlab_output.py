"""What a job of GitLab CI shows, and leaves for later jobs."""

import re
from pathlib import Path

from abreast.cli.ci.gitlab import GitLabCi
from abreast.cli.ci.selection import ci_output


def test_a_section_is_what_gitlab_documents() -> None:
    first, line, last = ci_output({"GITLAB_CI": "true"}).section("backend build", ["a"])
    begin = re.fullmatch(r"\x1b\[0Ksection_start:(\d+):(\w+)\[collapsed=true\]\r\x1b\[0Kbackend build", first)
    assert begin
    assert line == "a"
    assert re.fullmatch(rf"\x1b\[0Ksection_end:\d+:{begin[2]}\r\x1b\[0K", last)


def test_outputs_are_variables_that_dotenv_can_hold(tmp_path: Path) -> None:
    file = tmp_path / "new" / "outputs.env"
    outputs = {"release": "v2", "url-my-api": "http://x", "two": "a\nFORGED=1"}
    GitLabCi({"ABREAST_DOTENV": str(file)}).publish(outputs, "")
    assert file.read_text() == "ABREAST_RELEASE=v2\nABREAST_URL_MY_API=http://x\n"
    GitLabCi({}).publish(outputs, "")
