"""What the API answers with, as its OpenAPI document describes it."""

from __future__ import annotations

from datetime import datetime
from typing import Generic, Literal, TypeVar

from pydantic import BaseModel

_T = TypeVar("_T")


class Standard(BaseModel):
    """A competency standard."""

    ec_clave: str
    titulo: str
    descripcion: str
    nivel: int
    vigente: bool
    sector_id: int
    comite_id: int
    last_seen: datetime


class Certifier(BaseModel):
    """A certifying body."""

    cert_id: str
    tipo: Literal["ECE", "OC"]
    nombre: str
    estado: str
    correo: str
    last_seen: datetime


class Centre(BaseModel):
    """An evaluation centre."""

    centro_id: str
    nombre: str
    estado: str
    municipio: str
    cert_id: str
    last_seen: datetime


class Page(BaseModel, Generic[_T]):
    """A page of a list; ``total`` counts the whole list."""

    items: list[_T]
    total: int
    page: int
    page_size: int


class Run(BaseModel):
    """A harvest."""

    run_id: int
    mode: Literal["daily", "full"]
    status: Literal["running", "succeeded", "failed", "interrupted"]
    started_at: datetime
    finished_at: datetime | None
    requests: int
    errors: int
    standards: int
    certifiers: int
    centres: int
    error: str | None


class Runs(BaseModel):
    """The latest harvests, latest first."""

    items: list[Run]


class Queued(BaseModel):
    """A harvest that was asked for."""

    task_id: str


class Problem(BaseModel):
    """Why there is no answer."""

    detail: str


class Readiness(BaseModel):
    """Whether the API can answer; each check says ``ok`` or what is wrong."""

    status: Literal["ready", "unavailable"]
    checks: dict[str, str]
