-- A state as schema 1 had it: one thing recorded, another begun and not ended, and the lease of a process that is gone.
CREATE TABLE meta (name TEXT PRIMARY KEY, value BIGINT NOT NULL);
CREATE TABLE records (environment TEXT, address TEXT, version BIGINT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (environment, address));
CREATE TABLE journal (sequence BIGINT PRIMARY KEY, environment TEXT NOT NULL, run TEXT NOT NULL, plan TEXT NOT NULL, address TEXT NOT NULL, step TEXT NOT NULL, event TEXT NOT NULL, at TEXT NOT NULL, body TEXT NOT NULL);
CREATE INDEX journal_address ON journal (environment, address, sequence);
CREATE INDEX journal_environment ON journal (environment, sequence);
CREATE TABLE realisations (key TEXT PRIMARY KEY, body TEXT NOT NULL);
CREATE TABLE leases (environment TEXT PRIMARY KEY, owner TEXT NOT NULL, token BIGINT NOT NULL, since TEXT NOT NULL, expires TEXT NOT NULL);
INSERT INTO meta VALUES ('schema', 1), ('sequence', 4);
INSERT INTO records VALUES ('dev', 'thing.a', 3, '{"body":{"value":1},"digest":"sha256:d","steps":{"work":{"key":"sha256:k","values":{"input:file":1},"outputs":{"out":"sha256:o"},"facts":{"rows":3},"seconds":1.5,"at":"2026-01-01T00:00:00.000+00:00"}},"refs":["thing.z"],"inputs":{"file":{"rows":3}},"complete":true}');
INSERT INTO journal VALUES
  (1, 'dev', 'run', 'plan', '', '', 'note', '2026-01-01T00:00:00.000+00:00', '{"body":{"run":"begin"}}'),
  (2, 'dev', 'run', 'plan', 'thing.a', 'thing.a/work', 'begin', '2026-01-01T00:00:00.000+00:00', '{"body":{"key":"sha256:k"}}'),
  (3, 'dev', 'run', 'plan', 'thing.a', 'thing.a/work', 'end', '2026-01-01T00:00:00.000+00:00', '{"body":{"status":"done","seconds":1.5},"record":{"body":{"value":1},"digest":"sha256:d","steps":{"work":{"key":"sha256:k","values":{"input:file":1},"outputs":{"out":"sha256:o"},"facts":{"rows":3},"seconds":1.5,"at":"2026-01-01T00:00:00.000+00:00"}},"refs":["thing.z"],"inputs":{"file":{"rows":3}},"complete":true}}'),
  (4, 'dev', 'run', 'plan', 'thing.b', 'thing.b/work', 'begin', '2026-01-01T00:00:00.000+00:00', '{"body":{"key":"sha256:l"}}');
INSERT INTO realisations VALUES ('sha256:k', '{"key":"sha256:k","outputs":{"out":"sha256:o"},"facts":{"rows":3},"seconds":1.5,"environment":"dev","address":"thing.a","at":"2026-01-01T00:00:00.000+00:00"}');
INSERT INTO leases VALUES ('dev', 'anna@laptop (process 7, started 9)', 5, '2026-01-01T00:00:00+00:00', '2026-01-01T00:01:00+00:00');
