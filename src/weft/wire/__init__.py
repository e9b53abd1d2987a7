"""What travels between an engine and its workers: versioned messages and their codec.

Job: the shapes, once, for executors and workers, which do not know each other.
Prohibition: no I/O; msgspec is the only third party.
"""
