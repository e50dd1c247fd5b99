"""renecinfra: RENEC Harvester from a YAML profile to a running, watched, recoverable environment."""

__version__ = "0.1.0"
