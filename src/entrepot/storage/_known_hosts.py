"""Which keys a server is known by, in a file of OpenSSH's `known_hosts`.

paramiko's own reader stops at the marked lines (`@revoked`, `@cert-authority`) that such files may have, and keeps one
key of each kind, where a server that changes its key is known by two.
"""

import contextlib
import hmac
from pathlib import Path

import paramiko
from paramiko.hostkeys import HostKeyEntry, HostKeys, InvalidHostKey

__all__ = ["known_keys"]


def known_keys(file: Path, name: str) -> list[paramiko.PKey]:
    """Return the keys that a server may show, in the file's order; not those that are revoked, for whatever host.

    Lines that cannot be read, certificate authorities and patterns with wildcards make nothing known.

    Args:
        file: Of known hosts.
        name: As such files have it: the host, or `[host]:port` where the port is not 22.

    Raises:
        OSError: If the file cannot be read.
    """
    known, revoked = [], []
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
        marker, _, rest = line.strip().partition(" ") if line.lstrip().startswith("@") else ("", "", line.strip())
        entry = None
        if rest and not rest.startswith("#"):
            with contextlib.suppress(InvalidHostKey, paramiko.SSHException, ValueError):
                entry = HostKeyEntry.from_line(rest.strip())
        if entry is None or entry.key is None:
            continue
        if marker == "@revoked":
            revoked.append(entry.key)
        elif not marker and any(_is(name, each) for each in entry.hostnames):
            known.append(entry.key)
    return [key for key in known if key not in revoked]


def _is(name: str, written: str) -> bool:
    """Return whether a name of the file, hashed perhaps, is this one."""
    if not written.startswith("|1|"):
        return written == name
    with contextlib.suppress(ValueError, AssertionError, IndexError):  # of a hash that is none
        return hmac.compare_digest(HostKeys.hash_host(name, written), written)
    return False
