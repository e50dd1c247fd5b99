"""The reference workload: an API and a harvester that stand in for RENEC Harvester, and a fake site.

It honours what a platform needs of the application (commands, ports, health, metrics, environment,
tables, queues), so that an environment, its objectives and its restore can be proven before the
application is there. It is not the application. It imports nothing of renecinfra outside this package:
services run a copy of it with an interpreter of their own. docs/reference/workload.md describes it.
"""
