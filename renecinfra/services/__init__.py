"""Local processes: what a service is, how it is supervised, which binaries and ports it needs."""
