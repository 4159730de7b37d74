"""Search: trials that are chosen one after another by what earlier ones gave.

There is no driver. `<sweep>/search/` holds what is searched (`search.json`) and every point that
was asked for (`points/`); results are read from the trials. Whoever needs the next trial takes a
short lease, rebuilds the study in memory from these files, asks, and writes the answer down.
"""
