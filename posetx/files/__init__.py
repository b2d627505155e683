"""Reading scans, reading and writing targets without loss, and writing any file in one piece.

Start at `posetx.files.scans.read_scan` and `posetx.files.targets.read_target`.
"""
