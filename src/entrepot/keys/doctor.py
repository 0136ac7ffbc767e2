"""What is wrong with the keys of a home, and which command mends it. It changes nothing."""

import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from entrepot.blocks._epochs import EPOCH
from entrepot.blocks.documents import BlockDocuments
from entrepot.blocks.stores import Store
from entrepot.crypto.keyring import Key, Keyring
from entrepot.crypto.providers import read_keyring
from entrepot.errors import EntrepotError, KeyProviderError, KeyringError, KeyringPermissionError
from entrepot.keys.rotating import rewrap_command
from entrepot.keys.usage import Foreign, Tick, Usage, known_storages, usage_of
from entrepot.protocols.documents import DocumentRef, RewrapsDocuments
from entrepot.protocols.keys import KeyProvider
from entrepot.protocols.storage import Storage

__all__ = ["Examined", "Finding", "examine"]

_SHOWN: Final = 3


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing.

    Attributes:
        level: "problem", or "advice" for what is well but not done yet.
        what: In a word or two.
        detail: What is known.
        command: What mends it; "" where no command does.
    """

    level: Literal["problem", "advice"]
    what: str
    detail: str
    command: str = ""


@dataclass(frozen=True, slots=True)
class Examined:
    """What was looked at.

    Attributes:
        location: Of the keyring; "" where the provider cannot even be opened.
        ring: The keyring, or None where it cannot be read.
        findings: Problems first.
    """

    location: str
    ring: Keyring | None
    findings: tuple[Finding, ...]


def examine(
    open_provider: Callable[[], KeyProvider],
    open_stores: Callable[[], Sequence[Store]],
    open_storages: Callable[[], Sequence[Storage]],
    tick: Tick = lambda _what, _count: None,
) -> Examined:
    """Look at the provider, the keyring, and at everything that needs its keys.

    Args:
        open_provider: Returns what keeps the keyring.
        open_stores: Returns the stores of saved blocks; their keys are looked up here, not by them. One that is named
            by a block may need the very keys.
        open_storages: Returns the stores of results; the same holds of them.
        tick: Told what is looked at, and how many were.
    """
    findings: list[Finding] = []
    ring: Keyring | None = None
    location = ""
    try:
        provider = open_provider()
        location = provider.location
        findings += _left_behind(provider)
        ring = read_keyring(provider)
        is_there = ring is not None
    except EntrepotError as error:
        findings.append(_of_error(error, location))
        is_there = True  # as far as can be known
    saved: Sequence[Store] = ()
    try:
        saved = open_stores()
    except EntrepotError as error:
        findings.append(Finding("problem", "store", f"a store of blocks cannot be looked at: {error}"))
    storages: Sequence[Storage]
    try:
        storages = open_storages()
    except EntrepotError as error:
        findings.append(Finding("problem", "store", f"a store of results cannot be looked at: {error}"))
        storages = known_storages()
    try:
        usage = usage_of(ring, saved, storages, tick)
    except EntrepotError as error:
        findings.append(Finding("problem", "store", f"what needs which key is not known: {error}"))
        usage, saved = Usage(), ()
    if not is_there:
        findings += _no_ring(location, usage)
    if ring is not None:
        findings += _of_keys(ring, usage)
        findings += _of_staged(ring, usage, is_shared=any(place.documents.is_shared for place in saved))
        findings += (_of_foreign(ring, theirs) for theirs in usage.foreign)
        for where in usage.unreadable[:_SHOWN]:
            detail = (
                f"{where} is no sealed document: it was altered, cut short or planted; restore it from a backup,"
                " or save the block anew, or go back to an older version (entrepot block history, rollback)"
            )
            findings.append(Finding("problem", "damaged", detail))
        for place in saved:
            findings += _of_documents(ring, place.documents)
    return Examined(location, ring, tuple(sorted(findings, key=lambda finding: finding.level == "advice")))


def _left_behind(provider: KeyProvider) -> Iterator[Finding]:
    paths: Callable[[], list[Path]] = getattr(provider, "left_behind", list)
    for path in paths():
        yield Finding(
            "problem",
            "left behind",
            f"{path} was left by a program that was killed while it changed the keyring, and may hold keys",
            f"rm {shlex.quote(str(path))}",
        )


def _of_error(error: EntrepotError, location: str) -> Finding:
    text = str(error)
    if isinstance(error, KeyringPermissionError):
        return Finding("problem", "permissions", text, text.partition("run: ")[2])
    if isinstance(error, KeyProviderError):
        return Finding("problem", f"provider {error.provider}", text, "entrepot keys doctor")
    if isinstance(error, KeyringError):
        aside = f"mv {shlex.quote(location)} {shlex.quote(location + '.unusable')}" if location.startswith("/") else ""
        return Finding("problem", "keyring", text, " && ".join(filter(None, [aside, "entrepot keys import FILE"])))
    return Finding("problem", "provider", text, "entrepot config unset key_provider")


def _no_ring(location: str, usage: Usage) -> Iterator[Finding]:
    if not usage.places and not usage.foreign:
        yield Finding(
            "advice",
            "no keyring",
            f"there is none at {location}, and nothing that needs one; it is made on first need",
            "entrepot keys init",
        )
    for key_id in usage.places:
        yield Finding(
            "problem",
            "no keyring",
            f"there is none at {location}, and {_needs(usage, key_id)} key {key_id}; look for an export or a backup",
            "entrepot keys import FILE",
        )


def _of_keys(ring: Keyring, usage: Usage) -> Iterator[Finding]:
    known = {key.id: key for key in ring.all_keys()}
    primary = {ring.primary(key.purpose).id for key in known.values()}
    for key_id in usage.places:
        key = known.get(key_id)
        if key is None:
            yield Finding(
                "problem",
                "missing key",
                f"{_needs(usage, key_id)} key {key_id}, which is not in keyring {ring.ring_id} ({ring.location}): it is"
                " an older copy, or not the right one; look for an export or a backup that has the key",
                "entrepot keys import FILE",
            )
        elif not key.opens:
            yield from _closed(key, usage)
        elif key.purpose == "block" and ring.is_ahead(key_id, "block"):
            yield Finding(
                "advice",
                "newer key",
                f"{_needs(usage, key_id)} key {key_id}, which came after the primary block key here: a rotation was"
                " finished elsewhere; bring an export of the keyring from there"
                + (
                    ""
                    if key.state == "staged"
                    else " (if that changes nothing, both have rotated: entrepot keys rotate)"
                ),
                "entrepot keys import FILE",
            )
        elif key.purpose == "block" and key_id not in primary:
            yield Finding(
                "advice",
                "not rewrapped",
                f"{_needs(usage, key_id)} key {key_id}, which is not the primary block key any more",
                rewrap_command(usage, key_id),
            )


def _of_staged(ring: Keyring, usage: Usage, *, is_shared: bool) -> Iterator[Finding]:
    for key in ring.all_keys():
        if key.state != "staged" or usage.count(key.id, "blocks", "answers"):  # those are said to be ahead
            continue
        if usage.count(key.id):
            yield Finding(
                "advice",
                "newer key",
                f"{_needs(usage, key.id)} key {key.id}, which is staged here: a rotation was finished elsewhere; bring"
                " an export of the keyring from there",
                "entrepot keys import FILE",
            )
            continue
        detail = f"the {key.purpose} key {key.id} is staged, and seals nothing yet; a rotation was begun"
        command = f"entrepot keys rotate --purpose {key.purpose}"
        if is_shared:
            detail += (
                ". If that was here: export the keyring, and when all who share the store have imported it, run:"
                f" {command}. If it was elsewhere, wait for the next export from there"
            )
            command = "entrepot keys import FILE"
        yield Finding("advice", "staged", detail, command)


def _of_foreign(ring: Keyring, theirs: Foreign) -> Finding:
    place, names = theirs.place, sorted(theirs.blocks)
    more = f" and {theirs.count - 1} more" if theirs.count > 1 else ""
    known = (
        f"{theirs.first}{more} in {place.documents.store.location}: sealed under key {theirs.key_id} of another keyring"
        f" ({theirs.ring_id}) than the one here ({ring.ring_id})"
    )
    flags = " --store team" if place.kind == "team" else ""
    if place.documents.is_shared and theirs.ours <= theirs.count:
        what = "It is" if not theirs.ours else f"{theirs.ours} versions there are of the one here. If it is"
        detail = f"{known}. {what} the keyring of those who share that store: get an export of it from one of them"
        return Finding("problem", "another keyring", detail, "entrepot keys join FILE")
    delete = [f"entrepot block delete {name} --force{flags}" for name in names]
    if all(theirs.blocks.values()):
        detail = f"{known}. It only says that {', '.join(names[:_SHOWN])} was deleted"
        return Finding("problem", "another keyring", detail, " && ".join(delete[:_SHOWN]))
    detail = (
        f"{known}. With an export of that keyring it is sealed again under this one; if nobody has that any more,"
        f" delete {'it' if len(names) == 1 else f'these {len(names)} blocks'}: {' && '.join(delete[:_SHOWN])}"
    )
    return Finding("problem", "another keyring", detail, f"entrepot keys adopt FILE{flags}")


def _closed(key: Key, usage: Usage) -> Iterator[Finding]:
    if key.state == "destroyed" and not usage.count(key.id, "blocks", "answers"):
        yield Finding(
            "advice",
            "destroyed",
            f"{_needs(usage, key.id)} key {key.id}, which was destroyed: they are misses, and are computed again",
        )
        return
    can = key.material is not None
    yield Finding(
        "problem",
        f"{key.state} key",
        f"{_needs(usage, key.id)} key {key.id}, which is {key.state}: "
        + (
            "they cannot be opened until it is enabled"
            if can
            else "who still has it in a copy of the keyring can seal them again; if nobody has, they are lost"
        ),
        f"entrepot keys enable {key.id}" if can else "there: entrepot keys enable, and then entrepot keys rewrap",
    )


def _of_documents(ring: Keyring, documents: BlockDocuments) -> Iterator[Finding]:
    here = BlockDocuments(documents.store, lambda: ring)
    store = documents.store
    refs: Sequence[DocumentRef] = sorted(
        store.every() if isinstance(store, RewrapsDocuments) else store.list(), key=lambda ref: -ref.version
    )
    for ref in refs:
        mark = 0
        with suppress(EntrepotError):  # what does not verify says nothing; that it does not was said above
            found = here.header(ref).get(EPOCH, 0)
            if isinstance(found, int) and found > ring.epoch and not here.is_ahead(ref):
                here.open(ref)
                mark = found
        if mark:
            known = (
                f"{ref} in {store.location} was sealed under epoch {mark} of keyring {ring.ring_id}, and the one at"
                f" {ring.location} is of epoch {ring.epoch}: "
            )
            why = (
                "changes that were made elsewhere were not brought here, or an older copy was put back"
                if documents.is_shared
                else "an older copy was put back"
            )
            yield Finding(
                "problem", "older keyring", f"{known}{why}; look for the newer one", "entrepot keys import FILE"
            )
            return


def _needs(usage: Usage, key_id: str) -> str:
    count = usage.count(key_id)
    return f"{usage.first(key_id)} {'needs' if count == 1 else f'and {count - 1} more need'}"
