"""A made-up register: deterministic records for the seed data and the fake site.

Names are put together from lists; none of them is a real institution's. Equal arguments give equal
records on every machine and Python version (only ``random.Random.random`` is used, whose sequence
Python promises to keep).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

SECTORS: Final = (
    "Educación y formación de personas",
    "Tecnologías de la información",
    "Construcción",
    "Turismo y gastronomía",
    "Salud y asistencia social",
    "Agropecuario, acuícola y forestal",
    "Logística y transporte",
    "Energía eléctrica y eficiencia energética",
)
_ACTIONS = (
    "Impartición de cursos de",
    "Evaluación de la competencia en",
    "Prestación del servicio de",
    "Supervisión de",
    "Diseño e instalación de",
    "Operación básica de",
    "Gestión y administración de",
    "Atención a usuarios de",
)
_SUBJECTS = (
    "formación de capital humano de manera presencial grupal",
    "sistemas de información geográfica",
    "albañilería y acabados cerámicos",
    "alimentación y nutrición infantil",
    "enfermería gerontológica",
    "producción orgánica de café de sombra",
    "vehículos de carga con remolque",
    "calefacción solar de agua en vivienda sustentable",
    "protección civil y prevención de riesgos",
    "traducción entre lenguas indígenas y español",
    "tutoría académica para niñez y adolescencia",
    "señalización y seguridad en vías públicas",
)
_INSTITUTIONS = (
    "Instituto",
    "Universidad",
    "Colegio",
    "Fundación",
    "Consejo",
    "Academia",
    "Cámara",
    "Centro",
)
_ADJECTIVES = (
    "Tecnológico",
    "Autónomo",
    "Politécnico",
    "Mexicano",
    "de Capacitación",
    "de Educación Técnica",
    "Empresarial",
    "de Oficios",
)
_PLACES = (
    ("Michoacán", "Pátzcuaro"),
    ("Nuevo León", "San Nicolás de los Garza"),
    ("Querétaro", "San Juan del Río"),
    ("San Luis Potosí", "Ciudad Valles"),
    ("Yucatán", "Mérida"),
    ("Estado de México", "Ecatepec de Morelos"),
    ("Ciudad de México", "Coyoacán"),
    ("Oaxaca", "Juchitán de Zaragoza"),
    ("Chiapas", "San Cristóbal de las Casas"),
    ("Sonora", "Cajeme"),
)


@dataclass(frozen=True, slots=True)
class Committee:
    """A management committee of one sector."""

    comite_id: int
    nombre: str
    sector_id: int


@dataclass(frozen=True, slots=True)
class Standard:
    """A competency standard."""

    ec_clave: str
    titulo: str
    descripcion: str
    nivel: int
    vigente: bool
    sector_id: int
    comite_id: int
    revision: int


@dataclass(frozen=True, slots=True)
class Certifier:
    """A certifying body (``ECE`` or ``OC``) and the keys of the standards it certifies."""

    cert_id: str
    tipo: str
    nombre: str
    estado: str
    correo: str
    revision: int
    estandares: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Centre:
    """An evaluation centre of one certifier and the keys of the standards it evaluates."""

    centro_id: str
    nombre: str
    estado: str
    municipio: str
    cert_id: str
    revision: int
    estandares: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Register:
    """A whole register; ``sectors`` maps ids, from 1, to names."""

    sectors: dict[int, str]
    committees: tuple[Committee, ...]
    standards: tuple[Standard, ...]
    certifiers: tuple[Certifier, ...]
    centres: tuple[Centre, ...]


def generate(standards: int, certifiers: int, centres: int, seed: int = 0) -> Register:
    """A register of so many records; the first N records of a larger one differ only in their links."""
    sectors = dict(enumerate(SECTORS, 1))
    committees = tuple(
        Committee(number, f"Comité de Gestión por Competencias de {name}", number)
        for number, name in sectors.items()
    )
    all_standards = tuple(_standard(number, seed) for number in range(1, standards + 1))
    keys = [standard.ec_clave for standard in all_standards]
    all_certifiers = tuple(_certifier(number, seed, keys) for number in range(1, certifiers + 1))
    all_centres = tuple(_centre(number, seed, all_certifiers) for number in range(1, centres + 1))
    return Register(sectors, committees, all_standards, all_certifiers, all_centres)


def _source(kind: str, number: int, seed: int) -> random.Random:
    return random.Random(f"{seed}:{kind}:{number}")


def _pick(source: random.Random, options: Sequence[str]) -> str:
    return options[int(source.random() * len(options))]


def _sample(source: random.Random, options: Sequence[str], most: int) -> tuple[str, ...]:
    if not options:
        return ()
    count = 1 + int(source.random() * most)
    return tuple(sorted({_pick(source, options) for _ in range(count)}))


def _standard(number: int, seed: int) -> Standard:
    source = _source("standard", number, seed)
    titulo = f"{_pick(source, _ACTIONS)} {_pick(source, _SUBJECTS)}"
    sector = 1 + int(source.random() * len(SECTORS))
    return Standard(
        ec_clave=f"EC{number:04d}",
        titulo=titulo,
        descripcion=f"Describe los desempeños, productos y conocimientos de: {titulo.lower()}.",
        nivel=1 + int(source.random() * 5),
        vigente=source.random() < 0.9,
        sector_id=sector,
        comite_id=sector,
        revision=1 + int(source.random() * 4),
    )


def _certifier(number: int, seed: int, standards: Sequence[str]) -> Certifier:
    source = _source("certifier", number, seed)
    tipo = "ECE" if source.random() < 0.7 else "OC"
    estado, municipio = _PLACES[int(source.random() * len(_PLACES))]
    nombre = f"{_pick(source, _INSTITUTIONS)} {_pick(source, _ADJECTIVES)} de {municipio} n.º {number}"
    return Certifier(
        cert_id=f"{tipo}{number:04d}",
        tipo=tipo,
        nombre=nombre,
        estado=estado,
        correo=f"contacto{number}@certificadora.example",
        revision=1 + int(source.random() * 4),
        estandares=_sample(source, standards, 12),
    )


def _centre(number: int, seed: int, certifiers: Sequence[Certifier]) -> Centre:
    source = _source("centre", number, seed)
    certifier = certifiers[int(source.random() * len(certifiers))]
    estado, municipio = _PLACES[int(source.random() * len(_PLACES))]
    return Centre(
        centro_id=f"CE{number:05d}",
        nombre=f"Centro de Evaluación {_pick(source, _ADJECTIVES)} {municipio} n.º {number}",
        estado=estado,
        municipio=municipio,
        cert_id=certifier.cert_id,
        revision=1 + int(source.random() * 4),
        estandares=_sample(source, certifier.estandares, 6),
    )
