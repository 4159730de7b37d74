"""The parts of a report, each made from a `Context`; `reports.report` has their order."""
