"""Measures of quality: of an enhanced picture against the truth, against what was measured, and as people see it."""
