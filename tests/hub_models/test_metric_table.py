import copy
import math

from chromhub.hub_models.metric_table import HEADER, caveat, eval_results, header, headline, sentence, table

from tests.hub_models.toy_run import METRICS


def test_the_table_has_every_pooled_row_and_the_finest_of_each_chromosome() -> None:
    rows = table(METRICS)
    assert all(len(row) == len(HEADER) for row in rows)
    assert [row[1:5] for row in rows] == [
        ["genome_wide", "all", "4 bp", "0.3000"],
        ["genome_wide", "all", "128 bp", "0.7500"],
        ["genome_wide", "chrIV", "4 bp", "0.2500"],
        ["genome_wide", "chrXV", "4 bp", "0.3750"],
        ["peaks", "all", "4 bp", "0.8125"],
        ["peaks", "all", "128 bp", "not defined"],
        ["peaks", "chrIV", "4 bp", "0.8125"],
    ]
    assert rows[0][5:] == ["0.3000", "0.1250", "3,072"]


def test_what_stands_beside_the_model_has_columns_of_its_own() -> None:
    numbers = {"log1p": {"n": 24, "pearson": 0.6, "mse": 0.1}, "raw": {"n": 24, "pearson": 0.5, "mse": 0.1}}
    floor = {"results": {"track_0": {"genome_wide": {"pooled": {"128": numbers}, "chroms": {}}}}}
    ceiling = {"results": {"track_0": {"genome_wide": {"pooled": {"4": {"log1p": numbers["log1p"]}}, "chroms": {}}}}}
    metrics = {**METRICS, "floor": floor, "base": {"why": "none"}, "ceiling": ceiling}
    assert header(metrics) == [*HEADER, "Pearson, log1p, floor", "Pearson, log1p, ceiling"]
    rows = table(metrics)
    assert [row[8:] for row in rows[:3]] == [["", "0.6000"], ["0.6000", ""], ["", ""]]
    assert [row[:8] for row in rows] == table(METRICS)
    assert eval_results(metrics) == eval_results(METRICS)  # the model's own alone
    assert headline(metrics) == headline(METRICS)
    assert header(METRICS) == HEADER


def test_the_sentence_names_part_data_and_intervals() -> None:
    assert sentence(METRICS) == (
        "On the test part of yeast (sacCer3), data fingerprint `f00d`, one strand: chrIV:0-1531933, chrXV:0-1091291."
    )


def test_the_model_index_is_exact_and_leaves_out_what_is_not_defined() -> None:
    results = eval_results(METRICS)
    assert len(results) == 6  # 2 sets x 2 bin sizes x 2 scales, less the two of peaks at 128 bp
    assert results[0].metric_value == 0.1 + 0.2
    assert results[0].metric_name == "Pearson r, track_0, genome_wide, 4 bp, log1p"
    assert (results[0].dataset_split, results[0].dataset_revision) == ("test", "f00d")
    assert all(math.isfinite(result.metric_value) for result in results)


def test_the_headline_is_the_finest_pooled_log1p() -> None:
    assert headline(METRICS) == {"yeast test genome_wide": 0.1 + 0.2, "yeast test peaks": 0.8125}
    two = copy.deepcopy(METRICS)
    two["results"]["other"] = two["results"]["track_0"]
    assert "yeast test peaks other" in headline(two)


def test_what_the_model_has_seen_is_said_and_kept_out_of_the_index() -> None:
    assert caveat(METRICS) == ""
    unknown = {**METRICS, "leak": {"checked": False, "allowed": False, "overlaps": []}}
    assert "not recorded" in caveat(unknown)
    assert len(eval_results(unknown)) == 6
    leaky = {**METRICS, "leak": {"checked": True, "allowed": True, "overlaps": [f"chr{i}:0-9" for i in range(7)]}}
    assert "trained or chosen on chr0:0-9, chr1:0-9, chr2:0-9, chr3:0-9, chr4:0-9 and 2 more" in caveat(leaky)
    assert eval_results(leaky) == []
