"""What makes pipelines run without a person: cron expressions, later events.

Job: adapt outside notions of time and happening to the rules in core.
Prohibition: decide nothing about runs; read no clock; nothing of the store or engine.
"""
