"""Post-provision steps: the protocol, the runner, and the hooks."""
