"""What clients read: plain dictionaries in the order of their keys.

Job: turn records into the documented objects, field by field.
Prohibition: no web framework and no lookup; what a shape shows is handed to it.
"""
