"""One message on the wire: signed as Standard Webhooks has it, in Slack's and Discord's form, and in bounded time."""

import json
import socket
import ssl
import threading
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook

from cost_exporter.alerts.sending import Outgoing, send
from cost_exporter.report.alerts import Message
from cost_exporter.settings import AlertRule
from tests.alerts.receiver import Receiver, receiving
from tests.support.certificates import authority

SECRET = "whsec_QUJDREVGR0hJSktMTU5PUFFSU1RVVldY"
OUTGOING = Outgoing(
    message_id="alert_1",
    kind="budget",
    made_at=datetime(2026, 11, 30, 8, tzinfo=UTC),
    facts={"budget": "acme-day", "spent_usd": "0.80"},
    message=Message(title="Budget *acme* & <co>: 80 %", lines=("0.80 of 1 USD @everyone",), link="http://page/budgets"),
)


def rule(url: str, kind: str = "webhook", **fields: Any) -> AlertRule:
    given = {"name": "ops", "kind": kind, "url": url, "on": ("budget",), "allow_private": True}
    return AlertRule.model_validate(given | fields)


@pytest.fixture
def receiver() -> Any:
    with receiving() as server:
        yield server


def test_a_webhook_is_signed_as_standard_webhooks_verify_it(receiver: Receiver) -> None:
    """By the library that receivers use; another key does not verify."""
    assert send(rule(receiver.url + "?a=1", secret=SECRET), OUTGOING).error == ""
    ((path, headers, body),) = receiver.got
    assert path == "/hook?a=1"
    message = Webhook(SECRET).verify(body, headers)
    assert (message["type"], message["timestamp"]) == ("callfare.budget", "2026-11-30T08:00:00+00:00")
    assert message["data"]["spent_usd"] == "0.80"
    assert message["data"]["link"] == "http://page/budgets"
    assert headers["webhook-id"] == "alert_1"
    with pytest.raises(Exception, match="No matching signature"):
        Webhook("whsec_" + "QQ" * 16).verify(body, headers)


def test_without_a_secret_a_webhook_has_an_id_and_no_signature(receiver: Receiver) -> None:
    """And a name and password of the URL go into the header that is for them."""
    url = receiver.url.replace("http://", "http://me:geheim@")
    assert send(rule(url), OUTGOING).error == ""
    (_, headers, _) = receiver.got[0]
    assert headers["webhook-id"] == "alert_1"
    assert "webhook-signature" not in headers
    assert headers["authorization"] == "Basic bWU6Z2VoZWlt"


def test_slack_and_discord_get_their_own_forms(receiver: Receiver) -> None:
    """In which names of senders are no markup and call nobody."""
    assert send(rule(receiver.url, "slack"), OUTGOING).error == ""
    assert send(rule(receiver.url, "discord"), OUTGOING).error == ""
    slack, discord = (json.loads(body) for _, _, body in receiver.got)
    assert slack == {"text": "Budget *acme* &amp; &lt;co&gt;: 80 %\n0.80 of 1 USD @everyone\nhttp://page/budgets"}
    assert discord["content"] == "Budget \\*acme\\* & \\<co\\>: 80 %\n0.80 of 1 USD @everyone\nhttp://page/budgets"
    assert discord["allowed_mentions"] == {"parse": []}


def test_discord_gets_no_more_than_it_takes(receiver: Receiver) -> None:
    """And the link all the same."""
    long = Message(title="x" * 5000, lines=(), link="http://page/")
    message = Outgoing(message_id="1", kind="budget", made_at=OUTGOING.made_at, facts={}, message=long)
    assert send(rule(receiver.url, "discord"), message).error == ""
    content = json.loads(receiver.got[0][2])["content"]
    assert len(content) == 2000
    assert content.endswith("\nhttp://page/")


@pytest.mark.parametrize(
    ("status", "headers", "error", "retry_after"),
    [
        (500, {"Retry-After": "9"}, "HTTP 500", None),
        (404, {}, "HTTP 404", None),
        (429, {"Retry-After": "7"}, "HTTP 429", timedelta(seconds=7)),
        (429, {"Retry-After": "0.25"}, "HTTP 429", timedelta(seconds=0.25)),
        (503, {"Retry-After": "1e99"}, "HTTP 503", timedelta(hours=1)),
        (429, {"Retry-After": "soon"}, "HTTP 429", None),
        (429, {"Retry-After": "-5"}, "HTTP 429", None),
        (429, {"Retry-After": "nan"}, "HTTP 429", None),
        (429, {}, "HTTP 429", None),
    ],
)
def test_what_a_receiver_refuses_is_an_error_and_it_may_say_for_how_long(
    receiver: Receiver, status: int, headers: dict[str, str], error: str, retry_after: timedelta | None
) -> None:
    """Slack and Discord limit how often they are called."""
    receiver.answers.append((status, headers))
    answer = send(rule(receiver.url), OUTGOING)
    assert (answer.error, answer.retry_after) == (error, retry_after)


def test_a_date_to_wait_for_is_read(receiver: Receiver) -> None:
    """As HTTP has it."""
    until = datetime.now(UTC) + timedelta(minutes=30)
    receiver.answers.append((503, {"Retry-After": format_datetime(until, usegmt=True)}))
    waits = send(rule(receiver.url), OUTGOING).retry_after
    assert waits is not None
    assert timedelta(0) < waits <= timedelta(minutes=30)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(receiver: Receiver, status: int) -> None:
    """It would let the receiver choose which address is called."""
    with receiving() as elsewhere:
        receiver.answers.append((status, {"Location": elsewhere.url}))
        assert "redirect" in send(rule(receiver.url), OUTGOING).error
        assert elsewhere.got == []


def test_a_private_address_is_refused_unless_it_is_allowed(receiver: Receiver) -> None:
    """The receiver hears nothing."""
    url = receiver.url.replace("http://", "https://")
    answer = send(rule(url, allow_private=False), OUTGOING)
    assert answer.error.startswith("PrivateAddress: 127.0.0.1 is at a private address")
    assert receiver.got == []


def test_a_receiver_must_show_a_certificate_for_its_name(tmp_path: Path) -> None:
    """Whoever else listens there gets nothing."""
    credential = authority(tmp_path).issue("receiver")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(credential.certificate, credential.key)
    with receiving() as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        answer = send(rule(server.url.replace("http://", "https://")), OUTGOING)
        assert "CERTIFICATE_VERIFY_FAILED" in answer.error
        assert server.got == []


def test_nobody_listening_is_an_error_without_the_url() -> None:
    """The URL may be a secret."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        answer = send(rule(f"http://127.0.0.1:{free.getsockname()[1]}/geheim"), OUTGOING)
    assert "refused" in answer.error.lower()
    assert "geheim" not in answer.error


def test_a_receiver_that_hangs_is_given_up(receiver: Receiver) -> None:
    """Also one that sends byte after byte and never ends."""
    receiver.hangs.set()
    assert send(rule(receiver.url), OUTGOING, timeout_seconds=0.3).error == "no answer within 0.3 s"
    with Dripping() as url:
        assert send(rule(url), OUTGOING, timeout_seconds=0.5).error == "no answer within 0.5 s"


class Dripping:
    """A server whose answer never ends: a byte of a header each 50 ms."""

    def __enter__(self) -> str:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._drip)
        self._thread.start()
        return f"http://127.0.0.1:{self._listening.getsockname()[1]}/"

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()
        self._listening.close()

    def _drip(self) -> None:
        connection, _ = self._listening.accept()
        with connection:
            connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
            while not self._is_over.wait(0.05):
                try:
                    connection.sendall(b"x")
                except OSError:
                    return


@pytest.mark.parametrize("answer", [b"", b"SMTP ready\r\n", b"HTTP/1.1 two OK\r\n\r\n"])
def test_what_is_no_http_is_an_error(answer: bytes) -> None:
    """And raises nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        assert send(rule(f"http://127.0.0.1:{listening.getsockname()[1]}/"), OUTGOING).error
        thread.join()
