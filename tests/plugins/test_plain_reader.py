"""The reader of metadata folders finds what `importlib.metadata` finds, in every site-packages."""

import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from entrepot.plugins import PluginRegistry, discovery
from entrepot.plugins._claims import Claim, normalise
from entrepot_test_sites import FakeSite

GROUPS = ("entrepot.blocks", "entrepot.serializers", "entrepot.manifest")

spellings = st.sampled_from(
    ["acme_one", "Acme_One", "acme.one", "ACME_ONE", "acme__one", "two", "Two", "three", "entrepot", "Entrepot"]
)
lines = st.sampled_from(
    [
        *("[entrepot.blocks]", "[entrepot.serializers]", "[entrepot.manifest]", "[console_scripts]", "", "  # no", ";"),
        *("one = acme:One", "two=acme.two:Two [extra]", "  three  =  acme : Three  ", "one = other:One", "é = acmé:É"),
        *("a = b = c", "no equals sign", "[unclosed", "= nothing", "nothing =", "entrepot.blocks"),
    ]
)


@dataclass(frozen=True)
class Installed:
    name: str
    version: str
    kind: str
    headers: str
    points: str | None

    def write(self, site: Path) -> None:
        folder = f"{self.name}-{self.version}{self.kind}"
        if self.kind == ".egg":
            folder += "/EGG-INFO"
        elif self.kind == ".egg-info" and self.version == "":
            folder = f"{self.name}.egg-info"
        info = site / folder
        info.mkdir(parents=True, exist_ok=True)
        file = info / ("METADATA" if self.kind == ".dist-info" else "PKG-INFO")
        file.write_bytes(
            self.headers.replace("NAME", self.name.replace("_", "-")).replace("VERSION", self.version).encode()
        )
        if self.points is not None:
            (info / "entry_points.txt").write_bytes(self.points.encode())


def plain_eggs(installed: list[Installed]) -> list[Installed]:
    """Leave out eggs, a form of old, whose names `importlib.metadata` normalises in a way of their own."""
    return [each for each in installed if each.kind != ".egg" or each.name in {"two", "three", "entrepot"}]


headers = st.sampled_from(
    [
        "Metadata-Version: 2.1\nName: NAME\nVersion: VERSION\n",
        "Metadata-Version: 2.1\r\nName: NAME\r\nVersion: VERSION\r\n\r\nName: in-the-body\r\n",
        "name: NAME\nversion:   VERSION   \n\nVersion: 99\n",
        "Name: NAME\nName: said-twice\nSummary: of\n  two lines\nVersion: VERSION\nVersion: 98\n",
        "",
    ]
)
sites = st.lists(
    st.builds(
        Installed,
        spellings,
        st.sampled_from(["1.0", "2", "", "1.0.dev1+local"]),
        st.sampled_from([".dist-info", ".dist-info", ".egg-info", ".egg"]),
        headers,
        st.none() | st.lists(lines, max_size=8).map("\n".join),
    ),
    max_size=5,
    unique_by=lambda each: normalise(each.name),  # installers see to it that there is one of each
).map(plain_eggs)


@settings(max_examples=60, deadline=None)
@given(sites=st.lists(sites, min_size=1, max_size=3), reverse=st.booleans())
def test_folders_are_found_as_importlib_metadata_finds_them(sites: list[list[Installed]], *, reverse: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = []
        for number, installed in enumerate(sites):
            site = Path(folder) / f"site{number}"
            site.mkdir()
            for each in installed:
                each.write(site)
            path += [str(site), *(str(egg) for egg in site.iterdir() if egg.suffix == ".egg")]
        path = path[::-1] if reverse else path
        with mock.patch.object(sys, "path", [*path, path[0], str(Path(folder) / "not-there")]):
            assert discovery._scan_plain(tuple(sys.path)) is not None
            for group in GROUPS:
                plain, real = discovery.entry_points_of(group), discovery._read(group)
                assert facts(plain) == facts(real)
                # `importlib.metadata` also tells of one that only shadows another that mentions the group.
                assert {whose for whose, _ in plain.unreadable} <= {whose for whose, _ in real.unreadable}


def facts(scan: discovery.Scan) -> dict[str, list[tuple[str, str, str]]]:
    return {
        name: [(claim.target, normalise(claim.distribution), claim.version.strip()) for claim in claims]
        for name, claims in scan.claims.items()
    }


def test_two_claims_are_equal_where_all_that_is_known_of_them_is(site: FakeSite) -> None:
    site.distribution("acme-one", blocks="one = acme:One")
    (found,) = discovery.entry_points_of("entrepot.blocks").claims["one"]
    discovery.reset()
    (again,) = discovery.entry_points_of("entrepot.blocks").claims["one"]
    assert found is not again
    assert found == again
    assert hash(found) == hash(again)
    assert found != Claim("one", "acme:Other", found._owner)
    assert repr(found) == "Claim('one', 'acme:One', 'acme-one 1.0')"


def test_a_named_pipe_for_a_metadata_file_keeps_nobody_waiting(site: FakeSite) -> None:
    if not hasattr(os, "mkfifo"):
        pytest.skip("no named pipes here")
    site.module("acme_good", "class Block: ...")
    site.distribution("acme-good", blocks="good = acme_good:Block")
    for file in ("entry_points.txt", "METADATA"):
        info = site.distribution(f"acme-{file[:3].lower()}", blocks="piped = acme:Block")
        (info / file).unlink()
        os.mkfifo(info / file)
    names = PluginRegistry[type]("entrepot.blocks", kind="block", builtins={})
    assert names.get("good").__module__ == "acme_good"
    assert [entry.distribution for entry in names.report() if entry.name == "piped"] == ["acme-met"]
