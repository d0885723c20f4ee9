"""Render the cards of the models in hub_models/ anew, from the files beside them: after these, or the code, changed.

python benchmarks/render_cards.py
"""

from pathlib import Path

from chromhub.hub_models.card import publication_of, render_card


def main() -> None:
    """Render each card with the licence and base that it has."""
    for card in sorted((Path(__file__).parents[1] / "hub_models").glob("*/README.md")):
        publication = publication_of(card.read_text(encoding="utf-8"))
        card.write_text(render_card(card.parent, publication), encoding="utf-8")


if __name__ == "__main__":
    main()
