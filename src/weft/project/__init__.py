"""A project on disk: reads and writes the files of Mage projects, and makes new ones.

It knows files only: no database, no runs, no HTTP. Whatever a file contains, it
answers with a value or with an error that names file, line and column.
"""
