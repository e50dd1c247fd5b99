"""A provider of hashicorp/aws's real schema without AWS behind it, so that tests can run real Terraform.

It proves that configurations fit the provider's schema and that values are wired as meant. It proves
nothing about AWS: it accepts what AWS would refuse, and makes up what AWS would answer. ``schema`` reads
the schema from a package of typings, ``server`` serves it, ``mirror`` puts it where Terraform looks for
providers.
"""
