import numpy as np
import pytest
from chromhub.datasets_scripts.tn5 import CutComposition, shift_note

SIZE, NUM_SITES = 400_000, 9_000
# Log weights of A C G T at the four bases left of the centre; the right arm is their reverse complement.
ARM = np.log([[0.35, 0.1, 0.2, 0.35], [0.2, 0.4, 0.2, 0.2], [0.1, 0.2, 0.5, 0.2], [0.4, 0.2, 0.1, 0.3]])


@pytest.fixture(scope="module")
def genome():
    """Random bases, and where Tn5 inserts: the ninth part of a genome whose bases fit the palindrome best."""
    codes = np.random.default_rng(0).integers(0, 4, SIZE).astype(np.uint8)
    centres = np.arange(50, SIZE - 50, 7)
    left = sum(ARM[k][codes[centres - 4 + k]] for k in range(4))
    right = sum(ARM[k][3 - codes[centres + 4 - k]] for k in range(4))
    return codes, np.sort(centres[np.argsort(-(left + right))[:NUM_SITES]])


def composition(genome, residual: tuple[int, int]) -> CutComposition:
    """Return the bases around cuts that lie `residual` bp from the centre on the forward strand."""
    codes, centres = genome
    found = CutComposition()
    found.add(codes, centres + residual[0], centres + residual[1])
    return found


@pytest.mark.parametrize(
    ("shift", "advice"),
    # a read starts at the first of nine bp and ends at the last: 4 left and right of the centre
    [((0, 0), "warning"), ((4, -5), "hint"), ((5, -4), "hint"), ((-4, 4), "warning")],
)
def test_a_wrong_shift_is_recognised_and_the_right_one_named(genome, shift, advice) -> None:
    note = shift_note(composition(genome, (shift[0] - 4, shift[1] + 4)), shift)
    assert note.startswith(f"{advice}: with --tn5-shift {shift[0]},{shift[1]} the centre of the Tn5 site lies")
    assert note.endswith("--tn5-shift 4,-4 puts both on it")


def test_shifted_fragments(genome) -> None:
    # 10x files are shifted by +4 and -5 already: as they are, the last base is one too far left
    note = shift_note(composition(genome, (0, -1)), (0, 0))
    assert "lies +0 bp from first and +1 bp from last bases" in note
    assert note.endswith("--tn5-shift 0,1 puts both on it")


def test_the_right_shift_needs_no_note(genome) -> None:
    found = composition(genome, (0, 0))
    centres = found.centres()
    assert centres is not None
    assert [centre for centre, _ in centres] == [0, 0]
    assert min(r for _, r in centres) > 0.9
    assert shift_note(found, (4, -4)) == ""


def test_two_conventions_in_one_file(genome) -> None:
    codes, centres = genome
    half = np.random.default_rng(1).integers(0, 2, len(centres))
    found = CutComposition()
    found.add(codes, centres + half, centres - half)  # half of the reads are off by one
    assert shift_note(found, (0, 0)).endswith("the file mixes two conventions, which no shift mends wholly")


def test_strands_mirror_each_other(genome) -> None:
    counts = composition(genome, (0, 0)).counts
    assert np.array_equal(counts[0], counts[1, ::-1, ::-1])  # the same places, read from the other side


def test_no_motif_and_too_few_cuts(genome) -> None:
    codes, centres = genome
    anywhere = np.random.default_rng(2).integers(30, SIZE - 30, 2 * NUM_SITES)
    found = CutComposition()
    found.add(codes, anywhere, anywhere)
    assert shift_note(found, (0, 0)).startswith("Tn5 shift not checked: no Tn5 motif around the cuts")
    few = CutComposition()
    few.add(codes, centres[:1000], centres[:1000])
    assert shift_note(few, (0, 0)) == ""
