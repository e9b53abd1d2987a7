"""The languages in which blocks are written; see `ports.blocks.Language`.

Job: check and execute one block in this process, and tell its faults as data.
Prohibition: no files of outputs, no database; a language never raises for the
user's faults anything but `BlockFailed`.
"""
