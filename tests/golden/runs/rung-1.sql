CREATE TABLE runs ( number INTEGER PRIMARY KEY, run_id TEXT NOT NULL UNIQUE, kind TEXT, name TEXT, definition TEXT, key TEXT, flow_run_id TEXT, parent_run_id TEXT, parameters TEXT, tags TEXT, created TEXT, process_id INTEGER, epoch INTEGER NOT NULL, state_type TEXT, state_name TEXT, message TEXT, started TEXT, ended TEXT )

CREATE INDEX runs_by_time ON runs (kind, created)

CREATE INDEX runs_by_caller ON runs (coalesce(parent_run_id, flow_run_id))

CREATE TABLE transitions ( number INTEGER PRIMARY KEY, transition_id TEXT NOT NULL UNIQUE, run_id TEXT NOT NULL, epoch INTEGER NOT NULL, state_type TEXT NOT NULL, state_name TEXT NOT NULL, timestamp TEXT NOT NULL, message TEXT NOT NULL, cache_key TEXT, result_location TEXT )

CREATE INDEX transitions_by_run ON transitions (run_id)

CREATE TABLE flushes (count INTEGER NOT NULL)

INSERT INTO flushes VALUES (0)
