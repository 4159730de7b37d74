"""Who decides like whom: disagreement of models and teacher, likeness of tokens, accuracy by head.

`python -m deit_core.analyse` is the command; `deit_core.analyse.measure.analyse` does the work.
"""
