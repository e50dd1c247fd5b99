"""Installing into a home: owners, modes, what is kept, what is pruned, what is refused."""

from __future__ import annotations

import os
import pwd
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from renecinfra.errors import ToolError
from renecinfra.platforms.local.host import Host
from renecinfra.rendering import RenderedFile
from renecinfra.services.definition import HealthCheck, Layer, Service
from renecinfra.services.home import install, pending_reloads
from renecinfra.services.manifest import service_bundle
from renecinfra.workspace import EnvironmentPaths, ServiceUser

ROOT = os.geteuid() == 0


@pytest.fixture
def host() -> Iterator[Host]:
    """An installation as root for nobody, or as an ordinary user for itself."""
    me = pwd.getpwnam("nobody") if ROOT else pwd.getpwuid(os.geteuid())
    with tempfile.TemporaryDirectory(prefix="renec-h-") as root:
        paths = EnvironmentPaths(
            "local", Path(root, ".renecinfra/local"), Path(root, ".renecinfra/local/home")
        )
        yield Host(
            paths,
            ServiceUser("svc", me.pw_uid, me.pw_gid, switched=ROOT),
            "/usr/bin/python3",
            {},
            2,
            1,
            Path(root),
        )


def service(name: str, **files: str) -> Service:
    rendered = {key: RenderedFile(text) for key, text in files.items()}
    return Service(name, Layer.EDGE, ("/bin/true",), HealthCheck("running"), files=rendered)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_owners_and_modes(host: Host) -> None:
    install(service_bundle([service("edge", conf="a")], host), {"edge/tls/key.pem": "k"}, host)
    paths, caller = host.paths, os.geteuid()
    assert (mode(paths.home), paths.home.stat().st_uid) == (0o710 if ROOT else 0o700, caller)
    assert paths.home.stat().st_gid == host.user.gid
    for directory in (paths.data, paths.log, paths.run):
        assert (mode(directory), directory.stat().st_uid) == (0o700, host.user.uid)
    for directory in (paths.etc, paths.etc / "edge", paths.etc / "edge" / "tls", paths.lib / "renecinfra"):
        assert (mode(directory), directory.stat().st_uid) == (0o750 if ROOT else 0o700, caller)
    assert (mode(paths.home / "locks"), (paths.home / "locks").stat().st_uid) == (0o700, caller)
    assert (mode(paths.etc / "edge" / "conf"), (paths.etc / "edge" / "conf").stat().st_uid) == (0o644, caller)
    key = paths.etc / "edge" / "tls" / "key.pem"
    assert (mode(key), key.stat().st_uid, key.read_text()) == (0o600, host.user.uid, "k")
    assert (paths.lib / "renecinfra" / "agents" / "launch.py").is_file()


def test_the_callers_umask_does_not_matter(host: Host) -> None:
    before = os.umask(0o077)
    try:
        install(service_bundle([service("edge", conf="a")], host), {}, host)
    finally:
        os.umask(before)
    assert mode(host.paths.state) == (0o755 if ROOT else 0o700)
    assert mode(host.paths.etc / "edge") == (0o750 if ROOT else 0o700)
    assert mode(host.paths.etc / "edge" / "conf") == 0o644


def test_again_changes_nothing_and_touches_nothing(host: Host) -> None:
    bundle, secrets = service_bundle([service("edge", conf="a")], host), {"edge/key": "k"}
    assert "edge/key" in install(bundle, secrets, host).changed
    before = {path: path.lstat().st_ino for path in host.paths.home.rglob("*")}
    assert install(bundle, secrets, host).changed == ()
    assert {path: path.lstat().st_ino for path in host.paths.home.rglob("*")} == before


def test_only_what_changed_is_written(host: Host) -> None:
    install(service_bundle([service("edge", conf="a", other="o")], host), {"edge/key": "k"}, host)
    installed = install(
        service_bundle([service("edge", conf="b", other="o")], host), {"edge/key": "new"}, host
    )
    assert set(installed.changed) == {"edge/conf", "edge/key"}
    assert (host.paths.etc / "edge" / "key").read_text() == "new"


def test_what_is_stale_goes(host: Host) -> None:
    install(
        service_bundle([service("edge", conf="a"), service("gone", conf="a")], host), {"gone/key": "k"}, host
    )
    (host.paths.data / "gone").mkdir()
    installed = install(service_bundle([service("edge")], host), {}, host)
    assert "edge/conf" in installed.changed
    assert not (host.paths.etc / "gone").exists()
    assert not (host.paths.etc / "edge" / "conf").exists()
    assert (host.paths.data / "gone").exists(), "data is never pruned"


def test_a_mode_or_owner_that_was_changed_is_put_right(host: Host) -> None:
    bundle, secrets = service_bundle([service("edge", conf="a")], host), {"edge/key": "k"}
    install(bundle, secrets, host)
    (host.paths.etc / "edge" / "key").chmod(0o644)
    (host.paths.etc / "edge").chmod(0o777)
    assert install(bundle, secrets, host).changed == ("edge/key",)
    assert mode(host.paths.etc / "edge" / "key") == 0o600
    assert mode(host.paths.etc / "edge") == (0o750 if ROOT else 0o700)


def test_a_planted_link_is_replaced_and_not_followed(host: Host, tmp_path: Path) -> None:
    bundle = service_bundle([service("edge", conf="a")], host)
    install(bundle, {}, host)
    target = tmp_path / "target"
    target.write_text("precious")
    conf = host.paths.etc / "edge" / "conf"
    conf.unlink()
    conf.symlink_to(target)
    assert install(bundle, {}, host).changed == ("edge/conf",)
    assert (target.read_text(), conf.is_symlink(), conf.read_text()) == ("precious", False, "a")


@pytest.mark.parametrize("name", ["home", "etc", "data", "log", "run", "lib", "etc/edge", "locks"])
def test_a_link_in_the_way_is_refused(host: Host, tmp_path: Path, name: str) -> None:
    bundle = service_bundle([service("edge", conf="a")], host)
    install(bundle, {}, host)
    directory = host.paths.home if name == "home" else host.paths.home / name
    directory.rename(tmp_path / "moved")
    directory.symlink_to(tmp_path / "moved")
    with pytest.raises(ToolError) as caught:
        install(bundle, {}, host)
    assert caught.value.id == "unsafe-directory"
    assert str(directory) in caught.value.message


def test_a_private_directory_that_others_may_enter_is_refused(host: Host) -> None:
    bundle = service_bundle([], host)
    install(bundle, {}, host)
    host.paths.data.chmod(0o755)
    with pytest.raises(ToolError, match="can be entered by others"):
        install(bundle, {}, host)


@pytest.mark.skipif(not ROOT, reason="only root can give files away")
def test_directories_of_someone_unexpected_are_refused(host: Host) -> None:
    bundle = service_bundle([], host)
    install(bundle, {}, host)
    os.chown(host.paths.data, 1, 1)
    with pytest.raises(ToolError, match="belongs to uid 1 and not to svc"):
        install(bundle, {}, host)
    os.chown(host.paths.data, 0, 0)  # as an interrupted install leaves it
    install(bundle, {}, host)
    assert host.paths.data.stat().st_uid == host.user.uid
    os.chown(host.paths.state, host.user.uid, 0)
    with pytest.raises(ToolError, match=f"belongs to uid {host.user.uid}"):
        install(bundle, {}, host)


@pytest.mark.skipif(not ROOT, reason="an ordinary user's workspace may well be shared")
def test_root_does_not_go_through_what_others_may_write(host: Host) -> None:
    host.paths.state.parent.mkdir()
    host.paths.state.parent.chmod(0o777)
    with pytest.raises(ToolError, match="can be written by others"):
        install(service_bundle([], host), {}, host)


def test_nothing_is_pending_before_an_install(host: Host) -> None:
    assert pending_reloads(host) == ()
