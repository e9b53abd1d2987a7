"""One file per way of keeping a value; see `ports.outputs.Format`.

Job: dump, load and preview one kind of file.
Prohibition: formats do not know each other, nor where files lie.
"""
