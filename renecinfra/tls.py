"""The local certificate authority, and the edge's certificate from it; where a Vault issues, what is trusted.

The authority belongs to one environment and may sign for that environment's host name and this machine's
loopback only (X.509 name constraints), so trusting it in a browser trusts it for nothing else.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from renecinfra.errors import ToolError
from renecinfra.rendering import write_atomically
from renecinfra.sensitive import Secret

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.x509 import Certificate, CertificateBuilder, GeneralName

AUTHORITY_LIFETIME: Final = timedelta(days=3650)
LEAF_LIFETIME: Final = timedelta(days=90)
# Renewed with a third of its life left: two months of missed `up`s away from an expired certificate.
RENEW_BEFORE: Final = LEAF_LIFETIME / 3
# A clock that is a little behind must not find the certificate "not yet valid".
_BACKDATE: Final = timedelta(hours=1)
_LOOPBACK: Final = ("127.0.0.1", "::1")

AUTHORITY = "ca.crt"
CERTIFICATE = "edge.crt"
KEY = "edge.key"


class EdgeTls(NamedTuple):
    """What serves TLS at the edge, in PEM: the authority's and the edge's certificate, and the edge's key."""

    authority: str
    certificate: str
    key: Secret


def ensure(directory: Path, host: str, now: datetime | None = None) -> EdgeTls:
    """The certificate of ``host``; made, or renewed in ``directory``, only where that is needed.

    The authority is made anew when there is none, when it may not sign for ``host``, or when it would end
    before a new leaf; the leaf when a third of its life is left, or when its names, its key or the authority
    no longer fit. Every file is written beside its place and renamed; keys are 0600. ``now`` is for tests.

    Raises:
        ToolError: the directory cannot be read or written.
    """
    moment = now or datetime.now(UTC)
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        signer = _pair(
            directory, AUTHORITY, "ca.key", lambda c: _authority_fits(c, host, moment, LEAF_LIFETIME)
        )
        if signer is None:
            signer = _store(directory, AUTHORITY, "ca.key", *_make_authority(host, moment, 0))
        issuer = signer[0]
        leaf = _pair(directory, CERTIFICATE, KEY, lambda c: _leaf_fits(c, issuer, host, moment))
        if leaf is None:
            leaf = _store(directory, CERTIFICATE, KEY, *_make_leaf(signer, host, moment))
    except OSError as error:
        raise _unusable(directory, error) from error
    return EdgeTls(_certificate_pem(signer[0]), _certificate_pem(leaf[0]), Secret(_key_pem(leaf[1])))


def _unusable(directory: Path, error: OSError) -> ToolError:
    return ToolError(
        "tls-directory",
        f"cannot keep the local certificates in {directory}: {error.strerror}",
        hint="make the directory writable, then run the command again",
    )


def certificate(directory: Path) -> str | None:
    """The edge's certificate in PEM as :func:`ensure` left it, or None before the first time. Public."""
    try:
        return (directory / CERTIFICATE).read_text(encoding="ascii")
    except FileNotFoundError:
        return None


def key(directory: Path) -> Secret:
    """The key of :func:`certificate`.

    Raises:
        ToolError: there is none yet.
    """
    try:
        return Secret((directory / KEY).read_text(encoding="ascii"))
    except FileNotFoundError:
        raise ToolError(
            "tls-missing",
            f"the edge has no key yet: {directory / KEY} does not exist",
            hint="run `renecinfra up`, which makes it",
        ) from None


def authority(directory: Path) -> str:
    """The certificate, PEM, that clients of the environment trust.

    Raises:
        ToolError: there is none yet.
    """
    try:
        return (directory / AUTHORITY).read_text(encoding="ascii")
    except FileNotFoundError:
        raise ToolError(
            "tls-missing",
            f"the environment has no authority yet: {directory / AUTHORITY} does not exist",
            hint="run `renecinfra up`, which makes it",
        ) from None


def make_authority(host: str, now: datetime, *, intermediates: int = 0) -> tuple[str, Secret]:
    """A new authority for ``host`` that is kept elsewhere: certificate and key, PEM."""
    made, private = _make_authority(host, now, intermediates)
    return _certificate_pem(made), Secret(_key_pem(private))


def authority_fits(pem: str, host: str, now: datetime, rest: timedelta) -> bool:
    """Whether an authority may sign for ``host`` and no other, and is valid for another ``rest``."""
    from cryptography import x509

    try:
        found = x509.load_pem_x509_certificate(pem.encode())
    except ValueError:
        return False
    return _authority_fits(found, host, now, rest)


def issued_by(pem: str, authority: str, until: datetime) -> bool:
    """Whether a certificate is signed by that authority, and valid beyond ``until``."""
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature

    found, issuer = (x509.load_pem_x509_certificate(text.encode("ascii")) for text in (pem, authority))
    try:
        found.verify_directly_issued_by(issuer)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return found.not_valid_after_utc > until


Pair = tuple["Certificate", "EllipticCurvePrivateKey"]


def _pair(directory: Path, crt: str, key_name: str, fits: Callable[[Certificate], bool]) -> Pair | None:
    """A certificate and its key from disk; None when missing, damaged, not a pair, or unfit."""
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        found = x509.load_pem_x509_certificate((directory / crt).read_bytes())
        private = load_pem_private_key((directory / key_name).read_bytes(), password=None)
    except (FileNotFoundError, ValueError, TypeError):
        return None
    if not isinstance(private, EllipticCurvePrivateKey) or found.public_key() != private.public_key():
        return None
    return (found, private) if fits(found) else None


def _authority_fits(found: Certificate, host: str, now: datetime, rest: timedelta) -> bool:
    from cryptography import x509

    try:
        constraints = found.extensions.get_extension_for_class(x509.NameConstraints).value
    except x509.ExtensionNotFound:
        return False
    return (
        set(constraints.permitted_subtrees or ()) == set(_permitted(host))
        and found.not_valid_before_utc <= now
        and found.not_valid_after_utc >= now + rest
    )


def _leaf_fits(found: Certificate, authority: Certificate, host: str, now: datetime) -> bool:
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature

    try:
        found.verify_directly_issued_by(authority)
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (InvalidSignature, ValueError, TypeError, x509.ExtensionNotFound):
        return False
    return (
        set(names) == set(_names(host))
        and found.not_valid_before_utc <= now
        and found.not_valid_after_utc > now + RENEW_BEFORE
    )


def _host_names(host: str) -> list[str]:
    return list(dict.fromkeys([host, "localhost"]))


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _names(host: str) -> list[GeneralName]:
    from cryptography import x509

    addresses = dict.fromkeys([*(h for h in (host,) if _is_address(h)), *_LOOPBACK])
    dns: list[GeneralName] = [x509.DNSName(name) for name in _host_names(host) if not _is_address(name)]
    return [*dns, *(x509.IPAddress(ipaddress.ip_address(address)) for address in addresses)]


def _permitted(host: str) -> list[GeneralName]:
    """The names that the authority may sign for; an address is a network of one (RFC 5280, 4.2.1.10)."""
    from cryptography import x509

    return [
        x509.IPAddress(ipaddress.ip_network(name.value)) if isinstance(name, x509.IPAddress) else name
        for name in _names(host)
    ]


def _make_authority(host: str, now: datetime, intermediates: int) -> Pair:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    private = ec.generate_private_key(ec.SECP256R1())
    subject = _subject(f"renecinfra local CA for {host}")
    builder = _builder(subject, subject, private, now, AUTHORITY_LIFETIME)
    identifier = x509.SubjectKeyIdentifier.from_public_key(private.public_key())
    builder = (
        builder.add_extension(x509.BasicConstraints(ca=True, path_length=intermediates), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.NameConstraints(_permitted(host), None), critical=True)
        .add_extension(identifier, critical=False)
    )
    return builder.sign(private, hashes.SHA256()), private


def _make_leaf(authority: Pair, host: str, now: datetime) -> Pair:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID

    signer, signing_key = authority
    private = ec.generate_private_key(ec.SECP256R1())
    signer_id = signer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    builder = _builder(_subject(host), signer.subject, private, now, LEAF_LIFETIME)
    issued_by = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(signer_id)
    purpose = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
    identifier = x509.SubjectKeyIdentifier.from_public_key(private.public_key())
    builder = (
        builder.add_extension(x509.SubjectAlternativeName(_names(host)), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(purpose, critical=False)
        .add_extension(issued_by, critical=False)
        .add_extension(identifier, critical=False)
    )
    return builder.sign(signing_key, hashes.SHA256()), private


def _subject(name: str) -> x509.Name:
    from cryptography import x509

    # A common name has at most 64 characters (RFC 5280, appendix A); the full name is in the extension.
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name[:64])])


def _builder(
    subject: x509.Name, issuer: x509.Name, private: EllipticCurvePrivateKey, now: datetime, life: timedelta
) -> CertificateBuilder:
    from cryptography import x509

    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATE)
        .not_valid_after(now + life)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _store(
    directory: Path, crt: str, key_name: str, found: Certificate, private: EllipticCurvePrivateKey
) -> Pair:
    """Key first: interrupted in between, the two are not a pair, and the next run makes them anew."""
    write_atomically(directory / key_name, _key_pem(private), 0o600)
    write_atomically(directory / crt, _certificate_pem(found), 0o644)
    return found, private


def _certificate_pem(found: Certificate) -> str:
    from cryptography.hazmat.primitives.serialization import Encoding

    return found.public_bytes(Encoding.PEM).decode("ascii")


def _key_pem(private: EllipticCurvePrivateKey) -> str:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode("ascii")
