"""Heads on frozen sequence models, for a landscape's targets."""

import json

import numpy as np
import pytest
import torch
from chromhub.cli import app
from chromhub.finetune.sequence_head import HeadOptions, train_head
from chromhub.inference.provenance import Provenance, part_intervals
from chromhub.inference.sequence_embedding import Embedder, embed_chrom, gene_embeddings, load_embedder
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast
from typer.testing import CliRunner

from ..landscape_folder import write_landscape


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_landscape(tmp_path_factory.mktemp("sim") / "data")[0]


@pytest.fixture(scope="module")
def fasta(data, tmp_path_factory):
    rng = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("genome") / "g.fa"
    lines = (f">chr{name}\n{''.join(rng.choice(list('ACGT'), size))}\n" for name, size in data.chrom_sizes.items())
    path.write_text("".join(lines))
    return path


def of_positions(step: int, length: int = 400, target: int = 200) -> Embedder:
    """Embed as the share of A and of N, a hidden state every `step` bp."""

    def embed(codes: torch.Tensor) -> torch.Tensor:
        both = torch.stack([(codes == 0).float(), (codes == 4).float()], 1)
        return torch.nn.functional.avg_pool1d(both, step)

    return Embedder(embed, length, target)


@pytest.mark.parametrize("step", [1, 4, 16])
def test_cells_are_means_along_the_chromosome(step):
    codes = np.random.default_rng(0).integers(0, 4, 1030).astype(np.uint8)
    told = []
    cells = embed_chrom(of_positions(step), codes, cell=40, batch_size=2, progress=told.append)
    assert cells.shape == (26, 2)  # of 1,030 bp, the last one of 30
    assert sum(told) == 6  # windows that keep 200 bp
    by_hand = (codes[:1000].reshape(25, 40) == 0).mean(1)
    assert cells[:25, 0] == pytest.approx(by_hand, abs=0.15 if step == 16 else 1e-3)
    assert cells[1:25, 1].max() == 0  # at 0 a hidden state of 16 bp reaches off the chromosome
    assert cells[25, 1] == pytest.approx(10 / 40, abs=0.11 if step == 16 else 1e-3)  # past the end
    with pytest.raises(ValueError, match="keeps 200 bp, less than a cell of 400"):
        embed_chrom(of_positions(4), codes, cell=400)


def test_genes_take_the_cells_around_them(data):
    """Bins of 200 bp in cells of 50; off the chromosome there is nothing."""
    cells = {chrom: np.arange(1, size // 50 + 1, dtype=np.float16)[:, None] for chrom, size in data.chrom_sizes.items()}
    found = gene_embeddings(cells, data, np.array([0, 3]), cell=50)
    assert found.shape == (2, 21, 1)
    first = round((int(data.genes["tss"].iloc[3]) - 2100) / 50)
    assert found[1, 0, 0] == pytest.approx(np.mean([first + 1, first + 2, first + 3, first + 4]), rel=1e-3)
    far = type(data)(**{**vars(data), "genes": data.genes.assign(tss=50)})
    # bins 0 to 9 lie left of the chromosome
    assert (gene_embeddings(cells, far, np.array([0]), cell=50)[0, :, 0] == 0).sum() == 10


def test_a_head_learns_what_embeddings_hold(data):
    noise = np.random.default_rng(0).random(data.targets.shape, np.float32)  # that nothing but embeddings can tell
    data = type(data)(**{**vars(data), "targets": noise})

    def embeddings(rows: np.ndarray) -> np.ndarray:
        told = noise[rows].transpose(0, 2, 1)
        return np.concatenate([told, np.ones_like(told), -told], -1)

    options = HeadOptions(hidden=8, epochs=15, batch_size=4, dropout=0, learning_rate=1e-2)
    head, scale, history = train_head(data, embeddings, options)
    assert history[-1]["eval_loss"] < 0.3 * history[0]["eval_loss"]
    assert not head.training
    assert scale["mean"].shape == (1, data.grid.num_bins)
    again, _, same = train_head(data, embeddings, options)
    assert same == history
    assert all(map(torch.equal, head.state_dict().values(), again.state_dict().values()))


def test_the_command(data, fasta, tiny_model, tmp_path):
    tiny_model.save_pretrained(tmp_path / "model")
    words = ["sequence-baseline", str(tmp_path / "model"), "--data", str(data.path), "--fasta", str(fasta)]
    options = ["--device", "cpu", "--epochs", "1", "--hidden", "4"]
    shown = CliRunner().invoke(app, [*words, *options, "-o", str(tmp_path / "out")])
    assert shown.exit_code == 0, shown.output
    assert "sequence" in shown.stdout
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert list(metrics["results"]["RNA0"]["bins"]) == ["sequence"]
    assert metrics["results"]["RNA0"]["genes"]["sequence"]["raw"]["n"] == len(data.rows("test"))
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"metrics.json", "metrics.tsv", "head.safetensors"}
    seen = part_intervals(data, "test")
    Provenance(None, "toy", seen, (), ("atac",), 0, "scratch", "").save(tmp_path / "model")
    refused = CliRunner().invoke(app, [*words, *options, "-o", str(tmp_path / "other")])
    assert refused.exit_code == 2
    assert "overlaps what the model" in refused.stderr


def test_a_model_that_is_not_ours(tmp_path):
    """Any AutoModel with a tokenizer and a last hidden state, a token a base."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers

    words = Tokenizer(models.WordLevel({"A": 0, "C": 1, "G": 2, "T": 3, "N": 4}, unk_token="N"))
    words.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    PreTrainedTokenizerFast(tokenizer_object=words, unk_token="N", pad_token="N").save_pretrained(tmp_path)
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    BertModel(BertConfig(vocab_size=5, **sizes)).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="no model of chromhub: give the bp of its windows"):
        load_embedder(tmp_path)
    embedder = load_embedder(tmp_path, input_length=64)
    assert embedder.target_length == 32
    codes = torch.randint(0, 5, (3, 64), dtype=torch.uint8)
    with torch.no_grad():
        assert embedder.embed(codes).shape == (3, 8, 64)
    assert embed_chrom(embedder, codes.numpy().ravel(), cell=16).shape == (12, 8)


def test_a_model_without_sequence_is_refused(data, tmp_path):
    from chromhub.modeling import ClasterConfig, ClasterForProfileRegression

    config = ClasterConfig.from_preset("claster-tiny", num_input_bins=101, num_bins=21)
    ClasterForProfileRegression(config).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="reads no sequence"):
        load_embedder(tmp_path)
