CREATE TABLE limits ( name TEXT PRIMARY KEY, slots INTEGER NOT NULL, decay REAL NOT NULL, active INTEGER NOT NULL, level REAL NOT NULL, level_at REAL NOT NULL, created TEXT NOT NULL, updated TEXT NOT NULL ) WITHOUT ROWID

CREATE TABLE claims ( number INTEGER PRIMARY KEY AUTOINCREMENT, claim_id TEXT NOT NULL UNIQUE, granted INTEGER NOT NULL, rate INTEGER NOT NULL, process TEXT NOT NULL, process_id INTEGER NOT NULL, host TEXT NOT NULL, run_id TEXT, run_name TEXT, around TEXT NOT NULL, since TEXT NOT NULL, expires REAL NOT NULL, seconds REAL NOT NULL )

CREATE INDEX claims_by_process ON claims (process)

CREATE INDEX claims_by_place ON claims (granted, number)

CREATE TABLE claimed ( name TEXT NOT NULL, claim_id TEXT NOT NULL REFERENCES claims (claim_id) ON DELETE CASCADE, slots INTEGER NOT NULL, PRIMARY KEY (name, claim_id) ) WITHOUT ROWID

CREATE INDEX claimed_by_claim ON claimed (claim_id)

CREATE TABLE locks ( key TEXT PRIMARY KEY, holder TEXT NOT NULL, process TEXT NOT NULL, process_id INTEGER NOT NULL, host TEXT NOT NULL, since TEXT NOT NULL, expires REAL NOT NULL, seconds REAL NOT NULL, renewed INTEGER NOT NULL ) WITHOUT ROWID

CREATE INDEX locks_by_process ON locks (process)

CREATE TABLE variables ( name TEXT PRIMARY KEY, value TEXT NOT NULL, tags TEXT NOT NULL, created TEXT NOT NULL, updated TEXT NOT NULL )

CREATE TABLE pauses ( root_run_id TEXT NOT NULL, key TEXT NOT NULL, run_id TEXT NOT NULL, schema TEXT, message TEXT NOT NULL, asked TEXT NOT NULL, deadline TEXT, answer TEXT, answered TEXT, PRIMARY KEY (root_run_id, key) )
