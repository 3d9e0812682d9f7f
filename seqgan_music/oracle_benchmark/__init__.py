"""The oracle benchmark: every method against a known truth; what is exact, what it cost, and who won."""
