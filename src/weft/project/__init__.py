"""A project on disk, in the layout of Mage.

Job: read, check and change its files, and make new projects; whatever a file holds,
the answer is a value or an error that names file, line and column.
Prohibition: no database, no runs, no HTTP; nothing outside the project is touched.
"""
