"""Where secrets come from. Owns references and stores; only ``vault`` may import hvac."""
