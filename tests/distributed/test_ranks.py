"""Two processes hold one population: the same as one process, as long as they resample together, and end together."""

import multiprocessing
import socket
import time
from contextlib import ExitStack, suppress
from typing import Any

import pytest
import torch

from ornstein.cli import main
from ornstein.commands.launch import ranked
from ornstein.config import SampleConfig
from ornstein.distributed.ranks import ALONE, Ranks, launched
from ornstein.errors import InputError
from ornstein.states import map_state, take
from ornstein.tasks.engines import Population
from populated import WORLDS, assert_same
from ranks_at_work import INDEX, ROWS, at_work
from worlds import rejected


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What each rank has come to in each task; the two processes are started once for all tests."""
    folder, context = tmp_path_factory.mktemp("ranks"), multiprocessing.get_context("spawn")
    ports = free_ports(4)
    workers = [context.Process(target=at_work, args=(rank, 2, ports, folder)) for rank in range(2)]
    for worker in workers:
        worker.start()
    until = time.monotonic() + 240
    for worker in workers:
        worker.join(max(0.0, until - time.monotonic()))
    hung = [worker.is_alive() for worker in workers]
    for worker in workers:
        worker.kill()
    assert hung == [False, False]
    assert [worker.exitcode for worker in workers] == [0, -9]

    def read(task: str) -> list[Any]:
        found = [folder / f"{task}-{rank}" for rank in range(2)]
        return [torch.load(path, weights_only=False) if path.exists() else None for path in found]

    return read


def assert_equal(found: Any, expected: Any) -> None:
    map_state(lambda a, b: torch.testing.assert_close(a, b, rtol=0, atol=0), found, expected)


def test_rows_travel_as_they_are(done: Any) -> None:
    first, second = done("rows")
    assert [one["part"].tolist() for one in (first, second)] == [[0, 3], [3, 7]]
    for one in (first, second):
        assert one["total"] == 7
        assert_equal(one["gathered"], ROWS)
        assert_equal(one["collected"], take(ROWS, INDEX.sort().values))
        assert one["agreed"].tolist() == [0.5]
        assert one["nothing"] == {}
    assert_equal(first["exchanged"], take(ROWS, INDEX[:4]))
    assert_equal(second["exchanged"], take(ROWS, INDEX[4:]))


@pytest.mark.parametrize("name", WORLDS)
def test_a_population_is_the_same_on_two_ranks(done: Any, name: str) -> None:
    alone = WORLDS[name]()
    for found in done("populations"):
        assert found[name].settings.pop("ranks") == 2
        assert_same(found[name], alone)
        assert found[name].gradients == alone.gradients
        assert found[name].settings == alone.settings


def test_chunks_on_two_ranks_are_the_population_too(done: Any) -> None:
    assert_same(done("populations")[0]["in chunks"], WORLDS["looking_back"]())


def test_the_test_rejects_resampling_within_ranks(done: Any) -> None:
    rejected(assert_same, done("populations")[0]["twin"], WORLDS["labelled"]())


def test_an_error_of_one_rank_ends_all(done: Any) -> None:
    first, second = done("failing")
    assert first == ("RankError", "rank 1: the energy is not defined there", InputError.exit_code)
    assert second == ("InputError", "the energy is not defined there", InputError.exit_code)


def test_a_rank_that_is_killed_ends_the_others(done: Any) -> None:
    first, second = done("killed")
    assert first[0] == "RankError"
    assert "rank 0: what travels between the ranks was lost (Connection closed by peer" in first[1], first
    assert second is None


# One rank ---------------------------------------------------------------------------------------------


def test_a_process_that_nobody_launched_is_alone() -> None:
    with launched() as ranks:
        assert ranks is ALONE
    assert ALONE.part(5) == range(5)
    assert_equal(ALONE.exchanged(ROWS, INDEX), take(ROWS, INDEX))


@pytest.mark.parametrize(("n", "size"), [(7, 3), (8, 4), (3, 3), (100, 7)])
def test_parts_follow_one_another_and_are_alike(n: int, size: int) -> None:
    parts = [Ranks(rank, size).part(n) for rank in range(size)]
    assert [number for part in parts for number in part] == list(range(n))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_a_rank_without_a_particle_is_refused() -> None:
    with pytest.raises(InputError, match="particles is 2, expected at least one for each of 3 ranks"):
        Population(particles=2, ranks=Ranks(0, 3)).size(1)


@pytest.fixture
def second_of_two(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("words", ["--steps none", "--hepl", "--help"])
def test_words_that_all_ranks_read_are_answered_by_the_first_alone(
    words: str, second_of_two: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command, code = ["sample", "energies/gmm-40", words.split()[0], *words.split()[1:]], 0 if words == "--help" else 2
    with pytest.raises(SystemExit) as ended:
        main(command)
    assert ended.value.code == code
    assert capsys.readouterr() == ("", "")
    monkeypatch.setenv("RANK", "0")
    with suppress(SystemExit):
        assert main(command) == code
    assert any(capsys.readouterr())


@pytest.mark.parametrize("exact", ["off", "mcmc"])
def test_what_is_no_population_is_refused_by_the_first_rank_alone(
    exact: Any, second_of_two: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SystemExit) as ended, ranked(SampleConfig(exact=exact)):
        pass
    assert ended.value.code == 2
    monkeypatch.setenv("RANK", "0")
    with (
        pytest.raises(InputError, match=f"--exact {exact} under torchrun: its 2 ranks"),
        ranked(SampleConfig(exact=exact)),
    ):
        pass
