"""Ways to tell that the store has news: in process, by PostgreSQL, by SQLite.

Job: implement `ports.signals.Signals`, each as a file that knows one transport.
Prohibition: a signal carries no data and proves nothing; the store is the truth.
"""
