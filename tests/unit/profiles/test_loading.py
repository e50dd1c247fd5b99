from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from renecinfra.errors import Location, ProfileError
from renecinfra.profiles.loading import LoadedProfile, load, settings
from renecinfra.profiles.tree import Source
from renecinfra.workspace import Workspace

Load = Callable[..., LoadedProfile]
Write = Callable[..., None]
HEAD = "extends: base\nenvironment: here\n"


def refused(load_it: Load, *overrides: str, environ: dict[str, str] | None = None) -> ProfileError:
    with pytest.raises(ProfileError) as caught:
        load_it(*overrides, environ=environ)
    return caught.value


class TestInheritance:
    def test_mappings_merge_lists_replace(self, write: Write, loaded: Load) -> None:
        write(
            parent="extends: base\nworkloads:\n  worker: {queues: [harvest, extra], concurrency: 3}\n",
            here="extends: parent\nenvironment: here\nworkloads:\n  worker: {queues: [harvest]}\n",
        )
        worker = loaded().profile.workloads.worker
        assert (worker.queues, worker.concurrency) == (["harvest"], 3)

    def test_later_bases_win(self, write: Write, loaded: Load) -> None:
        write(here="extends: [base, one-x, two-x]\nenvironment: here\n")
        write(one_x="database: {name: one, user: one}\n", two_x="database: {name: two}\n")
        database = loaded().profile.database
        assert (database.name, database.user) == ("two", "one")

    def test_null_takes_away_what_is_inherited(self, write: Write, loaded: Load) -> None:
        write(
            parent="extends: base\ndatabase: {name: other, replicas: 0}\n",
            here="extends: parent\nenvironment: here\ndatabase: {name: null}\n",
        )
        database = loaded().profile.database
        assert (database.name, database.replicas) == ("renec", 0)

    def test_null_takes_a_section_away(self, write: Write, loaded: Load) -> None:
        write(
            parent="extends: base\ndatabase: {name: other, replicas: 0}\n",
            here="extends: parent\nenvironment: here\ndatabase: null\n",
        )
        assert loaded().profile.database.name == "renec"

    def test_a_diamond_is_no_cycle(self, write: Write, loaded: Load) -> None:
        write(left="extends: base\n", right="extends: base\n")
        write(here="extends: [left, right]\nenvironment: here\n")
        assert loaded().files == tuple(f"environments/{n}.yaml" for n in ("here", "left", "base", "right"))

    def test_the_name_is_not_inherited(self, write: Write, workspace: Workspace) -> None:
        write(there="extends: here\n")
        with pytest.raises(ProfileError, match="environment is missing"):
            load(workspace, "there", environ={})

    def test_a_chain_may_be_long(self, write: Write, loaded: Load) -> None:
        for number in range(1500):
            write(**{f"n{number}": f"extends: {f'n{number - 1}' if number else 'base'}\n"})
        write(here="extends: n1499\nenvironment: here\n")
        assert len(loaded().files) == 1502


class TestOverrides:
    def test_set_beats_environ_beats_file(self, write: Write, loaded: Load) -> None:
        write(here=HEAD + "database: {max_connections: 50}\n")
        environ = {"RENECINFRA__DATABASE__MAX_CONNECTIONS": "60"}
        assert loaded().profile.database.max_connections == 50
        assert loaded(environ=environ).profile.database.max_connections == 60
        changed = loaded("database.max_connections=70", environ=environ)
        assert changed.profile.database.max_connections == 70

    def test_the_process_environment_counts_by_default(
        self, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("RENECINFRA__DATABASE__NAME", "elsewhere")
        assert load(workspace, "here").profile.database.name == "elsewhere"

    def test_values_are_yaml(self, loaded: Load) -> None:
        profile = loaded(
            "workloads.worker.queues=[harvest]", "database={name: one, replicas: 0}", "edge.gzip=false"
        ).profile
        assert profile.workloads.worker.queues == ["harvest"]
        assert (profile.database.name, profile.database.replicas) == ("one", 0)
        assert profile.edge.gzip is False

    def test_a_value_may_have_an_equals_sign(self, loaded: Load) -> None:
        profile = loaded("workloads.api.environment.OPTIONS=a=b").profile
        assert profile.workloads.api.environment == {"OPTIONS": "a=b"}

    def test_variables_keep_their_case_and_underscores(self, loaded: Load) -> None:
        name = "RENECINFRA__WORKLOADS__API__ENVIRONMENT__MY__LOG_LEVEL"
        profile = loaded(environ={name: "debug", "RENECINFRA_WORKSPACE": "/", "OTHER": "[" * 9}).profile
        assert profile.workloads.api.environment == {"MY__LOG_LEVEL": "debug"}

    def test_null_takes_away(self, write: Write, loaded: Load) -> None:
        write(here=HEAD + "database: {name: other}\n")
        assert loaded("database.name=null").profile.database.name == "renec"

    def test_an_error_names_the_option(self, loaded: Load) -> None:
        error = refused(loaded, "database.max_connections=1")
        assert error.location is None
        assert error.message == (
            "database.max_connections must be at least 20 (set by --set database.max_connections=1)"
        )
        assert error.hint == "change the value, then run `renecinfra env validate here`"

    def test_an_error_names_the_variable(self, loaded: Load) -> None:
        error = refused(loaded, environ={"RENECINFRA__DATABASE__MAX_CONECTIONS": "100"})
        assert error.id == "profile-unknown-key"
        assert "RENECINFRA__DATABASE__MAX_CONECTIONS=100" in error.message
        assert "max_connections?" in (error.hint or "")

    def test_what_an_override_leaves_missing_is_the_files_fault(self, loaded: Load) -> None:
        error = refused(loaded, "platform.kind=kubernetes")
        assert error.message == "platform.context is missing"
        assert error.location == Location("environments/base.yaml", 1, 1)

    @pytest.mark.parametrize("option", ["", "=", "a", "a.=1", ".a=1", "a..b=1", "database.name=", "x= # c"])
    def test_half_an_option_is_refused(self, loaded: Load, option: str) -> None:
        assert refused(loaded, option).id == "profile-override"

    @pytest.mark.parametrize(
        "option", ["a=[", "a=\t", "a={b: 1, b: 2}", "a=!!x 1", "a=&x [*x]", "edge.gzip=on"]
    )
    def test_bad_yaml_is_refused(self, loaded: Load, option: str) -> None:
        error = refused(loaded, option)
        assert error.id in (
            "profile-syntax",
            "profile-duplicate-key",
            "profile-ambiguous",
            "profile-override",
        )
        assert error.location is None
        assert "--set" in error.message

    @pytest.mark.parametrize(
        "option", ["\udcff=1", "a=\udcff", "a=\x00", "a." * 40 + "b=1", "a=" + "[" * 4000]
    )
    def test_strange_options_are_refused(self, loaded: Load, option: str) -> None:
        error = refused(loaded, option)
        error.message.encode()

    @pytest.mark.parametrize(
        "option",
        [
            "database.password=hunter2",
            "monitoring.receivers.ops={kind: slack, secret: hunter2}",
            "workloads.api.environment.SMTP_PASSWORD=hunter2",
            "workloads.api.environment={SMTP_TOKEN: hunter2}",
            "workloads.api.key=*hunter2",
            "workloads.api.key=!hunter2",
            "workloads.api.key=hunter2: x",
        ],
    )
    def test_a_secret_is_never_repeated(self, loaded: Load, option: str) -> None:
        error = refused(loaded, option)
        assert "hunter2" not in f"{error.message} {error.hint} {error.details}"


def test_a_secret_in_a_file_is_never_repeated(write: Write, loaded: Load) -> None:
    for value in (
        "hunter2",
        "!hunter2",
        "*hunter2",
        "0777",
        "'hunter2",
        "@hunter2",
        "hunter2: x",
        "[hunter2]",
    ):
        write(here=HEAD + f"database:\n  password: {value}\n")
        error = refused(loaded)
        assert "hunter2" not in f"{error.message} {error.hint} {error.details}"
        assert "0777" not in error.message


def test_sources_say_where_each_value_comes_from(write: Write, loaded: Load) -> None:
    write(here=HEAD + "database:\n  name: one\n  pooler: {mode: session}\n")
    sources = loaded("workloads.api.replicas=1").sources
    assert sources["database.name"] == Source(Location("environments/here.yaml", 4, 9))
    assert sources["platform.port_base"] == Source(Location("environments/base.yaml", 3, 14))
    assert str(sources["workloads.api.replicas"]) == "--set workloads.api.replicas=1"
    assert "database.user" not in sources


def test_settings_are_all_there_and_sources_are_among_them(write: Write, loaded: Load) -> None:
    write(
        here=HEAD + "workloads: {worker: {queues: [harvest]}}\nmonitoring: {receivers: {a-b: {kind: log}}}\n"
    )
    found = loaded()
    shown = dict(settings(found.profile))
    assert shown["workloads.worker.queues"] == '["harvest"]'
    assert shown["database.max_connections"] == "100"
    assert shown["edge.upstream_timeout"] == "30s"
    assert shown["description"] == "null"
    assert shown["workloads.api.environment"] == "{}"
    assert shown["monitoring.receivers.a-b.kind"] == "log"
    assert set(found.sources) <= set(shown)


def test_the_digest_is_of_the_values_not_of_their_places(write: Write, loaded: Load) -> None:
    first = loaded()
    write(here="# moved\n" + HEAD + "database: {name: renec}\n")
    assert loaded().digest == first.digest
    assert loaded("database.name=other").digest != first.digest
    assert len(first.digest) == 64


def test_nothing_stale_is_kept(write: Write, loaded: Load) -> None:
    assert loaded().profile.database.replicas == 1
    write(base="platform: {kind: local}\nharvest: {fake_site: {enabled: true}}\ndatabase: {replicas: 0}\n")
    assert loaded().profile.database.replicas == 0


def test_a_directory_is_enough(workspace: Workspace) -> None:
    assert load(workspace.root, "here", environ={}).profile.environment == "here"


def test_missing_profile_suggests(workspace: Workspace) -> None:
    with pytest.raises(ProfileError) as caught:
        load(workspace, "hree", environ={})
    assert (caught.value.id, caught.value.hint) == ("profile-missing", "did you mean here?")


@pytest.mark.parametrize(
    "name", ["", "a", "../base", "BASE", "base.yaml", "x" * 41, "\udcff\udcff", "a\x00b"]
)
def test_a_name_that_is_none(workspace: Workspace, name: str) -> None:
    with pytest.raises(ProfileError) as caught:
        load(workspace, name, environ={})
    assert caught.value.id == "profile-name"


def test_a_directory_in_place_of_a_file(workspace: Workspace) -> None:
    (workspace.environments / "folder.yaml").mkdir()
    with pytest.raises(ProfileError) as caught:
        load(workspace, "folder", environ={})
    assert caught.value.id == "profile-unreadable"


def test_a_huge_file_is_refused(write: Write, loaded: Load) -> None:
    write(here=HEAD + "# a comment line\n" * 20_000)
    error = refused(loaded)
    assert (error.id, error.location) == ("profile-too-large", Location("environments/here.yaml", 1, 1))


def test_an_alias_repeats_a_value(write: Write, loaded: Load) -> None:
    write(here=HEAD + "cache:\n  broker: &same {max_memory: 64Mi}\n  cache: *same\n")
    cache = loaded().profile.cache
    assert cache.broker.max_memory == cache.cache.max_memory == 64 * 2**20


def test_a_mark_and_windows_line_ends_are_no_problem(workspace: Workspace, loaded: Load) -> None:
    text = "\ufeff" + HEAD.replace("\n", "\r\n") + "database:\r\n  replicas: x\r\n"
    (workspace.environments / "here.yaml").write_bytes(text.encode())
    assert refused(loaded).location == Location("environments/here.yaml", 4, 13)


def test_columns_count_characters(write: Write, loaded: Load) -> None:
    write(here=HEAD + 'workloads: {api: {environment: {CITY: "México 🇲🇽", NUMBER: 1}}}\n')
    error = refused(loaded)
    line = 'workloads: {api: {environment: {CITY: "México 🇲🇽", NUMBER: 1}}}'
    assert error.location == Location("environments/here.yaml", 3, line.index("1}}}") + 1)


def test_many_problems_are_counted(write: Write, loaded: Load) -> None:
    write(
        here=HEAD
        + "workloads:\n  api:\n    environment:\n"
        + "".join(f"      V{n}: {n}\n" for n in range(30))
    )
    error = refused(loaded)
    assert error.message == "workloads.api.environment.V0 must be text"
    assert len(error.details) == 21
    assert error.details[-1] == "and 9 more"


def test_the_shipped_profiles_load_whole() -> None:
    root = Path(__file__).parents[3]
    for name in ("local", "staging", "prod", "onprem"):
        loaded = load(root, name, environ={})
        assert loaded.profile.environment == name
        assert loaded.files[-1] == "environments/base.yaml"


def test_local_is_quick_to_try_and_prod_is_polite() -> None:
    root = Path(__file__).parents[3]
    local, prod = (load(root, name, environ={}).profile for name in ("local", "prod"))
    assert local.local.port("edge") == 8443
    assert local.harvest.fake_site.enabled
    assert local.harvest.first_run
    pages = sum((local.harvest.fake_site.standards, local.harvest.fake_site.certifiers))
    pages += local.harvest.fake_site.centres + 13
    assert pages * local.harvest.download_delay.total_seconds() < 5
    assert prod.harvest.download_delay.total_seconds() >= 2
    assert prod.protection.protected
    workloads = prod.workloads
    assert (workloads.api.replicas, workloads.ui.replicas, workloads.worker.replicas) == (3, 2, 3)
