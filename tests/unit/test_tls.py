"""The local CA: what it may sign for, and when a certificate is made anew."""

from __future__ import annotations

import socket
import ssl
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from renecinfra import tls
from renecinfra.errors import ToolError

NOW = datetime(2026, 11, 24, 10, 0, tzinfo=UTC)


def handshake(material: tls.EdgeTls, directory: Path, name: str) -> None:
    """One strict TLS handshake with the certificate, as a client that trusts the authority alone."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(directory / "edge.crt", directory / "edge.key")
    client = ssl.create_default_context(cadata=material.authority)
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    one, other = socket.socketpair()
    one.settimeout(5)
    other.settimeout(5)

    def serve() -> None:
        try:
            with server.wrap_socket(one, server_side=True):
                pass
        except (OSError, ssl.SSLError):
            one.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with client.wrap_socket(other, server_hostname=name):
            pass
    finally:
        other.close()
        thread.join()


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "::1", "renec.test"])
def test_a_strict_client_accepts_every_name_of_the_edge(tmp_path: Path, name: str) -> None:
    handshake(tls.ensure(tmp_path, "renec.test"), tmp_path, name)


def test_the_authority_is_good_for_nothing_but_this_environment(tmp_path: Path) -> None:
    tls.ensure(tmp_path, "localhost")
    pair = tls._pair(tmp_path, "ca.crt", "ca.key", lambda _: True)
    assert pair is not None
    forged = tls._make_leaf(pair, "bank.example", datetime.now(UTC))
    tls._store(tmp_path, "edge.crt", "edge.key", *forged)
    material = tls.EdgeTls((tmp_path / "ca.crt").read_text(), "", tls.key(tmp_path))
    with pytest.raises(ssl.SSLCertVerificationError, match="permitted subtree violation"):
        handshake(material, tmp_path, "bank.example")


def test_keys_are_private_and_the_authority_is_readable(tmp_path: Path) -> None:
    tls.ensure(tmp_path / "tls", "localhost")
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "tls").iterdir()}
    assert modes == {"ca.crt": 0o644, "ca.key": 0o600, "edge.crt": 0o644, "edge.key": 0o600}
    assert (tmp_path / "tls").stat().st_mode & 0o777 == 0o700


def test_nothing_changes_while_everything_fits(tmp_path: Path) -> None:
    first = tls.ensure(tmp_path, "localhost", NOW)
    stamps = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    second = tls.ensure(tmp_path, "localhost", NOW + timedelta(days=59))
    assert (second.authority, second.certificate) == (first.authority, first.certificate)
    assert second.key == first.key
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == stamps


def test_the_leaf_is_renewed_with_a_third_of_its_life_left(tmp_path: Path) -> None:
    first = tls.ensure(tmp_path, "localhost", NOW)
    later = tls.ensure(tmp_path, "localhost", NOW + timedelta(days=60, minutes=1))
    assert later.authority == first.authority
    assert later.certificate != first.certificate
    assert tls.certificate(tmp_path) == later.certificate
    assert tls.key(tmp_path) == later.key


def test_another_host_gets_an_authority_that_may_sign_for_it(tmp_path: Path) -> None:
    first = tls.ensure(tmp_path, "localhost", NOW)
    second = tls.ensure(tmp_path, "renec.test", NOW)
    assert second.authority != first.authority
    names = x509.load_pem_x509_certificate(second.certificate.encode()).extensions
    dns = names.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName)
    assert dns == ["renec.test", "localhost"]


def test_an_authority_that_ends_before_a_leaf_would_is_replaced(tmp_path: Path) -> None:
    first = tls.ensure(tmp_path, "localhost", NOW)
    later = NOW + tls.AUTHORITY_LIFETIME - tls.LEAF_LIFETIME + timedelta(days=1)
    assert tls.ensure(tmp_path, "localhost", later).authority != first.authority


@pytest.mark.parametrize("damage", ["missing key", "torn certificate", "another key"])
def test_a_damaged_pair_is_made_anew(tmp_path: Path, damage: str) -> None:
    first = tls.ensure(tmp_path, "localhost")
    if damage == "missing key":
        (tmp_path / "edge.key").unlink()
    elif damage == "torn certificate":
        (tmp_path / "edge.crt").write_text(first.certificate[:100])
    else:
        (tmp_path / "edge.key").write_bytes((tmp_path / "ca.key").read_bytes())
    second = tls.ensure(tmp_path, "localhost")
    assert second.authority == first.authority
    assert second.certificate != first.certificate
    handshake(second, tmp_path, "localhost")


def test_a_numeric_host_is_an_address(tmp_path: Path) -> None:
    handshake(tls.ensure(tmp_path, "192.0.2.7"), tmp_path, "192.0.2.7")


def test_the_key_does_not_print(tmp_path: Path) -> None:
    assert "PRIVATE" not in repr(tls.ensure(tmp_path, "localhost"))


def test_before_the_first_time_there_is_no_certificate_and_no_key(tmp_path: Path) -> None:
    assert tls.certificate(tmp_path) is None
    with pytest.raises(ToolError) as caught:
        tls.key(tmp_path)
    assert caught.value.id == "tls-missing"


def test_a_directory_that_cannot_be_made_is_an_error_with_a_hint(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ToolError) as caught:
        tls.ensure(tmp_path / "file" / "tls", "localhost")
    assert caught.value.id == "tls-directory"
    assert caught.value.hint


def test_an_authority_kept_elsewhere_signs_for_its_host_as_long_as_it_is_young() -> None:
    authority, key = tls.make_authority("renec.test", NOW, intermediates=1)
    assert "PRIVATE KEY" in key.reveal()
    rest = timedelta(days=365)
    assert tls.authority_fits(authority, "renec.test", NOW, rest)
    assert not tls.authority_fits(authority, "other.test", NOW, rest)
    assert not tls.authority_fits(authority, "renec.test", NOW + tls.AUTHORITY_LIFETIME - rest / 2, rest)
    assert not tls.authority_fits("torn", "renec.test", NOW, rest)


def test_what_an_authority_signed_is_told_from_what_another_did(tmp_path: Path) -> None:
    ours = tls.ensure(tmp_path / "ours", "localhost", NOW)
    other = tls.ensure(tmp_path / "other", "localhost", NOW)
    assert tls.issued_by(ours.certificate, ours.authority, NOW)
    assert not tls.issued_by(ours.certificate, other.authority, NOW)
    assert not tls.issued_by(ours.certificate, ours.authority, NOW + tls.LEAF_LIFETIME)


def test_before_the_first_time_there_is_no_authority(tmp_path: Path) -> None:
    with pytest.raises(ToolError) as caught:
        tls.authority(tmp_path)
    assert caught.value.id == "tls-missing"
    made = tls.ensure(tmp_path, "localhost")
    assert tls.authority(tmp_path) == made.authority
