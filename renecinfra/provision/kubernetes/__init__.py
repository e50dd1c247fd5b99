"""Commands over an environment on an existing cluster."""
