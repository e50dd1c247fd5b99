-- Indexes behind the API's lookups and its search. pg_trgm is a trusted extension: the database's owner
-- may create it. Where the server does not have it, search reads the whole table, which is right but slow.

CREATE INDEX ece_ec_standard ON ece_ec (ec_clave);
CREATE INDEX centro_ec_standard ON centro_ec (ec_clave);
CREATE INDEX centros_v2_certifier ON centros_v2 (cert_id);
CREATE INDEX ec_standards_v2_sector ON ec_standards_v2 (sector_id);

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_available_extensions WHERE name = 'pg_trgm') THEN
        CREATE EXTENSION IF NOT EXISTS pg_trgm;
        CREATE INDEX ec_standards_v2_search ON ec_standards_v2 USING gin (titulo gin_trgm_ops);
        CREATE INDEX certificadores_v2_search ON certificadores_v2 USING gin (nombre gin_trgm_ops);
        CREATE INDEX centros_v2_search ON centros_v2 USING gin (nombre gin_trgm_ops);
    ELSE
        RAISE WARNING 'pg_trgm is not installed: search has no index';
    END IF;
END
$$;
