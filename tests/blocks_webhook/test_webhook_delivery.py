"""Webhooks that are signed, repeated, and filled in."""

import base64
import hashlib
import hmac
import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from entrepot.blocks import Webhook
from entrepot.blocks._delivery import deliver, filled
from entrepot.blocks._http import HTTPResponse
from entrepot.errors import BlockedAddressError, SerializationError, WebhookError

SECRET = "whsec_" + base64.b64encode(b"0123456789abcdef01234567").decode()


def webhook(hook: Any, **options: Any) -> Webhook:
    return Webhook(**{"url": f"{hook.url}/x", "allow_private_urls": True} | options)


def verified(headers: dict[str, str], body: bytes, key: bytes) -> bool:
    """Verify a signature as https://www.standardwebhooks.com has it."""
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    right = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    return hmac.compare_digest(right, headers["webhook-signature"])


@pytest.mark.parametrize("secret", [SECRET, "any text"])
def test_a_signed_call_can_be_verified(hook: Any, secret: str) -> None:
    before = int(time.time())
    webhook(hook, signing_secret=secret).call({"a": 1})
    (got,) = hook.received
    key = b"any text" if secret != SECRET else b"0123456789abcdef01234567"
    assert verified(got.headers, got.body, key)
    assert not verified(got.headers, got.body + b" ", key)
    assert before <= int(got.headers["webhook-timestamp"]) <= time.time()


def test_a_busy_server_is_called_again_with_the_same_id(hook: Any) -> None:
    left = [503, 429]

    def answer(handler: Any) -> None:
        handler.send_response(left.pop(0) if left else 200)
        handler.send_header("Retry-After", "0")
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    hook.answers["/x"] = answer
    assert webhook(hook, retries=3, signing_secret="k").call("x").status == 200
    assert len(hook.received) == 3
    assert len({got.headers["webhook-id"] for got in hook.received}) == 1
    assert all(verified(got.headers, got.body, b"k") for got in hook.received)


def test_without_retries_the_answer_is_what_came(hook: Any) -> None:
    hook.answers["/x"] = (503, {}, b"")
    assert webhook(hook).call().status == 503
    assert len(hook.received) == 1


class Server:
    """Answers in turn: a status, or an error."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.pauses: list[float] = []

    def send(self, headers: Any) -> HTTPResponse:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        status, said = answer if isinstance(answer, tuple) else (answer, {})
        return HTTPResponse(status=status, headers=said, body=b"")

    def deliver(self, method: str = "POST", *, retries: int = 9, key: bytes | None = None) -> int:
        return deliver(self.send, method, b"", retries=retries, key=key, sleep=self.pauses.append).status


SILENCE = WebhookError("no answer", status=None)


@pytest.mark.parametrize(("method", "key"), [("GET", None), ("PUT", None), ("DELETE", None), ("POST", b"k")])
def test_no_answer_is_asked_for_again_where_that_cannot_be_done_twice(method: str, key: bytes | None) -> None:
    assert Server(SILENCE, SILENCE, 200).deliver(method, key=key) == 200


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_no_answer_to_an_unsigned_call_is_an_error(method: str) -> None:
    with pytest.raises(WebhookError):
        Server(SILENCE, 200).deliver(method)


@pytest.mark.parametrize("status", [502, 504])
def test_a_gateway_that_does_not_know_is_asked_again_only_where_that_cannot_be_done_twice(status: int) -> None:
    assert Server(status, 200).deliver("POST") == status
    assert Server(status, 200).deliver("PUT") == 200
    assert Server(status, 200).deliver("POST", key=b"k") == 200


def test_a_server_may_say_until_when_to_wait() -> None:
    server = Server((503, {"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}), 200)
    deliver(server.send, "GET", b"", retries=1, key=None, sleep=server.pauses.append, now=lambda: 1445412480 - 20)
    assert server.pauses == [20]


def test_retries_end_and_the_last_answer_counts() -> None:
    server = Server(503, 503, 503)
    assert server.deliver(retries=2) == 503
    with pytest.raises(WebhookError):
        Server(SILENCE, SILENCE).deliver("GET", retries=1)


@pytest.mark.parametrize("status", [200, 302, 400, 401, 404, 409, 500, 501])
def test_other_answers_are_final(status: int) -> None:
    assert Server(status).deliver() == status


def test_a_forbidden_address_is_final() -> None:
    with pytest.raises(BlockedAddressError):
        Server(BlockedAddressError("no", address="127.0.0.1")).deliver("GET")


def test_pauses_grow_heed_the_server_and_have_a_bound() -> None:
    said = [{"retry-after": "7"}, {"retry-after": "99999"}, {"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, {}]
    server = Server(*((503, each) for each in said), *[503] * 10, 200)
    server.deliver(retries=20)
    assert server.pauses[:2] == [7, 60]
    for number, pause in enumerate(server.pauses[2:], start=2):
        longest = min(0.5 * 2**number, 60)
        assert longest / 2 <= pause <= longest


@given(body=st.text(), subject=st.none() | st.text())
def test_a_template_of_json_is_json_whatever_stands_in_it(body: str, subject: str | None) -> None:
    kind, content = filled('{"a": ["$subject: ${body}", "$$1"]}', body, subject)
    assert kind == "application/json"
    assert json.loads(content) == {"a": [f"{subject or ''}: {body}", "$1"]}


def test_notify_fills_the_template_in(hook: Any) -> None:
    webhook(hook, template='{"text": "$subject\\n$body"}').notify('a "quoted" body', "s")
    webhook(hook, template="$subject! $body").notify("b")
    assert [(got.headers["content-type"], got.body) for got in hook.received] == [
        ("application/json", b'{"text": "s\\na \\"quoted\\" body"}'),
        ("text/plain; charset=utf-8", b"! b"),
    ]


@pytest.mark.parametrize(
    "options",
    [
        {"template": "$name"},
        {"template": "100$"},
        {"template": '{"a": $body}'},
        {"template": '{"a": 1$body}'},  # with ', "admin": true' it would be more than one member
        {"template": r'{"a": "\$body"}'},  # a quote would end the text
        {"signing_secret": SECRET, "headers": {"Webhook-Signature": "v1,mine"}},
    ],
)
def test_templates_are_checked_when_the_block_is_made(options: Any) -> None:
    with pytest.raises(ValidationError):
        Webhook(url="https://example.test/x", **options)


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_not base64!"])
def test_signing_secrets_are_too(secret: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Webhook(url="https://example.test/x", signing_secret=secret)
    assert "not base64!" not in str(caught.value)


@pytest.mark.parametrize("template", [None, '{"a": "$body"}', "$body"])
def test_text_that_has_no_encoding_is_one_clear_error(template: str | None) -> None:
    with pytest.raises(SerializationError):
        Webhook(url="https://example.test/x", template=template).notify("\ud800")
