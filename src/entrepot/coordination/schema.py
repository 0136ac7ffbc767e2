"""The tables of `state.db`, as the steps from an empty file to the newest. Rungs are added, never changed."""

from typing import Final

__all__ = ["LADDER"]

# Two kinds of times: those that people read are ISO 8601 in UTC; those that decide something (`level_at`, `expires`)
# are seconds of the monotonic clock, which all processes of a machine share and which nobody can set.
LADDER: Final[tuple[tuple[str, ...], ...]] = (
    (
        # `level`: how many slots of a rate limit are taken, as of `level_at`; it falls by `decay` slots a second.
        """
        CREATE TABLE limits (
            name TEXT PRIMARY KEY,
            slots INTEGER NOT NULL,
            decay REAL NOT NULL,
            active INTEGER NOT NULL,
            level REAL NOT NULL,
            level_at REAL NOT NULL,
            created TEXT NOT NULL,
            updated TEXT NOT NULL
        ) WITHOUT ROWID
        """,
        # Who waits for slots, in the order of arrival (`granted` is 0), and who holds some: a lease, which lasts until
        # `expires`, and is renewed for `seconds` at a time. `around`: the claims that the code around this one holds.
        """
        CREATE TABLE claims (
            number INTEGER PRIMARY KEY AUTOINCREMENT,
            claim_id TEXT NOT NULL UNIQUE,
            granted INTEGER NOT NULL,
            rate INTEGER NOT NULL,
            process TEXT NOT NULL,
            process_id INTEGER NOT NULL,
            host TEXT NOT NULL,
            run_id TEXT,
            run_name TEXT,
            around TEXT NOT NULL,
            since TEXT NOT NULL,
            expires REAL NOT NULL,
            seconds REAL NOT NULL
        )
        """,
        "CREATE INDEX claims_by_process ON claims (process)",
        "CREATE INDEX claims_by_place ON claims (granted, number)",
        """
        CREATE TABLE claimed (
            name TEXT NOT NULL,
            claim_id TEXT NOT NULL REFERENCES claims (claim_id) ON DELETE CASCADE,
            slots INTEGER NOT NULL,
            PRIMARY KEY (name, claim_id)
        ) WITHOUT ROWID
        """,
        "CREATE INDEX claimed_by_claim ON claimed (claim_id)",
        # `renewed`: whether the holder's process renews it while it lives, or it ends at `expires` whatever happens.
        """
        CREATE TABLE locks (
            key TEXT PRIMARY KEY,
            holder TEXT NOT NULL,
            process TEXT NOT NULL,
            process_id INTEGER NOT NULL,
            host TEXT NOT NULL,
            since TEXT NOT NULL,
            expires REAL NOT NULL,
            seconds REAL NOT NULL,
            renewed INTEGER NOT NULL
        ) WITHOUT ROWID
        """,
        "CREATE INDEX locks_by_process ON locks (process)",
        """
        CREATE TABLE variables (
            name TEXT PRIMARY KEY,
            value TEXT NOT NULL,
            tags TEXT NOT NULL,
            created TEXT NOT NULL,
            updated TEXT NOT NULL
        )
        """,
        # What flow runs wait for somebody to say, and what was said.
        """
        CREATE TABLE pauses (
            root_run_id TEXT NOT NULL,
            key TEXT NOT NULL,
            run_id TEXT NOT NULL,
            schema TEXT,
            message TEXT NOT NULL,
            asked TEXT NOT NULL,
            deadline TEXT,
            answer TEXT,
            answered TEXT,
            PRIMARY KEY (root_run_id, key)
        )
        """,
    ),
    (
        # `question` tells one question of a flow's code from another, whatever run asks it. `refused`: why an answer
        # was; `taken`: when the flow went on with it.
        "ALTER TABLE pauses ADD COLUMN question TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE pauses ADD COLUMN refused TEXT",
        "ALTER TABLE pauses ADD COLUMN taken TEXT",
    ),
)
