"""Moves runs forward: one thread, one mailbox; decide, commit, act.

Job: own runs, plan what is due, admit what is ready, hand out attempts, believe
reports, and give all of it back in order.
Prohibition: no SQL, no process, no HTTP: those are behind ports. Nothing here is
the truth; whatever an engine remembers can be rebuilt from the store.
"""
