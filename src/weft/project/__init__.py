"""A project on disk: reads and writes the files of Mage projects, and makes new ones.

Job: whatever a file contains, answer with a value, or with an error that names file,
line and column; write without losing what is not understood.
Prohibition: files only: no database, no runs, no HTTP.
"""
