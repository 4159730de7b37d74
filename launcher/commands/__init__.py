"""The commands of `deit-launch`, by what they are for."""
