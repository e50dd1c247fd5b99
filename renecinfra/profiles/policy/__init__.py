"""The rules that concern more than one section of a profile, or what a section means on a platform. No I/O.

A rule is a function from a profile to what breaks it. Each violation has an id, which is the error's, and
blames one path. Numbers that must add up are ``sizing``'s. Adding a rule is adding a function to a theme.
"""

from __future__ import annotations

from renecinfra.profiles.model import Profile
from renecinfra.profiles.policy import aws, harvest, operations, platform, secrets, workloads
from renecinfra.profiles.policy.rule import Rule, Violation
from renecinfra.profiles.sizing import problems

__all__ = ["RULES", "Rule", "Violation", "violations"]

RULES: tuple[Rule, ...] = (
    *platform.RULES,
    *aws.RULES,
    *secrets.RULES,
    *workloads.RULES,
    *harvest.RULES,
    *operations.RULES,
)


def violations(profile: Profile) -> list[Violation]:
    """Everything in the profile that breaks a rule, or does not add up."""
    found = [violation for rule in RULES for violation in rule(profile)]
    return found + [
        Violation("profile-sizing", misfit.path, misfit.message, misfit.hint) for misfit in problems(profile)
    ]
