"""Rendering of every platform: the local one whole, clusters as far as this version goes."""

from __future__ import annotations

from collections.abc import Sequence

from renecinfra import rendering
from renecinfra.kubernetes.secrets import secret_objects
from renecinfra.platforms.aws import stack as aws_stack
from renecinfra.platforms.aws import variables as aws_variables
from renecinfra.platforms.kubernetes.environment import ClusterEnvironment
from renecinfra.profiles.loading import load
from renecinfra.provision import operations
from renecinfra.provision.operations import RenderResult
from renecinfra.provision.session import Session
from renecinfra.rendering import Bundle, Renderer
from renecinfra.reporting import Reporter
from renecinfra.workspace import Workspace


def render(
    workspace: Workspace, name: str, reporter: Reporter, *, overrides: Sequence[str] = (), write: bool
) -> RenderResult:
    """Render an environment: its secrets' objects, and a cluster's releases or, in AWS, the Terraform root.

    Raises:
        ProfileError: the profile is wrong, or a template does not render.
        SecretsError: Vault's CA file cannot be read.
    """
    loaded = load(workspace, name, overrides)
    session = Session(workspace, loaded, reporter)
    if loaded.profile.platform.kind == "local":
        return operations.render(session, write=write)
    rendered = bundle(session)
    directory = session.paths.build
    if write:
        session.paths.state.mkdir(parents=True, exist_ok=True, mode=0o700)
        done = rendering.write(rendered, directory)
    else:
        done = rendering.changes(rendered, directory)
    return RenderResult(name, directory, len(rendered), tuple(done), write)


def bundle(session: Session) -> Bundle:
    """What an environment renders to, on any platform. Makes no secret.

    Raises:
        ProfileError: a template does not render.
        SecretsError: Vault's CA file cannot be read.
        ToolError: a program that the configuration names is missing.
    """
    if session.profile.platform.kind == "local":
        return session.environment.bundle(session.assumed_versions())
    profile, workspace = session.profile, session.workspace
    renderer = Renderer(workspace.templates)
    found = dict(secret_objects(profile, renderer, workspace.root))
    if profile.platform.kind == "kubernetes":
        # Where the databases of other platforms are, only their stack knows.
        found |= ClusterEnvironment(workspace, profile).bundle()
    if profile.platform.kind == "aws":
        # Without asking Vault for the version of the caches' password: the first is assumed.
        root = aws_stack.bundle(profile, renderer, workspace.terraform, aws_variables.variables(profile, 1))
        found |= {f"terraform/{path}": file for path, file in root.items()}
    return found
