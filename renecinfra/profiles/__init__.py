"""Profiles: the typed model, loading with positions, and the rules across sections. The model does no I/O."""
