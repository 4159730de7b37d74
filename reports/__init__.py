"""From a sweep's run directories to a document that answers. Torch-free.

Data flows one way: load -> groups -> analysis -> report -> HTML, Markdown, CSV, JSON, terminal.
"""
