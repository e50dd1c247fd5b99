"""What Terraform does, as progress."""

from __future__ import annotations

from renecinfra.reporting import Progress
from renecinfra.terraform.events import TerraformEvent


def tell(progress: Progress, event: TerraformEvent) -> None:
    """Show what Terraform does: how many resources are done, and which one is under way."""
    if event.kind == "apply_start":
        progress.advance(0, event.address)
    elif event.kind == "apply_complete":
        progress.advance(1, event.address)


def tell_planning(progress: Progress, event: TerraformEvent) -> None:
    """Show which resource Terraform looks at."""
    if event.kind in ("refresh_start", "planned_change"):
        progress.advance(0, event.address)
