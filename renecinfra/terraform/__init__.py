"""Terraform: the binary, the adapter on python-terraform, its events, and plans as data."""
