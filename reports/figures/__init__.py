"""Plots as data, and their drawing as SVG and PDF."""
