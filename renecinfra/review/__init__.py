"""What a plan means: how risky each change is, what policy says, and how that is told and held to.

Owns grades, guards, the forms of a plan for machines and pull requests, saved plans, and audits. It looks at
values that others made (a Terraform plan, rendered files, a profile) and runs nothing.
"""
