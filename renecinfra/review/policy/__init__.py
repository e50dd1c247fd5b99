"""What an environment must be: rules with ids over its profile, its rendered files and its plan.

A rule is said once, in ``rules``; what looks for its violations is in one module per layer.
"""
