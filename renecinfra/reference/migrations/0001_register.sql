-- The read side: the register as the API serves it.

CREATE TABLE sectors (
    sector_id integer PRIMARY KEY,
    nombre    text NOT NULL
);

CREATE TABLE comites (
    comite_id integer PRIMARY KEY,
    nombre    text NOT NULL,
    sector_id integer NOT NULL REFERENCES sectors
);

-- harvest_run_id is the run that last saw a row; rows that came with the seed have none.
CREATE TABLE ec_standards_v2 (
    ec_clave       text PRIMARY KEY CHECK (ec_clave ~ '^EC[0-9]{4,}$'),
    titulo         text NOT NULL,
    descripcion    text NOT NULL,
    nivel          smallint NOT NULL CHECK (nivel BETWEEN 1 AND 5),
    vigente        boolean NOT NULL,
    sector_id      integer NOT NULL REFERENCES sectors,
    comite_id      integer NOT NULL REFERENCES comites,
    revision       integer NOT NULL,
    last_seen      timestamptz NOT NULL DEFAULT now(),
    harvest_run_id bigint
);

CREATE TABLE certificadores_v2 (
    cert_id        text PRIMARY KEY,
    tipo           text NOT NULL CHECK (tipo IN ('ECE', 'OC')),
    nombre         text NOT NULL,
    estado         text NOT NULL,
    correo         text NOT NULL,
    revision       integer NOT NULL,
    last_seen      timestamptz NOT NULL DEFAULT now(),
    harvest_run_id bigint
);

CREATE TABLE centros_v2 (
    centro_id      text PRIMARY KEY,
    nombre         text NOT NULL,
    estado         text NOT NULL,
    municipio      text NOT NULL,
    cert_id        text NOT NULL REFERENCES certificadores_v2,
    revision       integer NOT NULL,
    last_seen      timestamptz NOT NULL DEFAULT now(),
    harvest_run_id bigint
);

CREATE TABLE ece_ec (
    cert_id  text NOT NULL REFERENCES certificadores_v2,
    ec_clave text NOT NULL REFERENCES ec_standards_v2,
    PRIMARY KEY (cert_id, ec_clave)
);

CREATE TABLE centro_ec (
    centro_id text NOT NULL REFERENCES centros_v2,
    ec_clave  text NOT NULL REFERENCES ec_standards_v2,
    PRIMARY KEY (centro_id, ec_clave)
);

CREATE TABLE ec_sector (
    ec_clave  text NOT NULL REFERENCES ec_standards_v2,
    sector_id integer NOT NULL REFERENCES sectors,
    PRIMARY KEY (ec_clave, sector_id)
);
