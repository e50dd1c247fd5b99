"""Backups that are proven, and restores: the part that knows PostgreSQL and pgBackRest and no platform.

Owns the repository's adapter, the archive's continuity, the restore window, verification, and the engine
that restores beside a running database. It is told everything by a ``ProtectedDatabase``, so that the same
code runs in the command line and in the supervised ``backups`` service; it imports no profile and no
platform.
"""
