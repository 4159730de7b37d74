"""Plans and runs sweeps: sweep file, trials, plan, backend. Never imports torch."""
