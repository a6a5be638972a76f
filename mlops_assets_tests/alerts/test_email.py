"""E-mail against a real SMTP server."""

from __future__ import annotations

import ssl
import subprocess
from contextlib import contextmanager
from email import message_from_bytes, policy
from typing import TYPE_CHECKING, Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from mlops_assets.alerts.channels.email import EmailChannel, Server
from mlops_assets.alerts.channels.protocol import DeliveryError
from mlops_assets_tests.alerts.world import an_alert
from mlops_assets_tests.services import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# aiosmtpd's own use of what later Pythons drop, and of a login over TLS, are not ours to mend.
pytestmark = pytest.mark.filterwarnings("default")

TO = ["a@example.org", "b@example.org"]


class Inbox:
    """Keeps what it gets; ``answer`` is what it says to a message instead of taking it."""

    def __init__(self, answer: str = "250 taken") -> None:
        self.answer = answer
        self.envelopes: list[Any] = []

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 - its name
        if self.answer.startswith("250"):
            self.envelopes.append(envelope)
        return self.answer


@contextmanager
def smtp(inbox: Inbox, **options: Any) -> Iterator[int]:
    controller = Controller(inbox, hostname="127.0.0.1", port=free_port(), **options)
    controller.start()
    try:
        yield controller.port
    finally:
        controller.stop()


def channel(port: int, **options: Any) -> EmailChannel:
    server = Server("127.0.0.1", port, **{"starttls": False, "seconds": 2.0, **options})
    return EmailChannel(server, "mlops@example.org", TO)


def test_a_mail_says_all_and_is_the_same_when_sent_again() -> None:
    inbox = Inbox()
    with smtp(inbox) as port:
        channel(port).send(an_alert())
        channel(port).send(an_alert())
        channel(port).send(an_alert(key="1/resolved/0/all", title="two\nlines: Bcc: x@example.org"))
    first, again, other = (message_from_bytes(e.content, policy=policy.default) for e in inbox.envelopes)
    assert inbox.envelopes[0].rcpt_tos == TO
    assert first["Subject"] == "ERROR: check volume of shop/raw failed"
    assert "Allowed: at least 100 rows" in first.get_content()
    assert "Owners: team:shop" in first.get_content()
    assert first["Message-ID"] == again["Message-ID"] != other["Message-ID"]
    assert first["References"] == other["References"]
    assert other["Bcc"] is None


@pytest.mark.parametrize(("answer", "final"), [("451 later", False), ("554 never", True)])
def test_a_refusal_says_whether_to_try_again(answer: str, *, final: bool) -> None:
    with smtp(Inbox(answer)) as port, pytest.raises(DeliveryError) as caught:
        channel(port).send(an_alert())
    assert caught.value.final is final


def test_nobody_at_home_is_an_outage() -> None:
    with pytest.raises(DeliveryError) as caught:
        channel(free_port()).send(an_alert())
    assert not caught.value.final


def test_login_goes_over_tls(tmp_path: Path) -> None:
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    # fmt: off
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(cert)],
        check=True, capture_output=True,
    )
    # fmt: on
    theirs = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    theirs.load_cert_chain(cert, key)
    ours = ssl.create_default_context(cafile=str(cert))

    def check(_server: Any, _session: Any, _envelope: Any, _mechanism: Any, data: Any) -> AuthResult:
        right = (data.login, data.password) == (b"me", b"right")
        return AuthResult(success=right, handled=right)

    inbox = Inbox()
    options = {"starttls": True, "user": "me"}
    with smtp(
        inbox, tls_context=theirs, require_starttls=True, authenticator=check, auth_required=True
    ) as port:
        channel(port, **options, password="right", context=ours).send(an_alert())
        assert len(inbox.envelopes) == 1
        with pytest.raises(DeliveryError) as caught:
            channel(port, **options, password="wrong", context=ours).send(an_alert())
        assert caught.value.final
        with pytest.raises(DeliveryError) as caught:  # a certificate that nobody vouches for
            channel(port, **options, password="right").send(an_alert())
        assert caught.value.final
    assert len(inbox.envelopes) == 1


def test_a_password_is_never_sent_in_clear() -> None:
    with pytest.raises(ValueError, match="in clear"):
        EmailChannel(Server("127.0.0.1", 25, user="me", password="x", starttls=False), "m@example.org", TO)
