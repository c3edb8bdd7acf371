"""One attempt over a real connection: what is sent, where it goes, and how it ends (fault 122)."""

from __future__ import annotations

import base64
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from ipaddress import ip_network

import pytest
from standardwebhooks.webhooks import WebhookVerificationError

from billing.webhooks.addresses import Reach, Target
from billing.webhooks.posting import Letter, Outcome, Poster
from pricing_rules.period import parse_moment
from tests.billing.webhooks.receiver import CERTIFICATES, LOCAL, Taken, receiving

SENT_AT = parse_moment("2026-11-02T08:00:00.750000Z")
SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
OLDER = "whsec_" + base64.b64encode(bytes(32)).decode()

LETTER = Letter(
    url="http://127.0.0.1/",
    message="msg_1",
    body='{"type":"epoch.sealed","account":"Größe"}',
    secrets=(SECRET,),
    sent_at=SENT_AT,
)


def local(name: str) -> Sequence[str]:
    """Every name is this machine."""
    return ["127.0.0.1"]


def trusting() -> ssl.SSLContext:
    """The certificates that our authority signs are accepted, and no others."""
    return ssl.create_default_context(cafile=CERTIFICATES / "authority.pem")


def posted(url: str, *, poster: Poster | None = None, within_s: float = 5.0) -> Outcome:
    chosen = poster or Poster(reach=LOCAL, resolve=local)
    return chosen.post(replace(LETTER, url=url), until_s=time.monotonic() + within_s)


@contextmanager
def speaking(speak: Callable[[socket.socket], None]) -> Iterator[int]:
    """A server of bare sockets: ``speak`` is given each connection. Gives its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection, suppress(OSError):
                    speak(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def test_a_message_is_signed_as_the_library_of_the_standard_verifies() -> None:
    with receiving() as receiver:
        assert posted(receiver.url("/hooks?a=b")) == Outcome(status=204)
    (taken,) = receiver.taken
    assert taken.path == "/hooks?a=b"
    assert taken.text == LETTER.body
    assert taken.headers["content-type"] == "application/json"
    assert taken.headers["host"] == f"127.0.0.1:{receiver.port}"
    assert taken.headers["webhook-timestamp"] == str(SENT_AT // 1_000_000)
    assert taken.verified(SECRET, now_at=SENT_AT) == {"type": "epoch.sealed", "account": "Größe"}
    with pytest.raises(WebhookVerificationError):
        taken.verified(OLDER, now_at=SENT_AT)
    with pytest.raises(WebhookVerificationError):
        replace(taken, text=taken.text.replace("sealed", "closed")).verified(SECRET, now_at=SENT_AT)


@pytest.mark.parametrize(
    "scheme, port, host",
    [
        ("http", 80, "hooks.example"),
        ("http", 8_080, "hooks.example:8080"),
        ("https", 443, "hooks.example"),
        ("https", 8_443, "hooks.example:8443"),
    ],
)
def test_the_port_that_goes_without_saying_is_not_said(scheme: str, port: int, host: str) -> None:
    # Over a pair of sockets: the ports of the system are not ours to listen on.
    near, far = socket.socketpair()
    heads: list[bytes] = []

    def serve() -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(CERTIFICATES / "server.pem")
        taken = context.wrap_socket(far, server_side=True) if scheme == "https" else far
        with taken:
            heads.append(b"")
            while LETTER.body.encode() not in heads[0]:
                heads[0] += taken.recv(65_536)
            taken.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

    thread = threading.Thread(target=serve)
    thread.start()
    target = Target(scheme=scheme, host="hooks.example", port=port, path="/")
    poster = Poster(reach=LOCAL, trusted=trusting())
    outcome = poster._exchanged(near, target=target, letter=LETTER, cut=threading.Event())
    thread.join()
    assert outcome == Outcome(status=204)
    assert f"\r\nHost: {host}\r\n".encode() in heads[0]


@pytest.mark.parametrize("late_s, taken_in", [(300, True), (302, False)])
def test_a_message_that_is_replayed_later_is_refused(late_s: int, taken_in: bool) -> None:
    with receiving() as receiver:
        posted(receiver.url())
    (taken,) = receiver.taken
    now_at = SENT_AT // 1_000_000 * 1_000_000 + late_s * 1_000_000
    if taken_in:
        assert taken.verified(SECRET, now_at=now_at)
    else:
        with pytest.raises(WebhookVerificationError, match="too old"):
            taken.verified(SECRET, now_at=now_at)


def test_while_a_secret_rotates_both_verify() -> None:
    with receiving() as receiver:
        letter = replace(LETTER, url=receiver.url(), secrets=(SECRET, OLDER))
        Poster(reach=LOCAL).post(letter, until_s=time.monotonic() + 5)
    (taken,) = receiver.taken
    assert len(taken.headers["webhook-signature"].split(" ")) == 2
    for secret in (SECRET, OLDER):
        assert taken.verified(secret, now_at=SENT_AT)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_a_2xx_is_taken(status: int) -> None:
    with receiving(lambda taken: status) as receiver:
        assert posted(receiver.url()).delivered


@pytest.mark.parametrize("status", [300, 301, 304, 400, 401, 404, 409, 410, 429, 500, 503, 599])
def test_another_status_is_not(status: int) -> None:
    with receiving(lambda taken: status) as receiver:
        outcome = posted(receiver.url())
    assert (outcome.delivered, outcome.status) == (False, status)
    assert outcome.gone == (status == 410)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(status: int) -> None:
    with receiving() as inner, receiving(lambda taken: (status, {"location": inner.url()})) as one:
        assert not posted(one.url()).delivered
    assert (len(one.taken), inner.taken) == (1, [])


@pytest.mark.parametrize(
    "text, seconds",
    [
        ("0", 0),
        ("120", 120),
        (" 120 ", 120),
        ("86400", 86_400),
        ("86401", 86_400),
        ("9" * 400, 86_400),
        ("-1", 0),
        ("1.5", 0),
        ("\u00b2", 0),
        ("soon", 0),
        ("", 0),
        ("Mon, 02 Nov 2026 08:01:00 GMT", 60),  # it is 08:00:00 now
        ("Mon, 02 Nov 2026 08:01:00 -0000", 60),
        ("Mon, 02 Nov 2026 07:59:00 GMT", 0),
        ("Mon, 02 Nov 2099 08:00:00 GMT", 86_400),
        ("Mon, 99 Nov 2026 08:00:00 GMT", 0),
    ],
)
def test_a_wait_that_is_asked_for_is_read_wherever_we_are(
    monkeypatch: pytest.MonkeyPatch, text: str, seconds: int
) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    with receiving(lambda taken: (503, {"retry-after": text})) as receiver:
        found = posted(receiver.url())
    monkeypatch.undo()
    time.tzset()
    assert found == Outcome(status=503, retry_after_s=seconds)


# Where it goes.


def test_a_name_that_changes_its_mind_leads_nowhere_else() -> None:
    # DNS rebinding: public when it is checked, this machine when it is asked again.
    said = [["203.0.114.1"], ["127.0.0.1"]]
    asked: list[str] = []

    def resolve(name: str) -> Sequence[str]:
        asked.append(name)
        return said[min(len(asked), len(said)) - 1]

    with receiving() as receiver:
        poster = Poster(reach=Reach(schemes=("http",)), resolve=resolve)
        url = receiver.url(host="rebinding.example")
        first = posted(url, poster=poster, within_s=0.3)
        assert asked == ["rebinding.example"]  # once: to check, and to connect to what was checked
        second = posted(url, poster=poster)
    assert first.status is None
    assert second.error == (
        "not sent: the URL leads to 127.0.0.1, which is not of the public internet"
    )
    assert receiver.taken == []


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]"])
def test_this_machine_is_not_reached_unless_it_is_allowed(host: str) -> None:
    with receiving() as receiver:
        outcome = posted(receiver.url(host=host), poster=Poster(reach=Reach(schemes=("http",))))
    assert "is not of the public internet" in outcome.error
    assert receiver.taken == []


def test_a_url_that_is_no_longer_allowed_is_not_sent_to() -> None:
    with receiving() as receiver:
        narrow = Poster(reach=Reach(networks=(ip_network("127.0.0.0/8"),)))
        outcome = posted(receiver.url(), poster=narrow)
    assert outcome.error == "not sent: the URL must begin with https, not http"
    assert receiver.taken == []


def test_no_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with receiving() as proxy, receiving() as receiver:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url(""))
        assert posted(receiver.url()).delivered
    assert (len(receiver.taken), proxy.taken) == (1, [])


def test_an_address_that_refuses_is_passed_over() -> None:
    poster = Poster(reach=LOCAL, resolve=lambda name: ["127.0.0.2", "127.0.0.1"])
    with receiving() as receiver:
        assert posted(receiver.url(host="two.example"), poster=poster).delivered
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    outcome = posted(f"http://two.example:{port}/", poster=poster)
    assert outcome.error == "it cannot be reached (connection refused)"


# Encryption.


def test_over_tls_the_name_is_asked_for_and_its_certificate_is_checked() -> None:
    poster = Poster(reach=LOCAL, resolve=local, trusted=trusting())
    with receiving(encrypted=True) as receiver:
        assert posted(receiver.url(host="hooks.example"), poster=poster).delivered
        other = posted(receiver.url(host="other.example"), poster=poster)
        bare = posted(receiver.url(), poster=poster)
    assert receiver.taken[0].headers["host"] == f"hooks.example:{receiver.port}"
    assert len(receiver.taken) == 1
    assert other.error.startswith("its certificate is not accepted (Hostname mismatch")
    assert bare.error.startswith("its certificate is not accepted (IP address mismatch")


def test_a_certificate_of_an_unknown_authority_is_refused() -> None:
    with receiving(encrypted=True) as receiver:
        outcome = posted(receiver.url(host="hooks.example"))
    assert outcome.error.startswith("its certificate is not accepted (")
    assert receiver.taken == []


def test_who_does_not_encrypt_is_not_sent_to() -> None:
    with receiving() as receiver:
        poster = Poster(reach=LOCAL, resolve=local, trusted=trusting())
        outcome = posted(f"https://hooks.example:{receiver.port}/", poster=poster)
    assert outcome.error.startswith("it does not encrypt as it must (")
    assert receiver.taken == []


# Time and size.


def drip(connection: socket.socket) -> None:
    """An answer that never ends its head, a byte at a time."""
    connection.recv(65_536)
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    for _ in range(200):
        connection.sendall(b"x")
        time.sleep(0.02)


def flood(connection: socket.socket) -> None:
    """A head without an end, fast."""
    connection.recv(65_536)
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    for _ in range(10_000):
        connection.sendall(b"x" * 65_536)


def silent(connection: socket.socket) -> None:
    """No answer."""
    while connection.recv(65_536):
        pass


def interim(connection: socket.socket) -> None:
    """To be continued, for ever."""
    connection.recv(65_536)
    while True:
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        time.sleep(0.01)


@pytest.mark.parametrize("speak", [drip, silent, interim])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_an_attempt_ends_in_its_time(speak: Callable[[socket.socket], None], scheme: str) -> None:
    with speaking(speak) as port:
        started_s = time.monotonic()
        outcome = posted(f"{scheme}://hooks.example:{port}/", within_s=0.2)
        took_s = time.monotonic() - started_s
    assert outcome.status is None
    # The limit is what is tested, not how fast this machine is: without it these go on for seconds.
    assert took_s < 3
    if scheme == "http":
        assert outcome == Outcome(error="it did not answer in time")


def test_a_head_without_an_end_is_given_up() -> None:
    with speaking(flood) as port:
        outcome = posted(f"http://hooks.example:{port}/")
    assert outcome == Outcome(error="it closed the connection or answered with no HTTP")


def test_a_body_without_an_end_is_not_read() -> None:
    sent = 0

    def speak(connection: socket.socket) -> None:
        nonlocal sent
        connection.recv(65_536)
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n")
        for _ in range(1_000):
            sent += connection.send(b"x" * 1_000_000)

    with speaking(speak) as port:
        assert posted(f"http://hooks.example:{port}/").delivered
    assert sent < 50_000_000  # what buffers take; a body that is read would be all of 10^9


def test_a_body_that_does_not_come_does_not_undo_the_answer() -> None:
    def speak(connection: socket.socket) -> None:
        connection.recv(65_536)
        connection.sendall(b"HTTP/1.1 202 Accepted\r\ncontent-length: 10\r\n\r\n")

    with speaking(speak) as port:
        assert posted(f"http://hooks.example:{port}/") == Outcome(status=202)


@pytest.mark.parametrize("said", [b"", b"hello\r\n", b"HTTP/1.1 abc\r\n\r\n", b"HTTP/1.1 20"])
def test_what_is_no_http_is_no_answer(said: bytes) -> None:
    def speak(connection: socket.socket) -> None:
        connection.recv(65_536)
        connection.sendall(said)

    with speaking(speak) as port:
        outcome = posted(f"http://hooks.example:{port}/")
    assert outcome == Outcome(error="it closed the connection or answered with no HTTP")


def test_an_attempt_whose_time_is_over_sends_nothing() -> None:
    with receiving() as receiver:
        outcome = posted(receiver.url(), within_s=-1.0)
    assert outcome == Outcome(error="it did not answer in time")
    assert receiver.taken == []


def test_a_resolver_that_takes_all_the_time_leaves_none_to_send() -> None:
    def resolve(name: str) -> Sequence[str]:
        time.sleep(0.05)
        return ["127.0.0.1"]

    taken: list[Taken] = []
    with receiving() as receiver:
        taken = receiver.taken
        outcome = posted(
            receiver.url(host="slow.example"),
            poster=Poster(reach=LOCAL, resolve=resolve),
            within_s=0.04,
        )
    assert (outcome.error, taken) == ("it did not answer in time", [])
