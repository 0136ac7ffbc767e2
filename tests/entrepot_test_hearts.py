"""A heart of one's own for tests of what is renewed while it is held."""

from collections.abc import Iterator

import pytest

from entrepot.coordination import heartbeat

__all__ = ["own_heart"]


@pytest.fixture
def own_heart(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Renew nothing that other tests left, and nothing after this one, nor say amid another that it was lost."""
    heart = heartbeat._Heart()
    monkeypatch.setattr(heartbeat, "_heart", heart)
    yield
    for one in list(heart._held):
        heart.remove(one)
    heart._messages.put(None)  # its thread has nothing to wait for
