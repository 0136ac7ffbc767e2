ALTER TABLE runs ADD COLUMN process TEXT

ALTER TABLE runs ADD COLUMN root_run_id TEXT

ALTER TABLE runs ADD COLUMN version TEXT

ALTER TABLE runs ADD COLUMN entrypoint TEXT

CREATE TABLE upstream ( run_id TEXT NOT NULL, upstream_run_id TEXT NOT NULL, PRIMARY KEY (run_id, upstream_run_id) ) WITHOUT ROWID

CREATE TABLE processes ( process TEXT PRIMARY KEY, process_id INTEGER NOT NULL, host TEXT NOT NULL, started TEXT NOT NULL, heartbeat TEXT NOT NULL ) WITHOUT ROWID

CREATE TABLE logs ( number INTEGER PRIMARY KEY, run_id TEXT NOT NULL, flow_run_id TEXT, timestamp TEXT NOT NULL, level INTEGER NOT NULL, logger TEXT NOT NULL, message TEXT NOT NULL )

CREATE INDEX logs_by_run ON logs (run_id)

CREATE INDEX logs_by_flow_run ON logs (flow_run_id)

CREATE TABLE artifacts ( number INTEGER PRIMARY KEY, artifact_id TEXT NOT NULL UNIQUE, run_id TEXT, flow_run_id TEXT, key TEXT, type TEXT NOT NULL, description TEXT NOT NULL, data TEXT NOT NULL, created TEXT NOT NULL, updated TEXT NOT NULL )

CREATE INDEX artifacts_by_run ON artifacts (run_id)

CREATE INDEX artifacts_by_key ON artifacts (key)
