"""What the fake site writes, the parser reads; what it does not write is an error with its field's name."""

from __future__ import annotations

import hashlib

import pytest

from renecinfra.reference import parsing
from renecinfra.reference.register import Certifier, Register, Standard, generate
from renecinfra.reference.site import PAGE_SIZE, Pages

REGISTER = generate(PAGE_SIZE + 3, 4, 5, seed=7)
PAGES = Pages(REGISTER)


def page(component: str, **query: str) -> str:
    answer = PAGES.answer(component, query)
    assert answer.status == 200
    return answer.text


def test_every_record_is_read_as_it_was_written() -> None:
    for standard in REGISTER.standards:
        assert parsing.parse_standard(page("ECD", clave=standard.ec_clave)) == standard
    for certifier in REGISTER.certifiers:
        assert parsing.parse_certifier(page("ECED", clave=certifier.cert_id)) == certifier
    for centre in REGISTER.centres:
        assert parsing.parse_centre(page("CED", clave=centre.centro_id)) == centre
    assert parsing.parse_sectors(page("SEC")) == REGISTER.sectors
    assert parsing.parse_committees(page("COM")) == REGISTER.committees


def test_a_list_goes_on_over_its_pages() -> None:
    first, second = parsing.parse_index(page("EC")), parsing.parse_index(page("EC", pagina="2"))
    assert (first.has_next, second.has_next) == (True, False)
    wanted = {item.ec_clave: item.revision for item in REGISTER.standards}
    assert {**first.revisions, **second.revisions} == wanted
    assert len(first.revisions) == PAGE_SIZE


def test_markup_in_a_name_stays_text() -> None:
    hostile = Standard("EC0001", '<script>"&amp;"</script> ñ', "</dl><dt>Nivel</dt>", 3, True, 1, 1, 2)
    evil = Certifier("ECE1", "ECE", "<a href='?comp=ECD&clave=X'>", "b", "c", 1, ("EC0001",))
    pages = Pages(Register({}, (), (hostile,), (evil,), ()))
    assert parsing.parse_standard(pages.answer("ECD", {"clave": "EC0001"}).text) == hostile
    assert parsing.parse_certifier(pages.answer("ECED", {"clave": "ECE1"}).text) == evil


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ("<dt>Título</dt>", "<dt>Otro</dt>", "Título"),
        ("<dd>EC0001</dd>", "<dd>0001</dd>", "Clave"),
        ("<dt>Nivel</dt><dd>", "<dt>Nivel</dt><dd>9", "Nivel"),
        ("<dt>Vigente</dt><dd>", "<dt>Vigente</dt><dd>x", "Vigente"),
        ("<dt>Sector</dt><dd>", "<dt>Sector</dt><dd>uno", "Sector"),
    ],
)
def test_a_wrong_field_is_named(old: str, new: str, field: str) -> None:
    text = page("ECD", clave="EC0001")
    assert old in text
    with pytest.raises(parsing.ParseError) as caught:
        parsing.parse_standard(text.replace(old, new))
    assert caught.value.field == field


@pytest.mark.parametrize(
    "text", ["", "<table></table>", "<tr><td>a</td></tr>", "<tr><td>a</td><td>b</td><td>x</td></tr>"]
)
def test_a_list_without_what_it_should_hold_is_an_error(text: str) -> None:
    with pytest.raises(parsing.ParseError):
        parsing.parse_index(text)
    with pytest.raises(parsing.ParseError):
        parsing.parse_sectors(text)


def test_the_site_says_that_it_is_fake() -> None:
    assert "no es el RENEC" in page("IR")
    for query in ({"pagina": "0"}, {"pagina": "x"}, {"pagina": "9" * 9}):
        assert PAGES.answer("EC", query).status == 404
    assert PAGES.answer("NADA", {}).status == PAGES.answer("ECD", {"clave": "x"}).status == 404


def test_the_register_is_the_same_everywhere() -> None:
    """Another register would make every environment's seed another one: a new migration, then."""
    digest = hashlib.sha256(repr(generate(24, 8, 16)).encode()).hexdigest()
    assert digest.startswith("a2c54542676cb504")
    first = generate(24, 8, 16).standards[0]
    assert first == generate(1, 1, 1).standards[0]
    assert generate(24, 8, 16, seed=1).standards[0] != first
    ids = [item.centro_id for item in generate(24, 8, 16).centres]
    assert len(set(ids)) == 16
