"""Where jobs run: one small protocol, one implementation per scheduler."""
