"""What the commands of deit-report do; `reports.cli` says how they are called."""
