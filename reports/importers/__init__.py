"""Runs of other programs, read into one shape (`reports.importers.run.ForeignRun`)."""
