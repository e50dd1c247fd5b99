"""What uvicorn serves: ``python -m uvicorn renecinfra.reference.api:app``."""

from __future__ import annotations

import logging
import os

from renecinfra.reference.metrics import share
from renecinfra.reference.settings import load

settings = load(api=True)
logging.basicConfig(level=settings.log_level, format="%(levelname)s %(name)s: %(message)s")
# With several processes uvicorn's main one, their parent, owns the metrics; with one, none are shared.
share(os.getppid())

from renecinfra.reference.application import create_app  # noqa: E402 - after share(): see metrics

app = create_app(settings)
