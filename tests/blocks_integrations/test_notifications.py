"""Blocks that tell people through Apprise; where Apprise takes a server of our own, it is a real one on loopback."""

import asyncio
import http.server
import json
import logging
import threading
from collections.abc import Iterator
from typing import Any

import apprise
import pytest
from pydantic import ValidationError

from entrepot.blocks import DiscordWebhook, MicrosoftTeamsWebhook, Notification, PagerDuty
from entrepot.errors import NotificationError
from entrepot_test_secrets import leaks, our_frames

TOKEN = "t0kenThatNobodySees"


class Service:
    """A server that notifications are sent to."""

    def __init__(self) -> None:
        self.got: list[tuple[str, Any]] = []
        self.status = 200
        service = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                service.got.append((self.path, json.loads(body)))
                self.send_response(service.status)
                self.end_headers()

            def log_message(self, *args: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"json://127.0.0.1:{self.server.server_address[1]}/{TOKEN}"


@pytest.fixture
def service() -> Iterator[Service]:
    found = Service()
    thread = threading.Thread(target=found.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield found
    found.server.shutdown()
    found.server.server_close()
    thread.join(5)


def test_a_message_reaches_every_service(service: Service) -> None:
    block = Notification(urls=[service.url, f"{service.url}/second"], kind="failure")
    block.notify("the body", "the subject")
    asyncio.run(block.anotify("only a body"))
    assert sorted(path for path, _ in service.got) == [f"/{TOKEN}", f"/{TOKEN}", f"/{TOKEN}/second", f"/{TOKEN}/second"]
    assert [(got["title"], got["message"], got["type"]) for _, got in service.got[:2]] == [
        ("the subject", "the body", "failure")
    ] * 2


def test_a_service_that_refuses_is_told_without_its_address(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    service.status = 500
    block = Notification(urls=[service.url, f"nosuch://{TOKEN}"])
    with caplog.at_level(logging.DEBUG), pytest.raises(NotificationError, match="not taken by JSON, nosuch") as caught:
        block.notify("body")
    assert not leaks(our_frames(caught.value) + caplog.text, TOKEN)
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("apprise").debug("of others")
    assert "of others" in caplog.text


def test_they_are_saved_sealed(service: Service) -> None:
    block = Notification(urls=[service.url])
    block.save("team")
    assert Notification.load("team") == block
    assert not leaks(f"{block!r} {block.model_dump_json()}", TOKEN)
    Notification.load("team").notify("x")
    assert len(service.got) == 1


@pytest.mark.parametrize(
    ("block", "service_name"),
    [
        (DiscordWebhook(webhook_id="1" * 18, webhook_token=TOKEN * 4, username="a b"), "Discord"),
        (
            MicrosoftTeamsWebhook(
                url="https://prod-1.westeurope.logic.azure.com:443/workflows/643e69f83c8944/triggers/manual/paths/invoke"
                "?api-version=2016-06-01&sp=%2Ftriggers%2Fmanual%2Frun&sv=1.0&sig=KODuebWbDGYFr0z0eu-6Rj8aUKz7108W3wrNJZxFE5A"
            ),
            "Power Automate / Workflows (for MSTeams)",
        ),
        (PagerDuty(integration_key="a" * 32, api_key="b" * 20, source="my flow"), "Pager Duty"),
    ],
)
def test_addresses_are_those_that_apprise_takes_for_the_service(block: Any, service_name: str) -> None:
    (address,) = block._addresses()
    found = apprise.Apprise.instantiate(address)
    assert found is not None
    assert str(found.service_name) == service_name
    assert not leaks(repr(block), TOKEN)


def test_bad_addresses_are_refused_without_repeating_them() -> None:
    for make in (
        lambda: Notification(urls=[TOKEN]),
        lambda: Notification(urls=[]),
        lambda: MicrosoftTeamsWebhook(url=f"http://{TOKEN}"),
    ):
        with pytest.raises(ValidationError) as caught:
            make()
        assert TOKEN not in str(caught.value)


def test_check_sends_nothing_and_names_what_is_not_taken(service: Service) -> None:
    assert Notification(urls=[service.url, "ntfy://topic"]).check() == "2 well-formed (nothing was sent)"
    with pytest.raises(NotificationError, match="saved for nosuch") as caught:
        Notification(urls=[service.url, f"nosuch://{TOKEN}"]).check()
    assert not leaks(our_frames(caught.value), TOKEN)
    assert service.got == []


def test_one_service_that_breaks_does_not_keep_the_message_from_the_others(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: object, **options: object) -> None:
        raise RuntimeError(TOKEN)

    monkeypatch.setattr("apprise.plugins.ntfy.NotifyNtfy.notify", broken)
    with pytest.raises(NotificationError, match="not taken by ntfy") as caught:
        Notification(urls=["ntfy://topic", service.url]).notify("body")
    assert not leaks(our_frames(caught.value), TOKEN)
    assert len(service.got) == 1


def test_what_children_of_a_librarys_logger_say_while_it_sends_is_held_back(
    service: Service, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    noisy = logging.getLogger("urllib3.util.retry")
    before = apprise.Apprise.instantiate

    def instantiate(*args: Any, **options: Any) -> Any:
        noisy.debug("retrying %s", TOKEN)
        return before(*args, **options)

    monkeypatch.setattr(apprise.Apprise, "instantiate", instantiate)
    with caplog.at_level(logging.DEBUG):
        Notification(urls=[service.url]).notify("body")
        noisy.debug("of others")
    assert not leaks(caplog.text, TOKEN)
    assert "of others" in caplog.text


def test_a_service_that_answers_a_byte_at_a_time_is_given_up_and_the_others_are_told(service: Service) -> None:
    asked, over = threading.Event(), threading.Event()

    class Trickling(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.set()
            self.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
            while not over.wait(0.05):
                self.wfile.write(b"x")

        def log_message(self, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Trickling)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        slow = f"json://127.0.0.1:{server.server_address[1]}/{TOKEN}"
        block = Notification(urls=[slow, service.url], timeout=1)
        with pytest.raises(NotificationError, match=r"not taken by JSON \(no answer within 1 s; it may have") as caught:
            block.notify("body")
        assert asked.is_set()
        assert len(service.got) == 1
        assert not leaks(our_frames(caught.value), TOKEN)
    finally:
        over.set()
        server.shutdown()
        server.server_close()


def test_text_from_elsewhere_calls_nobody_in_discord(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[dict[str, Any]] = []
    monkeypatch.setattr(
        "apprise.plugins.discord.NotifyDiscord.notify", lambda self, **message: sent.append(message) or True
    )
    block = DiscordWebhook(webhook_id="1" * 18, webhook_token=TOKEN * 4)
    block.notify("@everyone, <@123> and <@&456> wrote to me@here.example and @heretic", "@here")
    space = "\N{ZERO WIDTH SPACE}"
    assert sent[0]["title"] == f"@{space}here"
    assert sent[0]["body"] == (
        f"@{space}everyone, <@{space}123> and <@{space}&456> wrote to me@{space}here.example and @heretic"
    )


def test_nothing_is_no_token() -> None:
    with pytest.raises(ValidationError):
        DiscordWebhook(webhook_id="", webhook_token=TOKEN)
