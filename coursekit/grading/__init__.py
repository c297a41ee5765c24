"""Grading without fear: sandboxed kernels, split execution, parallel runs, leak-proof releases."""
