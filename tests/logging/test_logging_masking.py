"""Masking: no spelling of a secret survives, and nothing else changes."""

import base64
import html
import json
import logging
import pickle
import string
import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, PrivateAttr, Secret, SecretBytes, SecretStr

from entrepot import _secrets, flow, task
from entrepot._secrets import LIMIT, MASK, forget_secrets, mask, remember_secret
from entrepot.blocks.core import Block
from entrepot.blocks.system import JSON
from entrepot.blocks.system import Secret as SecretBlock
from entrepot.filesystems import S3
from entrepot.logging import get_logger
from entrepot_test_secrets import leaks

SPELLINGS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "repr": repr,
    "repr of repr": lambda text: repr(repr(text)),
    "ascii": ascii,
    "bytes": lambda text: repr(text.encode()),
    "json": json.dumps,
    "json in json": lambda text: json.dumps(json.dumps(text)),
    "json with letters": lambda text: json.dumps(text, ensure_ascii=False),
    "quote": quote,
    "quote all": lambda text: quote(text, safe=""),
    "quote twice": lambda text: quote(quote(text)),
    "quote_plus": quote_plus,
    "quote_plus in quote": lambda text: quote(quote_plus(text)),
    "quote in small letters": lambda text: quote(text).replace("%2F", "%2f").replace("%0A", "%0a"),
    "html": html.escape,
    "html twice": lambda text: html.escape(html.escape(text)),
    "hex": lambda text: text.encode().hex(),
    "HEX": lambda text: text.encode().hex().upper(),
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64 for URLs": lambda text: base64.urlsafe_b64encode(text.encode()).decode().rstrip("="),
    "base64 in a query": lambda text: quote(base64.b64encode(text.encode()).decode(), safe=""),
    "base64 in PHP's JSON": lambda text: base64.b64encode(text.encode()).decode().replace("/", r"\/"),
}

secrets = st.one_of(
    st.text(string.ascii_letters + string.digits, min_size=4, max_size=50),
    st.text(st.characters(codec="utf-8", exclude_characters="*"), min_size=4, max_size=30),
    st.text("\\\"'\n/+ &%aé😀", min_size=4, max_size=20),
)
around = st.text(st.characters(codec="utf-8", exclude_characters="*"), max_size=12)


class TestSpellings:
    @pytest.mark.parametrize("spell", SPELLINGS.values(), ids=SPELLINGS)
    @pytest.mark.parametrize("before", ["", "a", "ab", "user:", "Authorization: Basic "])
    @pytest.mark.parametrize("after", ["", "\n", "@db.example.com/x"])
    def test_none_is_left(self, spell: Callable[[str], str], before: str, after: str) -> None:
        secret = 'hunter2 "töp/secret"+&\\ of/ours'
        remember_secret(secret)
        shown = mask(f"at {spell(before + secret + after)} it broke")
        assert leaks(shown, secret) == []
        assert MASK in shown
        assert shown.startswith("at ")
        assert shown.endswith(" it broke")

    @pytest.mark.parametrize("secret", [b"\x00\xffbytes-of-it\n\x01", b"plain-bytes", "töp".encode() * 2])
    def test_of_bytes_is_left(self, secret: bytes) -> None:
        remember_secret(secret)
        for text in (
            repr(secret),
            secret.decode("latin-1"),
            secret.decode("utf-8", "backslashreplace"),
            secret.hex(),
            quote(secret),
            base64.b64encode(b"x" + secret).decode(),
        ):
            assert leaks(mask(f"<{text}>"), secret) == [], text
            assert MASK in mask(f"<{text}>")

    def test_a_password_in_basic_authentication_is_masked_as_http_clients_write_it(self) -> None:
        remember_secret("pässwörd")
        header = base64.b64encode("me:pässwörd".encode("latin-1")).decode()
        assert mask(f"Authorization: Basic {header}").rstrip("=") == f"Authorization: Basic {header[:4]}{MASK}"

    @given(secret=secrets, before=around, after=around, data=st.data())
    @example(secret="\\\\\\\\", before="\\", after="\\", data=None)
    @example(secret='\\"\\"', before="", after="", data=None)
    def test_no_text_hides_one(self, secret: str, before: str, after: str, data: Any) -> None:
        forget_secrets()
        remember_secret(secret)
        stripped = secret.strip()
        if len(stripped) < 4:
            return
        names = list(SPELLINGS) if data is None else [data.draw(st.sampled_from(list(SPELLINGS)))]
        for name in names:
            text = SPELLINGS[name](before + stripped + after)
            shown = mask(text)
            assert MASK in shown, name
            assert [form for form in leaks(shown, stripped) if len(form) >= 4 and form not in MASK] == [], name

    @given(text=st.text(max_size=200))
    def test_other_text_is_left_as_it_is(self, text: str) -> None:
        forget_secrets()
        remember_secret("Zq7-Zq7-Zq7-Zq7")
        assert mask(text) is text

    @given(
        known=st.lists(st.text("ab", min_size=4, max_size=8), min_size=2, max_size=4), text=st.text("ab", max_size=40)
    )
    def test_secrets_that_overlap_do_not_save_each_other(self, known: list[str], text: str) -> None:
        forget_secrets()
        for secret in known:
            remember_secret(secret)
        shown = mask(text)
        for secret in known:
            assert secret not in shown
        covered = [
            any(text.startswith(s, at - n) for s in known for n in range(len(s)) if at >= n) for at in range(len(text))
        ]
        assert shown.replace(MASK, "") == "".join(
            letter for letter, hidden in zip(text, covered, strict=True) if not hidden
        )

    def test_no_text_takes_for_ever(self) -> None:
        remember_secret('"\\"\\\\"\\"' * 3)
        remember_secret("\\n\\n\n\n\\\n\\n")
        remember_secret("%%%%% &&&&&")
        for piece in ("\\", '\\"', "\\\\\\n", "%25", "&amp;", "\\" * 7 + '"', " +%2B"):
            mask(piece * (60_000 // len(piece)))


class TestParts:
    def test_lines_of_a_key_file(self) -> None:
        body = [base64.b64encode(bytes(range(n, n + 48))).decode() for n in range(0, 96, 16)]
        remember_secret("-----BEGIN PRIVATE KEY-----\n" + "\n".join(body) + "\n-----END PRIVATE KEY-----\n")
        for line in body:
            assert mask(f"  {line}\r\n") == f"  {MASK}\r\n"
        assert mask("-----BEGIN PRIVATE KEY-----") == "-----BEGIN PRIVATE KEY-----"

    def test_values_of_json_but_no_keys(self) -> None:
        account = {"type": "account", "private_key": "line-one\nline-two", "deep": [{"token": "abcdefgh12"}]}
        remember_secret(json.dumps(account))
        assert mask("line-two, abcdefgh12") == f"{MASK}, {MASK}"
        assert mask("private_key, account") == "private_key, account"

    def test_values_of_a_mapping(self) -> None:
        remember_secret({"key": "abcdefgh12", "list": ["ijklmnop34"], "port": 12345678})
        assert mask("key=abcdefgh12,ijklmnop34,12345678") == f"key={MASK},{MASK},12345678"

    @pytest.mark.parametrize(
        ("secret", "text"),
        [
            ("postgresql://me:p%40ss:w@db/x", "login of me with p@ss:w failed"),
            ("postgresql://me:p%40ss:w@db/x", "login of me with p%40ss:w failed"),
            ("https://hooks.example.com/services/T0/B0/Xyz1", '"POST /services/T0/B0/Xyz1 HTTP/1.1" 200'),
            ("https://example.com/?sig=abc%2Bdef123", "the signature abc+def123 is old"),
            ("AccountName=me;AccountKey=abcdef123==;Suffix=net", "the key abcdef123== is old"),
        ],
    )
    def test_of_urls_and_connection_strings(self, secret: str, text: str) -> None:
        remember_secret(secret)
        shown = mask(text)
        assert shown.count(MASK) == 1
        assert shown.split(MASK)[0] == text[: len(shown.split(MASK)[0])]
        assert len(shown) < len(text) + len(MASK)

    def test_an_end_of_line_is_no_part_of_a_secret(self) -> None:
        remember_secret("abcdef\n")
        remember_secret(b"ghijkl\n")
        assert mask("abcdef ghijkl") == f"{MASK} {MASK}"


class TestRegistry:
    @pytest.mark.parametrize("value", ["", "abc", b"abc", "****", "**********", 12345, None, object(), "x" * 100_000])
    def test_what_would_hide_everything_or_is_no_secret_is_not_remembered(self, value: object) -> None:
        remember_secret(value)
        assert not _secrets.knows_secrets()

    def test_the_newest_are_remembered(self) -> None:
        for number in range(LIMIT + 10):
            remember_secret(f"secret-{number:05}")
            remember_secret("secret-00000")  # used again and again
        assert mask("secret-00000") == MASK
        assert mask("secret-00005") == "secret-00005"
        assert mask(f"secret-{LIMIT + 9:05}") == MASK

    def test_shows_and_pickles_nothing(self) -> None:
        remember_secret("hunter2222")
        assert mask("hunter2222") == MASK  # needles are made now
        seen = repr(vars(_secrets)) + repr(_secrets._known) + repr(_secrets._known.index)
        assert leaks(seen, "hunter2222") == []
        with pytest.raises(TypeError, match="stay in it"):
            pickle.dumps(_secrets._known)

    def test_threads_may_tell_and_mask_at_once(self) -> None:
        failures: list[str] = []

        def work(number: int) -> None:
            for count in range(100):
                secret = f"thread-{number}-secret-{count}"
                remember_secret(secret)
                if secret in mask(f"it is {secret}"):
                    failures.append(secret)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []


class Account(Block):
    _block_type_slug = "masking-account"

    user: str
    password: SecretStr
    more: dict[str, Any] = Field(default_factory=dict)
    raw: SecretBytes | None = None
    answer: Secret[dict[str, str]] | None = None
    _token: Any = PrivateAttr(default=None)

    def model_post_init(self, context: Any, /) -> None:
        self._token = SecretStr(f"token-{self.user}")


class TestBlocks:
    def test_tell_their_secrets_when_they_are_made(self) -> None:
        Account(
            user="visible-user",
            password="pass-word-1",
            more={"list": [SecretStr("in-a-list")], "plain": "visible-too"},
            raw=b"raw-bytes",
            answer={"question": "the-answer"},
        )
        text = "visible-user visible-too question pass-word-1 in-a-list raw-bytes the-answer token-visible-user"
        assert mask(text) == f"visible-user visible-too question {MASK} {MASK} {MASK} {MASK} {MASK}"

    def test_tell_them_when_they_are_loaded(self) -> None:
        SecretBlock(value="hunter2222").save("mine")
        forget_secrets()
        loaded = SecretBlock.load("mine")
        assert mask(f"it is {loaded.get()}") == f"it is {MASK}"

    def test_tell_what_is_assigned_copied_or_made_without_validation(self) -> None:
        account = Account(user="me", password="first-one")
        account.password = "second-one"
        account.model_copy(update={"password": "third-one"})
        Account.model_construct(user="me", password="fourth-one")
        assert mask("first-one second-one third-one fourth-one") == " ".join([MASK] * 4)

    def test_tell_them_when_they_are_unpickled(self) -> None:
        pickled = pickle.dumps(SecretBlock(value="hunter2222"))
        forget_secrets()
        pickle.loads(pickled)
        assert mask("hunter2222") == MASK

    def test_tell_those_of_blocks_and_options_inside(self) -> None:
        class Outer(Block):
            _block_type_slug = "masking-outer"

            inner: Account

        Outer(inner={"user": "me", "password": "nested-one"})
        JSON(value={"a": [SecretStr("json-one")]})
        S3(bucket_path="bucket/results", config_kwargs={"proxies_config": {"proxy_token": "option-one"}})
        assert mask("nested-one json-one option-one") == " ".join([MASK] * 3)

    def test_a_secret_that_cannot_be_read_breaks_nothing(self) -> None:
        class Broken(SecretStr):
            def get_secret_value(self) -> str:
                raise OSError("the agent is locked")

        JSON(value=[Broken("x"), SecretStr("readable")])
        assert mask("readable") == MASK

    def test_what_is_refused_is_no_secret(self) -> None:
        with pytest.raises(ValueError, match="user"):
            Account(password="refused-one")
        assert not _secrets.knows_secrets()


class TestParameters:
    @pytest.mark.parametrize("wrap", [lambda s: s, lambda s: {"password": [s]}, lambda s: _Login(key=s)])
    def test_a_secret_among_parameters_is_masked_as_that_of_a_block(self, wrap: Callable[[SecretStr], object]) -> None:
        forget_secrets()

        @task
        def log_in(password: object) -> None:
            pass

        @flow
        def main() -> None:
            log_in(wrap(SecretStr("hunter2-of-parameters")))

        main()
        assert mask("cannot log in with hunter2-of-parameters") == f"cannot log in with {MASK}"


class _Login(BaseModel):
    key: SecretStr


class TestLoggersBelowOurs:
    def logged(self, *, in_run: bool) -> list[logging.LogRecord]:
        seen: list[logging.LogRecord] = []
        handler = logging.Handler()
        handler.emit = seen.append  # type: ignore[method-assign]

        def say() -> None:
            get_logger("mine.child").warning("it is %s", "hunter2222")
            try:
                raise LookupError("hunter2222")  # noqa: TRY301  as code does
            except LookupError:
                get_logger("mine.child").exception("why?")

        @flow
        def talk() -> None:
            remember_secret("hunter2222")
            if in_run:
                say()

        logging.root.addHandler(handler)
        try:
            talk()
            if not in_run:
                say()
        finally:
            logging.root.removeHandler(handler)
        return [record for record in seen if record.name == "entrepot.mine.child"]

    @pytest.mark.parametrize("in_run", [True, False])
    def test_are_masked_before_handlers_of_the_program_get_their_lines(self, in_run: bool) -> None:  # noqa: FBT001
        records = self.logged(in_run=in_run)
        assert [record.getMessage() for record in records] == [f"it is {MASK}", "why?"]
        assert records[1].exc_info is None
        assert leaks("".join(map(logging.Formatter().format, records)), "hunter2222") == []

    def test_are_masked_by_a_handler_that_was_on_the_logger_entrepot_before(self) -> None:
        seen: list[str] = []
        handler = logging.Handler()
        handler.emit = lambda record: seen.append(record.getMessage())  # type: ignore[method-assign]
        ours = logging.getLogger("entrepot")
        before = list(ours.handlers)
        ours.handlers[:] = [handler]
        try:
            self.logged(in_run=True)
        finally:
            ours.handlers[:] = before
        assert f"it is {MASK}" in seen
        assert not [line for line in seen if "hunter2222" in line]
