"""Services under a real supervisord: start, stop, heal, fail, and leave nothing behind."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest

from renecinfra.agents import processes
from renecinfra.errors import ToolError, UsageError
from renecinfra.rendering import RenderedFile
from renecinfra.services.definition import HealthCheck, Layer, Service
from renecinfra.services.ports import require_free

from .conftest import Environment, free_port, shell, web

pytestmark = pytest.mark.integration
NGINX = Path("/usr/sbin/nginx")


def test_up_start_and_down(environment: Environment) -> None:
    service = web()
    environment.install([service])
    environment.control("up")
    environment.control("start", "web")

    state = environment.supervision.processes()["web"]
    assert (state.state in ("running", "starting"), state.restarts) == (True, 0)
    assert environment.supervision.health("web").ok
    owner = Path(f"/proc/{state.pid}").stat().st_uid
    assert owner == environment.host.user.uid

    environment.control("down")
    assert environment.live() == []
    assert not environment.supervision.running()
    assert environment.supervision.processes() == {}
    assert environment.supervision.health("web").detail == "no supervisor runs"


def test_down_from_the_command_line(environment: Environment) -> None:
    environment.supervision.down()  # never installed: nothing to do
    environment.install([web()])
    environment.supervision.down()
    environment.control("up")
    environment.control("start", "web")
    environment.supervision.down()
    assert environment.live() == []


def test_up_twice_keeps_the_supervisor_and_its_services(environment: Environment) -> None:
    environment.install([web()])
    environment.control("up")
    environment.control("start", "web")
    before = environment.pid("web"), [process.pid for process in environment.live("supervisor")]
    environment.control("up")
    assert (environment.pid("web"), [process.pid for process in environment.live("supervisor")]) == before


def test_start_again_replaces_the_process_and_counts_anew(environment: Environment) -> None:
    environment.install([web()])
    environment.control("up")
    environment.control("start", "web")
    before = environment.pid("web")
    environment.control("start", "web")
    assert environment.pid("web") != before
    assert environment.supervision.processes()["web"].restarts == 0
    assert len(environment.live("web")) == 1


def test_a_killed_service_is_back_by_itself(environment: Environment) -> None:
    environment.install([web()])
    environment.control("up")
    environment.control("start", "web")
    before = environment.pid("web")
    os.kill(before, signal.SIGKILL)
    environment.until(lambda: environment.supervision.processes()["web"].pid not in (before, None))
    environment.until(lambda: environment.supervision.health("web").ok)
    assert environment.supervision.processes()["web"].restarts == 1


def test_children_of_a_killed_master_do_not_outlive_it(environment: Environment) -> None:
    # As nginx: the workers' environment is overwritten, and they go on when the master is killed.
    environment.install([shell("master", "env -i sleep 1000 & echo ready; exec env -i sleep 2000")])
    environment.control("up")
    environment.control("start", "master")
    master = environment.pid("master")
    before = {process.pid for process in environment.live("master")}
    assert len(before) == 2
    assert processes.marker(master) is None
    os.kill(master, signal.SIGKILL)

    def replaced() -> bool:
        live = {process.pid for process in environment.live("master")}
        return len(live) == 2 and not before & live and environment.pid("master") != master

    # The supervisor starts what ends the old child and is then the new master: both are there for a moment.
    environment.until(replaced)
    environment.control("stop", "master")
    assert environment.live("master") == []


def test_a_killed_supervisor_is_replaced_and_its_services_ended(environment: Environment) -> None:
    environment.install([web(), shell("master", "env -i sleep 1000 & exec env -i sleep 2000")])
    environment.control("up")
    environment.control("start", "web")
    environment.control("start", "master")
    (supervisor,) = environment.live("supervisor")
    os.kill(supervisor.pid, signal.SIGKILL)
    environment.until(lambda: not environment.supervision.running())
    assert len(environment.live()) == 3
    environment.control("up")
    assert [process.pid for process in environment.live()] == [
        process.pid for process in environment.live("supervisor")
    ]
    environment.control("start", "web")


def test_stop_without_a_supervisor(environment: Environment) -> None:
    environment.install([web()])
    environment.control("up")
    environment.control("start", "web")
    (supervisor,) = environment.live("supervisor")
    os.kill(supervisor.pid, signal.SIGKILL)
    environment.control("stop", "web")
    assert environment.live("web") == []
    assert "start it with `up`" in environment.control("start", "web", ok=False)


def test_a_frozen_supervisor_is_replaced(environment: Environment) -> None:
    environment.install([web()])
    environment.control("up")
    (supervisor,) = environment.live("supervisor")
    os.kill(supervisor.pid, signal.SIGSTOP)
    environment.control("up")
    assert [process.pid for process in environment.live("supervisor")] != [supervisor.pid]
    assert environment.supervision.running()


def test_another_configuration_replaces_the_supervisor(environment: Environment) -> None:
    environment.install([])
    environment.control("up")
    before = environment.live("supervisor")
    environment.host = dataclasses.replace(environment.host, python=f"{environment.host.python}")
    conf = environment.paths.etc / "environment.json"
    conf.write_text(conf.read_text().replace('"renecinfra-', '"renecinfra-x'))
    main = environment.paths.etc / "supervisord.conf"
    main.write_text(main.read_text().replace("identifier=renecinfra-", "identifier=renecinfra-x"))
    environment.control("up")
    assert environment.live("supervisor") != before


def test_a_service_that_ends_at_once_fails_with_its_log(environment: Environment) -> None:
    environment.install([shell("broken", "echo the reason; exit 3")])
    environment.control("up")
    message = environment.control("start", "broken", ok=False)
    assert "broken ends as soon as it is started" in message
    assert str(environment.paths.log / "broken.log") in message
    assert "the reason" in message
    with pytest.raises(ToolError, match="ends as soon as") as caught:
        environment.supervision.restart("broken")
    assert "the reason" in caught.value.details


def test_a_service_that_never_serves_fails_in_time(environment: Environment) -> None:
    deaf = dataclasses.replace(web(start_seconds=1), command=("/bin/sleep", "1000"))
    environment.install([deaf])
    environment.control("up")
    begun = time.monotonic()
    message = environment.control("start", "web", ok=False)
    assert time.monotonic() - begun < 5
    assert "web is not healthy after 1 s: Connection refused" in message
    assert not environment.supervision.health("web").ok


def test_jobs(environment: Environment) -> None:
    jobs = [
        shell("good", "echo migrated", kind="job"),
        shell("bad", "echo no table; exit 7", kind="job"),
        shell("slow", "exec sleep 1000", kind="job", start_seconds=1),
    ]
    environment.install(jobs)
    environment.control("up")
    environment.control("start", "good")
    assert environment.supervision.health("good").ok
    environment.control("start", "good")
    assert environment.supervision.tail("good") == ["migrated", "migrated"]

    message = environment.control("start", "bad", ok=False)
    assert "bad failed with exit status 7" in message
    assert "no table" in message
    assert environment.supervision.health("bad").detail == "is failed"

    assert "slow did not end within 1 s" in environment.control("start", "slow", ok=False)
    assert environment.live("slow") == []


def test_two_starts_do_not_interleave(environment: Environment) -> None:
    environment.install([web()])
    environment.control("up")
    both = [threading.Thread(target=environment.control, args=("start", "web")) for _ in range(2)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert len(environment.live("web")) == 1
    assert environment.supervision.health("web").ok


def test_an_interrupted_start_is_made_good_by_the_next(environment: Environment) -> None:
    slow = dataclasses.replace(web(start_seconds=30), command=("/bin/sleep", "1000"))
    environment.install([slow])
    environment.control("up")
    first = subprocess.Popen([*environment.control_argv, "start", "web"])
    environment.until(lambda: environment.live("web"))
    first.kill()
    first.wait()
    environment.install([web()])
    environment.control("start", "web")
    assert len(environment.live("web")) == 1


def test_a_start_ends_with_whoever_asked_for_it(environment: Environment) -> None:
    deaf = dataclasses.replace(web(start_seconds=60), command=("/bin/sleep", "1000"))
    environment.install([deaf])
    environment.control("up")
    command = ["/bin/sh", "-c", '"$@" & echo $!; wait', "sh", *environment.control_argv, "start", "web"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as asked:
        assert asked.stdout is not None
        control = int(asked.stdout.readline())
        environment.until(lambda: environment.live("web"))
        time.sleep(0.4)
        assert processes.read(control) is not None
        asked.kill()
    environment.until(lambda: processes.read(control) is None, seconds=3)


@pytest.mark.skipif(not NGINX.exists(), reason="needs nginx")
def test_the_workers_of_a_killed_nginx_do_not_keep_its_port(environment: Environment) -> None:
    port, home = free_port(), environment.paths.home
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = "\n".join(f'{kind}_temp_path "{home}/data/edge/{kind}";' for kind in kinds)
    conf = f"""daemon off; pid "{home}/run/nginx.pid"; worker_processes 2; events {{}}
        http {{ access_log off; {temporary}
        server {{ listen 127.0.0.1:{port}; location / {{ return 200 "ok"; }} }} }}"""
    service = Service(
        "edge",
        Layer.EDGE,
        (str(NGINX), "-e", "stderr", "-p", f"{home}/data/edge", "-c", f"{home}/etc/edge/nginx.conf"),
        HealthCheck("http", port),
        files={"nginx.conf": RenderedFile(conf)},
        stop_signal="QUIT",
    )
    environment.install([service])
    environment.control("up")
    environment.control("start", "edge")
    master = environment.pid("edge")
    before = {process.pid for process in environment.live("edge")}
    assert len(before) == 3
    require_free({"edge": port}, environment.paths)
    os.kill(master, signal.SIGKILL)
    environment.until(lambda: not before & {process.pid for process in environment.live("edge")})
    environment.until(lambda: environment.supervision.health("edge").ok)
    assert environment.pid("edge") != master


def test_a_stubborn_service_is_killed_with_its_group(environment: Environment) -> None:
    environment.install([shell("stubborn", "trap '' TERM; sleep 1000 & while :; do sleep 1; done")])
    environment.control("up")
    environment.control("start", "stubborn")
    begun = time.monotonic()
    environment.control("stop", "stubborn")
    assert 1.5 < time.monotonic() - begun < 10
    assert environment.live("stubborn") == []


def test_the_environment_of_a_service_is_built_from_nothing(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEAK", "me")
    script = "env; umask; pwd; cut -f2- /proc/self/status | head -0; exec sleep 1000"
    service = shell(
        "plain",
        script,
        environment={"A": "a b"},
        env_files=("secret.env",),
        secrets=("generated:x",),
        directory="/usr",
    )
    environment.install([service], {"plain/secret.env": 'KEY="p\\"w"\nOTHER=x=y\n'})
    environment.control("up")
    environment.control("start", "plain")
    environment.until(lambda: "/usr" in environment.supervision.tail("plain"))
    seen = environment.supervision.tail("plain", 50)
    home = environment.paths.home
    assert {
        "A=a b",
        'KEY=p"w',
        "OTHER=x=y",
        "LANG=C.UTF-8",
        "TZ=UTC",
        "PYTHONUNBUFFERED=1",
        f"PYTHONPATH={home}/lib",
        f"HOME={home}/data/plain",
        f"RENECINFRA_SERVICE={home}/plain",
        "0077",
    } <= set(seen)
    assert not [line for line in seen if line.startswith(("LEAK", "SUPERVISOR"))]
    assert 'p"w' not in Path(f"/proc/{environment.pid('plain')}/cmdline").read_text()


def test_reload_is_pending_until_it_was_done(environment: Environment) -> None:
    script = "trap 'echo reloaded' HUP; echo started; while :; do sleep 0.1; done"

    def service(rule: str) -> object:
        return shell("rules", script, reload="hup", reload_files={"rules.yml": RenderedFile(rule)})

    environment.install([service("one")])  # type: ignore[list-item]
    environment.control("up")
    environment.control("start", "rules")
    assert environment.install([service("one")]).reload == ()  # type: ignore[list-item]
    installed = environment.install([service("two")])  # type: ignore[list-item]
    assert installed.reload == ("rules",)
    assert "rules/rules.yml" in installed.changed
    assert environment.install([service("two")]).reload == ("rules",)  # type: ignore[list-item]
    environment.supervision.reload("rules")
    assert environment.install([service("two")]).reload == ()  # type: ignore[list-item]
    environment.until(lambda: "reloaded" in environment.supervision.tail("rules"))


def test_a_service_that_left_the_profile_is_stopped_and_forgotten(environment: Environment) -> None:
    environment.install([web("gone"), web("kept")])
    environment.control("up")
    environment.control("start", "gone")
    environment.control("start", "kept")
    environment.install([web("kept")])
    assert not (environment.paths.etc / "gone").exists()
    environment.control("stop", "gone")
    assert environment.live("gone") == []
    assert set(environment.supervision.processes()) == {"kept"}


def test_health_of_all_has_one_deadline(environment: Environment) -> None:
    environment.install([web("one"), web("two"), shell("three", "exec sleep 1000")])
    environment.control("up")
    environment.control("start", "one")
    environment.control("start", "two")
    os.kill(environment.pid("two"), signal.SIGSTOP)
    begun = time.monotonic()
    answers = environment.supervision.health_all(["one", "two", "three"], seconds=0.5)
    assert time.monotonic() - begun < 1.5
    assert [answers[name].ok for name in ("one", "two", "three")] == [True, False, False]
    os.kill(environment.pid("two"), signal.SIGCONT)


def test_follow_goes_on_after_a_rotation(environment: Environment) -> None:
    environment.install([shell("chatty", "exec sleep 1000")])
    log = environment.paths.log / "chatty.log"
    log.write_text("old\n")
    lines = environment.supervision.follow(["chatty"])
    with log.open("a") as stream:
        stream.write("first\nnot yet who")
        stream.flush()
    assert next(lines) == ("chatty", "first")
    with log.open("a") as stream:
        stream.write("le\nlast of the old\n")
    log.rename(log.with_suffix(".log.1"))
    log.write_text("first of the new\n")
    assert [next(lines)[1] for _ in range(3)] == ["not yet whole", "last of the old", "first of the new"]


def test_what_is_not_there(environment: Environment) -> None:
    with pytest.raises(ToolError, match="never been installed"):
        environment.supervision.health("web")
    environment.install([web()])
    with pytest.raises(UsageError, match="no service other"):
        environment.supervision.health("other")
    assert "there is no service other" in environment.control("start", "other", ok=False)
    with pytest.raises(ToolError, match="cannot be told to reload"):
        environment.supervision.reload("web")
