"""Exporters of our own, run by the services' python; imports nothing of ours outside itself."""
