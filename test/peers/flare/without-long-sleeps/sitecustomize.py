"""Shortens the pause of 100 s that FLARE's packager makes after each participant. Nothing else differs."""
import time

_sleep = time.sleep
time.sleep = lambda seconds: _sleep(seconds if seconds < 100 else 0)
