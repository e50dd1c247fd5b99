"""Rows by table, from what pg_waldump prints."""

from __future__ import annotations

from renecinfra.recovery.engine import changes
from renecinfra.recovery.engine.wal import Lsn

LINES = """\
rmgr: Heap        len (rec/tot):     54/   150, tx:        742, lsn: 0/03000148, prev 0/03000110, desc: INSERT off 3 flags 0x00, blkref #0: rel 1663/5/16423 blk 0 FPW
rmgr: Heap        len (rec/tot):     54/   150, tx:        742, lsn: 0/03000200, prev 0/03000110, desc: INSERT+INIT off 1 flags 0x00, blkref #0: rel 1663/5/16423 blk 1
rmgr: Heap        len (rec/tot):     54/    54, tx:        743, lsn: 0/03000300, prev 0/03000110, desc: HOT_UPDATE off 3 xmax 743 flags 0x10 ; new off 4 xmax 0, blkref #0: rel 1663/5/16423 blk 0
rmgr: Heap        len (rec/tot):     54/    54, tx:        744, lsn: 0/03000400, prev 0/03000110, desc: DELETE off 4 flags 0x00 KEYS_UPDATED , blkref #0: rel 1663/5/2619 blk 0
rmgr: Heap        len (rec/tot):     54/    54, tx:        744, lsn: 0/03000500, prev 0/03000110, desc: LOCK off 4: xid 744: flags 0x00 LOCK_ONLY EXCL_LOCK, blkref #0: rel 1663/5/16423 blk 0
rmgr: Heap2       len (rec/tot):    999/   999, tx:        745, lsn: 0/03000600, prev 0/03000110, desc: MULTI_INSERT 61 tuples flags 0x02, blkref #0: rel 1663/5/16500 blk 0
rmgr: Heap2       len (rec/tot):     59/    59, tx:        745, lsn: 0/03000700, prev 0/03000110, desc: PRUNE latestRemovedXid 742 nredirected 0 ndead 1, blkref #0: rel 1663/5/16423 blk 0
"""  # noqa: E501 - as printed


def test_rows_are_counted_after_a_place():
    found = changes.count(LINES.splitlines(), Lsn.parse("0/3000148"))
    assert found == {(5, 16423): 2, (5, 2619): 1, (5, 16500): 61}
