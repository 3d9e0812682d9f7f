"""The critic: a network that has learnt what a run's generator does wrong, as a tool.

What others use stands here; each name has a file of its own beside this one.
"""

from seqgan_music.critic.judging import CHECKPOINT, Critic, Judgement
from seqgan_music.critic.sheet import BARS, Sheet, sheet

__all__ = ["BARS", "CHECKPOINT", "Critic", "Judgement", "Sheet", "sheet"]
