"""What blocks leave behind: values written whole or not at all, read back, looked at.

Job: choose the format of a value, write its file, verify nothing is half there.
Prohibition: decides nothing about visibility (the database does), loads no pickle
for the server, and imports a data library only when such a value is at hand.
"""
