"""The steps, one file each, named by number.

Job: say what changed, in the words of that day.
Prohibition: no import of `tables`, which says what is, not what was.
"""
