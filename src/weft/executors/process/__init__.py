"""The local executor: one process per attempt, forked from a zygote that imported once.

Job: speak with zygotes, and turn what they say into reports.
Prohibition: nothing here forks; the server's process never does.
"""

from weft.executors.process.executor import ProcessExecutor

__all__ = ["ProcessExecutor"]
