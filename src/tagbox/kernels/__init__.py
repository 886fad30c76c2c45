"""The same numbers in less time or memory.

Nothing here is needed to understand the method; every function has a plain twin and a parity test, which its
module names.
"""
