"""Arguments of commands whose output would be what they read."""

import pytest
from chromhub.cli.output_guard import check_arguments


def test_an_output_that_is_or_holds_an_input(tmp_path) -> None:
    (tmp_path / "data").mkdir()
    genome = tmp_path / "data" / "genome.fa"
    genome.write_text(">chr1")
    for arguments, said in (
        ({"output": genome, "fasta": genome}, "is what is read"),
        ({"output": tmp_path, "fasta": [genome]}, "holds .*genome.fa, which is read"),
        ({"output": tmp_path / "data", "track": [f"name={genome}"]}, "holds"),
        ({"to_folder": tmp_path, "run": str(tmp_path / "data")}, "holds"),
        ({"figure": genome, "store_path": genome}, "is what is read"),
    ):
        with pytest.raises(FileExistsError, match=said):
            check_arguments(arguments | {"overwrite": True})
        check_arguments(arguments)  # nothing is replaced


def test_what_may_be(tmp_path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "evaluation").mkdir()
    check_arguments({"output": tmp_path / "run" / "evaluation", "run": str(tmp_path / "run"), "overwrite": True})
    check_arguments(
        {"output": tmp_path / "new", "run": "org/name", "text": "x" * 9999, "odd": "a\0b", "overwrite": True}
    )
    check_arguments({"output": tmp_path / "run", "run": tmp_path / "run", "overwrite": True})  # its command refuses it
