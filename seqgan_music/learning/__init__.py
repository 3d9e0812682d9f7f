"""Everything neural: generator, discriminators, rollouts, methods, trainer. Never imports `seqgan_music.music`.

Axis letters, used in every shape comment: B batch, T time, V vocabulary, E embedding, H hidden, R rollouts,
N rows of any kind. Probabilities and losses are in nats. Randomness comes from `torch.Generator`s passed as
arguments; dropout is active only where one is given for it, so no reward is ever computed with dropout on.
"""
