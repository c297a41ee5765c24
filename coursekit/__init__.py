"""Generative models, correct by test: the support package of the course.

Every model answers three questions where it can: estimate (``fit``), evaluate
(``log_prob``) and sample (``sample``). Importing this package is quick: it loads
no torch and touches no network.
"""

__version__ = "0.1.0"
