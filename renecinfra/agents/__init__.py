"""Small programs that run beside the services, as the service user, from a copy below the environment's home.

Modules here import the standard library only, and nothing of ours, so that they start in milliseconds.
"""
