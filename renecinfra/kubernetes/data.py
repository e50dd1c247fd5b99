"""PostgreSQL and Redis in the cluster: what the profile comes to for the chart renec-data. Pure."""

from __future__ import annotations

import math
from typing import Final
from urllib.parse import urlsplit

from renecinfra.kubernetes import jobs
from renecinfra.kubernetes.places import Places
from renecinfra.kubernetes.secrets import DATABASE_OWNER
from renecinfra.profiles.model import Profile
from renecinfra.profiles.platform import KubernetesPlatform
from renecinfra.profiles.sizing import size
from renecinfra.rendering import RenderedFile, Renderer

CHART: Final = "renec-data"


def values(
    profile: Profile, renderer: Renderer, *, revision: str = "", places: Places | None = None
) -> RenderedFile:
    """The values file; ``places`` are the clusters, one that was never restored if None.

    Raises:
        ProfileError: the template does not render.
    """
    platform = profile.platform
    assert isinstance(platform, KubernetesPlatform), "elsewhere the databases are not in the cluster"
    store = platform.object_store if profile.backups.enabled else None
    address = urlsplit(store.endpoint) if store else None
    context = {
        "environment": profile.environment,
        "clusters": (places or Places.fresh(profile.environment)).document(),
        "profile": profile,
        "platform": platform,
        "image": jobs.image(profile.database.version),
        "owner_secret": DATABASE_OWNER,
        # A quarter of the memory is PostgreSQL's usual share for its buffers.
        "memory": profile.database.shared_buffers * 4,
        "pool_size": size(profile, 1).pooler_pool_size,
        "store": store,
        "store_port": (address.port or (443 if address.scheme == "https" else 80)) if address else 443,
        "retention_days": max(1, math.ceil(profile.backups.retention.total_seconds() / 86_400)),
        "revision": revision,
        "monitoring": profile.releases.monitoring,
    }
    return renderer.file(f"helm/{CHART}.yaml.j2", f"{CHART}.yaml", context)
