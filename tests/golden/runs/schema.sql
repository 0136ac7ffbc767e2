-- user_version 2

CREATE TABLE artifacts ( number INTEGER PRIMARY KEY, artifact_id TEXT NOT NULL UNIQUE, run_id TEXT, flow_run_id TEXT, key TEXT, type TEXT NOT NULL, description TEXT NOT NULL, data TEXT NOT NULL, created TEXT NOT NULL, updated TEXT NOT NULL )

CREATE INDEX artifacts_by_key ON artifacts (key)

CREATE INDEX artifacts_by_run ON artifacts (run_id)

CREATE TABLE flushes (count INTEGER NOT NULL)

CREATE TABLE logs ( number INTEGER PRIMARY KEY, run_id TEXT NOT NULL, flow_run_id TEXT, timestamp TEXT NOT NULL, level INTEGER NOT NULL, logger TEXT NOT NULL, message TEXT NOT NULL )

CREATE INDEX logs_by_flow_run ON logs (flow_run_id)

CREATE INDEX logs_by_run ON logs (run_id)

CREATE TABLE processes ( process TEXT PRIMARY KEY, process_id INTEGER NOT NULL, host TEXT NOT NULL, started TEXT NOT NULL, heartbeat TEXT NOT NULL ) WITHOUT ROWID

CREATE TABLE runs ( number INTEGER PRIMARY KEY, run_id TEXT NOT NULL UNIQUE, kind TEXT, name TEXT, definition TEXT, key TEXT, flow_run_id TEXT, parent_run_id TEXT, parameters TEXT, tags TEXT, created TEXT, process_id INTEGER, epoch INTEGER NOT NULL, state_type TEXT, state_name TEXT, message TEXT, started TEXT, ended TEXT , process TEXT, root_run_id TEXT, version TEXT, entrypoint TEXT)

CREATE INDEX runs_by_caller ON runs (coalesce(parent_run_id, flow_run_id))

CREATE INDEX runs_by_time ON runs (kind, created)

CREATE TABLE transitions ( number INTEGER PRIMARY KEY, transition_id TEXT NOT NULL UNIQUE, run_id TEXT NOT NULL, epoch INTEGER NOT NULL, state_type TEXT NOT NULL, state_name TEXT NOT NULL, timestamp TEXT NOT NULL, message TEXT NOT NULL, cache_key TEXT, result_location TEXT )

CREATE INDEX transitions_by_run ON transitions (run_id)

CREATE TABLE upstream ( run_id TEXT NOT NULL, upstream_run_id TEXT NOT NULL, PRIMARY KEY (run_id, upstream_run_id) ) WITHOUT ROWID
