"""Data of the course: toy laws with exact log-density, embedded images, verified downloads.

Importing this package is quick and silent, and touches no network.
"""

from coursekit.data.toy import Bimodal, EightGaussians, Pinwheel, Rings, SwissRoll, TwoMoons

__all__ = ["Bimodal", "EightGaussians", "Pinwheel", "Rings", "SwissRoll", "TwoMoons"]
