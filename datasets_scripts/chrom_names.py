"""One rule for chromosome names that differ between files: chr1 and 1, chrM and MT."""

from collections.abc import Callable, Iterable

_MITOCHONDRION = {"M": "MT", "MT": "M", "chrM": "chrMT", "chrMT": "chrM"}
_RULES: tuple[Callable[[str], str], ...] = (
    lambda name: name,
    lambda name: "chr" + name,
    lambda name: name.removeprefix("chr"),
)


def match_chroms(wanted: Iterable[str], available: Iterable[str], *, what: str) -> dict[str, str]:
    """Pair the names of one file with the names of another.

    The first rule that pairs any name is used for all of them: the names as they are; "chr" added; "chr" taken away.
    Under each, M and MT are the same chromosome. So files that share one name never have others renamed.

    Args:
        wanted: names to look up.
        available: names to find them among.
        what: what is being paired, for the message ("peaks of a.bed with the genome").

    Returns:
        Wanted name -> available name, in the order of `wanted`; names without a partner are left out.

    Raises:
        ValueError: no name has a partner.
    """
    wanted, available = list(dict.fromkeys(wanted)), list(dict.fromkeys(available))
    for rule in _RULES:
        if pairs := _pair(wanted, set(available), rule):
            return pairs
    raise ValueError(
        f"no chromosome name in common for {what}: {shown(wanted)} against {shown(available)}; "
        "tried the names as they are and with chr added or taken away: rename one side"
    )


def shown(names: Iterable[str], limit: int = 8) -> str:
    """Return the first names, and how many more there are, for a message."""
    names = list(names)
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return f"[{', '.join(names[:limit])}{more}]"


def _pair(wanted: list[str], available: set[str], rule: Callable[[str], str]) -> dict[str, str]:
    """Pair names under one rule; an exact partner goes before the M/MT synonym, and no partner is used twice."""
    pairs = {name: rule(name) for name in wanted if rule(name) in available}
    for name in wanted:
        synonym = _MITOCHONDRION.get(rule(name))
        if name not in pairs and synonym in available and synonym not in pairs.values():
            pairs[name] = str(synonym)
    return {name: pairs[name] for name in wanted if name in pairs}
