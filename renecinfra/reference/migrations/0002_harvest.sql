-- The write side: runs, what was fetched, and what the last run saw, as it saw it (COPY lands here).

CREATE TABLE harvest_runs (
    run_id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    mode         text NOT NULL CHECK (mode IN ('daily', 'full')),
    status       text NOT NULL CHECK (status IN ('running', 'succeeded', 'failed', 'interrupted')),
    started_at   timestamptz NOT NULL DEFAULT now(),
    heartbeat_at timestamptz NOT NULL DEFAULT now(),
    finished_at  timestamptz,
    task_id      text NOT NULL,
    worker       text NOT NULL,
    requests     integer NOT NULL DEFAULT 0,
    errors       integer NOT NULL DEFAULT 0,
    standards    integer NOT NULL DEFAULT 0,
    certifiers   integer NOT NULL DEFAULT 0,
    centres      integer NOT NULL DEFAULT 0,
    error        text,
    CHECK ((status = 'running') = (finished_at IS NULL))
);

-- One harvest at a time: the site is somebody else's.
CREATE UNIQUE INDEX harvest_runs_one_running ON harvest_runs ((true)) WHERE status = 'running';
CREATE INDEX harvest_runs_task ON harvest_runs (task_id);

CREATE TABLE crawl_map (
    url         text PRIMARY KEY,
    status_code integer NOT NULL,
    seconds     real NOT NULL,
    attempts    integer NOT NULL,
    run_id      bigint NOT NULL REFERENCES harvest_runs,
    fetched_at  timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE ec_standards (
    ec_clave    text NOT NULL,
    titulo      text NOT NULL,
    descripcion text NOT NULL,
    nivel       smallint NOT NULL,
    vigente     boolean NOT NULL,
    sector_id   integer NOT NULL,
    comite_id   integer NOT NULL,
    revision    integer NOT NULL
);

CREATE TABLE certificadores (
    cert_id   text NOT NULL,
    tipo      text NOT NULL,
    nombre    text NOT NULL,
    estado    text NOT NULL,
    correo    text NOT NULL,
    revision  integer NOT NULL,
    estandares text[] NOT NULL
);

CREATE TABLE evaluation_centers (
    centro_id  text NOT NULL,
    nombre     text NOT NULL,
    estado     text NOT NULL,
    municipio  text NOT NULL,
    cert_id    text NOT NULL,
    revision   integer NOT NULL,
    estandares text[] NOT NULL
);
