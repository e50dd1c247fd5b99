"""Strict templates, parsed output, atomic writes, pruning."""

import stat

import pytest

from renecinfra.errors import ProfileError
from renecinfra.rendering import STAMP, RenderedFile, Renderer, changes, digest, write, write_atomically


@pytest.fixture
def templates(tmp_path):
    root = tmp_path / "templates"
    root.mkdir()
    return root


def test_only_j2_files_pass_through_jinja(templates):
    (templates / "a.conf.j2").write_text("port {{ port }}\n")
    (templates / "b.conf").write_text("port {{ port }}\n")
    renderer = Renderer(templates)
    assert renderer.render("a.conf.j2", {"port": 8443}) == "port 8443\n"
    assert renderer.render("b.conf", {"port": 8443}) == "port {{ port }}\n"


@pytest.mark.parametrize(
    ("text", "line"),
    [("\n{{ missing }}", 2), ("\n\n{{ a.missing }}", 3), ("{% if %}", 1), ("\n{{ 1 / 0 }}", 2)],
)
def test_a_bad_template_is_an_error_at_its_line(templates, text, line):
    (templates / "t.j2").write_text(text)
    with pytest.raises(ProfileError) as caught:
        Renderer(templates).render("t.j2", {"a": {}})
    assert caught.value.location is not None
    assert caught.value.location.line == line
    assert caught.value.location.path.endswith("t.j2")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.yaml", "a: [1\n"),
        ("a.json", "{\n"),
        ("a.tf", 'x = "{\n'),
        ("a.tf", "x {\n"),
        ("a.tf", "x = ]\n"),
    ],
)
def test_output_that_does_not_parse_is_refused(templates, name, text):
    (templates / f"{name}.j2").write_text("{{ text }}")
    with pytest.raises(ProfileError, match="does not parse") as caught:
        Renderer(templates).file(f"{name}.j2", name, {"text": text})
    assert caught.value.id == "template-output-invalid"


def test_hcl_with_comments_strings_and_interpolation_is_accepted(templates):
    (templates / "a.tf").write_text('# it\'s { a comment\nx = { y = "}{${var.z["a"]}" } // [\n')
    # A quote inside an interpolation ends the naive string; the check must not be fooled into refusing it.
    Renderer(templates).file("a.tf", "a.tf", {})


def test_write_changes_what_differs_and_prunes_what_is_stale(tmp_path):
    target = tmp_path / "build"
    bundle = {"a/x.conf": RenderedFile("1\n"), "b.sh": RenderedFile("#!/bin/sh\n", 0o755)}
    assert [c.kind for c in write(bundle, target)] == ["add", "add"]
    assert stat.S_IMODE((target / "b.sh").stat().st_mode) == 0o755
    before = (target / "b.sh").stat().st_ino
    changed = {"a/x.conf": RenderedFile("2\n"), "b.sh": bundle["b.sh"]}
    assert [(c.path, c.kind) for c in write(changed, target)] == [("a/x.conf", "change")]
    assert (target / "b.sh").stat().st_ino == before
    assert [(c.path, c.kind) for c in write({"b.sh": bundle["b.sh"]}, target)] == [("a/x.conf", "remove")]
    assert not (target / "a").exists()
    assert write({"b.sh": bundle["b.sh"]}, target) == []


def test_the_stamp_has_the_version_and_the_digest(tmp_path):
    bundle = {"a": RenderedFile("1")}
    write(bundle, tmp_path)
    version, recorded = (tmp_path / STAMP).read_text().split()
    assert version
    assert recorded == digest(bundle)


def test_a_diff_shows_both_sides(tmp_path):
    write({"a": RenderedFile("old\n")}, tmp_path)
    (change,) = changes({"a": RenderedFile("new\n")}, tmp_path)
    assert "-old" in change.diff
    assert "+new" in change.diff


def test_an_ignored_stale_file_is_not_opened(tmp_path):
    (tmp_path / "secret").write_bytes(b"\xff\xfe")
    assert changes({}, tmp_path, ignore=lambda path: path.name == "secret") == []


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path):
    target = tmp_path / "a"
    target.write_text("old")

    def fail(_descriptor):
        raise OSError("no")

    with pytest.raises(OSError, match="no"):
        write_atomically(target, "new", 0o600, fail)
    assert target.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_the_digest_sees_paths_modes_and_texts():
    base = {"a": RenderedFile("x")}
    assert digest(base) == digest({"a": RenderedFile("x")})
    for other in ({"b": RenderedFile("x")}, {"a": RenderedFile("y")}, {"a": RenderedFile("x", 0o600)}):
        assert digest(base) != digest(other)


def test_strange_files_in_the_directory_are_pruned(tmp_path):
    (tmp_path / "swap").write_bytes(b"\xff\xfe")
    (tmp_path / "link").symlink_to("/nowhere")
    assert [change.path for change in write({}, tmp_path)] == ["link", "swap"]
    assert [path.name for path in tmp_path.iterdir()] == [STAMP]


def test_a_stamp_that_an_interrupted_run_left_behind_is_mended(tmp_path):
    bundle = {"a": RenderedFile("a\n")}
    write(bundle, tmp_path)
    (tmp_path / STAMP).write_text("0.0.1\nof another bundle\n")
    assert write(bundle, tmp_path) == []
    assert (tmp_path / STAMP).read_text().splitlines()[1] == digest(bundle)
