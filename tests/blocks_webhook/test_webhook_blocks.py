"""The blocks `Webhook` and `SlackWebhook`, against a real server on loopback."""

import asyncio
import json
import socket
import traceback
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from entrepot.blocks import SlackWebhook, Webhook
from entrepot.errors import BlockedAddressError, EntrepotError, SerializationError, WebhookError

SECRET = "T0KEN-IN-THE-URL"


def webhook(hook: Any, path: str = f"/{SECRET}", **options: Any) -> Webhook:
    return Webhook(**{"url": f"{hook.url}{path}", "allow_private_urls": True} | options)


def slack(hook: Any) -> SlackWebhook:
    return SlackWebhook(url=f"{hook.url}/{SECRET}", allow_private_urls=True)


def shown(error: BaseException) -> str:
    return "".join(traceback.format_exception(error)) + repr(error) + str(vars(error))


class TestCalling:
    @pytest.mark.parametrize(
        ("payload", "content_type", "body"),
        [
            (None, None, b""),
            ({"a": [1, None, "\u00e4"]}, "application/json", '{"a": [1, null, "\u00e4"]}'.encode()),
            ([], "application/json", b"[]"),
            ("t\u00e4xt", "text/plain; charset=utf-8", "t\u00e4xt".encode()),
            (b"\0bytes", "application/octet-stream", b"\0bytes"),
            (0, "application/json", b"0"),
        ],
    )
    def test_sends_a_payload_as_what_it_is(
        self, hook: Any, payload: Any, content_type: str | None, body: bytes
    ) -> None:
        answer = webhook(hook).call(payload)
        (got,) = hook.received
        assert (got.method, got.path, got.body) == ("POST", f"/{SECRET}", body)
        assert got.headers.get("content-type") == content_type
        assert (answer.status, answer.text) == (200, "ok")

    @pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
    def test_uses_its_method_and_headers(self, hook: Any, method: str) -> None:
        headers = {"Authorization": SecretStr("Bearer x"), "content-type": "application/vnd.acme+json", "X-Plain": "y"}
        webhook(hook, method=method, headers=headers).call({})
        (got,) = hook.received
        assert got.method == method
        assert got.headers["authorization"] == "Bearer x"
        assert got.headers["content-type"] == "application/vnd.acme+json"
        assert got.headers["x-plain"] == "y"

    def test_an_error_status_is_an_answer(self, hook: Any) -> None:
        hook.answers[f"/{SECRET}"] = (500, {}, b"no")
        assert webhook(hook).call().status == 500

    def test_from_async_code(self, hook: Any) -> None:
        async def both() -> int:
            await webhook(hook).anotify("body")
            return (await webhook(hook).acall({})).status

        assert asyncio.run(both()) == 200
        assert len(hook.received) == 2

    @pytest.mark.parametrize(
        "payload", [{"a": object()}, {"a": float("nan")}, {(1,): SECRET}, {"a": {SECRET}}, "\ud800"]
    )
    def test_a_payload_that_is_no_json_is_refused_without_being_shown(self, hook: Any, payload: Any) -> None:
        with pytest.raises(SerializationError, match="cannot be sent as text or JSON") as caught:
            webhook(hook).call(payload)
        assert SECRET not in shown(caught.value).replace("test_webhook_blocks", "")
        assert hook.received == []


class TestNotifying:
    def test_sends_subject_and_body(self, hook: Any) -> None:
        webhook(hook).notify("it failed", subject="flow x")
        webhook(hook).notify("it failed")
        assert [json.loads(got.body) for got in hook.received] == [
            {"subject": "flow x", "body": "it failed"},
            {"body": "it failed"},
        ]

    def test_an_error_status_is_an_error(self, hook: Any) -> None:
        hook.answers[f"/{SECRET}"] = (403, {}, SECRET.encode())
        with pytest.raises(WebhookError, match="403 Forbidden") as caught:
            webhook(hook).notify("x")
        assert caught.value.status == 403
        assert SECRET not in shown(caught.value)


class TestSlack:
    def test_sends_a_message_with_the_subject_in_bold(self, hook: Any) -> None:
        slack(hook).notify("it failed", subject="flow x")
        slack(hook).notify("it failed")
        assert [json.loads(got.body) for got in hook.received] == [
            {"text": "*flow x*\nit failed"},
            {"text": "it failed"},
        ]
        assert hook.received[0].headers["content-type"] == "application/json"

    def test_text_from_elsewhere_calls_nobody(self, hook: Any) -> None:
        slack(hook).notify("<!channel> & <http://evil.example|click>")
        assert json.loads(hook.received[0].body) == {"text": "&lt;!channel&gt; &amp; &lt;http://evil.example|click&gt;"}

    @pytest.mark.parametrize("text", ["x" * 100_000, "<" * 100_000, "&" * 39_000])
    def test_very_long_text_is_cut_between_characters(self, hook: Any, text: str) -> None:
        slack(hook).notify(text)
        sent = json.loads(hook.received[0].body)["text"]
        assert len(sent) <= 40_000
        whole = sent.removesuffix("...").replace("&lt;", "<").replace("&amp;", "&")
        assert sent.endswith("...")
        assert set(whole) == set(text)

    @pytest.mark.parametrize(
        ("status", "body", "says"),
        [
            (404, b"no_service", r"404 \(no_service\); make a new webhook"),
            (403, b"invalid_token", r"403 \(invalid_token\); check the webhook's URL"),
            (400, f"wrong {SECRET}".encode(), r"400; check the webhook's URL"),
        ],
    )
    def test_says_what_slack_said(self, hook: Any, status: int, body: bytes, says: str) -> None:
        hook.answers[f"/{SECRET}"] = (status, {}, body)
        with pytest.raises(WebhookError, match=says) as caught:
            slack(hook).notify("x")
        assert caught.value.status == status
        assert SECRET not in shown(caught.value)

    def test_from_async_code(self, hook: Any) -> None:
        asyncio.run(slack(hook).anotify("x"))
        assert len(hook.received) == 1


class TestAddresses:
    @pytest.mark.parametrize("kind", [Webhook, SlackWebhook])
    def test_private_addresses_are_refused_unless_allowed(self, hook: Any, kind: Any) -> None:
        block = kind(url=f"{hook.url}/{SECRET}")
        for act in (lambda: block.notify("x"), block.check):
            with pytest.raises(BlockedAddressError, match=r"127.0.0.1, a loopback address") as caught:
                act()
            assert SECRET not in shown(caught.value)
        assert hook.received == []

    def test_metadata_is_refused(self) -> None:
        with pytest.raises(BlockedAddressError):
            Webhook(url="http://169.254.169.254/latest/meta-data/", method="GET").call()

    def test_check_connects_without_a_request(self, hook: Any) -> None:
        assert webhook(hook).check() == "connected to 127.0.0.1"
        assert slack(hook).check() == "connected to 127.0.0.1"
        assert hook.received == []

    def test_check_says_what_is_wrong(self, hook: Any) -> None:
        with pytest.raises(WebhookError, match="cannot connect"):
            Webhook(url=f"http://127.0.0.1:1/{SECRET}", allow_private_urls=True).check()


class TestSecrecy:
    def test_url_and_headers_do_not_show(self, hook: Any) -> None:
        block = webhook(hook, headers={"X-Key": SECRET})
        for text in (repr(block), str(block), str(block.model_dump()), block.model_dump_json()):
            assert SECRET not in text

    @pytest.mark.parametrize(
        ("options", "why"),
        [
            ({"url": f"ftp://host/{SECRET}"}, "https"),
            ({"url": f"https://user:{SECRET}@host/"}, "user name or password"),
            ({"url": f"https://host/ {SECRET}"}, "space"),
            ({"url": SECRET}, "https"),
            ({"headers": {"X-Key": f"{SECRET}\r\nX-Other: 1"}}, "has a line break"),
            ({"headers": {"Host": SECRET}}, "one that the client sets itself"),
            ({"headers": [SECRET]}, "headers"),
            ({"method": SECRET}, "method"),
            ({"timeout": 0}, "timeout"),
            ({"timeout": float("nan")}, "timeout"),
            ({"ulr": SECRET}, "ulr"),
        ],
    )
    def test_what_cannot_be_used_is_refused_without_showing_a_value(self, options: dict[str, Any], why: str) -> None:
        with pytest.raises(ValidationError, match=why) as caught:
            Webhook(**{"url": "https://hooks.example.test/"} | options)
        assert SECRET not in f"{caught.value} {caught.value.errors()} {caught.value.json()}"

    def test_errors_of_a_call_do_not_show_the_url(self, hook: Any) -> None:
        hook.answers[f"/{SECRET}"] = lambda handler: handler.wfile.write(b"garbage\r\n\r\n")
        hook.redirect("/away", f"http://10.0.0.1/{SECRET}")
        for block in (
            webhook(hook),
            webhook(hook, "/away", allow_private_urls=False),
            Webhook(url=f"http://127.0.0.1:1/{SECRET}", allow_private_urls=True),
        ):
            with pytest.raises(EntrepotError) as caught:
                block.call()
            assert SECRET not in shown(caught.value)


def test_survives_a_save_and_load(hook: Any) -> None:
    webhook(hook, headers={"X-Key": SECRET}, timeout=3).save("mine")
    slack(hook).save("team")
    again = Webhook.load("mine")
    assert again == webhook(hook, headers={"X-Key": SECRET}, timeout=3)
    again.call()
    SlackWebhook.load("team").notify("x")
    assert hook.received[0].headers["x-key"] == SECRET


def garbage(handler: Any) -> None:
    handler.wfile.write(f"{SECRET} garbage\r\n\r\n".encode())
    handler.close_connection = True


def below(error: BaseException) -> str:
    """Return an error with the locals of every frame but the test's own, which has the server."""
    assert error.__traceback__ is not None
    frames = error.__traceback__.tb_next
    return "".join(traceback.TracebackException(type(error), error, frames, capture_locals=True).format())


class TestFrames:
    """Tracebacks are logged with the locals of all frames: of ours, and of the libraries below."""

    @pytest.mark.parametrize("trouble", ["blocked", "dead", "garbage", "redirect", "host"])
    @pytest.mark.parametrize("what", ["call", "notify", "check", "slack", "slack check"])
    def test_no_error_leads_to_the_url_or_a_header(self, hook: Any, trouble: str, what: str) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            dead = taken.getsockname()[1]
        hook.answers[f"/{SECRET}"] = garbage
        if trouble == "redirect":
            hook.redirect(f"/{SECRET}", f"http://127.0.0.1:{dead}/{SECRET}", 307)
        base = {"dead": f"http://127.0.0.1:{dead}", "host": "http://nowhere.invalid"}.get(trouble, hook.url)
        options: dict[str, Any] = {"url": f"{base}/{SECRET}", "allow_private_urls": trouble != "blocked"}
        hooked = Webhook(headers={"Authorization": SECRET}, **options)
        chat = SlackWebhook(**options)
        del options
        calls = {
            "call": lambda: hooked.call({"a": 1}),
            "notify": lambda: hooked.notify("a"),
            "check": hooked.check,
            "slack": lambda: chat.notify("a"),
            "slack check": chat.check,
        }
        if what.endswith("check") and trouble in {"garbage", "redirect"}:
            calls[what]()  # nothing is sent
            return
        with pytest.raises(EntrepotError) as caught:
            calls[what]()
        assert isinstance(caught.value, WebhookError | BlockedAddressError)
        assert SECRET not in below(caught.value)
        assert caught.value.__cause__ is None
        assert caught.value.__context__ is None

    def test_nor_does_an_interrupt(self, hook: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        def interrupt(*_: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr("http.client.HTTPConnection.getresponse", interrupt)
        with pytest.raises(KeyboardInterrupt) as caught:
            webhook(hook, headers={"Authorization": SECRET}).call({"a": 1})
        assert SECRET not in below(caught.value)
