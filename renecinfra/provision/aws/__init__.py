"""The flow of a command over an environment in AWS: bootstrap, plan, up, down, the state's lock and history.

The same order, lock and journal as on the local platform; what AWS is, is in ``platforms.aws``.
"""
