"""How a database is brought back: files, WAL, replay, proof. Knows PostgreSQL and no platform."""
