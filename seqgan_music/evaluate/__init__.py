"""Evaluation on real music: what is generated against what was held out, method against method, with intervals.

`evaluation.evaluate` makes one run's `evaluation.json`, `comparison.compare` judges several runs together. What a
row is compared with is said in `evaluation`, how intervals are taken in `bootstrap`, what a verdict needs in
`verdicts`.
"""
