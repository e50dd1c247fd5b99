"""Environments in AWS: the stack's values, what AWS has to offer for them, the state's bucket, what is there.

Owns every call of boto3 but the login to Vault. Knows nothing of the order of an `up`, nor of terminals.
"""
