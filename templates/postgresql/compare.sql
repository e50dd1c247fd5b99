-- Asked of the primary by the replica: one line, why the replica's copy can certainly not follow, or empty.
-- Variables: identifier, timeline, checkpoint, replayed, fork (see replica.sh), slot.
WITH copy AS (
    SELECT greatest(:'checkpoint'::pg_lsn, :'replayed'::pg_lsn) AS position
), primary_server AS (
    -- pg_control_checkpoint() lags behind a promotion; the name of the current WAL file does not.
    SELECT pg_is_in_recovery() AS in_recovery,
           CASE WHEN NOT pg_is_in_recovery() THEN pg_current_wal_flush_lsn() END AS position,
           CASE WHEN NOT pg_is_in_recovery()
                THEN ('x' || left(pg_walfile_name(pg_current_wal_flush_lsn()), 8))::bit(32)::int END AS timeline,
           (SELECT system_identifier FROM pg_control_system()) AS identifier,
           (SELECT wal_status FROM pg_replication_slots WHERE slot_name = :'slot') AS wal_status
)
SELECT CASE
    WHEN p.in_recovery THEN ''
    WHEN p.identifier::text <> :'identifier' THEN 'it is a copy of another cluster'
    WHEN p.timeline < :timeline
        THEN format('it is on timeline %s, the primary on %s', :timeline, p.timeline)
    WHEN p.timeline = :timeline AND p.position < c.position
        THEN format('it is at %s, ahead of the primary at %s', c.position, p.position)
    WHEN :'fork' = 'none' THEN format('the primary''s timeline %s is no child of its own, %s', p.timeline, :timeline)
    WHEN nullif(:'fork', '')::pg_lsn < c.position
        THEN format('it is at %s, past %s, where the primary''s timeline began', c.position, :'fork')
    WHEN p.wal_status = 'lost' OR NOT EXISTS (
        SELECT FROM pg_ls_waldir() AS wal
        WHERE wal.name ~ '^[0-9A-F]{24}$'
          -- The file with the byte that comes next: at a boundary pg_walfile_name means the file before it.
          AND right(wal.name, 16) <= right(pg_walfile_name(c.position + 1), 16))
        THEN format('the primary no longer has the WAL from %s on', c.position)
    ELSE ''
END
FROM copy AS c, primary_server AS p;
