"""E-mail over TLS, to aiosmtpd: a mail server of others."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from abreast.core.states import DeploymentState
from abreast.machine.tls import ssl_context
from abreast.notify.interface import NotificationError, Notifier
from mail_server import PASSWORD, USER, Mailbox, mail_server
from notified_snapshots import Memory, snapshot
from notify_receivers import create_notifier, send_test, tell, tell_whole_deployment

TO = ["Ada <ada@example.com>", "ops@example.com"]


@pytest.fixture(autouse=True)
def _trust(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let this machine trust the authority of the mail server."""
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    ssl_context.cache_clear()
    yield
    ssl_context.cache_clear()


@pytest.fixture(params=["starttls", "implicit"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Mailbox, str]]:
    with mail_server(tmp_path, tls=request.param) as mailbox:
        yield mailbox, server_url(mailbox, request.param)


def server_url(mailbox: Mailbox, tls: str = "starttls", password: str = PASSWORD) -> str:
    scheme = "smtps" if tls == "implicit" else "smtp"
    return f"{scheme}://{quote(USER, safe='')}:{quote(password, safe='')}@127.0.0.1:{mailbox.port}"


def notifier(url: str, **settings: object) -> Notifier:
    values = {"server": "${SMTP_URL}", "sender": f"abreast <{USER}>", "to": TO, **settings}
    return create_notifier("email", values, SMTP_URL=url)


def test_start_and_failure(server: tuple[Mailbox, str]) -> None:
    mailbox, url = server
    sent = Memory()
    failure = {"failure": "no such <module>", "log": ["line 1", "</pre><script>alert(1)</script>"]}
    tell_whole_deployment(notifier(url), DeploymentState.TURNED_BACK, sent, **failure)
    start, end = mailbox.mails
    assert start["Subject"] == "shop: Deploying v7 to production"
    assert end["Subject"] == "shop: v7 failed and was turned back in production after 2 min 40 s"
    assert mailbox.recipients == [["ada@example.com", "ops@example.com"]] * 2
    assert start["References"] == end["References"] != ""
    assert start["Message-ID"] != end["Message-ID"]
    text, page = end.get_body(("plain",)), end.get_body(("html",))
    assert text is not None
    assert page is not None
    assert "    line 1" in text.get_content().splitlines()
    assert "Next: abreast logs" in text.get_content()
    assert "<script>" not in page.get_content()
    assert "no such &lt;module&gt;" in page.get_content()
    assert sent.find("turned-back") == "accepted"
    assert set(mailbox.logins) == {USER}


def test_the_same_message_has_the_same_id(server: tuple[Mailbox, str]) -> None:
    mailbox, url = server
    mailbox.drops_answer = 1
    tell(notifier(url), snapshot(), Memory())
    first, second = mailbox.mails
    assert first["Message-ID"] == second["Message-ID"]
    assert second["Subject"].strip() == f"{first['Subject']} (may have been sent before)"


def test_a_server_that_is_busy_gets_it_later_and_only_once(server: tuple[Mailbox, str]) -> None:
    mailbox, url = server
    mailbox.data_answers = ["451 greylisted, try again", "452 disk full"]
    tell(notifier(url), snapshot(), Memory())
    (mail,) = mailbox.mails
    assert "before" not in mail["Subject"]


def test_a_server_without_tls_gets_nothing(tmp_path: Path) -> None:
    with mail_server(tmp_path, tls="none") as mailbox:
        with pytest.raises(NotificationError, match=r"127\.0\.0\.1 offers no TLS on port \d+") as refused:
            tell(notifier(server_url(mailbox)), snapshot(), Memory())
        assert "smtps://" in refused.value.need
        assert (mailbox.mails, mailbox.logins) == ([], [])


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
def test_a_certificate_that_is_not_trusted_gets_nothing(tmp_path: Path, tls: str) -> None:
    with mail_server(tmp_path, tls=tls, trusted=False) as mailbox:
        with pytest.raises(NotificationError, match=r"is not trusted: .*certificate"):
            tell(notifier(server_url(mailbox, tls)), snapshot(), Memory())
        assert (mailbox.mails, mailbox.logins) == ([], [])


def test_a_wrong_password_is_said_without_it(server: tuple[Mailbox, str]) -> None:
    mailbox, url = server
    wrong = url.replace(quote(PASSWORD, safe=""), "hunter2hunter2")
    with pytest.raises(NotificationError, match="answers 535") as refused:
        tell(notifier(wrong), snapshot(), Memory())
    assert "hunter2" not in str(refused.value)
    assert mailbox.mails == []


def test_one_recipient_that_is_gone_stops_nobody_else(server: tuple[Mailbox, str]) -> None:
    mailbox, url = server
    mailbox.refused = {"ada@example.com": "550 no such user"}
    told, sent = notifier(url), Memory()
    with pytest.raises(NotificationError, match=r"refuses ada@example\.com: 550 no such user; the others get it"):
        tell(told, snapshot(), sent)
    tell(told, snapshot(), sent)
    assert mailbox.recipients == [["ops@example.com"]]
    mailbox.refused["ops@example.com"] = "550 no such user"
    with pytest.raises(NotificationError, match="answers 550 no such user"):
        tell(notifier(url), snapshot(), Memory())


def test_a_server_that_is_away_or_slow_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("abreast.notify.message_notifier.PAUSES", (0.1, 0.1))
    monkeypatch.setattr("abreast.notify.email.smtp.TIMEOUT", 1.0)
    with mail_server(tmp_path, tls="starttls") as mailbox:
        mailbox.delay = 1.5
        with pytest.raises(NotificationError, match="does not answer within 1 s; the next deployment there tells it"):
            tell(notifier(server_url(mailbox)), snapshot(), Memory())
    with pytest.raises(NotificationError, match="cannot be reached; the next deployment there tells it"):
        tell(notifier("smtp://127.0.0.1:9"), snapshot(), Memory())


@pytest.mark.parametrize("url", ["", "mail.example.com", "http://mail.example.com", "smtp://:x@", "smtp://h:99999"])
def test_an_address_that_is_none_is_said(url: str) -> None:
    with pytest.raises(NotificationError, match="the address of the mail server is not a URL"):
        tell(notifier(url), snapshot(), Memory())


@pytest.mark.parametrize("to", ["nobody", "a@example.com\nBcc: b@example.com"])
def test_a_recipient_that_is_none_is_said(to: str) -> None:
    with pytest.raises(NotificationError, match="an address of `notify"):
        tell(notifier("smtp://127.0.0.1:9", to=[to]), snapshot(), Memory())


def test_a_subject_has_one_line(server: tuple[Mailbox, str]) -> None:
    mailbox, url = server
    tell(notifier(url), snapshot(reason="a\r\nBcc: b@example.com", subject="x\r\ny"), Memory())
    (mail,) = mailbox.mails
    assert mail["Bcc"] is None


def test_a_test_is_only_accepted(server: tuple[Mailbox, str]) -> None:
    assert send_test(notifier(server[1])) == "accepted"
    assert server[0].mails[0]["Subject"] == "shop: This is how abreast tells you"
