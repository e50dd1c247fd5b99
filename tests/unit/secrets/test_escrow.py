"""The pass phrase outlives the store, seeds the next one, and is never replaced in silence."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from renecinfra.errors import SecretsError
from renecinfra.secrets import escrow
from renecinfra.secrets.generated import GeneratedStore
from renecinfra.secrets.store import SecretVersion
from renecinfra.sensitive import Secret

REFERENCE = "generated:backup_passphrase"


def test_the_next_store_gets_the_same_pass_phrase(tmp_path: Path) -> None:
    kept = tmp_path / "backup.key"
    first = GeneratedStore(tmp_path / "first.json")
    escrow.seed(first, kept, REFERENCE)
    made = first.resolve([REFERENCE])[REFERENCE]
    escrow.keep(kept, REFERENCE, made)
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    second = GeneratedStore(tmp_path / "second.json")
    escrow.seed(second, kept, REFERENCE)
    again = second.resolve([REFERENCE])[REFERENCE]
    assert again.value.reveal() == made.value.reveal()
    escrow.keep(kept, REFERENCE, again)


def test_a_store_that_has_one_keeps_its_own_and_is_refused(tmp_path: Path) -> None:
    kept = tmp_path / "backup.key"
    escrow.keep(kept, REFERENCE, SecretVersion(Secret("first"), 1))
    store = GeneratedStore(tmp_path / "store.json")
    own = store.resolve([REFERENCE])[REFERENCE]
    escrow.seed(store, kept, REFERENCE)
    assert store.resolve([REFERENCE])[REFERENCE].value.reveal() == own.value.reveal()
    with pytest.raises(SecretsError) as caught:
        escrow.keep(kept, REFERENCE, own)
    assert caught.value.id == "backup-key-changed"
    assert own.value.reveal() not in str(caught.value) + str(caught.value.hint)
    assert kept.read_text() == "first\n"


def test_what_others_can_read_or_what_is_empty_is_refused(tmp_path: Path) -> None:
    kept = tmp_path / "backup.key"
    assert escrow.read(kept) is None
    kept.write_text("x\n")
    kept.chmod(0o644)
    with pytest.raises(SecretsError, match="0644"):
        escrow.read(kept)
    kept.write_text("")
    kept.chmod(0o600)
    with pytest.raises(SecretsError, match="empty"):
        escrow.read(kept)
    kept.unlink()
    kept.symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").write_text("x")
    with pytest.raises(SecretsError):
        escrow.read(kept)
