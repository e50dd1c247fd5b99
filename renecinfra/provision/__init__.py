"""The flow of a command over an environment: plan, up, down.

Owns the order of steps, the lock and the journal. Knows nothing of terminals: it tells a ``Reporter`` what it
does and asks through a callback.
"""
