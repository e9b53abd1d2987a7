"""The one chain of migrations, for both databases.

Job: bring a database of any earlier version to the present one.
Prohibition: never imported at a normal start (Alembic is slow to load), and a step
that was released is never changed.
"""
