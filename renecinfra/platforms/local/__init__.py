"""The local platform: supervised processes on this machine, created by a Terraform stack."""
