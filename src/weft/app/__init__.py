"""The composition root of server and engine: settings in, running processes out.

Job: read the settings once, know every adapter, put them together, start and stop.
Prohibition: no rules of the product; only `settings` reads the environment.
"""
