"""Where blocks run: each executor carries out attempts and pushes reports.

Job: one folder or file per executor, all bound by tests/contract/test_executors.py.
Prohibition: no executor knows another, the store or the engine.
"""
