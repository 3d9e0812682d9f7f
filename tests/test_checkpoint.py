"""Checkpoints: whole or refused, never run; what is read back is what was saved."""

from __future__ import annotations

import contextlib
import json
import pickle
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_sampling import make

from seqgan_music.errors import RunError
from seqgan_music.learning import checkpoint


def saved(run: Path) -> Path:
    generator = make()
    tensors = checkpoint.prefixed(generator.state_dict(), "generator")
    checkpoint.save(run, "best", tensors, {"generator": checkpoint.describe_generator(generator)})
    return next((run / "checkpoints").glob("best-*.safetensors"))


def test_generator_reads_back_as_it_was(tmp_path: Path) -> None:
    saved(tmp_path)
    for mine, theirs in zip(make().parameters(), checkpoint.load_generator(tmp_path).parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_only_the_newest_tensors_stay(tmp_path: Path) -> None:
    for value in (1.0, 2.0, 3.0):
        checkpoint.save(tmp_path, "last", {"x": torch.tensor([value])}, {})
    checkpoint.save(tmp_path, "best", {"x": torch.tensor([9.0])}, {})
    assert len(list((tmp_path / "checkpoints").iterdir())) == 4
    assert checkpoint.load(tmp_path, "last")[0]["x"].tolist() == [3.0]


@pytest.mark.parametrize("deleted", [0, 1, 2])
def test_killed_while_it_is_discarded_leaves_it_whole_or_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, deleted: int
) -> None:
    checkpoint.save(tmp_path, "last", {"x": torch.tensor([1.0])}, {})
    checkpoint.save(tmp_path, "final", {"x": torch.tensor([2.0])}, {})
    left = [deleted]
    unlink = Path.unlink

    def killed(path: Path, missing_ok: bool = False) -> None:
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        unlink(path, missing_ok=missing_ok)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", killed)
        with contextlib.suppress(KeyboardInterrupt):
            checkpoint.discard(tmp_path, "last")
    if checkpoint.exists(tmp_path, "last"):
        assert checkpoint.load(tmp_path, "last")[0]["x"].tolist() == [1.0]
    else:
        assert deleted
    checkpoint.discard(tmp_path, "last")
    assert [path.stem[:5] for path in (tmp_path / "checkpoints").iterdir()] == ["final"] * 2


def test_what_is_not_finite_is_never_saved(tmp_path: Path) -> None:
    for value in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="NaN or infinity"):
            checkpoint.save(tmp_path, "last", {"x": torch.tensor([value])}, {})
    assert not (tmp_path / "checkpoints").exists()


def test_missing_checkpoint_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"has no checkpoint 'best'\. Train first"):
        checkpoint.load_generator(tmp_path)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0.0, 1.0, exclude_max=True))
def test_tensors_cut_short_anywhere_are_refused(tmp_path: Path, share: float) -> None:
    file = saved(tmp_path)
    data = file.read_bytes()
    file.write_bytes(data[: int(share * len(data))])
    with pytest.raises(RunError, match=r"cut short or changed"):
        checkpoint.load_generator(tmp_path)


def test_changed_byte_is_refused(tmp_path: Path) -> None:
    file = saved(tmp_path)
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(bytes(data))
    with pytest.raises(RunError, match="cut short or changed"):
        checkpoint.load_generator(tmp_path)


class Bomb:
    """Unpickling this would leave a mark."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("honest_hash", [False, True])
def test_pickle_in_place_of_tensors_is_refused_and_not_run(tmp_path: Path, honest_hash: bool) -> None:
    import hashlib

    file = saved(tmp_path)
    mark = tmp_path / "mark"
    data = pickle.dumps(Bomb(mark))
    file.write_bytes(data)
    if honest_hash:
        description = tmp_path / "checkpoints" / "best.json"
        document = json.loads(description.read_text())
        document |= {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        description.write_text(json.dumps(document))
    with pytest.raises(RunError, match="cannot be loaded"):
        checkpoint.load_generator(tmp_path)
    assert not mark.exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": 99}, "has format 99"),
        ({"file": "../../../etc/passwd"}, "only safetensors"),
        ({"file": 7}, "cannot be read"),
        ({"generator": None}, "does not describe"),
        ({"generator": {"vocabulary_size": 10**9, "start_id": 0, "config": {}}}, "impossible vocabulary"),
        ({"generator": {"vocabulary_size": float("inf"), "start_id": 0, "config": {}}}, "must be whole numbers"),
        ({"generator": {"vocabulary_size": 70, "start_id": 70, "config": {"hiden": 1}}}, "Did you mean 'hidden'"),
        ({"generator": {"vocabulary_size": 70, "start_id": 70, "config": {"hidden": 10**9}}}, "does not describe"),
    ],
)
def test_hostile_descriptions_are_refused(tmp_path: Path, change: dict[str, object], said: str) -> None:
    saved(tmp_path)
    description = tmp_path / "checkpoints" / "best.json"
    description.write_text(json.dumps(json.loads(description.read_text()) | change))
    with pytest.raises(RunError, match=said):
        checkpoint.load_generator(tmp_path)


@pytest.mark.parametrize("weight", [1e10, -3e38])
def test_weights_that_no_training_leaves_are_refused(tmp_path: Path, weight: float) -> None:
    generator = make()
    tensors = checkpoint.prefixed(generator.state_dict(), "generator")
    name = sorted(tensors)[0]
    tensors[name] = torch.full_like(tensors[name], weight)  # finite, so that it can be saved; its sums are not
    checkpoint.save(tmp_path, "best", tensors, {"generator": checkpoint.describe_generator(generator)})
    with pytest.raises(RunError, match="too large for any model"):
        checkpoint.load_generator(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "[" * 100_000, "\xff"])
def test_descriptions_that_are_no_json_object_are_refused(tmp_path: Path, text: str) -> None:
    saved(tmp_path)
    (tmp_path / "checkpoints" / "best.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(RunError, match="cannot be read"):
        checkpoint.load_generator(tmp_path)


def test_optimizer_goes_on_as_if_never_stopped() -> None:
    def steps(generator: torch.nn.Module, optimizer: torch.optim.Optimizer, count: int) -> None:
        for step in range(count):
            optimizer.zero_grad()
            sum((p * (step + 1)).square().sum() for p in generator.parameters()).backward()  # type: ignore[union-attr]
            optimizer.step()

    straight = make()
    optimizer = torch.optim.AdamW(straight.parameters(), 0.01)
    steps(straight, optimizer, 3)
    resumed = make()
    resumed.load_state_dict(straight.state_dict())
    other = torch.optim.AdamW(resumed.parameters(), 0.01)
    checkpoint.restore_optimizer(other, checkpoint.optimizer_tensors(optimizer))
    steps(straight, optimizer, 3)
    steps(resumed, other, 3)
    for mine, theirs in zip(straight.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(mine, theirs)
